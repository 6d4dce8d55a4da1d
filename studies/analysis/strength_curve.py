"""The loss of one technique alone by its strength, and which strengths are too weak, good or too strong."""

from dataclasses import dataclass

from .tuning import Attempt, Strength, Tuning

GOOD_SHARE = 0.1
"""A strength is good if its gain over the baseline is at most this share below the technique's best gain."""

LUCK_SHARE = 0.5
"""A strength is also good if it is worse than the best one by no more than the luck of one seed.

That luck is the spread over seeds, but counts at most as this share of the best gain.
"""

_ORDERED = ("L1", "L2", "dropout", "early stopping")  # two factors or a placement have no order from weak to strong


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The result of the same training without the technique.

    Attributes:
        name: the name of the configuration.
        value: its objective on the selection split.
        spread: the standard deviation of that value over the fresh seeds of the confirmation; None if unknown.
        seeds: the number of those seeds; 0 without a confirmation.
        is_of_search: whether the value comes from one trial of the search, which has the same seed as all others. If
            not, it is the mean over the fresh seeds.
    """

    name: str
    value: float
    spread: float | None = None
    seeds: int = 0
    is_of_search: bool = True


@dataclass(frozen=True, kw_only=True)
class Regions:
    """The strengths that are good, too weak and too strong; all of them were tried.

    Attributes:
        good: the smallest and the largest good strength; None if no strength is better than the baseline.
        too_weak_to: the largest strength that is too weak; None if none is.
        too_strong_from: the smallest strength that is too strong; None if none is.
    """

    good: tuple[Strength, Strength] | None
    too_weak_to: Strength | None
    too_strong_from: Strength | None


@dataclass(frozen=True, kw_only=True)
class StrengthCurve:
    """The trials of one technique alone, with the baseline to compare them with.

    Attributes:
        tuning: the trials of the technique alone.
        baseline: the result without the technique; None if the study has none.
    """

    tuning: Tuning
    baseline: Baseline | None

    @property
    def line(self) -> tuple[Attempt, ...]:
        """The best complete trial at each strength, the smallest strength first."""
        best: dict[Strength, Attempt] = {}
        for attempt in self.tuning.complete:
            known = best.get(attempt.strength)
            if known is None or self.tuning.loss_of(attempt) < self.tuning.loss_of(known):
                best[attempt.strength] = attempt
        return tuple(best.values())

    @property
    def gain(self) -> float | None:
        """How much better the best trial is than the baseline, in the unit of the objective; None if unknown."""
        best = self.tuning.best
        if best is None or best.value is None or self.baseline is None:
            return None
        return best.value - self.baseline.value if self.tuning.maximizes else self.baseline.value - best.value

    @property
    def regions(self) -> Regions | None:
        """Which strengths are too weak, good and too strong.

        The best strength is good. Its neighbours are good too if they lose at most `GOOD_SHARE` of its gain. They may
        also lose as much as the spread over seeds, but at most `LUCK_SHARE` of the gain. Weaker strengths than the good
        ones are too weak, and stronger ones are too strong.

        If no strength is better than the baseline, none is good. Then a strength above the best is too strong if it is
        worse than the baseline by more than the spread. All strengths above that one are also too strong.

        None if fewer than two strengths have a complete trial, or if the technique has no order of strengths. Also
        None if the baseline is unknown, or if no strength is better than it and the spread is unknown.
        """
        line, gain = self.line, self.gain
        if self.tuning.technique not in _ORDERED or len(line) < 2 or gain is None or self.baseline is None:
            return None
        spread = self.baseline.spread
        if gain <= 0 and spread is None:
            return None
        losses = [self._loss_against_best(attempt) for attempt in line]
        share_of_gain = max(GOOD_SHARE * gain, min(spread or 0.0, LUCK_SHARE * gain))
        allowed = share_of_gain if gain > 0 else (spread or 0.0) - gain
        best = losses.index(0.0)
        too_strong = next((i for i in range(best + 1, len(line)) if losses[i] > allowed), len(line))
        too_weak = next((i for i in range(best - 1, -1, -1) if losses[i] > allowed), -1)
        has_weak = too_weak >= 0 and gain > 0
        return Regions(
            good=(line[too_weak + 1].strength, line[too_strong - 1].strength) if gain > 0 else None,
            too_weak_to=line[too_weak].strength if has_weak else None,
            too_strong_from=line[too_strong].strength if too_strong < len(line) else None,
        )

    def _loss_against_best(self, attempt: Attempt) -> float:
        """Return how much worse a trial is than the best trial of the technique; at least 0."""
        best = self.tuning.best
        assert best is not None
        return self.tuning.loss_of(attempt) - self.tuning.loss_of(best)
