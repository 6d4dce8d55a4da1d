"""The regularization techniques, one file each: to add one, put its file here.

A file's subclass of `Technique` that has an `order` is found by itself. The keys of a study's [space], the parameters
of a trial, recipes, finalists, rows of tables, labels, both trainers and the exported script follow from the list.
"""

import importlib
import itertools
import pkgutil

from .technique import Technique
from .ways import PAIRS


def _found() -> tuple[Technique, ...]:
    """Return a technique for each of the package's classes that have an order, by their order."""
    techniques = []
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        techniques += [
            member()
            for member in vars(module).values()
            if isinstance(member, type)
            and issubclass(member, Technique)
            and member.__module__ == module.__name__
            and hasattr(member, "order")
        ]
    return tuple(sorted(techniques, key=lambda technique: technique.order))


def check(techniques: tuple[Technique, ...]) -> None:
    """Raise TypeError where two techniques have one order, name or key, or one can't be trained by both trainers."""
    for attribute in ("order", "name", "key"):
        if len({getattr(technique, attribute) for technique in techniques}) < len(techniques):
            raise TypeError(f"two techniques have the same {attribute}: give each its own")
    if [technique.is_added_later for technique in techniques] != sorted(t.is_added_later for t in techniques):
        raise TypeError("a technique that was added later comes after all before it: give it a higher order")
    for technique, (of_keras, compiled) in itertools.product(techniques, PAIRS):
        if not technique.has_compiled_code and technique.overrides(of_keras) != technique.overrides(compiled):
            raise TypeError(f"{technique.name} has one of {of_keras} and {compiled}: it needs both")


TECHNIQUES = _found()
"""Every technique, in the order in which its parameters are suggested."""

check(TECHNIQUES)


def labels() -> tuple[str, ...]:
    """Return what a network can be regularized with, in words: each technique alone, and those of one gate together."""
    found: list[str] = []
    for _, group in itertools.groupby(TECHNIQUES, key=lambda technique: technique.gate or technique.key):
        names = [technique.name for technique in group]
        found += ["+".join(some) for n in range(1, len(names) + 1) for some in itertools.combinations(names, n)]
    return tuple(found)
