"""How far a study is: which state it is in, at what pace its trials finish, and how long it will take."""

from dataclasses import dataclass

from ..records import ConfirmationProgress, Holder, RunRecord, StudySummary


@dataclass(frozen=True, kw_only=True)
class Status:
    """A study's counts, its coordinator, its runs and its confirmation, at one moment.

    Attributes:
        options: what a command needs to find the study's storage: ("--storage", URL), or nothing for the usual one.
        holder: the coordinator that works on the study; None if none does.
        runs: of the study, the first one first.
        confirmation: None before a confirmation was started.
    """

    options: tuple[str, ...]
    answer: StudySummary
    holder: Holder | None
    runs: list[RunRecord]
    confirmation: ConfirmationProgress | None

    @property
    def is_total_reached(self) -> bool:
        """Whether the study's total is reached."""
        return self.answer.counts.finished >= self.answer.study.spec.budget.trials

    @property
    def state(self) -> str:
        """Running, stopped or done; a study whose confirmation was started is done when that has ended too."""
        if self.holder is not None:
            return "running"
        return "done" if self.is_total_reached and not (self.confirmation and self.confirmation.left) else "stopped"

    @property
    def trials_per_minute(self) -> float | None:
        """The pace of the latest run, up to its last finished trial; None before the first one."""
        run = self.runs[-1] if self.runs else None
        if run is None or run.last_finished_at is None:
            return None
        return run.finished_trials / max((run.last_finished_at - run.started_at).total_seconds() / 60, 1e-9)

    @property
    def minutes_left(self) -> float | None:
        """Minutes to the study's total at that pace; None if it is not known or is reached, or no coordinator works."""
        if self.holder is None or self.is_total_reached or self.trials_per_minute is None:
            return None
        return (self.answer.study.spec.budget.trials - self.answer.counts.finished) / self.trials_per_minute
