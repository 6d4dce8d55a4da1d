"""The race of the finalists: it trains them on fresh seeds in rounds, and drops the weaker ones after each round.

All finalists in the race (the contenders) train on the same fresh seeds. A round ends when all contenders have trained
on the seeds of the round. Then `decide` compares the contenders by their mean losses on the selection split, seed by
seed.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ..statistics import Interval, mean_interval, shared_level
from .verdicts import Verdict, settle

FIRST_ROUND = 3
"""The number of seeds of the first round. With fewer seeds, an interval would be far too wide."""

TECHNIQUE_SEEDS = 5
"""How many seeds a technique gets before it can be dropped, and before a clear gain can end the race.

With fewer seeds, hardly any verdict is settled: a result that is clear on the selection split is often not clear on the
test set.
"""

SHOWN_LEVEL = 0.95
"""The confidence level of the interval that reports how far a dropped contender was behind."""


class Part(enum.StrEnum):
    """The part that a contender plays in the race."""

    REFERENCE = "reference"  # early stopping alone, or no regularization: the others are compared with it
    TECHNIQUE = "technique"  # the best strength of a technique alone: it gets a verdict
    CONFIGURATION = "configuration"  # it can only win


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One finalist that is still in the race.

    Attributes:
        index: the index of the finalist.
        part: whether it is the reference, the best strength of one technique, or another configuration.
        losses: for each seed so far, the mean loss on the selection split, in the unit of the objective; smaller is
            better.
    """

    index: int
    part: Part
    losses: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Why a contender gets no more seeds.

    Attributes:
        index: the index of the finalist.
        reason: "behind the best", or the contender's clear verdict: "clearly harms", "clearly makes no difference",
            "clearly helps, but is not the best".
        than: the index of the finalist that the contender was compared with.
        behind: the loss of the contender minus the loss of finalist `than`, both on the selection split; Student's
            interval over seeds at `SHOWN_LEVEL`.
        seeds: the number of seeds after which the contender was dropped.
    """

    index: int
    reason: str
    than: int
    behind: Interval
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the race decides at the end of a round.

    Attributes:
        drops: the contenders that get no more seeds.
        is_over: whether the race has nothing left to decide, so that no further round follows.
    """

    drops: tuple[Drop, ...]
    is_over: bool


