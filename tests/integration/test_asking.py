"""Trials that ask for their parameters one by one: what is asked is stored, and asked again it is the same."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from asking import Ask, AskingTrainer, write_code
from helpers import rows
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.run.coordinator import Coordinator, StopReason
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.storage.location import location_of
from regsearch.storage.study_store import StudyStore
from regsearch.storage.tried_configurations import BY_SETTINGS
from regsearch.studies.configuration import configuration_of
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.trial import TrialTask

Search = Callable[..., RunResult]
DEFAULTS_FIRST = ['search.recipes=["course"]']
MULTIVARIATE = "search.sampler_options={ multivariate = true, n_startup_trials = 4 }"
SAMPLERS = {
    "tpe": ["search.sampler_options={ n_startup_trials = 4 }"],
    "tpe of all together": [MULTIVARIATE],
    "random": ["search.sampler=random", "search.sampler_options={}"],
    "qmc": ["search.sampler=qmc", "search.sampler_options={}"],
    "NSGA-II": ["search.sampler=NSGAIISampler", "search.sampler_options={ population_size = 4 }"],
}


class Killed(BaseException):
    """The process was killed at that point."""


@pytest.fixture
def asking(search: Search, tmp_path: Path) -> Search:
    """Run `smoke` with trials that ask."""
    code = write_code(tmp_path)

    def run(settings: Any = (), trainer: type[AskingTrainer] = AskingTrainer, **options: Any) -> RunResult:
        options = {"trials": 8, "confirm": False, "trust_code": True, "engine": InlineEngine(trainer), **options}
        return search(settings=[code, *settings], **options)

    return run


@contextmanager
def killed(at: int) -> Iterator[None]:
    """Let a run die in its transaction of that number: before it commits, or after, turn by turn."""
    transaction, passed = StudyStore.transaction, 0

    @contextmanager
    def counted(store: StudyStore) -> Iterator[Any]:
        nonlocal passed
        passed += 1
        if passed > at:
            raise Killed
        with transaction(store) as connection:
            yield connection
            if passed == at and at % 2:
                raise Killed
        if passed == at:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyStore, "transaction", counted)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_killed_again_and_again_a_study_asks_for_the_same_values(asking: Search, storage: str, sampler: str) -> None:
    asking(SAMPLERS[sampler])
    expected = rows(storage)
    assert len({tuple(row["params"].items()) for row in expected}) == 8
    other = f"sqlite:///{location_of(storage).parent}/other.db"
    for kills in range(1000):
        with killed(at=7 + kills % 9):
            try:
                asking(SAMPLERS[sampler], storage=other)
                break
            except Killed:
                continue
    assert kills > 5
    assert rows(other) == expected


def test_two_parameters_of_one_distribution_are_drawn_apart(asking: Search, storage: str) -> None:
    class Twins(AskingTrainer):
        @staticmethod
        def space(ask: Ask, task: TrialTask) -> None:
            ask("one", FloatDistribution(0.0, 1.0), 0.0)
            ask("other", FloatDistribution(0.0, 1.0), 0.0)

    asking(["search.sampler=random", "search.sampler_options={}"], Twins)
    assert all(row["params"]["one"] != row["params"]["other"] for row in rows(storage))


def test_the_first_trial_has_every_default(asking: Search, storage: str) -> None:
    asking(DEFAULTS_FIRST, trials=2)
    assert rows(storage)[0]["params"] == {"kind": "wide", "units": 64, "lr": 1e-3, "rate": 0.25}
    with api.trials("smoke", storage=storage) as (_, trials):
        assert [trial.recipe for trial in trials] == ["defaults", None]


class Regularized(AskingTrainer):
    """Asks for our space, as `search.regularized` does."""

    @staticmethod
    def space(ask: Ask, task: TrialTask) -> None:
        regularizer = ask("regularizer", CategoricalDistribution(["none", "l1", "l2", "l1_l2"]), "none")
        for name in ("l1", "l2"):
            if name in regularizer:
                ask(name, FloatDistribution(1e-7, 1e-2, log=True), 1e-7)
        ask("batch_norm", CategoricalDistribution(["none", "before_activation", "after_activation"]), "none")
        if ask("use_dropout", CategoricalDistribution([False, True]), False):
            ask("dropout", FloatDistribution(0.05, 0.6), 0.05)
        if ask("early_stopping", CategoricalDistribution([False, True]), False):
            ask("patience", IntDistribution(1, 2), 1)


def test_one_that_asks_for_our_space_has_our_recipes_after_its_defaults(asking: Search, storage: str) -> None:
    asking(DEFAULTS_FIRST, Regularized, trials=3, workers=1)
    result = asking(DEFAULTS_FIRST, Regularized, trials=9, workers=1)
    with api.trials("smoke", storage=storage) as (_, found):
        trials = list(found)
    course = ["early stopping", "L1 0.01", "L2 0.01", "L1+L2", "dropout 0.1", "BatchNorm"]
    assert [trial.recipe for trial in trials] == ["defaults", *course, None, None]
    texts = [str(configuration_of(trial.params)) for trial in trials[:7]]
    assert texts[0] == "no regularization"
    assert texts[4:6] == [
        "L1 1e-05, L2 0.0001, early stopping (patience 2)",
        "dropout 0.1, early stopping (patience 2)",
    ]
    assert result.answer.counts.finished == 9


@pytest.mark.parametrize("at", range(16, 20))
def test_a_started_recipe_stays_what_it_is_in_the_next_run(asking: Search, storage: str, at: int) -> None:
    with pytest.raises(Killed), killed(at):
        asking(DEFAULTS_FIRST, Regularized, trials=3, workers=1)
    asking(['search.recipes=["ladder"]'], Regularized, trials=3, workers=1)
    row = rows(storage)[1]
    with api.trials("smoke", storage=storage) as (_, found):
        recipes = [trial.recipe for trial in found]
    assert recipes[:2] == ["defaults", "early stopping"]
    assert str(configuration_of(row["params"])) == "early stopping (patience 2)"


def test_a_default_outside_its_range_is_tried_all_the_same(asking: Search, storage: str) -> None:
    class Outside(AskingTrainer):
        @staticmethod
        def space(ask: Ask, task: TrialTask) -> None:
            ask("units", IntDistribution(32, 512, step=32), 50)

    asking(DEFAULTS_FIRST, trainer=Outside, trials=2)
    assert rows(storage)[0]["params"] == {"units": 50}


def test_the_file_is_an_ordinary_optuna_study(asking: Search, storage: str) -> None:
    asking()
    trials = optuna.load_study(study_name="smoke", storage=storage).trials
    assert [trial.params for trial in trials] == [row["params"] for row in rows(storage)]
    assert trials[0].distributions["units"] == IntDistribution(32, 512, step=32)


def test_a_space_that_changes_fails_that_trial_alone(asking: Search, storage: str) -> None:
    class Changing(AskingTrainer):
        @staticmethod
        def space(ask: Ask, task: TrialTask) -> None:
            ask("lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-3)
            ask("kind", CategoricalDistribution(["a", "b"] if task.number != 3 else ["a", "c"]), "a")

    result = asking(trainer=Changing, trials=6)
    assert (result.answer.counts.finished, result.answer.counts.failed) == (6, 1)
    with api.trials("smoke", storage=storage) as (_, trials):
        reason = list(trials)[3].reason
    assert reason is not None
    assert "its search space changed: the parameter kind" in reason
    failed = optuna.load_study(study_name="smoke", storage=storage).trials[3]
    assert BY_SETTINGS not in failed.system_attrs  # what it asked for is the cause, not what it was given


def test_a_range_that_changes_fails_that_trial_too(asking: Search, storage: str) -> None:
    class Growing(AskingTrainer):
        @staticmethod
        def space(ask: Ask, task: TrialTask) -> None:
            ask("lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-3)
            ask("units", IntDistribution(1, 8 if task.number != 3 else 80), 1)

    assert asking(trainer=Growing, trials=6).answer.counts.failed == 1
    with api.trials("smoke", storage=storage) as (_, trials):
        assert "its search space changed: the parameter units is now IntDistribution(high=80" in str(
            list(trials)[3].reason
        )


def test_code_that_reads_stdin_takes_no_reply_of_the_coordinator(asking: Search, tmp_path: Path) -> None:
    script = tmp_path / "curious.py"
    script.write_text(f"""import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
