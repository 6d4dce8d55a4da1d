"""The race of the finalists: after which seeds it decides, and which finalists it drops.

All contenders train on the same fresh seeds. A round is complete when all of them have trained on its seeds; only then
does the race decide. It sees the mean loss on the selection split of each contender and seed.
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
"""Seeds of the first round: an interval over fewer is far too wide."""

TECHNIQUE_SEEDS = 5
"""How many seeds a technique gets before it can be dropped, and before a clear gain can end the race.

With fewer seeds hardly any verdict is settled: what is clear on the selection split often is not on the test set.
"""

SHOWN_LEVEL = 0.95
"""The level of the interval that is reported for a dropped contender."""


class Part(enum.StrEnum):
    """What a contender runs for."""

    REFERENCE = "reference"  # early stopping alone, or no regularization: the others are compared with it
    TECHNIQUE = "technique"  # the best strength of a technique alone: it gets a verdict
    CONFIGURATION = "configuration"  # it can only win


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One finalist that is still in the race.

    Attributes:
        index: the finalist's.
        part: what it runs for.
        losses: of each seed so far, its mean loss on the selection examples; in the objective's unit, smaller is
            better.
    """

    index: int
    part: Part
    losses: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Why a contender gets no more seeds.

    Attributes:
        index: the finalist's.
        reason: "behind the best", or that its verdict is clear: "clearly harms", "clearly helps, but is not the best",
            "clearly makes no difference".
        than: the finalist that it was compared with.
        behind: how much larger its loss is than that one's, on the selection examples; Student's interval over seeds
            at `SHOWN_LEVEL`.
        seeds: after how many seeds.
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
        is_over: whether nothing is left to decide; then no further round follows.
    """

    drops: tuple[Drop, ...]
    is_over: bool


def round_ends(seeds: int) -> tuple[int, ...]:
    """Return after how many seeds each round of a race ends.

    Args:
        seeds: on how many fresh seeds a finalist is trained at most.

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

    The best contender has the lowest mean loss. Every other configuration is dropped, and so is every other technique
    once it has `TECHNIQUE_SEEDS`. References are never dropped. The race is over if only references are left, or one
    more contender whose gain over each of them is clear after `TECHNIQUE_SEEDS`. What is clear has the level that all
    finalists share (`shared_level`). `tests/benchmarks/README.md` has the simulation behind these rules.

    Args:
        contenders: the finalists still in the race; all have the same number of seeds, at least 2.
        reference: the finalist that techniques are compared with: early stopping alone, or if it is missing or failed,
            no regularization; None if both failed, and then techniques can only win.
        raced: how many finalists started the race; all of them share the risk.
        smallest_gain: the smallest gain that matters, in the losses' unit; above 0.
        settles_techniques: whether a technique stays until its verdict is clear, however far behind the best it is;
            True if the user asked for more seeds to settle it.

    Raises ValueError if there is no contender, if the reference is not one of them, if the numbers of seeds differ, if
    a loss is not finite, if `raced` is below the number of contenders, or if the smallest gain is not above 0.

    Example:
        >>> stopped = Contender(index=0, part=Part.REFERENCE, losses=[0.10, 0.12, 0.11])
        >>> mixture = Contender(index=1, part=Part.CONFIGURATION, losses=[0.20, 0.21, 0.22])
        >>> decide([stopped, mixture], reference=0, raced=2, smallest_gain=0.005).drops[0].reason
        'behind the best'
    """
    field = tuple(contenders)
    losses = _checked(field, reference, raced, smallest_gain)
    race = _Round(
        field=field,
        losses=losses,
        base=next((row for row, contender in enumerate(field) if contender.index == reference), None),
        smallest_gain=smallest_gain,
        level=shared_level(max(1, raced - 1)),
    )
    rows = [row for row, contender in enumerate(field) if contender.part is not Part.REFERENCE]
    drops = [drop for row in rows if (drop := race.drop(row, settles_techniques)) is not None]
    dropped = {drop.index for drop in drops}
    return Decision(drops=tuple(drops), is_over=race.is_over([row for row in rows if field[row].index not in dropped]))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Round:
    """One decision of the race: contenders are rows of the losses.

    Attributes:
        field: the contenders.
        losses: shape (contenders, seeds).
        base: the row of the reference that techniques are compared with, if there is one.
        smallest_gain: the smallest gain that matters, in the losses' unit.
        level: of an interval that shows that something is clear.
    """

    field: Sequence[Contender]
    losses: npt.NDArray[np.float64]
    base: int | None
    smallest_gain: float
    level: float

    @property
    def seeds(self) -> int:
        return len(self.field[0].losses)

    def drop(self, row: int, settles_techniques: bool) -> Drop | None:
        """Return why a contender gets no more seeds; None if it stays in the race."""
        means = self.losses.mean(axis=1)
        best = int(means.argmin())
        if means[row] == means[best]:
            return None
        reason, than = "behind the best", best
        if self.field[row].part is Part.TECHNIQUE and self.base is not None:
            if self.seeds < TECHNIQUE_SEEDS:
                return None
            clear = self._clear_verdict(row, self.base, best)
            if clear is None and settles_techniques:
                return None
            reason, than = clear or (reason, than)
        behind = mean_interval(self.losses[row] - self.losses[than], SHOWN_LEVEL)
        return Drop(
            index=self.field[row].index, reason=reason, than=self.field[than].index, behind=behind, seeds=self.seeds
        )

    def is_over(self, left: Sequence[int]) -> bool:
        """Return whether nothing is left to decide between the references and the contenders that are left."""
        references = [row for row, contender in enumerate(self.field) if contender.part is Part.REFERENCE]
        if len(left) != 1:
            return not left
        gains = (self.losses[row] - self.losses[left[0]] for row in references)
        return (self.seeds >= TECHNIQUE_SEEDS or not references) and all(map(self._is_settled, gains))

    def _clear_verdict(self, row: int, base: int, best: int) -> tuple[str, int] | None:
        """Return why a technique's verdict is clear, and the row that it was compared with."""
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
        return settle(partial(mean_interval, gain), self.smallest_gain, self.level)[0] is not Verdict.NOT_SETTLED


def _checked(
    field: Sequence[Contender], reference: int | None, raced: int, smallest_gain: float
) -> npt.NDArray[np.float64]:
    """Return the losses, shape (contenders, seeds)."""
    indices, seeds = {contender.index for contender in field}, {len(contender.losses) for contender in field}
    if not field or len(indices) < len(field) or len(seeds) > 1 or min(seeds) < 2:
        raise ValueError(
            "a race needs contenders that differ, all with the same number of seeds, at least 2; "
            f"given were {len(field)} contenders with {sorted(seeds)} seeds"
        )
    if reference is not None and reference not in indices:
        raise ValueError(f"the reference, finalist {reference}, is not among the contenders {sorted(indices)}")
    if raced < len(field) or not smallest_gain > 0:
        raise ValueError(
            f"{len(field)} contenders need at least as many that raced, and a smallest gain above 0; "
            f"given were {raced} and {smallest_gain}"
        )
    losses = np.array([contender.losses for contender in field], dtype=np.float64)
    if not np.isfinite(losses).all():
        raise ValueError("a race needs finite losses; some are NaN or infinite")
    return losses