def round_ends(seeds: int) -> tuple[int, ...]:
    """Return the number of seeds after which each round of a race ends.

    Args:
        seeds: the largest number of fresh seeds for a finalist.

    Example:
        >>> round_ends(10)
        (3, 5, 7, 10)
    """
    ends = [FIRST_ROUND]
    while ends[-1] < seeds:
        ends.append(min(seeds, ends[-1] + max(2, ends[-1] // 2)))
    return tuple(ends)


def decide(
    contenders: Iterable[Contender],
    reference: int | None,
    raced: int,
    smallest_gain: float,
    *,
    settles_techniques: bool = False,
) -> Decision:
    """Decide at the end of a round which contenders get no more seeds, and whether the race is over.

    The best contender is the one with the lowest mean loss. All contenders behind it are dropped, with two exceptions.
    A reference is never dropped. A technique (`Part.TECHNIQUE`) stays until it has trained on `TECHNIQUE_SEEDS` seeds,
    and with `settles_techniques` also until its verdict is clear.

    The race is over if only references are left. It is also over if only one other contender is left, has trained on
    `TECHNIQUE_SEEDS` seeds, and its gain over each reference is clear. A gain is clear if its verdict is settled at the
    confidence level that all finalists share (`shared_level`). `tests/benchmarks/README.md` has the simulation.

    Args:
        contenders: the finalists still in the race; all have the same number of seeds, at least 2.
        reference: the index of the finalist that techniques are compared with. This is early stopping alone, or no
            regularization if early stopping alone is missing or failed. None if both failed. Then techniques get no
            verdict and are dropped as early as configurations, and the race is over when one contender is left.
        raced: how many finalists started the race; all of them share the risk of a false claim.
        smallest_gain: the smallest gain that matters, in the unit of the losses; above 0.
        settles_techniques: whether a technique stays until its verdict is clear: the user asked for more seeds.

    Raises ValueError if there is no contender, if two have the same index, or if their numbers of seeds differ or are
    below 2. Also raises it if a loss is not finite, if the reference is not a contender, if `raced` is below the number
    of contenders, or if the smallest gain is not above 0.

    Example:
        >>> stopped = Contender(index=0, part=Part.REFERENCE, losses=[0.10, 0.12, 0.11])
        >>> mixture = Contender(index=1, part=Part.CONFIGURATION, losses=[0.20, 0.21, 0.22])
        >>> decide([stopped, mixture], reference=0, raced=2, smallest_gain=0.005).drops[0].reason
        'behind the best'
    """
    racing = tuple(contenders)
    losses = _checked_losses(racing, reference, raced, smallest_gain)
    race = _Round(
        contenders=racing,
        losses=losses,
        base=next((row for row, contender in enumerate(racing) if contender.index == reference), None),
        smallest_gain=smallest_gain,
        level=shared_level(max(1, raced - 1)),
    )
    rows = [row for row, contender in enumerate(racing) if contender.part is not Part.REFERENCE]
    drops = [drop for row in rows if (drop := race.drop(row, settles_techniques)) is not None]
    dropped = {drop.index for drop in drops}
    return Decision(drops=tuple(drops), is_over=race.is_over([row for row in rows if racing[row].index not in dropped]))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Round:
    """The state of the race at the end of one round.

    Attributes:
        contenders: the finalists still in the race.
        losses: the mean losses on the selection split, shape (contenders, seeds): each row belongs to a contender.
        base: the row of the reference that techniques are compared with; None without such a reference.
        smallest_gain: the smallest gain that matters, in the unit of the losses.
        level: the confidence level at which an interval makes a result clear.
    """

    contenders: Sequence[Contender]
    losses: npt.NDArray[np.float64]
    base: int | None
    smallest_gain: float
    level: float

    @property
    def seeds(self) -> int:
        """The number of seeds on which each contender has trained."""
        return len(self.contenders[0].losses)

    def drop(self, row: int, settles_techniques: bool) -> Drop | None:
        """Return why the contender of a row gets no more seeds; None if it stays in the race."""
        means = self.losses.mean(axis=1)
        best = int(means.argmin())
        if means[row] == means[best]:
            return None
        reason, than = "behind the best", best
        if self.contenders[row].part is Part.TECHNIQUE and self.base is not None:
            if self.seeds < TECHNIQUE_SEEDS:
                return None
            clear = self._clear_verdict(row, self.base, best)
            if clear is None and settles_techniques:
                return None
            reason, than = clear or (reason, than)
        behind = mean_interval(self.losses[row] - self.losses[than], SHOWN_LEVEL)
        return Drop(
            index=self.contenders[row].index,
            reason=reason,
            than=self.contenders[than].index,
            behind=behind,
            seeds=self.seeds,
        )

    def is_over(self, left: Sequence[int]) -> bool:
        """Return whether the race is over if, besides the references, only the contenders in the rows `left` remain."""
        references = [row for row, contender in enumerate(self.contenders) if contender.part is Part.REFERENCE]
        if len(left) != 1:
            return not left
        gains = (self.losses[row] - self.losses[left[0]] for row in references)
        return (self.seeds >= TECHNIQUE_SEEDS or not references) and all(map(self._is_settled, gains))

    def _clear_verdict(self, row: int, base: int, best: int) -> tuple[str, int] | None:
        """Return the reason to drop a technique whose verdict is clear, and the row that it was compared with.

        Returns None if the verdict is not clear, or if the technique helps and may be the best.
        """
        gain = partial(mean_interval, self.losses[base] - self.losses[row])
        verdict, _ = settle(gain, self.smallest_gain, self.level)
        if verdict is Verdict.HARMS:
            return "clearly harms", base
        if verdict is Verdict.NO_DIFFERENCE:
            return "clearly makes no difference", base
        behind = mean_interval(self.losses[row] - self.losses[best], self.level)
        if verdict is Verdict.HELPS and behind.is_above(0):
            return "clearly helps, but is not the best", best
        return None

    def _is_settled(self, gain: npt.NDArray[np.float64]) -> bool:
        """Return whether the verdict on a gain is settled; the gain has one value for each seed."""
        return settle(partial(mean_interval, gain), self.smallest_gain, self.level)[0] is not Verdict.NOT_SETTLED


def _checked_losses(
    contenders: Sequence[Contender], reference: int | None, raced: int, smallest_gain: float
) -> npt.NDArray[np.float64]:
    """Check the arguments of `decide`, and return the losses as an array of shape (contenders, seeds)."""
    indices, seeds = {contender.index for contender in contenders}, {len(contender.losses) for contender in contenders}
    if not contenders or len(indices) < len(contenders) or len(seeds) > 1 or min(seeds) < 2:
        raise ValueError(
            "a race needs contenders with different indices and with the same number of seeds, at least 2; "
            f"given were {len(contenders)} contenders with {sorted(seeds)} seeds"
        )
    if reference is not None and reference not in indices:
        raise ValueError(f"the reference, finalist {reference}, is not among the contenders {sorted(indices)}")
    if raced < len(contenders) or not smallest_gain > 0:
        raise ValueError(
            f"the number of finalists that started the race must be at least {len(contenders)}, and the smallest gain "
            f"must be above 0; given were {raced} and {smallest_gain}"
        )
    losses = np.array([contender.losses for contender in contenders], dtype=np.float64)
    if not np.isfinite(losses).all():
        raise ValueError("a race needs finite losses; some are NaN or infinite")
    return losses
