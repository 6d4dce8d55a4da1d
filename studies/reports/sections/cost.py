"""Show what the search cost, and what pruning and early stopping saved."""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from ... import formats
from ...records import RunRecord, TrialRecord
from ..data import ReportData
from ..html import element, join, table
from .section import Section

_STATES = ("complete", "pruned", "failed", "running")
_MOST_RUNS = 20


def section(content: ReportData) -> Section | None:
    """Return the section on the cost; None if the study has neither trials nor runs."""
    if not content.trials and not content.runs:
        return None
    max_epochs = content.answer.study.spec.training.max_epochs
    by_state = {state: [trial for trial in content.trials if trial.state == state] for state in _STATES}
    rows: list[list[object]] = [_row(state, trials) for state, trials in by_state.items() if trials]
    if len(rows) > 1:
        rows.append(_row("all", [trial for trials in by_state.values() for trial in trials]))
    confirmation = content.confirmation_cost
    if confirmation is not None:
        seconds = formats.duration(confirmation.seconds)
        rows.append(["finalists on fresh seeds", f"{confirmation.trainings:,}", f"{confirmation.epochs:,}", seconds])
    return Section(
        id="cost",
        title="What it cost",
        body=join(
            [
                table(("what was trained", "trainings", "epochs", "training time"), rows, numbers=(1, 2, 3)),
                # a HyperModel decides itself how many epochs it trains, so savings are unknown
                _savings(by_state["pruned"], by_state["complete"], max_epochs) if content.has_techniques else "",
                _runs(content.runs),
            ]
        ),
    )


def saved_epochs(trials: Sequence[TrialRecord], max_epochs: int) -> int:
    """Return how many epochs were saved, compared with `max_epochs` for each trial."""
    return sum(max(max_epochs - int(trial.metrics.get("epochs", max_epochs)), 0) for trial in trials)


def _row(state: str, trials: Sequence[TrialRecord]) -> list[object]:
    epochs = sum(int(trial.metrics.get("epochs", 0)) for trial in trials)
    seconds = sum(formats.trial_seconds(trial) for trial in trials)
    return [f"{state} trials", f"{len(trials):,}", f"{epochs:,}", formats.duration(seconds)]


def _savings(pruned: Sequence[TrialRecord], complete: Sequence[TrialRecord], max_epochs: int) -> Markup:
    by_pruning, by_stopping = saved_epochs(pruned, max_epochs), saved_epochs(complete, max_epochs)
    trained = sum(int(trial.metrics.get("epochs", 0)) for trial in complete)
    seconds = sum(formats.trial_seconds(trial) for trial in complete)
    if not trained or not (by_pruning or by_stopping):
        return Markup("")
    pace = seconds / trained
    return element(
        "p",
        f"Compared with {max_epochs} epochs for every trial, pruning saved at most {by_pruning:,} epochs (about "
        f"{formats.duration(pace * by_pruning)}). Early stopping saved {by_stopping:,} epochs (about "
        f"{formats.duration(pace * by_stopping)}). The times assume the pace of the complete trials.",
    )


def _runs(runs: Sequence[RunRecord]) -> Markup:
    if not runs:
        return Markup("")
    shown = runs[-_MOST_RUNS:]
    rows = [
        [
            _time(run.started_at),
            _duration(run),
            run.host,
            f"{run.engine}, {formats.count(run.workers, 'worker')}",
            f"{run.finished_trials:,}",
            run.outcome,
        ]
        for run in shown
    ]
    heading = "Runs" if len(runs) <= _MOST_RUNS else f"The last {_MOST_RUNS} of {len(runs):,} runs"
    header = ("started (UTC)", "duration", "host", "engine", "finished trials", "ended because")
    return join([element("h3", heading), table(header, rows, numbers=(4,))])


def _duration(run: RunRecord) -> str | None:
    if run.ended_at is None:
        return "still running" if run.outcome is None else None
    return formats.duration((run.ended_at - run.started_at).total_seconds())


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
