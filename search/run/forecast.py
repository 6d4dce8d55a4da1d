"""Predicts how long a run will take, from its first epochs, and reports afterwards how long it took."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from ...studies.recipes import contest_of
from ...studies.spec import StudySpec

SHARE_OF_EPOCHS = 0.7
"""The share of `training.max_epochs` that a trial trains on average. Pruning and early stopping save the rest."""

SHARE_OF_TRAININGS = 0.75
"""The share of trainings that a race needs on average. Without a race, each finalist is trained on each seed."""

_LEAST_EPOCHS = 6  # before the forecast; each worker's first epoch is slower, because it compiles the network


@dataclass(kw_only=True)
class Forecast:
    """Forecasts how long one run will take.

    Attributes:
        spec: the study.
        workers: the number of trainings that run at once.
        confirms: whether a confirmation follows the search.
        message: prints a line.
        trials: the number of trials that remained when the search started; None before that.
    """

    spec: StudySpec
    workers: int
    confirms: bool
    message: Callable[[str], None]
    trials: int | None = None
    _seconds: list[float] = field(default_factory=list)
    _expected: float | None = None

    @property
    def trainings(self) -> int:
        """The approximate number of trainings of finalists after the search."""
        if not self.confirms:
            return 0
        share = SHARE_OF_TRAININGS if self.spec.confirm.method == "race" else 1.0
        return round(share * self._finalists * self.spec.confirm.seeds)

    @property
    def _finalists(self) -> int:
        """The approximate number of finalists: baselines, each technique alone, and the best configurations."""
        baselines = 1 if self.spec.space.patience == "off" or self.spec.model.hypermodel is not None else 2
        techniques = 0 if self.spec.model.hypermodel is not None else len(contest_of(self.spec).contestants)
        return baselines + techniques + self.spec.confirm.top

    @property
    def epochs(self) -> float:
        """The approximate number of epochs of the whole run."""
        return self.spec.training.max_epochs * (SHARE_OF_EPOCHS * (self.trials or 0) + self.trainings)

    def add_epoch(self, seconds: float) -> None:
        """Record how long an epoch took; after enough epochs, print once how long the run will take."""
        if self._expected is not None or not self.trials:
            return
        self._seconds.append(seconds)
        if len(self._seconds) < max(_LEAST_EPOCHS, 3 * self.workers):
            return
        pace = median(self._seconds)
        self._expected = self.epochs * pace / self.workers
        then = f", then about {self.trainings} trainings of finalists" if self.trainings else ""
        self.message(f"expected: {in_words(self._expected)} for {self.trials} trials{then} ({pace:.2g} s an epoch)")

    def compare(self, seconds: float) -> None:
        """Print how long the run took and what the forecast was, if either is at least a minute."""
        if self._expected is not None and max(seconds, self._expected) >= 60:
            self.message(f"the run took {in_words(seconds)}; the forecast was {in_words(self._expected)}")


def in_words(seconds: float) -> str:
    """Return a duration, rounded, in words.

    Example:
        >>> from regsearch.search.run.forecast import in_words
        >>> in_words(20), in_words(420), in_words(12600)
        ('less than a minute', 'about 7 minutes', 'about 3.5 hours')
    """
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {minutes:.0f} minute{'' if round(minutes) == 1 else 's'}"
    return f"about {minutes / 60:.1f} hours"
