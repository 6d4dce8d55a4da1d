"""A conclusion follows from the stored trainings alone, whatever is still under way or has failed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from regsearch.studies.analysis.conclude import conclude, latest_completed_look, with_tunings
from regsearch.studies.analysis.confirmed_finalist import Training
from regsearch.studies.analysis.finalists import STOPPING_ALONE, Finalist
from regsearch.studies.analysis.race import Drop
from regsearch.studies.analysis.tuning import tunings
from regsearch.studies.configuration import HyperparameterValues
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.spec import StudySpec
from regsearch.studies.statistics import Interval

SPEC = StudySpec.model_validate({"confirm": {"method": "all", "split": "fixed"}})
NONE, STOPPED, L2 = range(3)
LOSSES = {NONE: 0.30, STOPPED: 0.20, L2: 0.10}
FINALISTS = [
    Finalist(index=NONE, params={"regularizer": "none", "batch_norm": "none"}, roles=("x",), trial=0, look=1),
    Finalist(
        index=STOPPED,
        params={"regularizer": "none", "batch_norm": "none", "early_stopping": True, "patience": 2},
        roles=(STOPPING_ALONE,),
        trial=1,
        look=1,
    ),
    Finalist(index=L2, params={"regularizer": "l2", "l2": 1e-4, "batch_norm": "none"}, roles=("y",), trial=2, look=1),
]


def scores(loss: float, seed: int) -> PerExampleScores:
    luck = np.random.default_rng(seed).normal(0, 0.001, 20)
    return PerExampleScores(losses=np.float32(loss + luck), hits=np.arange(20) > 20 * loss)


def training(finalist: int, seed: int, **changes: Any) -> Training:
    figures = {
        "select_cross_entropy": LOSSES[finalist],
        "select_accuracy": 0.9,
        "train_cross_entropy": 0.05,
        "best_epoch": 2,
        "epochs": 4,
        "objective": None,
    }
    content = scores(LOSSES[finalist], 10 * finalist + seed)
    complete = Training(
        finalist=finalist,
        seed=seed,
        look=1,
        state="complete",
        reason=None,
        began_looking=True,
        figures=figures,
        select=content,
        test=content,
    )
    return replace(complete, **changes)


def trainings(look: int = 1, seeds: Sequence[int] = (0, 1, 2)) -> list[Training]:
    return [training(finalist, seed, look=look) for finalist in LOSSES for seed in seeds]


def test_the_finalist_with_the_lowest_losses_wins_and_claims_its_gain() -> None:
    conclusion = conclude(SPEC, FINALISTS, trainings(), {})
    assert conclusion is not None
    assert (conclusion.winner.finalist.index, conclusion.seeds, conclusion.looks) == (L2, 3, 1)
    assert conclusion.claims_gain
    assert conclusion.winner.gain is not None
    assert conclusion.winner.gain.cross_entropy.mean == pytest.approx(0.2, abs=0.01)
    assert conclusion.winner_over_early_stopping is not None
    assert {row.technique for row in conclusion.techniques if row.result} == {"L2", "early stopping"}
    assert (conclusion.select_rows, conclusion.test_rows, conclusion.evaluations) == (20, 20, 9)


def test_there_is_no_conclusion_before_a_look_has_ended() -> None:
    under_way = [training(L2, 3, look=1, state="running", test=None, began_looking=False)]
    assert conclude(SPEC, FINALISTS, [*trainings(), *under_way], {}) is None
    assert latest_completed_look([*trainings(), *under_way]) is None
    assert latest_completed_look(trainings()) == 1


def test_a_look_under_way_changes_nothing_but_the_ledger() -> None:
    first = conclude(SPEC, FINALISTS, trainings(), {})
    started = [
        training(L2, 3, look=2, test=None),
        training(L2, 4, look=2, state="waiting", test=None, began_looking=False),
    ]
    second = conclude(SPEC, FINALISTS, [*trainings(), *started], {})
    assert first is not None
    assert second == replace(first, looks=2, unfinished_looks=1, evaluations=10)
    assert second.completed_looks == 1


def test_a_failed_finalist_is_listed_with_its_reason_and_holds_nothing_up() -> None:
    failed = training(STOPPED, 1, state="failed", reason="diverged", test=None, select=None, began_looking=False)
    seen = [failed if (one.finalist, one.seed) == (STOPPED, 1) else one for one in trainings()]
    conclusion = conclude(SPEC, FINALISTS, seen, {})
    assert conclusion is not None
    assert conclusion.failed == ((FINALISTS[STOPPED], "seed 1: diverged"),)
    assert [result.finalist.index for result in conclusion.results] == [NONE, L2]
    assert conclusion.winner_over_early_stopping is None


def test_a_drop_belongs_to_its_look() -> None:
    behind = Interval(mean=0.2, low=0.1, high=0.3, level=0.95)
    drop = Drop(index=NONE, reason="behind the best", than=L2, behind=behind, seeds=3)
    seen = [*trainings(), *(training(finalist, 3) for finalist in (STOPPED, L2))]
    for look, expected in ((1, drop), (2, None)):
        conclusion = conclude(SPEC, FINALISTS, seen, {look: [drop]})
        assert conclusion is not None
        assert conclusion.results[NONE].dropped == expected
        assert conclusion.results[L2].dropped is None


def test_finalists_with_one_seed_give_no_conclusion() -> None:
    assert conclude(SPEC, FINALISTS, trainings(seeds=[0]), {}) is None


def test_hyperparameter_values_have_no_techniques() -> None:
    finalists = [replace(finalist, params={"units": 32 + finalist.index}) for finalist in FINALISTS]
    conclusion = conclude(SPEC, finalists, trainings(), {})
    assert conclusion is not None
    assert conclusion.techniques == ()
    assert isinstance(conclusion.winner.finalist.settings, HyperparameterValues)


def test_techniques_learn_how_well_they_were_tuned() -> None:
    conclusion = conclude(SPEC, FINALISTS, trainings(), {})
    assert conclusion is not None
    known = with_tunings(conclusion, tunings([], SPEC.space, maximizes=False))
    untried = {row.technique: row.tuning.trials for row in known.techniques if row.tuning is not None}
    assert set(untried) == {row.technique for row in known.techniques} - {"combination"}
    assert set(untried.values()) == {0}
