"""The race of the finalists: after which seeds it decides, and whom it drops.

All contenders train on the same fresh seeds. A round is complete when all of them have trained on its seeds; only then
does the race decide. It sees mean losses on the selection examples, one for each contender and seed.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studies.statistics import Interval, mean_interval
from studies.verdicts import Verdict, verdict_of

FIRST_ROUND = 3
"""Seeds of the first round: an interval over fewer says next to nothing."""


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
        reason: "clearly worse than the best", or that its verdict is clear: "clearly harms", "clearly helps, but is
            not the best", "clearly makes no difference".
        than: the finalist that it was compared with.
        behind: how much larger its loss is than that one's, on the selection examples.
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
        drops: who gets no more seeds.
        is_over: whether nothing is left to decide, so that no further round follows.
    """

    drops: tuple[Drop, ...]
    is_over: bool


def round_ends(seeds: int) -> tuple[int, ...]:
    """Return after how many seeds each round ends, for a race over at most so many.

    Example:
        >>> round_ends(10)
        (3, 5, 7, 10)
    """
    ends = [FIRST_ROUND]
    while ends[-1] < seeds:
        ends.append(min(seeds, ends[-1] + max(2, ends[-1] // 2)))
    return tuple(ends)


def decide(contenders: Iterable[Contender], reference: int | None, raced: int, smallest_gain: float) -> Decision:
    """Decide at the end of a round.

    Args:
        contenders: who is still in; all have the same seeds.
        reference: the finalist that techniques are judged against: early stopping alone, or where that is none or
            failed, no regularization; None where both failed.
        raced: how many finalists began the race; what is decided counts all of them.
        smallest_gain: the smallest gain that matters, in the losses' unit; above 0.
    """
    there = list(contenders)
    best = min(there, key=lambda one: sum(one.losses))
    level = 1 - 2 * 0.05 / max(raced - 1, 1)
    drops = []
    by_index = {one.index: one for one in there}
    for one in there:
        if one.part is Part.REFERENCE:
            continue
        behind = mean_interval([a - b for a, b in zip(one.losses, best.losses, strict=True)], level)
        if one is not best and behind.low > 0:
            drops.append(Drop(index=one.index, reason="clearly worse than the best", than=best.index, behind=behind, seeds=len(one.losses)))
    left = [one for one in there if one.part is not Part.REFERENCE and one.index not in {d.index for d in drops}]
    return Decision(drops=tuple(drops), is_over=not left)
