"""What a contest says before it begins."""

import pytest

from regsearch.studies.contest.notes import FEW_EXAMPLES, in_words, notes, race_notes, too_few
from regsearch.studies.recipes import contest_of
from regsearch.studies.spec import StudySpec

NO_TECHNIQUE: dict[str, object] = {"regularizer": ["none"], "dropout": "off", "batch_norm": ["none"]}
RATES: dict[str, object] = {"learning_rate": {"low": 1e-4, "high": 1e-2}}


def test_a_budget_that_is_enough_needs_no_word() -> None:
    contest = contest_of(StudySpec())
    assert notes(contest, contest.fewest) == []
    assert too_few(contest, contest.fewest) == []


def test_a_budget_too_small_names_the_missing_trials() -> None:
    contest = contest_of(StudySpec())
    (note,) = notes(contest, contest.fewest - 5)
    assert f"{contest.fewest - 5} trials are 5 too few" in note
    assert f"--trials {contest.fewest}" in note
    assert all(in_words(name) in note for name in too_few(contest, contest.fewest - 5))
    assert too_few(contest, 3) == list(contest.contestants)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"regularizer": ["none", "l2"], "dropout": "off", "batch_norm": ["none"]}, "tries only L2"),
        (NO_TECHNIQUE, "no technique to compare: it searches only the patience of early stopping."),
        (NO_TECHNIQUE | {"patience": "off"}, "it searches nothing."),
        (NO_TECHNIQUE | RATES, "it searches only the patience of early stopping and the learning rate."),
        (NO_TECHNIQUE | RATES | {"patience": "off"}, "it searches only the learning rate."),
    ],
)
def test_a_space_of_one_technique_or_none_is_named(space: dict[str, object], words: str) -> None:
    (note,) = notes(contest_of(StudySpec().changed(space=space)), 60)
    assert words in note
    assert "\n" not in note


def test_too_few_examples_for_a_race_or_for_verdicts_are_told() -> None:
    spec = StudySpec()
    assert race_notes(spec, 10 * FEW_EXAMPLES, FEW_EXAMPLES) == []
    (select,) = race_notes(spec, 10 * FEW_EXAMPLES - 10, FEW_EXAMPLES)
    assert f"only {FEW_EXAMPLES - 1} selection examples" in select
    assert "data.select_fraction" in select
    (test,) = race_notes(spec, 10 * FEW_EXAMPLES, 99)
    assert "only 99 test examples" in test
    assert race_notes(spec.changed(confirm={"seeds": 0}), 100, 10) == []
    assert len(race_notes(spec.changed(confirm={"method": "all"}), 100, 10)) == 1
