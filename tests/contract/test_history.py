"""In a long study samplers and pruners look back on a part of it; shorter ones, and a stop, see no difference."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers import rows
from optuna.samplers._tpe.sampler import default_gamma  # undocumented; how many trials TPE takes as good

from regsearch.search.result import RunResult
from regsearch.search.run.study_checks import needs_all_trials
from regsearch.storage.connect import open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.optuna import lookback
from regsearch.studies.spec import StudySpec

Search = Callable[..., RunResult]

MOST, BLOCK, BEST = 12, 4, 5


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let studies be long from 16 trials on."""
    for name, value in (("MOST", MOST), ("BLOCK", BLOCK), ("_BEST", BEST)):
        monkeypatch.setattr(lookback, name, value)


@pytest.mark.parametrize(
    ("number", "begin"), [(0, 0), (1000, 0), (1499, 0), (1500, 1500), (1999, 1500), (2000, 2000), (100_000, 100_000)]
)
def test_up_to_trial_1499_all_are_seen(number: int, begin: int) -> None:
    assert lookback.lookback_start(number) == begin


def test_what_tpe_takes_as_good_is_among_the_best() -> None:
    assert default_gamma(10**9) < lookback._BEST


@pytest.fixture(params=["minimize", "maximize"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Forty trials, of which the best are where no even sequence hits them; one runs, and one waits."""
    with open_for_writing(tmp_path / "test.db") as database:
        study = optuna.create_study(storage=database.storage, study_name="mine", direction=request.param)
        for number in range(40):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.report(number, 0)
            if number != 7:
                sign = 1 if request.param == "minimize" else -1
                study.tell(trial, sign * (abs(number - 13.1) if number % 3 else 100 + number))
        study.enqueue_trial({"x": 0.5})
        yield database


@pytest.mark.usefixtures("small")
def test_the_best_the_latest_the_unfinished_and_an_even_part_are_seen(database: Database) -> None:
    every = {trial.number: trial for trial in database.storage.get_all_trials(1)}
    database.look_back(24)
    seen = {trial.number: trial for trial in database.storage.get_all_trials(1)}
    assert seen == {number: every[number] for number in seen}
    best, even = {13, 14, 11, 16, 10}, {number for number in range(24) if number * (MOST - BEST) % 24 < MOST - BEST}
    assert len(even) == MOST - BEST
    assert set(seen) == best | even | {7} | set(range(23, 41))


@pytest.mark.usefixtures("small")
def test_the_part_moves_on_and_never_back(database: Database) -> None:
    database.look_back(24)
    kept = database.storage
    database.look_back(20)
    assert database.storage is kept
    database.look_back(28)
    assert database.storage is not kept


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_long_study_that_was_stopped_goes_on_as_if_it_had_not(
    search: Search, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    condition = lookback.lookback_condition
    monkeypatch.setattr(lookback, "lookback_condition", lambda *args: (seen.append(args[-1]), condition(*args))[1])
    other = f"sqlite:///{tmp_path}/other.db"
    search(trials=40, workers=1, storage=other)
    assert seen == list(range(16, 40, BLOCK))
    for total in (3, 15, 18, 19, 20, 27, 33, 40):
        search(trials=total, workers=1)
    assert rows(storage) == rows(other)


@pytest.mark.usefixtures("small")
def test_a_grid_is_visited_once_however_long_it_is(search: Search, storage: str) -> None:
    options = (
        "{regularizer=['none'], use_dropout=[false], batch_norm=['none', 'before_activation', 'after_activation'], "
        "early_stopping=[true], patience=[1, 2, 3, 4, 5, 6, 7, 8]}"
    )
    settings = [
        "search.sampler=grid",
        f"search.sampler_options={options}",
        "space.patience={low=1, high=8, off=true}",
        "training.max_epochs=9",  # with fewer, several of the patiences would be one point
    ]
    search(settings=settings, trials=100, workers=1)
    found = [tuple(sorted(row["params"].items())) for row in rows(storage)]
    assert len(found) == len(set(found)) == 24


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({}, False),
        ({"sampler": "random", "pruner": "none", "sampler_options": {}, "pruner_options": {}}, False),
        ({"pruner": "hyperband", "pruner_options": {}}, False),
        ({"sampler": "qmc", "sampler_options": {}}, True),
        ({"sampler": "grid", "sampler_options": {}}, True),
        ({"sampler": "keras-tuner:bayesian", "sampler_options": {}}, False),
        ({"sampler": "BruteForceSampler", "sampler_options": {}}, True),
        ({"pruner": "WilcoxonPruner", "pruner_options": {}}, True),
        ({"pruner_options": {"n_startup_trials": lookback._BEST}}, False),  # so many complete ones are always seen
        ({"sampler_options": {"n_startup_trials": lookback._BEST + 1}}, True),
        ({"pruner_options": {"n_startup_trials": lookback._BEST + 1}}, True),
    ],
)
def test_only_what_compares_trials_makes_do_with_a_part(smoke: StudySpec, changes: dict[str, Any], needs: bool) -> None:
    assert needs_all_trials(smoke.changed(search=changes)) is needs
