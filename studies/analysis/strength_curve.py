"""Loss against strength for one technique alone: which strengths are too weak, good, and too strong."""

from dataclasses import dataclass

from .tuning import Attempt, Strength, Tuning

GOOD_SHARE = 0.1
"""A strength is good if it loses at most this part of its technique's best gain over the baseline."""

LUCK_SHARE = 0.5
"""Nor is it bad for losing what one seed's luck amounts to, as long as that is at most this part of the gain."""

_ORDERED = ("L1", "L2", "dropout", "early stopping")  # a pair of factors and a placement have no more and less


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What the same training gives without the technique.

    Attributes:
        name: which configuration that is, in words.
        value: its objective on the select rows.
        spread: the standard deviation of that figure over the confirmation's fresh seeds; None where it has none.
        seeds: how many those are; 0 where there are none.
        is_of_search: whether one trial of the search gave the value, with the seed of all others; else it is the mean
            over the fresh seeds.
    """

    name: str
    value: float
    spread: float | None = None
    seeds: int = 0
    is_of_search: bool = True


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Which strengths are good; each end is a strength that was tried.

    Attributes:
        good: the smallest and the largest good strength; None where no strength is better than the baseline.
        too_weak_to: the largest strength that is too weak; None where none is.
        too_strong_from: the smallest strength that is too strong; None where none is.
    """

    good: tuple[Strength, Strength] | None
    too_weak_to: Strength | None
    too_strong_from: Strength | None


@dataclass(frozen=True, kw_only=True)
class StrengthCurve:
    """One technique alone, beside the baseline.

    Attributes:
        tuning: its trials.
        baseline: None where the study has none.
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
        """How much better the best trial is than the baseline, in the objective's unit; None where that isn't known."""
        best = self.tuning.best
        if best is None or best.value is None or self.baseline is None:
            return None
        return best.value - self.baseline.value if self.tuning.maximizes else self.baseline.value - best.value

    @property
    def regions(self) -> Regions | None:
        """Which strengths are too weak, good and too strong; None where fewer than two tell, or nothing to judge by.

        Good are the best strength and those next to it that lose at most `GOOD_SHARE` of its gain, or the spread over
        seeds if that is more, but never more than `LUCK_SHARE` of the gain. What is weaker than the good ones is too
        weak, what is stronger too strong. Where no strength is better than the baseline, those from the first one
        above the best that is worse than the baseline by more than the spread are too strong.
        """
        line, gain = self.line, self.gain
        if self.tuning.technique not in _ORDERED or len(line) < 2 or gain is None or self.baseline is None:
            return None
        spread = self.baseline.spread
        if gain <= 0 and spread is None:
            return None
        lost = [self._lost(attempt) for attempt in line]
        of_gain = max(GOOD_SHARE * gain, min(spread or 0.0, LUCK_SHARE * gain))
        allowed = of_gain if gain > 0 else (spread or 0.0) - gain
        best = lost.index(0.0)
        too_strong = next((i for i in range(best + 1, len(line)) if lost[i] > allowed), len(line))
        too_weak = next((i for i in range(best - 1, -1, -1) if lost[i] > allowed), -1)
        has_weak = too_weak >= 0 and gain > 0
        return Regions(
            good=(line[too_weak + 1].strength, line[too_strong - 1].strength) if gain > 0 else None,
            too_weak_to=line[too_weak].strength if has_weak else None,
            too_strong_from=line[too_strong].strength if too_strong < len(line) else None,
        )

    def _lost(self, attempt: Attempt) -> float:
        """Return how much worse a trial is than the technique's best one, at least 0."""
        best = self.tuning.best
        assert best is not None
        return self.tuning.loss_of(attempt) - self.tuning.loss_of(best)
