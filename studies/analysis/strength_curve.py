"""The loss of one technique alone by its strength, and which strengths are too weak, good or too strong."""

from dataclasses import dataclass

from .tuning import Attempt, Strength, Tuning

GOOD_SHARE = 0.1
"""A strength is good if it loses at most this share of the technique's best gain over the baseline."""

LUCK_SHARE = 0.5
"""If luck is large, a good strength may lose more than `GOOD_SHARE`, but at most this share of the best gain.

It may then lose as much as one standard deviation over seeds (`Baseline.spread`).
"""

_ORDERED = ("L1", "L2", "dropout", "early stopping")  # two factors or a placement have no order from weak to strong


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The result of the same training without the technique.

    Attributes:
        name: the name of the configuration.
        value: the objective on the selection split.
        spread: the standard deviation of the objective over the fresh seeds of the confirmation; None if unknown.
        seeds: the number of fresh seeds; 0 without a confirmation.
        is_of_search: whether the value comes from one trial of the search, which has the same seed as all other trials.
            If not, the value is the mean over the fresh seeds.
    """

    name: str
    value: float
    spread: float | None = None
    seeds: int = 0
    is_of_search: bool = True


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Which of the tried strengths are good, too weak and too strong.

    Attributes:
        good: the smallest and the largest good strength; None if no strength is better than the baseline.
        too_weak_to: the largest strength that is too weak; None if no strength is too weak.
        too_strong_from: the smallest strength that is too strong; None if no strength is too strong.
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
        """How much better the technique's best trial is than the baseline, in the objective's unit; None if unknown."""
        best = self.tuning.best
        if best is None or best.value is None or self.baseline is None:
            return None
        return best.value - self.baseline.value if self.tuning.maximizes else self.baseline.value - best.value

    @property
    def regions(self) -> Regions | None:
        """Which strengths are too weak, good and too strong.

        The best strength is good. On both sides of it, the strengths are good up to the first one that loses too much
        of the best gain. A good strength may lose the share `GOOD_SHARE` of this gain. If the spread over seeds is
        larger, it may lose as much as the spread, but at most the share `LUCK_SHARE`. Strengths below the good ones are
        too weak, and strengths above them are too strong.

        If no strength is better than the baseline, no strength is good or too weak. Then the first strength above the
        best one that is worse than the baseline by more than the spread is too strong, with all strengths above it.

        None if fewer than two strengths have a complete trial, or if the technique has no order of strengths. Also
        None if the baseline is unknown. None as well if the spread is unknown and no strength is better than the
        baseline.
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
