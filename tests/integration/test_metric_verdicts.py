"""A study of a HyperModel that goes by a metric: measured on the test rows, stored, and what its verdicts go by."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypermodels
import numpy as np
import pytest
from asking import Ask, MeasuringTrainer, write_code
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.training.checkpoints import Arrays
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.studies.analysis.conclusion import Conclusion
from regsearch.studies.analysis.verdicts import SMALLEST_GAIN_SHARE, Judgement, judge_means
from regsearch.studies.reports.summary import sentences
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import SpaceSpec
from regsearch.studies.statistics import shared_level
from regsearch.studies.trial import TrialTask, Value

Search = Callable[..., RunResult]
Figures = dict[tuple[int, int], float | None]
AUC = """
def build(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 4, 32), activation="relu")])
    model.add(layers.Dense(10, activation="softmax"))
    metrics = [keras.metrics.AUC(name="auc")]
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=metrics, run_eagerly=True)
    return model
"""
SMALL = ["confirm.seeds=3", "confirm.top=1", "training.max_epochs=1", "search.recipes=['course']"]


def stored(storage: str, table: str) -> Figures:
    """The metric of each finalist and seed, as a table of the database has it."""
    with sqlite3.connect(location_of(storage)) as connection:
        rows = connection.execute(f"SELECT finalist, seed, objective FROM {table}").fetchall()
    return {(finalist, seed): value for finalist, seed, value in rows}


def conclusion_of(storage: str) -> Conclusion:
    conclusion = api.load("smoke", storage=storage).confirmation
    assert conclusion is not None
    return conclusion


def result_sentences(storage: str, conclusion: Conclusion) -> str:
    return " ".join(sentences(api.report("smoke", storage=storage).answer, conclusion))


def expected(figures: Figures, index: int, other: int, smallest: float, conclusion: Conclusion) -> Judgement:
    """The verdict on a finalist over another, from the figures on the seeds that both have; larger is better."""
    common = sorted({seed for one, seed in figures if one == index} & {seed for one, seed in figures if one == other})
    gains = [np.subtract(figures[index, seed], figures[other, seed]) for seed in common]
    level = shared_level(max(len(conclusion.results) - 1, 1), conclusion.looks)
    return judge_means(gains, smallest, level)


@pytest.mark.slow
def test_a_metric_is_stored_and_verdicts_go_by_it(search: Search, storage: str, tmp_path: Path) -> None:
    path = hypermodels.write(tmp_path, f"{hypermodels.IMPORTS}{AUC}")
    settings = [f"model.hypermodel={path}:build", "search.objective=val_auc", *SMALL]
    search(settings=settings, trials=2, trust_code=True, engine=InlineEngine())
    tested, selected = stored(storage, "regsearch_test_looks"), stored(storage, "regsearch_confirmations")
    assert tested.keys() == selected.keys()
    for figures in (tested, selected):
        assert all(value is not None and 0.3 < value < 1 for value in figures.values())
    assert tested != selected

    conclusion = conclusion_of(storage)
    assert (conclusion.metric, conclusion.select_metric) == ("val_auc", "val_auc")
    baseline = conclusion.baseline
    assert baseline is not None
    default = baseline.finalist.index
    mean = np.mean([value for (index, _), value in tested.items() if index == default and value is not None])
    smallest = SMALLEST_GAIN_SHARE["cross_entropy"] * (1 - mean)
    assert conclusion.smallest_gain == pytest.approx(smallest)
    assert conclusion.is_share_of_missing
    for result in conclusion.results:
        index = result.finalist.index
        if index == default:
            assert result.metric_over_baseline is None
        else:
            told = expected(tested, index, default, conclusion.smallest_gain, conclusion)
            assert result.metric_over_baseline == told
        of_select = [value for (one, _), value in selected.items() if one == index and value is not None]
        assert result.select_objective == pytest.approx(-np.mean(of_select))
    assert conclusion.winner_over_baseline == conclusion.winner.metric_over_baseline
    told = result_sentences(storage, conclusion)
    assert "in test auc" in told or conclusion.winner is baseline
    assert "nats" not in told


class RegularizedTrainer(MeasuringTrainer):
    """Asks for the built-in space, as `regularized` does, and measures a metric on the test rows."""

    @staticmethod
    def space(ask: Ask, task: TrialTask) -> None:
        suggest(_Asking(ask), SpaceSpec())

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        return 0.9 + 0.01 / (1 + float(weights[0][0]))


class _Asking:
    """Asks as a trial of Optuna's does; what nothing suggests is off."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def suggest_categorical(self, name: str, choices: Any, /) -> Any:
        default: Value = False if False in choices else "none"
        return self.ask(name, CategoricalDistribution(list(choices)), default)

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float:
        return float(self.ask(name, FloatDistribution(low, high, log=log), low))

    def suggest_int(self, name: str, low: int, high: int, /) -> int:
        return int(self.ask(name, IntDistribution(low, high), low))


@pytest.mark.slow
def test_verdicts_on_techniques_go_by_the_metric(search: Search, storage: str, tmp_path: Path) -> None:
    settings = [write_code(tmp_path), "search.objective=val_f1:max", "confirm.method=all", *SMALL]
    search(settings=settings, trials=40, trust_code=True, engine=InlineEngine(RegularizedTrainer), workers=1)
    tested, conclusion = stored(storage, "regsearch_test_looks"), conclusion_of(storage)
    assert conclusion.metric == "val_f1"
    assert conclusion.baseline is not None
    none = conclusion.baseline.finalist.index
    rows = {row.technique: row.result for row in conclusion.techniques if row.result is not None}
    stopping = rows["early stopping"].finalist.index
    judged = 0
    for row in conclusion.techniques:
        if row.result is None:
            continue
        index = row.result.finalist.index
        for found, other in ((row.over_early_stopping, stopping), (row.over_baseline, none)):
            if index != other:
                assert found == expected(tested, index, other, conclusion.smallest_gain, conclusion)
                judged += 1
    assert judged > 5
    told = result_sentences(storage, conclusion)
    assert "Other test examples could give another answer" in told
    assert "nats" not in told


@pytest.mark.slow
def test_without_a_test_metric_verdicts_go_by_cross_entropy(search: Search, storage: str, tmp_path: Path) -> None:
    """A HyperModel that overrides `fit` alone knows how its metric is measured."""
    code = hypermodels.custom_fit("return {'val_cost': model.fit(*args, **kwargs).history['val_loss'][-1]}")
    path = hypermodels.write(tmp_path, code)
    settings = [f"model.hypermodel={path}:Mine", "search.objective=val_cost:min", *SMALL]
    search(settings=settings, trials=2, trust_code=True, engine=InlineEngine())
    tested = stored(storage, "regsearch_test_looks")
    assert set(tested.values()) == {None}
    assert None not in stored(storage, "regsearch_confirmations").values()
    conclusion = conclusion_of(storage)
    assert (conclusion.metric, conclusion.select_metric) == (None, "val_cost")
    assert all(result.metric_over_baseline is None for result in conclusion.results)
    assert not conclusion.is_over_seeds_only
    baseline, winner = conclusion.baseline, conclusion.winner
    assert baseline is not None
    assert conclusion.smallest_gain == pytest.approx(
        SMALLEST_GAIN_SHARE["cross_entropy"] * baseline.test_cross_entropy.mean
    )
    if winner.gain is not None:
        assert conclusion.winner_over_baseline is not None
        assert conclusion.winner_over_baseline.gain.mean == pytest.approx(winner.gain.cross_entropy.mean)
    assert "cost" not in result_sentences(storage, conclusion)
