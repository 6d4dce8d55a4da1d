"""A report and its conclusion for programs: plain values, ready for JSON."""

from collections.abc import Sequence
from typing import Any

from storage.finalists import Finalist
from storage.queries import Answer
from storage.reports import answer
from storage.reports.conclusion import Conclusion, FinalistResult, TechniqueRow
from storage.reports.content import ReportContent
from storage.reports.rungs import ladders
from storage.reports.strength_curves import curve_json, tuning_json
from storage.reports.summary import headline, paragraph
from studies.statistics import Interval


def as_json(content: ReportContent) -> dict[str, Any]:
    """Return the whole report."""
    trials = content.trials
    return {
        **answer_json(content.answer, content.conclusion),
        "question": content.answer.study.spec.study.question,
        "recipes": [
            {"recipe": trial.recipe, "number": trial.number, "state": trial.state, "value": trial.value}
            for trial in trials
            if trial.recipe is not None
        ],
        "rungs": {ladder.technique: [vars(rung) for rung in ladder.rungs] for ladder in ladders(content)},
        "strength_curves": [curve_json(curve) for curve in content.strength_curves],
        "importance": [vars(one) for one in content.importance],
        "importance_missing": content.importance_missing,
        "edges": list(content.edges),
        "cost": {
            "seconds": sum(trial.metrics.get("seconds", 0.0) for trial in trials),
            "epochs": sum(trial.metrics.get("epochs", 0) for trial in trials),
            "runs": len(content.runs),
            "confirmation": None if content.confirmation_cost is None else vars(content.confirmation_cost),
        },
        "again": {
            "command": content.command,
            "spec": content.answer.study.spec.model_dump(mode="json"),
            "versions": dict(content.answer.study.versions),
        },
    }


def answer_json(found: Answer, conclusion: Conclusion | None) -> dict[str, Any]:
    """Return the answer: the best trial, and what the confirmation says of the finalists, if there was one."""
    return {
        **answer.as_json(found),
        "headline": headline(found, conclusion),
        "answer": paragraph(found, conclusion),
        "confirmation": None if conclusion is None else conclusion_json(conclusion),
    }


def conclusion_json(conclusion: Conclusion) -> dict[str, Any]:
    """Return what a confirmation says."""
    return {
        "winner": conclusion.winner.finalist.index,
        "claims_gain": conclusion.claims_gain,
        "level": conclusion.level,
        "seeds": conclusion.seeds,
        "select_rows": conclusion.select_rows,
        "test_rows": conclusion.test_rows,
        "looks": conclusion.looks,
        "unfinished_looks": conclusion.unfinished_looks,
        "test_evaluations": conclusion.evaluations,
        "finalists": [_result(result) for result in conclusion.results],
        "failed": [{**_finalist(finalist), "reason": reason} for finalist, reason in conclusion.failed],
        "techniques": _techniques(conclusion.techniques),
    }


def _result(result: FinalistResult) -> dict[str, Any]:
    gain, over = result.gain, result.over_early_stopping
    return {
        **_finalist(result.finalist),
        "select_cross_entropy": result.select_cross_entropy,
        "select_accuracy": result.select_accuracy,
        "train_cross_entropy": result.train_cross_entropy,
        "generalization_gap": result.generalization_gap,
        "test_cross_entropy": _interval(result.test_cross_entropy),
        "test_accuracy": _interval(result.test_accuracy),
        "gain_in_cross_entropy": None if gain is None else _interval(gain.cross_entropy),
        "gain_in_accuracy": None if gain is None else _interval(gain.accuracy),
        "gain_over_early_stopping_in_cross_entropy": None if over is None else _interval(over.cross_entropy),
        "gain_over_early_stopping_in_accuracy": None if over is None else _interval(over.accuracy),
        "best_epochs": list(result.best_epochs),
        "epochs": list(result.epochs),
        "is_tied": result.is_tied,
    }


def _finalist(finalist: Finalist) -> dict[str, Any]:
    return {
        "finalist": finalist.index,
        "regularization": str(finalist.settings),
        "params": dict(finalist.params),
        "roles": list(finalist.roles),
        "trial": finalist.trial,
        "look": finalist.look,
    }


def _techniques(rows: Sequence[TechniqueRow]) -> list[dict[str, Any]]:
    return [
        {
            "technique": row.technique,
            "finalist": None if row.result is None else row.result.finalist.index,
            **({} if row.tuning is None else tuning_json(row.tuning)),
        }
        for row in rows
    ]


def _interval(interval: Interval) -> dict[str, float]:
    return dict(vars(interval))
