"""The status of a study: its state, the pace at which its trials finish, and how long it will take."""

from dataclasses import dataclass

from ..records import ConfirmationProgress, Holder, RunRecord, StudySummary


@dataclass(frozen=True, kw_only=True)
class Status:
    """The counts, coordinator, runs and confirmation of a study at one moment.

    Attributes:
        options: the command-line options that select the study's storage: ("--storage", URL), or () for the default
            storage.
        answer: the study and the counts of its trials.
        holder: the coordinator that works on the study now; None if there is none.
        runs: the runs of the study, the earliest first.
        confirmation: the progress of the confirmation; None before it starts.
    """

    options: tuple[str, ...]
    answer: StudySummary
    holder: Holder | None
    runs: list[RunRecord]
    confirmation: ConfirmationProgress | None

    @property
    def is_total_reached(self) -> bool:
        """Whether as many trials have finished as the study's budget asks for."""
        return self.answer.counts.finished >= self.answer.study.spec.budget.trials

    @property
    def state(self) -> str:
        """The state: "running", "stopped" or "done". A study with an unfinished confirmation is not "done"."""
        if self.holder is not None:
            return "running"
        return "done" if self.is_total_reached and not (self.confirmation and self.confirmation.left) else "stopped"

    @property
    def trials_per_minute(self) -> float | None:
        """How many trials per minute the latest run finished until its last finished trial; None without one."""
        run = self.runs[-1] if self.runs else None
        if run is None or run.last_finished_at is None:
            return None
        return run.finished_trials / max((run.last_finished_at - run.started_at).total_seconds() / 60, 1e-9)

    @property
    def minutes_left(self) -> float | None:
        """The minutes until all trials have finished, at the pace `trials_per_minute`.

        None if this pace is unknown, if all trials have finished, or if no coordinator works on the study.
        """
        if self.holder is None or self.is_total_reached or self.trials_per_minute is None:
            return None
        return (self.answer.study.spec.budget.trials - self.answer.counts.finished) / self.trials_per_minute
