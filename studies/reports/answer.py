"""Report the best configuration so far, the data behind it, and how many trials have finished."""

from collections.abc import Mapping
from typing import Any

from .. import formats
from ..configuration import configuration_of
from ..errors import one_line
from ..objectives import OURS, metric_of
from ..records import Counts, DatasetInfo, StudyRecord, StudySummary, TrialRecord


def dataset_line(dataset: DatasetInfo) -> str:
    """Return the first line of an answer, which describes the data set."""
    return (
        f"Data: {one_line(dataset.name)} ({dataset.n_train:,} training and {dataset.n_test:,} test examples, "
        f"sha256 {dataset.sha256[:16]}…)"
    )


def counts_line(answer: StudySummary) -> str:
    """Return a line that says how many trials have finished, and how they ended."""
    counts, total = answer.counts, answer.study.spec.budget.trials
    parts = [f"{counts.complete} complete", f"{counts.pruned} pruned", f"{counts.failed} failed"]
    if counts.running:
        parts.append(f"{counts.running} started")
    if counts.waiting:
        parts.append(f"{counts.waiting} waiting")
    return f"Study {answer.study.name}: {counts.finished} of {total} trials finished ({', '.join(parts)})"


def as_text(answer: StudySummary) -> str:
    """Return the best trial so far as text, with its configuration and its figures."""
    lines = [dataset_line(answer.study.dataset), counts_line(answer)]
    best = answer.best
    if best is None:
        return "\n".join([*lines, "No trial is complete yet."])
    figures = best.metrics
    if "train_cross_entropy" not in figures:  # another program, such as a writable dashboard, reported this trial
        return "\n".join(
            [*lines, "", f"Best value: {best.value:.5f}, trial {best.number}, which regsearch did not train"]
        )
    gap = figures["select_cross_entropy"] - figures["train_cross_entropy"]
    return "\n".join(
        [
            *lines,
            "",
            f"Best configuration: {configuration_of(best.params)}",
            f"  trial {best.number}, {figures['seconds']:.0f} s, weights of epoch {figures['best_epoch'] + 1} "
            f"of {figures['epochs']}",
            f"  on the selection split: {_objective(answer.study, best)}{_figures(figures, 'select')}",
            f"  on the training split:  {_figures(figures, 'train')} (generalization gap {gap:.5f})",
            *([f"  its weights: {answer.weights}"] if answer.weights else []),
            f"This trial was chosen because it has the best {formats.objective(answer.study.spec)} of "
            f"{formats.count(answer.counts.complete, 'complete trial')}. Therefore this figure is a little optimistic.",
            "It is not confirmed yet: neither on fresh seeds nor on the test set.",
        ]
    )


def _objective(study: StudyRecord, best: TrialRecord) -> str:
    """Return the value of the objective and a comma, if the objective is a metric of the user's model."""
    objective = study.spec.search.objective
    return "" if objective in OURS or best.value is None else f"{metric_of(objective)} {best.value:.5f}, "


def _figures(figures: Mapping[str, Any], split: str) -> str:
    return f"cross-entropy {figures[f'{split}_cross_entropy']:.5f}, accuracy {100 * figures[f'{split}_accuracy']:.2f} %"


def as_json(answer: StudySummary) -> dict[str, Any]:
    """Return the best trial and the counts as a dictionary, ready for JSON."""
    study, counts, best = answer.study, answer.counts, answer.best
    return {
        "study": study.name,
        "dataset": dataset_json(study.dataset),
        "objective": study.spec.search.objective,
        "total": study.spec.budget.trials,
        "trials": counts_json(counts),
        "best": None
        if best is None
        else {
            "number": best.number,
            "value": best.value,
            "regularization": str(configuration_of(best.params)),
            "params": dict(best.params),
            "metrics": dict(best.metrics),
            "weights": None if answer.weights is None else str(answer.weights),
        },
    }


def dataset_json(dataset: DatasetInfo) -> dict[str, Any]:
    """Return the name, hash and sizes of a data set, ready for JSON."""
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "n_train": dataset.n_train,
        "n_test": dataset.n_test,
    }


def counts_json(counts: Counts) -> dict[str, int]:
    """Return the number of trials in each state, ready for JSON."""
    return dict(vars(counts))
