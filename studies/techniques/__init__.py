"""The regularization techniques, one file each. To add one, put its file here.

A subclass of `Technique` with an `order` is found automatically, and added to `TECHNIQUES`. From these follow the keys
of a study's [space], the parameters of a trial, recipes, finalists, rows of tables and labels. Both trainers and the
exported script use them, too.
"""

import importlib
import itertools
import pkgutil

from .technique import Technique
from .ways import PAIRS


def _find_techniques() -> tuple[Technique, ...]:
    """Return an instance of each technique class in this package that has an order, sorted by order."""
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
    """Raise TypeError if techniques contradict each other, or if a technique lacks a method.

    Two techniques must not have the same order, name or key. Techniques that were added later must come last. A
    technique with one method of a pair (`PAIRS`) needs both, unless the compiled trainer has its own code for it. A
    technique that was added later needs the method `code`.
    """
    for attribute in ("order", "name", "key"):
        if len({getattr(technique, attribute) for technique in techniques}) < len(techniques):
            raise TypeError(f"two techniques have the same {attribute}: give each its own")
    if [technique.is_added_later for technique in techniques] != sorted(t.is_added_later for t in techniques):
        raise TypeError("a technique that was added later must come after all earlier ones: give it a higher order")
    for technique, (of_keras, compiled) in itertools.product(techniques, PAIRS):
        if not technique.has_compiled_code and technique.overrides(of_keras) != technique.overrides(compiled):
            raise TypeError(f"{technique.name} has only one of {of_keras} and {compiled}: write both methods")
    for technique in techniques:
        if technique.is_added_later and not technique.overrides("code"):
            raise TypeError(f"{technique.name} has no method code: an exported script would train without it")


TECHNIQUES = _find_techniques()
"""Every technique, in the order in which its parameters are suggested."""

check(TECHNIQUES)


def labels() -> tuple[str, ...]:
    """Return the name of each technique alone, and joint names such as "L1+L2".

    Techniques have a joint name if the same parameter switches them on (`Technique.gate`).
    """
    joined: list[str] = []
    for _, group in itertools.groupby(TECHNIQUES, key=lambda technique: technique.gate or technique.key):
        names = [technique.name for technique in group]
        joined += ["+".join(some) for n in range(1, len(names) + 1) for some in itertools.combinations(names, n)]
    return tuple(joined)
