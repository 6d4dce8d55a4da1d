"""What every sampler keeps, ours, KerasTuner's and Optuna's: the space, its sequence, and no trial twice or lost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from helpers import rows

from regsearch.search.result import RunResult
from regsearch.search.samplers import sampler_factory
from regsearch.search.samplers.factory import KERAS_TUNER
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import study_proposals
from regsearch.studies.errors import InputError
from regsearch.studies.spec import StudySpec

Search = Callable[..., RunResult]

REFUSED = {"BruteForceSampler", "CmaEsSampler", "GPSampler", "GridSampler", "PartialFixedSampler"}
CLASSES = {name for name in optuna.samplers.__all__ if name.endswith("Sampler") and not name.startswith("Base")}
OPTIONS = {
    "tpe": "{n_startup_trials=3}",
    "TPESampler": "{n_startup_trials=3}",
    "NSGAIISampler": "{population_size=3}",
    "NSGAIIISampler": "{population_size=3}",
    "keras-tuner:bayesian": "{num_initial_points=4}",
    "grid": "{regularizer=['l2'], l2=[1e-5, 1e-4, 1e-3], use_dropout=[true, false], dropout=[0.1, 0.2], "
    "batch_norm=['none'], early_stopping=[false]}",
}
SAMPLERS = sorted({"tpe", "random", "qmc", "grid", KERAS_TUNER} | CLASSES - REFUSED)
WITHOUT_SEED = {"grid"}
TOTAL = 8


def settings(name: str, *others: str) -> list[str]:
    return [f"search.sampler={name}", f"search.sampler_options={OPTIONS.get(name, '{}')}", *others]


@pytest.mark.parametrize("name", sorted(REFUSED - {"GridSampler"}))
def test_the_classes_of_optuna_that_are_left_out_are_refused(name: str, smoke: StudySpec) -> None:
    with pytest.raises(InputError, match="can't serve this study"):
        sampler_factory(smoke.changed(search={"sampler": name, "sampler_options": {}}))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["cross_entropy", "accuracy"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_lie_in_the_space(name: str, objective: str, search: Search, storage: str) -> None:
    search(settings=settings(name, f"search.objective={objective}"), trials=TOTAL, workers=1)
    study = optuna.load_study(study_name="smoke", storage=storage)
    assert len(study.trials) == TOTAL
    for trial in study.trials:
        assert {"regularizer", "batch_norm"} <= trial.params.keys()
        for parameter, value in trial.params.items():
            distribution = trial.distributions[parameter]
            assert distribution._contains(distribution.to_internal_repr(value)), (parameter, value)
            assert type(value) in (str, bool, int, float)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_one_seed_is_one_sequence_however_often_it_is_stopped(
    name: str, search: Search, storage: str, tmp_path: Path
) -> None:
    whole, other = f"sqlite:///{tmp_path}/whole.db", f"sqlite:///{tmp_path}/other.db"
    search(settings=settings(name), trials=TOTAL, workers=1, storage=whole)
    for total in (1, 5, TOTAL):
        search(settings=settings(name), trials=total, workers=1)
    assert rows(storage) == rows(whole)
    search(settings=settings(name, "search.seed=1"), trials=TOTAL, workers=1, storage=other)
    same = [row["params"] for row in rows(other)] == [row["params"] for row in rows(whole)]
    assert same is (name in WITHOUT_SEED)


class _KilledError(BaseException):
    """As if the process had ended."""


class _DyingTrainer(fakes.FakeTrainer):
    """Dies with a trial that is asked for and not told."""

    def train(self, task: Any, *rest: Any) -> Any:
        if task.number == 5:
            raise _KilledError
        return super().train(task, *rest)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_crash_after_an_ask_leaves_no_orphan_and_no_gap(
    name: str, search: Search, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = f"sqlite:///{tmp_path}/whole.db"
    search(settings=settings(name), trials=TOTAL, workers=1, storage=whole)

    def suggested_and_killed(*arguments: Any) -> Any:
        suggest(*arguments)
        raise _KilledError

    suggest = study_proposals.suggest
    search(settings=settings(name), trials=3, workers=1)
    with monkeypatch.context() as patch, pytest.raises(_KilledError):  # before the ask is committed
        patch.setattr(study_proposals, "suggest", suggested_and_killed)
        search(settings=settings(name), trials=TOTAL, workers=1)
    assert states(storage) == ["finished"] * 3
    with pytest.raises(_KilledError):  # and after it
        search(settings=settings(name), trials=TOTAL, workers=1, engine=InlineEngine(_DyingTrainer))
    assert states(storage) == ["finished"] * 5 + ["running"]
    search(settings=settings(name), trials=TOTAL, workers=1)
    assert rows(storage) == rows(whole)
    assert states(storage) == ["finished"] * TOTAL


def states(storage: str) -> Sequence[str]:
    return ["running" if row["state"] == "running" else "finished" for row in rows(storage)]
