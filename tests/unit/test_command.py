"""A report's command asks for the study that it is about: every key of it, and no file."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
import report_contents as made

from regsearch.studies.reports.rerun_command import command
from regsearch.studies.reports.terminal import as_text
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import catalog_names, read_study, with_options


def asked_for(words: str) -> StudySpec:
    """The study that a command line stands for, read as the command reads it."""
    program, run, ready, *options = shlex.split(words)
    assert (program, run) == ("regsearch", "run")
    assert ready in catalog_names(), "it needs no file"
    given = list(zip(options[::2], options[1::2], strict=True))
    assert {name for name, _ in given} <= {"--name", "--trials", "--set"}
    named = {name: value for name, value in given if name != "--set"}
    spec = read_study(ready, [value for name, value in given if name == "--set"])
    return with_options(spec, name=named.get("--name"), trials=int(named["--trials"]))


def command_of(spec: StudySpec, source: str = "mnist") -> str:
    study = made.study(spec)
    return command(replace(study, dataset=replace(study.dataset, source=source)))


STUDIES: dict[str, dict[str, Any]] = {
    "sampler": {"search": {"sampler": "random", "sampler_options": {}}},
    "pruner and recipes": {"search": {"pruner": "none", "pruner_options": {}, "recipes": ["ladder"]}},
    "confirmation": {"confirm": {"top": 5, "seeds": 7, "split": "fixed"}},
    "budget": {"budget": {"trials": 12, "timeout": "30m", "epoch_timeout": "10m"}},
    "options": {"search": {"sampler": "qmc", "sampler_options": {"qmc_type": "halton", "scramble": True}}},
    "identity": {"training": {"learning_rate": 1e-05}, "model": {"hidden": [5, 6]}, "data": {"train_size": 77}},
    "space": {"space": {"dropout": "off", "l1": {"low": 1e-7, "high": 1.0}, "batch_norm": ["none"]}},
    "text": {"study": {"name": "a.b-c", "question": 'What\'s "it" --set x=1\n\\ $HOME `ls` é?'}},
    "file": {"data": {"source": "my data/it's.npz"}},
}


@pytest.mark.parametrize("name", catalog_names())
@pytest.mark.parametrize("changes", STUDIES.values(), ids=STUDIES)
def test_the_command_asks_for_exactly_this_study(name: str, changes: dict[str, Any]) -> None:
    spec = read_study(name).changed(**changes)
    words = command_of(spec)
    assert "\n" not in words
    assert asked_for(words).model_dump() == spec.model_dump()


@pytest.mark.parametrize("name", catalog_names())
def test_a_ready_study_needs_no_setting(name: str) -> None:
    spec = read_study(name)
    assert command_of(spec) == f"regsearch run {name} --trials {spec.budget.trials}"


def test_the_ready_study_that_is_nearest_comes_first() -> None:
    wide = read_study("digits").changed(study={"name": "wide"}, model={"hidden": [512]})
    assert command_of(wide) == "regsearch run digits --name wide --trials 32 --set 'model.hidden=[512]'"
    of_nothing = StudySpec().changed(study={"name": "mine"}, budget={"trials": 3})
    assert asked_for(command_of(of_nothing)).model_dump() == of_nothing.model_dump()


def test_a_study_of_digits_in_place_of_mnist_stays_one() -> None:
    spec = read_study("mnist")
    assert asked_for(command_of(spec, source="digits")).data.source == "digits"
    assert asked_for(command_of(spec, source="mnist")).data.source == "auto"


def test_a_hypermodel_of_ones_own_is_named_with_its_code_and_trusted() -> None:
    own = {"hypermodel": "/home/me/it's mine.py:build", "hypermodel_sha256": "0" * 64}
    spec = read_study("smoke").changed(study={"name": "own"}, model=own)
    words = command_of(spec).removesuffix(" --trust-code")
    assert words != command_of(spec)
    assert asked_for(words).model_dump() == spec.model_dump()
    unasked = spec.changed(study={"question": ""})
    assert asked_for(command_of(unasked).removesuffix(" --trust-code")).model_dump() == unasked.model_dump()


def test_a_ready_study_of_a_hypermodel_names_no_code() -> None:
    spec = read_study("cnn")
    begun = spec.changed(model={"hypermodel_sha256": "0" * 64})
    assert command_of(begun) == command_of(spec)


def test_a_report_on_a_terminal_has_a_command_that_a_shell_takes() -> None:
    spec = StudySpec().changed(study={"name": "mine", "question": "why? " * 50}, search={"seed": 7})
    content = replace(made.rich(), command=command_of(spec))
    last = as_text(content, 80).splitlines()[-1]
    assert last == f"To run it again: {content.command}"
    assert asked_for(last.removeprefix("To run it again: ")).model_dump() == spec.model_dump()
