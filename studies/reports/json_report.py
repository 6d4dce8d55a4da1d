"""Turn a report and its conclusion into dictionaries, ready for JSON."""

from typing import Any

from ..analysis.conclusion import Conclusion, FinalistResult, TechniqueRow
from ..analysis.finalists import Finalist
from ..analysis.ladder import ladders
from ..analysis.race import Drop
from ..analysis.technique_verdicts import TechniqueVerdict, technique_verdicts
from ..analysis.verdicts import Judgement
from ..records import StudySummary
from ..statistics import Interval
from . import answer
from .data import ReportData
from .summary import headline, paragraph, sentences
from .tuned_strengths import curve_json, tuning_json


def as_json(content: ReportData) -> dict[str, Any]:
    """Return the whole report as a dictionary."""
    trials = content.trials
    return {
        **answer_json(content.answer, content.conclusion),
        "question": content.answer.study.spec.study.question,
        "recipes": [
            {"recipe": trial.recipe, "number": trial.number, "state": trial.state, "value": trial.value}
            for trial in trials
            if trial.recipe is not None
        ],
        "rungs": {ladder.technique: [vars(rung) for rung in ladder.rungs] for ladder in ladders(content.trials)},
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


def answer_json(summary: StudySummary, conclusion: Conclusion | None) -> dict[str, Any]:
    """Return the answer: the best trial and, after a confirmation, the figures of its finalists."""
    return {
        **answer.as_json(summary),
        "headline": headline(summary, conclusion),
        "answer": paragraph(summary, conclusion),
        "sentences": list(sentences(summary, conclusion)),
        "confirmation": None if conclusion is None else conclusion_json(conclusion),
    }


def conclusion_json(conclusion: Conclusion) -> dict[str, Any]:
    """Return the figures of a confirmation as a dictionary."""
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
        "metric": conclusion.metric,
        "smallest_gain": conclusion.smallest_gain,
        "smallest_gain_share": conclusion.smallest_gain_share,
        "is_race": conclusion.is_race,
        "has_drawn_splits": conclusion.has_drawn_splits,
        "still_improving": conclusion.still_improving,
        "winner_over_early_stopping": _judgement(conclusion.winner_over_early_stopping),
        "winner_over_baseline": _judgement(conclusion.winner_over_baseline),
        "finalists": [_result(result) for result in conclusion.results],
        "failed": [{**_finalist(finalist), "reason": reason} for finalist, reason in conclusion.failed],
        "techniques": _techniques(conclusion),
    }


def _result(result: FinalistResult) -> dict[str, Any]:
    gain, over, in_metric = result.gain, result.gain_over_early_stopping, result.metric_over_baseline
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
        "gain_in_metric": None if in_metric is None else _interval(in_metric.gain),
        "gain_over_early_stopping_in_cross_entropy": None if over is None else _interval(over.cross_entropy),
        "gain_over_early_stopping_in_accuracy": None if over is None else _interval(over.accuracy),
        "best_epochs": list(result.best_epochs),
        "epochs": list(result.epochs),
        "is_tied": result.is_tied,
        "seeds": result.seeds,
        "dropped": None if result.dropped is None else _dropped(result.dropped),
    }


def _dropped(drop: Drop) -> dict[str, Any]:
    """Return why the race dropped a finalist, and by how much it was worse on the selection split (`behind`)."""
    return {"reason": drop.reason, "seeds": drop.seeds, "than": drop.than, "behind": _interval(drop.behind)}


def _finalist(finalist: Finalist) -> dict[str, Any]:
    return {
        "finalist": finalist.index,
        "regularization": str(finalist.settings),
        "params": dict(finalist.params),
        "roles": list(finalist.roles),
        "trial": finalist.trial,
        "look": finalist.look,
    }


def _techniques(conclusion: Conclusion) -> list[dict[str, Any]]:
    return [
        _technique(row, verdict)
        for row, verdict in zip(conclusion.techniques, technique_verdicts(conclusion), strict=True)
    ]


def _technique(row: TechniqueRow, verdict: TechniqueVerdict) -> dict[str, Any]:
    """Return the verdict on a technique, the figures behind it, and how well the technique was tuned."""
    return {
        "technique": row.technique,
        "finalist": None if row.result is None else row.result.finalist.index,
        "verdict": verdict.verdict,
        "no_verdict": verdict.reason or None,
        "gain": None if verdict.gain is None else _interval(verdict.gain),
        "over": None if verdict.gain is None else verdict.over,
        "smallest_gain": verdict.smallest_gain,
        "seeds": verdict.seeds,
        "seeds_needed": verdict.seeds_needed,
        "needs_test_examples": verdict.needs_test_examples,
        "is_over_seeds_only": verdict.is_over_seeds_only,
        "over_early_stopping": _judgement(row.over_early_stopping),
        "over_baseline": _judgement(row.over_baseline),
        **({} if row.tuning is None else tuning_json(row.tuning)),
    }


def _judgement(judgement: Judgement | None) -> dict[str, Any] | None:
    if judgement is None:
        return None
    return {
        "verdict": judgement.verdict,
        "gain": _interval(judgement.gain),
        "smallest_gain": judgement.smallest_gain,
        "seeds": judgement.seeds,
        "seeds_needed": judgement.seeds_needed,
        "needs_test_examples": judgement.needs_test_examples,
        "is_over_seeds_only": judgement.is_over_seeds_only,
    }


def _interval(interval: Interval) -> dict[str, float]:
    return dict(vars(interval))
