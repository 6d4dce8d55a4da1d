"""Report a study's status as text and JSON: its counts, the process that runs it, its pace, and the time left."""

from typing import Any

from ..analysis.study_status import Status
from ..commands import resume_command
from .answer import counts_json, counts_line, dataset_json, dataset_line


def as_text(status: Status) -> str:
    """Return the status of a study as text, with the command to run next."""
    answer = status.answer
    lines = [dataset_line(answer.study.dataset), counts_line(answer)]
    lines.append(_what_now(status))
    if status.trials_per_minute is not None:
        left = "" if status.minutes_left is None else f", about {status.minutes_left:.0f} minutes left"
        lines.append(f"Pace: {status.trials_per_minute:.1f} trials per minute{left}")
    done = status.confirmation
    if done is not None:
        lines.append(
            f"Confirmation: {done.trained} of {done.planned} trainings complete, {done.failed} failed; "
            f"{done.looked} evaluated on the test set"
        )
    if answer.best is not None:
        lines.append(f"Best so far: trial {answer.best.number}, {answer.best.value:.5f}")
    return "\n".join(lines)


def _what_now(status: Status) -> str:
    study, options = status.answer.study, status.options
    if status.holder is not None:
        return f"Running now: {status.holder}"
    if not status.is_total_reached:
        return f"Not running. Resume with: {resume_command(study.spec, 'resume', *options)}"
    if status.state == "stopped":
        return f"The confirmation is not finished. Resume with: {resume_command(study.spec, 'resume', *options)}"
    if status.confirmation is None and study.spec.confirm.seeds and status.answer.best is not None:
        return f"Search complete, not confirmed yet. Confirm with: {resume_command(study.spec, 'confirm', *options)}"
    return "Done."


def as_json(status: Status) -> dict[str, Any]:
    """Return the status of a study as a dictionary, ready for JSON."""
    answer = status.answer
    return {
        "study": answer.study.name,
        "dataset": dataset_json(answer.study.dataset),
        "total": answer.study.spec.budget.trials,
        "trials": counts_json(answer.counts),
        "best_value": None if answer.best is None else answer.best.value,
        "confirmation": None if status.confirmation is None else vars(status.confirmation),
        "coordinator": None if status.holder is None else vars(status.holder),
        "trials_per_minute": status.trials_per_minute,
        "minutes_left": status.minutes_left,
        "runs": [
            {
                "host": run.host,
                "pid": run.pid,
                "engine": run.engine,
                "workers": run.workers,
                "started_at": run.started_at.isoformat() + "Z",
                "ended_at": None if run.ended_at is None else run.ended_at.isoformat() + "Z",
                "outcome": run.outcome,
                "finished_trials": run.finished_trials,
            }
            for run in status.runs
        ],
    }
