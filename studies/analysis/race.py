"""The race of the finalists: after which seeds it decides, and whom it drops.

All contenders train on the same fresh seeds. A round is complete when all of them have trained on its seeds; only then
does the race decide. It sees mean losses on the selection examples, one for each contender and seed.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from regsearch.studies.analysis.verdicts import Verdict, settle
from regsearch.studies.statistics import Interval, mean_interval, shared_level

FIRST_ROUND = 3
"""Seeds of the first round: an interval over fewer says next to nothing."""

TECHNIQUE_SEEDS = 5
"""A technique gets so many seeds before it can be dropped, and before a clear gain can end the race.

Over fewer, hardly any verdict is settled: what is clear on the selection examples often isn't on the test examples.
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


def decide(
    contenders: Iterable[Contender],
    reference: int | None,
    raced: int,
    smallest_gain: float,
    *,
    settles_techniques: bool = False,
) -> Decision:
    """Decide at the end of a round.

    The best is the contender with the lowest mean loss. Of the configurations only the best goes on, if it is one; of
    the techniques too, once they have `TECHNIQUE_SEEDS`. References are never dropped. The race is over if only they
    are left, or one more contender whose gain over each of them is clear after `TECHNIQUE_SEEDS`. What is clear has
    the level that all finalists share (`shared_level`). `tests/benchmarks/README.md` has the simulation behind these
    rules.

    Args:
        contenders: who is still in; all have the same seeds, at least 2.
        reference: the finalist that techniques are judged against: early stopping alone, or where that is none or
            failed, no regularization; None where both failed, and then techniques can only win.
        raced: how many finalists began the race; what is decided counts all of them.
        smallest_gain: the smallest gain that matters, in the losses' unit; above 0.
        settles_techniques: whether a technique stays until its verdict is clear, however far behind the best it is;
            if somebody asked for more seeds to settle it.

    Raises ValueError if there is no contender, if the reference is not among them or seeds differ, for a loss that is
    not finite, for fewer raced than contenders, and if the smallest gain is not above 0.

    Example:
        >>> stopped = Contender(index=0, part=Part.REFERENCE, losses=[0.10, 0.12, 0.11])
        >>> mixture = Contender(index=1, part=Part.CONFIGURATION, losses=[0.20, 0.21, 0.22])
        >>> decide([stopped, mixture], reference=0, raced=2, smallest_gain=0.005).drops[0].reason
        'behind the best'
    """
    field = tuple(contenders)
    losses = _checked(field, reference, raced, smallest_gain)
    means = losses.mean(axis=1)
    best = int(means.argmin())
    level = shared_level(max(1, raced - 1))
    base = next((row for row, one in enumerate(field) if one.index == reference), None)
    drops = []
    for row, one in enumerate(field):
        if one.part is Part.REFERENCE or means[row] == means[best]:
            continue
        reason, than = "behind the best", best
        if one.part is Part.TECHNIQUE and base is not None:
            if losses.shape[1] < TECHNIQUE_SEEDS:
                continue
            clear = _clear_verdict(losses, row, base, best, smallest_gain, level)
            if clear is None and settles_techniques:
                continue
            reason, than = clear or (reason, than)
        behind = mean_interval(losses[row] - losses[than], SHOWN_LEVEL)
        drops.append(Drop(index=one.index, reason=reason, than=field[than].index, behind=behind, seeds=losses.shape[1]))
    dropped = {drop.index for drop in drops}
    left = [row for row, one in enumerate(field) if one.part is not Part.REFERENCE and one.index not in dropped]
    against = [row for row, one in enumerate(field) if one.part is Part.REFERENCE]
    is_over = not left or (
        len(left) == 1
        and (losses.shape[1] >= TECHNIQUE_SEEDS or not against)
        and all(_is_settled(losses[row] - losses[left[0]], smallest_gain, level) for row in against)
    )
    return Decision(drops=tuple(drops), is_over=is_over)


def _checked(
    field: Sequence[Contender], reference: int | None, raced: int, smallest_gain: float
) -> npt.NDArray[np.float64]:
    """Return the losses, shape (contenders, seeds)."""
    indices, seeds = {one.index for one in field}, {len(one.losses) for one in field}
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
    losses = np.array([one.losses for one in field], dtype=np.float64)
    if not np.isfinite(losses).all():
        raise ValueError("a race needs finite losses; some are NaN or infinite")
    return losses


def _is_settled(gain: npt.NDArray[np.float64], smallest_gain: float, level: float) -> bool:
    return settle(partial(mean_interval, gain), smallest_gain, level)[0] is not Verdict.NOT_SETTLED


def _clear_verdict(
    losses: npt.NDArray[np.float64], row: int, base: int, best: int, smallest_gain: float, level: float
) -> tuple[str, int] | None:
    """Return why a technique's verdict is clear, and the row that it was compared with."""
    verdict, _ = settle(partial(mean_interval, losses[base] - losses[row]), smallest_gain, level)
    if verdict is Verdict.HARMS:
        return "clearly harms", base
    if verdict is Verdict.NO_DIFFERENCE:
        return "clearly makes no difference", base
    if verdict is Verdict.HELPS and mean_interval(losses[row] - losses[best], level).is_above(0):
        return "clearly helps, but is not the best", best
    return None