import asking
from regsearch.search.workers import worker

class Curious(asking.AskingTrainer):
    @staticmethod
    def space(ask, task):
        assert sys.stdin.read() == ""
        asking.space(ask, task)

worker.main(Curious)
""")
    result = asking(engine=ProcessEngine([sys.executable, str(script)]), workers=1, trials=2)
    assert result.answer.counts.complete == 2


def test_ten_that_fail_in_a_row_end_the_search(asking: Search) -> None:
    class Raising(AskingTrainer):
        @staticmethod
        def space(ask: Ask, task: TrialTask) -> None:
            raise ZeroDivisionError("as it is")

    with pytest.raises(NoResultError, match=r"10 trials in a row failed.*ZeroDivisionError: as it is"):
        asking(trainer=Raising, trials=12)


@pytest.mark.slow
def test_a_lost_workers_trial_is_given_the_same_values_again(
    asking: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking(trials=6)
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "die once", "3": "die once"}')
    other = f"sqlite:///{location_of(storage).parent}/other.db"
    engine = ProcessEngine([sys.executable, str(Path(__file__).parents[1] / "support" / "asking.py")])
    asking(storage=other, engine=engine, workers=1, trials=6)
    assert rows(other) == rows(storage)


@pytest.mark.parametrize("sampler", ["grid", "GridSampler", "keras-tuner:bayesian"])
def test_a_sampler_that_must_know_the_space_is_refused(asking: Search, sampler: str) -> None:
    with pytest.raises(InputError, match=f"the sampler '{sampler}' needs a space that is known beforehand"):
        asking([f"search.sampler={sampler}", "search.sampler_options={}"])


def test_a_stop_is_heard_between_two_suggestions(asking: Search, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asking()
    expected = rows(storage)
    other = f"sqlite:///{location_of(storage).parent}/other.db"
    running: list[Coordinator] = []
    run = Coordinator.run
    monkeypatch.setattr(Coordinator, "run", lambda self: running.append(self) or run(self))

    class Stopping(AskingTrainer):
        @staticmethod
        def space(ask: Ask, task: TrialTask) -> None:
            if task.number == 3:
                ask("kind", CategoricalDistribution(["wide", "deep"]), "wide")
                running[-1].stop()
            AskingTrainer.space(ask, task)

    assert asking(trainer=Stopping, storage=other).reason is StopReason.STOPPED
    assert rows(other)[-1]["params"].keys() == {"kind"}
    asking(storage=other)
    assert rows(other) == expected


def test_several_workers_ask_at_once(asking: Search, storage: str) -> None:
    engine = ProcessEngine([sys.executable, str(Path(__file__).parents[1] / "support" / "asking.py")])
    asking(DEFAULTS_FIRST, engine=engine, workers=3, trials=9)
    found = rows(storage)
    assert [row["number"] for row in found] == list(range(9))
    assert all({"kind", "units", "lr", "rate"} <= row["params"].keys() for row in found)
    assert found[0]["params"] == {"kind": "wide", "units": 64, "lr": 1e-3, "rate": 0.25}


class OfEveryKind(AskingTrainer):
    @staticmethod
    def space(ask: Ask, task: TrialTask) -> None:
        ask("on", CategoricalDistribution([False, True]), False)
        ask("size", CategoricalDistribution([8, 16]), 8)
        ask("a=b c", CategoricalDistribution(["x", "y=z"]), "x")
        ask("units", IntDistribution(32, 512, step=32), 64)
        ask("rate", FloatDistribution(0.0, 0.5, step=0.1), 0.2)
        if ask("lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-3) > 0:
            ask("open", FloatDistribution(0.0, 1.0), 0.5)


@pytest.mark.slow
def test_settings_that_a_trial_has_asked_for_can_be_enqueued(asking: Search, storage: str) -> None:
    """Those given are taken as they are, the sampler gives the others, and a killed trial keeps them."""
    asking(trainer=OfEveryKind, trials=2)
    given = ["on=on", "size=16.0", "a=b c=y=z", "units=128", "rate=0.3", "lr=1e-2"]
    number, _ = api.enqueue("smoke", given, storage=storage)
    assert number == 2
    transactions = 0
    while True:
        try:
            transactions += 3
            with killed(transactions):
                asking(trainer=OfEveryKind, trials=4)
            break
        except Killed:
            pass
    params = rows(storage)[2]["params"]
    assert 0 <= params.pop("open") <= 1
    assert params == {"on": True, "size": 16, "a=b c": "y=z", "units": 128, "rate": 0.3, "lr": 0.01}
    assert rows(storage)[3]["params"]["lr"] != 0.01


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "give at least one setting"),
        (["units=64", "units=96"], "units was given before"),
        (["rate=0.25"], "rate is a number from 0 to 0.5 in steps of 0.1"),
        (["size=9"], "size is one of 8, 16 in this study, not 9."),
        (["on=1"], "on is one of False, True in this study, not 1."),
    ],
)
def test_an_enqueued_setting_is_held_against_what_was_asked(
    asking: Search, storage: str, given: list[str], message: str
) -> None:
    asking(trainer=OfEveryKind, trials=1)
    with pytest.raises(InputError) as raised:
        api.enqueue("smoke", given, storage=storage)
    assert message in str(raised.value)
    assert len(rows(storage)) == 1


class FailsAtOnce(AskingTrainer):
    @staticmethod
    def space(ask: Ask, task: TrialTask) -> None:
        raise RuntimeError("before it asks for anything")


class OfRegularization(AskingTrainer):
    @staticmethod
    def space(ask: Ask, task: TrialTask) -> None:
        if "l2" in ask("regularizer", CategoricalDistribution(["none", "l1", "l2", "l1_l2"]), "none"):
            ask("l2", FloatDistribution(1e-7, 1e-2, log=True), 1e-4)
        ask("batch_norm", CategoricalDistribution(["none", "before_activation", "after_activation"]), "none")


def test_a_regularized_networks_setting_implies_what_it_needs(asking: Search, storage: str) -> None:
    asking(trainer=OfRegularization, trials=1)
    api.enqueue("smoke", ["l2=1e-3"], storage=storage)
    asking(trainer=OfRegularization, trials=2)
    assert rows(storage)[1]["params"]["regularizer"] == "l2"
    assert rows(storage)[1]["params"]["l2"] == 1e-3


def test_before_its_first_trial_a_hypermodels_settings_are_not_known(asking: Search, storage: str) -> None:
    asking(trainer=FailsAtOnce, trials=1)
    with pytest.raises(InputError, match=r"not known yet: no trial has asked for one\. Run a trial first"):
        api.enqueue("smoke", ["units=64"], storage=storage)
