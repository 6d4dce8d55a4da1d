"""A report shows curves of the best configuration and the baseline: of a finalist, or before a confirmation a trial."""

from dataclasses import replace

import pytest
import report_contents as made

from regsearch.studies.analysis.finalists import NONE, Finalist
from regsearch.studies.analysis.learning_curves import best_configuration, trainings_to_show
from regsearch.studies.configuration import HyperparameterValues, configuration_of
from regsearch.studies.records import TrialRecord
from regsearch.studies.spec import StudySpec

SPEC = StudySpec()
L2 = {"regularizer": "l2", "l2": 1e-4, "batch_norm": "none", "use_dropout": False, "early_stopping": False}
OFF = {"regularizer": "none", "batch_norm": "none", "use_dropout": False, "early_stopping": False}


def trial(number: int, params: dict[str, object], value: float | None = 0.1, recipe: str | None = None) -> TrialRecord:
    template = next(one for one in made.make_trials(30) if one.state == "complete")
    return replace(template, number=number, params=params, value=value, recipe=recipe)


TRIALS = [trial(0, OFF), trial(1, L2, None), trial(2, L2)]


def test_before_a_confirmation_trials_are_shown() -> None:
    best = best_configuration(TRIALS[2], None)
    assert best is not None
    shown = trainings_to_show(SPEC, TRIALS, None, best)
    assert shown == {"L2 0.0001": TRIALS[2], "no regularization": TRIALS[0]}


def test_after_a_confirmation_its_finalists_are_shown() -> None:
    conclusion = made.make_conclusion()
    best = best_configuration(TRIALS[2], conclusion)
    assert best == conclusion.winner.finalist.settings
    shown = trainings_to_show(SPEC, TRIALS, conclusion, best)
    assert shown[str(best)] == conclusion.winner.finalist
    assert isinstance(shown[str(NONE)], Finalist)


def test_nothing_is_best_without_a_complete_trial() -> None:
    assert best_configuration(None, None) is None


@pytest.mark.parametrize("recipe", [None, "defaults"])
def test_the_baseline_of_a_hypermodel_is_its_defaults(recipe: str | None) -> None:
    trials = [trial(0, {"units": 32}, recipe=recipe), trial(1, {"units": 64})]
    best = configuration_of(trials[1].params)
    assert isinstance(best, HyperparameterValues)
    shown = trainings_to_show(SPEC, trials, None, best)
    assert list(shown.values()) == ([trials[1], trials[0]] if recipe else [trials[1]])


def test_the_baseline_has_the_learning_rate_that_is_best_for_it() -> None:
    spec = SPEC.changed(space={"learning_rate": {"low": 1e-4, "high": 1e-2}})
    trials = [
        trial(0, OFF | {"training.learning_rate": 1e-3}, 0.3),
        trial(1, OFF | {"training.learning_rate": 5e-3}, 0.2),
        trial(2, L2 | {"training.learning_rate": 1e-3}, 0.1),
    ]
    shown = trainings_to_show(spec, trials, None, configuration_of(trials[2].params))
    assert list(shown.values()) == [trials[2], trials[1]]
