"""How often does a race of finalists mislead, and what does it cost? Synthetic studies of the whole procedure.

    python tests/benchmarks/race_simulation.py [designs | errors | gains | sharing | second | splits] [STUDIES]

A study searches, picks its finalists by their luck on one seed, races them on fresh seeds, and judges them once on the
test rows. The luck of a seed is shared by select and test rows, as it is one network; the luck of the select rows is
drawn anew with each seed, that of the test rows is the same for all seeds. All studies of a table are computed at once;
`check` holds what is computed here against the product's own functions. README.md beside this has the tables.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
from scipy.special import stdtrit

from regsearch.studies.analysis.race import TECHNIQUE_SEEDS, Contender, Part, decide, round_ends
from regsearch.studies.analysis.verdicts import ALIKE_LEVEL, SMALLEST_GAIN_SHARE, Verdict, judge
from regsearch.studies.statistics import TIE_LEVEL, choose_winner_by_seeds, crossed_interval, shared_level

Array = np.ndarray

KINDS = ("none", "early stopping", "L1", "L2", "L1+L2", "dropout", "BatchNorm", *["combination"] * 4)
NONE, STOPPED, TECHNIQUES, CONFIGURATIONS = 0, 1, slice(2, 7), slice(7, 11)
BATCH_NORM = 4  # among the techniques
PARTS = (*[Part.REFERENCE] * 2, *[Part.TECHNIQUE] * 5, *[Part.CONFIGURATION] * 4)
PART_OF_TECHNIQUE = np.array([part is Part.TECHNIQUE for part in PARTS])
STRENGTHS, COMBINATIONS, TOP = 6, 14, 3
MOST_SEEDS, LEVEL, TINY = 12, 0.95, 1e-12


def by_kind(usual: float, none: float, batch_norm: float) -> tuple[float, ...]:
    """Give a spread of each kind of configuration."""
    return (none, *[usual] * 5, batch_norm, *[usual] * 4)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much luck there is. All spreads are of one configuration, by kind; a paired difference has two of them.

    Attributes:
        rows: how many test rows.
        row, residual: standard deviations over test rows, of what a row adds in all seeds and in one.
        seed: of what a seed adds to the mean on the test rows, beyond the residual.
        select: of a seed's mean on the select rows.
        correlation: of the means on select and test rows over seeds.
        by_split: the share of a seed's variance that its split draws, not its initial weights and order.
        tail: of rows and residual: "heavy" (Student's t, 3 degrees of freedom) or "skewed" (log-normal).
        loss: of early stopping alone; smallest gains are shares of it.
        recorded: gains of the techniques over early stopping alone, and of no regularization, as they were recorded.
    """

    rows: int
    row: tuple[float, ...]
    residual: tuple[float, ...]
    seed: tuple[float, ...]
    select: tuple[float, ...]
    correlation: float
    loss: float
    recorded: tuple[float, ...]
    by_split: float = 0.5
    tail: str = "heavy"


# a quarter of MNIST's rows with half of their spread: the same standard errors, in a quarter of the time
MNIST = Spread(
    rows=2500,
    row=by_kind(0.06, none=0.085, batch_norm=0.06),
    residual=by_kind(0.115, none=0.18, batch_norm=0.155),
    seed=by_kind(0.0018, none=0.0075, batch_norm=0.0045),
    select=by_kind(0.0055, none=0.0085, batch_norm=0.006),
    correlation=0.4,
    loss=0.078,
    recorded=(-0.018, 0, 0.0045, 0.0005, 0.004, 0.003, 0.001),
)
ACCURACY = Spread(
    rows=2500,
    row=by_kind(0.0125, none=0.0125, batch_norm=0.0125),
    residual=by_kind(0.047, none=0.047, batch_norm=0.05),
    seed=by_kind(0.0008, none=0.0022, batch_norm=0.001),
    select=by_kind(0.0011, none=0.0015, batch_norm=0.0012),
    correlation=0.3,
    loss=0.023,
    recorded=(-0.0013, 0, 0.001, 0, 0.001, 0.001, 0),
)
DIGITS = Spread(
    rows=360,
    row=by_kind(0.1, none=0.1, batch_norm=0.1),
    residual=by_kind(0.075, none=0.1, batch_norm=0.14),
    seed=by_kind(0.003, none=0.004, batch_norm=0.006),
    select=by_kind(0.008, none=0.009, batch_norm=0.014),
    correlation=0.5,
    loss=0.084,
    recorded=(-0.001, 0, 0.008, 0.008, 0.008, 0.006, 0.022),
)
SPREADS = {
    "MNIST": MNIST,
    "MNIST, correlation 0.7": replace(MNIST, correlation=0.7),
    "MNIST, skewed rows": replace(MNIST, tail="skewed"),
    "MNIST, accuracy": ACCURACY,
    "digits": DIGITS,
    "seeds decide": replace(
        MNIST,
        row=(0.01,) * 11,
        residual=(0.01,) * 11,
        seed=(0.005,) * 11,
        select=(0.006,) * 11,
        correlation=1.0,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is so: gains over early stopping alone.

    Attributes:
        none: of no regularization; None: as recorded.
        techniques: of each at its best strength, in smallest gains; None: as recorded.
        combinations: their mean, in smallest gains or as the recorded ones.
        varies: whether the strengths that were tried, and combinations, differ.
    """

    none: float | None = None
    techniques: tuple[float, ...] | None = None
    combinations: float = 0.0
    varies: bool = False


TRUTHS = {
    "nothing helps": Truth(none=0, techniques=(0,) * 5),
    "nothing beats early stopping": Truth(techniques=(0,) * 5),
    "as recorded": Truth(varies=True),
    "one helps, one harms": Truth(techniques=(2, -2, 0, 0, 0)),
    "all help": Truth(techniques=(2,) * 5, combinations=2),
    "just above d": Truth(techniques=(1.01, -1.01, 1.01, -1.01, 1.01), combinations=1.01),
}


class Noise:
    """Draws of mean 0 and variance 1, cut from one long roll."""

    def __init__(self, tail: str, seed: int = 0, length: int = 1 << 24) -> None:
        self.random = np.random.default_rng(seed)
        if tail == "heavy":
            roll = self.random.standard_t(3, length).astype(np.float32)
        else:
            roll = np.exp(self.random.standard_normal(length, dtype=np.float32))
        self._roll = (roll - roll.mean()) / roll.std()

    def draw(self, *shape: int) -> Array:
        size = int(np.prod(shape))
        start = self.random.integers(len(self._roll) - size)
        return self._roll[start : start + size].reshape(shape)


@dataclass(frozen=True)
class Rows:
    """What test rows add to paired differences over no regularization and over early stopping alone.

    Attributes:
        mean: of each seed, shape (studies, 2, finalists, seeds).
        of_rows, residual: mean squares over the first seeds, as many as the index says plus one; the same shape.
    """

    mean: Array
    of_rows: Array
    residual: Array


def draw_rows(spread: Spread, studies: int) -> Rows:
    """Draw test rows."""
    noise = Noise(spread.tail)
    shape = (studies, 2, len(KINDS), MOST_SEEDS)
    rows = Rows(np.empty(shape), np.empty(shape), np.empty(shape))
    row = np.array(spread.row, dtype=np.float32)[:, None, None]
    residual = np.array(spread.residual, dtype=np.float32)[:, None, None]
    for study in range(studies):
        losses = row * noise.draw(len(KINDS), 1, spread.rows)
        losses = losses + residual * noise.draw(len(KINDS), MOST_SEEDS, spread.rows)
        for reference in (NONE, STOPPED):
            found = mean_squares(losses[reference] - losses)
            rows.mean[study, reference], rows.of_rows[study, reference], rows.residual[study, reference] = found
    return rows


def mean_squares(differences: Array) -> tuple[Array, Array, Array]:
    """Return each seed's mean, and the mean squares of rows and residual over the first 1, 2, … seeds."""
    n, n_rows = np.arange(1, differences.shape[1] + 1), differences.shape[2]
    mean = differences.mean(axis=2, dtype=np.float64)
    total = np.cumsum(np.einsum("ksr,ksr->ks", differences, differences).astype(np.float64), axis=1)
    summed = np.cumsum(differences, axis=1)
    grand = np.cumsum(mean, axis=1) / n
    of_rows = np.einsum("ksr,ksr->ks", summed, summed).astype(np.float64) / n - n * n_rows * grand**2
    of_seeds = n_rows * (np.cumsum(mean**2, axis=1) - n * grand**2)
    rest = np.maximum(0, total - n * n_rows * grand**2 - of_rows - of_seeds)
    return mean, of_rows / (n_rows - 1), rest / np.maximum(1, n - 1) / (n_rows - 1)


@cache
def drawn(name: str, studies: int) -> Rows:
    """The test rows of a setting; the same for all truths and designs, so that they are compared on equal luck."""
    return draw_rows(SPREADS[name], studies)


def student(freedom: Array | int, level: Array | float) -> Array:
    return np.asarray(stdtrit(freedom, (1 + np.asarray(level)) / 2))


@dataclass(frozen=True, kw_only=True)
class Studies:
    """So many studies after their search.

    Attributes:
        spread: how much luck there is.
        smallest: the smallest gain that matters.
        gain: true gains over early stopping alone, shape (studies, finalists).
        races: which finalists there are, the same shape.
        complexity: the same shape.
        select: mean losses on select rows, shape (studies, finalists, seeds).
        parts: of paired differences on test rows: mean, and what seeds and the rest add to its variance, over the
            first seeds; shape (studies, 2, finalists, seeds) each.
    """

    spread: Spread
    smallest: float
    gain: Array
    races: Array
    complexity: Array
    select: Array
    parts: tuple[Array, Array, Array] = field(repr=False)

    @cached_property
    def level(self) -> Array:
        """The level of each interval, (studies, 1), shared among all that race but early stopping alone."""
        return np.array([[shared_level(int(raced) - 1)] for raced in self.races.sum(axis=1)])

    def interval(self, reference: int, seeds: Array, level: Array | float) -> tuple[Array, Array]:
        """Return the mean gain and half the length of its interval over so many seeds, (studies, finalists)."""
        at = np.maximum(seeds - 1, 0)[..., None]
        mean, of_seeds, rest = (np.take_along_axis(part[:, reference], at, axis=2)[..., 0] for part in self.parts)
        quantiles = student(seeds - 1, level), student(self.spread.rows - 1, level)
        return mean, np.sqrt(quantiles[0] ** 2 * of_seeds + quantiles[1] ** 2 * rest)


def run_searches(name: str, truth: Truth, smallest: float, studies: int, fixed_split: bool = False) -> Studies:
    """Search, pick finalists, and draw all their seeds; with a fixed split the luck of its rows stays."""
    spread, rows, random = SPREADS[name], drawn(name, studies), np.random.default_rng(1)
    seed, select, residual = (np.array(sds) for sds in (spread.seed, spread.select, spread.residual))
    on_test = np.hypot(seed, residual / spread.rows**0.5)
    shared = np.minimum(spread.correlation * on_test * select / seed, select)  # what a seed adds on select rows
    if spread.correlation == 1:
        shared = select
    own = np.sqrt(select**2 - shared**2)
    recorded = np.array(spread.recorded)
    best = recorded[2:] if truth.techniques is None else smallest * np.array(truth.techniques)
    combined = recorded[2] if truth.techniques is None else smallest * truth.combinations
    width = 0.05 * spread.loss * truth.varies  # the worst strength that is tried is so much worse than the best
    alone = best[:, None] - width * random.uniform(-1, 1, (studies, 5, STRENGTHS)) ** 2
    mixed = combined + width / 2 * random.standard_normal((studies, COMBINATIONS))
    tried = np.concatenate([alone.reshape(studies, -1), mixed], axis=1)
    of_split = spread.by_split**0.5 * random.standard_normal((2, *tried.shape))  # shared, own
    usual = STOPPED
    value = tried + shared[usual] * of_split[0] + own[usual] * of_split[1]
    value += (1 - spread.by_split) ** 0.5 * select[usual] * random.standard_normal(tried.shape)
    first = np.arange(5) * STRENGTHS
    groups = [value[:, at : at + STRENGTHS].argmax(axis=1) + at for at in first]
    picked = np.stack([*groups, value[:, 5 * STRENGTHS :].argmax(axis=1) + 5 * STRENGTHS], axis=1)
    top = np.argsort(-value, axis=1)[:, :TOP]
    trials = np.concatenate([picked, top], axis=1)
    gain = np.zeros((studies, len(KINDS)))
    gain[:, NONE] = recorded[0] if truth.none is None else truth.none
    gain[:, 2:] = np.take_along_axis(tried, trials, axis=1)
    races = np.ones(gain.shape, dtype=bool)
    races[:, 8:] = ~(top[:, :, None] == picked[:, None, :]).any(axis=2)
    complexity = np.broadcast_to([0, 1, *[2] * 5, *[3] * 4], gain.shape).copy()
    complexity[:, 8:] = np.where(top < 5 * STRENGTHS, 2, 3)
    shape = (studies, len(KINDS), MOST_SEEDS)
    luck, on_select = random.standard_normal(shape), random.standard_normal(shape)
    if fixed_split:
        stays = spread.by_split**0.5
        kept = random.standard_normal((2, studies, len(KINDS), 1))
        for which in (0, 1):
            kept[which, :, 2:, 0] = np.take_along_axis(of_split[which], trials, axis=1) / stays
        luck = stays * kept[0] + (1 - spread.by_split) ** 0.5 * luck
        on_select = stays * kept[1] + (1 - spread.by_split) ** 0.5 * on_select
    by_finalist = (np.newaxis, slice(None), np.newaxis)
    test = gain[:, :, None] + seed[by_finalist] * luck
    differences = rows.mean + test[:, None] - test[:, :2, None]
    n, n_rows = np.arange(1, MOST_SEEDS + 1), spread.rows
    mean = np.cumsum(differences, axis=3) / n
    of_seeds = n_rows * (np.cumsum(differences**2, axis=3) - n * mean**2) / np.maximum(1, n - 1)
    beyond = np.maximum(0, of_seeds - rows.residual) / (n * n_rows)
    return Studies(
        spread=spread,
        smallest=smallest,
        gain=gain,
        races=races,
        complexity=complexity,
        select=-gain[:, :, None] - shared[by_finalist] * luck - own[by_finalist] * on_select,
        parts=(mean, beyond, np.maximum(rows.of_rows, rows.residual) / (n * n_rows)),
    )


@dataclass(frozen=True, kw_only=True)
class Design:
    """A race.

    Attributes:
        rounds: after how many seeds each ends.
        behind: how many standard errors behind the best a contender is dropped.
        technique_seeds: how many seeds a technique gets before that.
        clear_early: whether a technique whose verdict is clear is dropped before.
        drops: whether any is dropped, and the race can be over before its last round.
    """

    rounds: tuple[int, ...]
    behind: float = 0
    technique_seeds: int = TECHNIQUE_SEEDS
    clear_early: bool = False
    drops: bool = True


SEEDS = 7
CHOSEN = Design(rounds=round_ends(SEEDS))
BEFORE = Design(rounds=(5,), drops=False)


def clear(mean: Array, error: Array, seeds: int, smallest: float, level: Array) -> tuple[Array, Array, Array]:
    """Return where a gain is clearly none that matters, clearly one, and clearly a loss."""
    alike = np.abs(mean) + student(seeds - 1, ALIKE_LEVEL) * error <= smallest
    half = student(seeds - 1, level) * error
    return alike, (mean - half > 0) & ~alike, (mean + half < 0) & ~alike


def mean_and_error(values: Array) -> tuple[Array, Array]:
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / values.shape[-1] ** 0.5


def race(studies: Studies, design: Design) -> tuple[Array, Array]:
    """Return how many seeds each finalist got, and who was in to the end; shape (studies, finalists)."""
    running = studies.races.copy()
    seeds = np.zeros(running.shape, dtype=int)
    is_over = np.zeros(len(running), dtype=bool)
    for end in design.rounds:
        seeds[running & ~is_over[:, None]] = end
        if end == design.rounds[-1] or not design.drops:
            continue
        select = studies.select[:, :, :end]
        best = np.where(running, select.mean(axis=2), np.inf).argmin(axis=1)[:, None]
        mean, error = mean_and_error(select - np.take_along_axis(select, best[:, :, None], axis=1))
        behind = mean > design.behind * error
        over_stopped = clear(*mean_and_error(select[:, [STOPPED]] - select), end, studies.smallest, studies.level)
        is_clearly_behind = mean > student(end - 1, studies.level) * error
        drop = np.zeros_like(running)
        drop[:, CONFIGURATIONS] = behind[:, CONFIGURATIONS]
        harms_or_alike = over_stopped[0] | over_stopped[2]
        early = design.clear_early & (harms_or_alike | (over_stopped[1] & is_clearly_behind))
        drop[:, TECHNIQUES] = (early | (behind & (end >= design.technique_seeds)))[:, TECHNIQUES]
        np.put_along_axis(drop, best, False, axis=1)
        running &= ~(drop & ~is_over[:, None])
        left = running[:, 2:].sum(axis=1)
        last = running[:, 2:].argmax(axis=1)[:, None] + 2
        gains = select[:, :2] - np.take_along_axis(select, last[:, :, None], axis=1)
        says = np.any(clear(*mean_and_error(gains), end, studies.smallest, studies.level), axis=0)
        is_over |= (left == 0) | ((left == 1) & says.all(axis=1) & (end >= design.technique_seeds))
    return seeds, running


def winners(studies: Studies, seeds: Array, running: Array) -> Array:
    """Return the winner of each study, by ties over the means of seeds."""
    found, ends = np.empty(len(seeds), dtype=int), seeds.max(axis=1)
    for end in np.unique(ends):
        of = np.flatnonzero(ends == end)
        select, there = studies.select[of, :, :end], running[of]
        means = np.where(there, select.mean(axis=2), np.inf)
        best = means.argmin(axis=1)[:, None, None]
        mean, error = mean_and_error(select - np.take_along_axis(select, best, axis=1))
        tied = there & (mean <= student(end - 1, TIE_LEVEL) * error)
        found[of] = np.where(tied, 10 * studies.complexity[of] + means, np.inf).argmin(axis=1)
    return found


def check(studies: Studies, design: Design, some: int = 100) -> None:
    """Hold what is computed here for all studies at once against the product's functions."""
    seeds, running = race(studies, design)
    won = winners(studies, seeds, running)
    for study in range(some):
        there = [int(one) for one in np.flatnonzero(studies.races[study])]
        raced, got = len(there), dict.fromkeys(there, 0)
        for end in design.rounds:
            got |= dict.fromkeys(there, end)
            if end == design.rounds[-1]:
                break
            contenders = [
                Contender(index=one, part=PARTS[one], losses=studies.select[study, one, :end]) for one in there
            ]
            decision = decide(contenders, STOPPED, raced, studies.smallest)
            there = [one for one in there if one not in {drop.index for drop in decision.drops}]
            if decision.is_over:
                break
        assert got == {one: seeds[study, one] for one in got}, study
        assert there == list(np.flatnonzero(running[study])), study
        table = studies.select[study, there, : got[STOPPED]]
        winner = choose_winner_by_seeds(table, [int(studies.complexity[study, one]) for one in there])
        assert there[winner.index] == won[study], study
    noise = Noise("heavy", length=1 << 16)
    for n_seeds in (2, 3, 7):
        table = noise.draw(4, 1, 300) + noise.draw(4, n_seeds, 300) + noise.random.normal(size=(4, n_seeds, 1))
        mean, of_rows, residual = mean_squares(table)
        for one in range(4):
            of_seeds = 300 * mean[one].var(ddof=1)
            beyond = max(0, of_seeds - residual[one, -1]) / (n_seeds * 300)
            rest = max(of_rows[one, -1], residual[one, -1]) / (n_seeds * 300)
            half = np.sqrt(student(n_seeds - 1, 0.98) ** 2 * beyond + student(299, 0.98) ** 2 * rest)
            interval = crossed_interval(table[one], 0.98)
            assert np.isclose(interval.high - interval.mean, half, rtol=1e-3)
            alike = crossed_interval(table[one], ALIKE_LEVEL)
            within = alike.low >= -0.3 and alike.high <= 0.3
            assert (judge(table[one], 0.3, 0.98).verdict is Verdict.NO_DIFFERENCE) == within


Figure = tuple[float, float]
"""A rate or mean, and its Monte Carlo error."""


def figure(values: Array, where: Array | None = None) -> Figure:
    """Return the mean over studies, of those values that count; finalists of one study are not independent."""
    values = np.asarray(values, dtype=float)
    where = np.ones(values.shape, dtype=bool) if where is None else where
    if not where.any():
        return np.nan, np.nan
    count = where.reshape(len(where), -1).sum(axis=1)
    total = np.where(where, values, 0).reshape(len(where), -1).sum(axis=1)
    mean = total.sum() / count.sum()
    return mean, float(np.sqrt(np.square(total - mean * count).sum()) / count.sum())


class Outcome:
    """What a design makes of some studies."""

    def __init__(self, studies: Studies, design: Design) -> None:
        self.studies = studies
        self.seeds, self.running = race(studies, design)
        self.winner = winners(studies, self.seeds, self.running)
        self.true = studies.gain[:, TECHNIQUES]
        mean, half = (part[:, TECHNIQUES] for part in studies.interval(STOPPED, self.seeds, studies.level))
        alike = studies.interval(STOPPED, self.seeds, ALIKE_LEVEL)[1][:, TECHNIQUES]
        self.alike = np.abs(mean) + alike <= studies.smallest
        self.helps, self.harms = (mean - half > 0) & ~self.alike, (mean + half < 0) & ~self.alike
        self.settled = self.alike | self.helps | self.harms

    def covers(self, level: Array | float) -> Array:
        """Return whether the intervals of the techniques over early stopping alone cover."""
        mean, half = self.studies.interval(STOPPED, self.seeds, level)
        return (np.abs(mean - self.studies.gain) <= half)[:, TECHNIQUES]

    def of_winner(self, reference: int, level: Array | float) -> tuple[Array, Array, Array, Array]:
        """Return the winner's mean gain, half its interval, its true gain, and whether it isn't the reference."""
        every = np.arange(len(self.winner))
        mean, half = self.studies.interval(reference, self.seeds, level)
        gain = self.studies.gain
        true = gain[every, self.winner] - gain[:, reference]
        return mean[every, self.winner], half[every, self.winner], true, self.winner != reference

    def winner_covers(self, reference: int, level: Array | float) -> Figure:
        mean, half, true, counts = self.of_winner(reference, level)
        return figure(np.abs(mean - true) <= half, counts)

    @property
    def false_helps(self) -> Array:
        return (self.helps & (self.true <= TINY)).any(axis=1)

    def falsely_gains(self, reference: int) -> Array:
        """Return whether the winner is said to gain over a reference, and does not."""
        mean, half, true, counts = self.of_winner(reference, self.studies.level)
        return counts & (mean - half > 0) & (true <= TINY)

    @property
    def false_claims(self) -> Array:
        """Whether any technique is said to help, or the winner to gain over either reference, that does not."""
        return self.false_helps | self.falsely_gains(NONE) | self.falsely_gains(STOPPED)

    @property
    def low_ends_hold(self) -> Array:
        """Whether no low end of a technique's shared interval is above the truth."""
        mean, half = self.studies.interval(STOPPED, self.seeds, self.studies.level)
        return (mean - half <= self.studies.gain)[:, TECHNIQUES].all(axis=1)

    @property
    def contradicts(self) -> Array:
        alike = self.alike & (np.abs(self.true) > self.studies.smallest * (1 + TINY))
        return alike | (self.helps & (self.true <= TINY)) | (self.harms & (self.true >= -TINY))

    @property
    def true_claims(self) -> Array:
        return (self.helps & (self.true > TINY)) | (self.harms & (self.true < -TINY))

    def claims(self, reference: int) -> Figure:
        mean, half, true, counts = self.of_winner(reference, self.studies.level)
        return figure(counts & (mean - half > 0) & (true > TINY))


def percent(found: Figure) -> str:
    return "–" if np.isnan(found[0]) else f"{100 * found[0]:.1f} ± {100 * found[1]:.1f}"


def number(found: Figure, digits: int = 1) -> str:
    return f"{found[0]:.{digits}f}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(head) + " |", "|" + "---|" * len(head), sep="\n")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def smallest_gain(name: str, share: float | None = None) -> float:
    """Return the smallest gain that matters, by the share of the product unless another is given."""
    objective = "accuracy" if "accuracy" in name else "cross_entropy"
    return (SMALLEST_GAIN_SHARE[objective] if share is None else share) * SPREADS[name].loss


def designs(studies: int) -> None:
    """Compare designs by what they cost and find, on MNIST's spreads."""
    variants = {
        "5 seeds for all": BEFORE,
        "7 for all": Design(rounds=(7,), drops=False),
        "10 for all": Design(rounds=(10,), drops=False),
        "rounds 3, 5, 7": CHOSEN,
        "dropped if 0.5 errors behind": replace(CHOSEN, behind=0.5),
        "1 error behind": replace(CHOSEN, behind=1),
        "2 errors behind": replace(CHOSEN, behind=2),
        "techniques from 3 seeds on": replace(CHOSEN, technique_seeds=3),
        "clear verdicts from 3 seeds on": replace(CHOSEN, clear_early=True),
        "techniques never": replace(CHOSEN, technique_seeds=100),
        "rounds 2, 5, 7": Design(rounds=(2, 5, 7)),
        "rounds 5, 7": Design(rounds=(5, 7)),
        "rounds 3, 6": Design(rounds=(3, 6)),
        "rounds 3, 6, 8": Design(rounds=(3, 6, 8)),
        "rounds 3, 5, 6, 0.5 errors": Design(rounds=(3, 5, 6), behind=0.5),
        "rounds 3, 5, 8": Design(rounds=(3, 5, 8)),
        "rounds 3, 5, 7, 10": Design(rounds=(3, 5, 7, 10)),
    }
    smallest = smallest_gain("MNIST")
    truths = ("nothing beats early stopping", "as recorded", "one helps, one harms", "all help")
    searched = {truth: run_searches("MNIST", TRUTHS[truth], smallest, studies) for truth in truths}
    rows = []
    for name, design in variants.items():
        of = {truth: Outcome(searched[truth], design) for truth in truths}
        recorded, mixed = of["as recorded"], of["one helps, one harms"]
        half = recorded.of_winner(NONE, LEVEL)[1]
        shared = recorded.of_winner(NONE, recorded.studies.level)[1]
        lost = recorded.studies.gain.max(axis=1, where=recorded.studies.races, initial=-1)
        lost = lost - recorded.studies.gain[np.arange(studies), recorded.winner]
        spent = [number(figure(one.seeds.sum(axis=1)), 0) for one in of.values()]
        rows.append(
            [
                name,
                ", ".join(spent),
                percent(figure(mixed.settled[:, 0])),
                percent(figure(mixed.settled[:, 1])),
                percent(figure(of["all help"].settled)),
                percent(figure(mixed.alike[:, 2:4])),
                percent(figure(recorded.true_claims)),
                percent(recorded.claims(STOPPED)),
                f"{1000 * np.median(half):.1f}, {1000 * np.quantile(half, 0.9):.1f}",
                f"{1000 * np.median(shared):.1f}, {1000 * np.quantile(shared, 0.9):.1f}",
                f"{1000 * lost.mean():.2f}",
            ]
        )
    head = (
        "design",
        "trainings",
        "2d helps",
        "2d harms",
        "all help by 2d",
        "0: no difference",
        "true claims",
        "winner's claim",
    )
    print_table((*head, "half-width 95 %", "shared", "lost"), rows)


def errors(studies: int) -> None:
    """Print how often intervals cover and verdicts contradict the truth, by setting and truth."""
    rows = []
    for name in SPREADS:
        for truth, what in TRUTHS.items():
            searched = run_searches(name, what, smallest_gain(name), studies)
            if truth == "as recorded":
                check(searched, CHOSEN)
            now = Outcome(searched, CHOSEN)
            dropped = now.seeds[:, TECHNIQUES] < now.seeds[:, [STOPPED]]
            at = searched.level
            middle = 1 - (1 - LEVEL) / 2
            winner = [
                percent(now.winner_covers(reference, level))
                for level in (LEVEL, middle, at)
                for reference in (NONE, STOPPED)
            ]
            false = figure(now.false_helps), figure(now.falsely_gains(NONE)), figure(now.false_claims)
            rows.append(
                [
                    name,
                    truth,
                    number(figure(now.seeds.sum(axis=1)), 0),
                    percent(figure(now.covers(LEVEL))),
                    percent(figure(now.covers(LEVEL), dropped)),
                    percent(figure(now.low_ends_hold)),
                    *winner,
                    percent(figure(now.contradicts)),
                    *map(percent, false),
                ]
            )
        drawn.cache_clear()
    head = ("setting", "truth", "trainings", "covers 95 %", "dropped", "no low end too high")
    ways = [f"winner over {over}, {at}" for at in ("95 %", "97.5 %", "shared") for over in ("none", "early stopping")]
    print_table((*head, *ways, "contradicts", "false help", "winner over none, falsely", "any false claim"), rows)


def gains(studies: int) -> None:
    """Print what is settled by the smallest gain that matters."""
    rows = []
    for name in ("MNIST", "MNIST, accuracy", "digits"):
        for share in (0.05, 0.06, 0.065, 0.07, 0.08, 0.09, 0.1, 0.15, 0.18, 0.2):
            smallest = smallest_gain(name, share)
            mixed, helped, recorded, first = (
                Outcome(run_searches(name, TRUTHS[truth], smallest, studies), CHOSEN)
                for truth in ("one helps, one harms", "all help", "as recorded", "nothing beats early stopping")
            )
            before = Outcome(mixed.studies, BEFORE)
            usual = np.arange(5) != BATCH_NORM
            rows.append(
                [
                    name,
                    f"{100 * share:.3g} %",
                    percent(figure(mixed.settled[:, 0])),
                    percent(figure(mixed.settled[:, 1])),
                    percent(figure(before.helps[:, 0])),
                    percent(figure(helped.settled[:, usual])),
                    percent(figure(helped.settled[:, BATCH_NORM])),
                    percent(figure(first.alike[:, usual])),
                    percent(figure(first.alike[:, BATCH_NORM])),
                    percent(figure(recorded.settled)),
                ]
            )
        drawn.cache_clear()
    head = ("setting", "d", "one helps by 2d", "one harms by 2d", "5 seeds for all: helps", "all help by 2d")
    print_table((*head, "BatchNorm", "true 0: no difference", "BatchNorm", "as recorded, settled"), rows)


def second(studies: int) -> None:
    """Print what a second look does: studies in which a technique is not settled train on, and are judged again.

    Either only those go on that were in to the end, or all techniques; then all have `MOST_SEEDS`.
    """
    rows = []
    for name in ("MNIST", "MNIST, correlation 0.7", "seeds decide"):
        for truth in ("nothing beats early stopping", "one helps, one harms"):
            searched = run_searches(name, TRUTHS[truth], smallest_gain(name), studies)
            first = Outcome(searched, CHOSEN)
            goes_on = ~first.settled.all(axis=1, keepdims=True)
            wins = np.arange(studies), first.winner
            for who, again in (("the last", first.running), ("all techniques", first.running | PART_OF_TECHNIQUE)):
                seeds = np.where(goes_on & again & searched.races, MOST_SEEDS, first.seeds)
                cells = [name, truth, who]
                for looks in (1, 2):
                    paid = np.array([[shared_level(int(raced) - 1, looks)] for raced in searched.races.sum(axis=1)])
                    level = np.where(goes_on, paid, searched.level)
                    mean, half = searched.interval(STOPPED, seeds, level)
                    gains_again = (mean - half > 0)[:, TECHNIQUES]
                    false = ((first.helps | gains_again) & (first.true <= TINY)).any(axis=1)
                    covers = np.abs(mean - searched.gain) <= half
                    cells.append(percent(figure(covers[wins], first.winner != STOPPED)))
                    cells.append(percent(figure(false)))
                    cells.append(percent(figure((first.helps | gains_again)[:, 0])))
                rows.append(cells)
        drawn.cache_clear()
    of = ("winner covers", "a false gain in either look", "L1 helps in either look")
    print_table(("setting", "truth", "go on", *of, *(f"paid: {one}" for one in of)), rows)


def holm(outcome: Outcome) -> Array:
    """Return which techniques are said to help by Holm's steps, each against fewer comparisons than the one before."""
    reached = np.zeros(outcome.helps.shape, dtype=int)  # among how many comparisons each would still be a gain
    for comparisons in range(1, len(KINDS)):
        mean, half = outcome.studies.interval(STOPPED, outcome.seeds, shared_level(comparisons))
        reached += (mean - half > 0)[:, TECHNIQUES]
    order = np.argsort(-reached, axis=1, kind="stable")
    left = outcome.studies.races.sum(axis=1)[:, None] - 1 - np.arange(reached.shape[1])
    passes = np.logical_and.accumulate(np.take_along_axis(reached, order, axis=1) >= left, axis=1)
    helps = np.zeros_like(outcome.helps)
    np.put_along_axis(helps, order, passes, axis=1)
    return helps & ~outcome.alike


def sharing(studies: int) -> None:
    """Compare how the risk is shared: how often any technique is falsely said to help, and how many truly are."""
    rows = []
    ways = {"2: each at 95 %": 2, "3": 3, "4": 4, "5: the techniques": 5, "all that raced": None}
    for name in ("MNIST", "MNIST, skewed rows", "seeds decide"):
        outcomes = [
            Outcome(run_searches(name, TRUTHS[truth], smallest_gain(name), studies), CHOSEN)
            for truth in ("nothing beats early stopping", "one helps, one harms", "all help")
        ]
        for way, comparisons in ways.items():
            found = []
            for outcome in outcomes:
                level = outcome.studies.level if comparisons is None else shared_level(comparisons)
                mean, half = outcome.studies.interval(STOPPED, outcome.seeds, level)
                found.append((mean - half > 0)[:, TECHNIQUES])
            rows.append([name, way, *_sharing_cells(outcomes[0], found)])
        found = [holm(outcome) for outcome in outcomes]
        rows.append([name, "all that raced, Holm's steps", *_sharing_cells(outcomes[0], found)])
        drawn.cache_clear()
    print_table(("setting", "risk shared among", "any false gain", "one helps by 2d: found", "all help: found"), rows)


def _sharing_cells(null: Outcome, found: Sequence[Array]) -> list[str]:
    of_null, mixed, helped = found
    false = (of_null & (null.true <= TINY)).any(axis=1)
    return [percent(figure(false)), percent(figure(mixed[:, 0])), percent(figure(helped))]


def splits(studies: int) -> None:
    """Print how often intervals over five seeds cover if the split is fixed, or drawn with each seed."""
    rows = []
    for name in ("MNIST", "MNIST, correlation 0.7", "digits"):
        for truth in ("nothing beats early stopping", "as recorded"):
            cells = [name, truth]
            for fixed in (True, False):
                searched = run_searches(name, TRUTHS[truth], smallest_gain(name), studies, fixed_split=fixed)
                before = Outcome(searched, BEFORE)
                half = before.of_winner(NONE, searched.level)[1]
                cells.append(percent(figure(before.covers(LEVEL))))
                cells.append(percent(before.winner_covers(STOPPED, LEVEL)))
                cells.append(percent(before.winner_covers(NONE, LEVEL)))
                cells.append(percent(figure(before.false_claims)))
                cells.append(f"{1000 * np.median(half):.1f}")
            rows.append(cells)
        drawn.cache_clear()
    head = ("covers", "winner over early stopping", "over none", "any false claim", "half-width, shared")
    print_table(("setting", "truth", *(f"fixed: {one}" for one in head), *(f"drawn: {one}" for one in head)), rows)


TABLES: dict[str, Callable[[int], None]] = {
    "designs": designs,
    "errors": errors,
    "gains": gains,
    "sharing": sharing,
    "second": second,
    "splits": splits,
}


def main() -> None:
    names = [name for name in TABLES if name in sys.argv[1:]] or list(TABLES)
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    for name in names:
        TABLES[name](numbers[0] if numbers else 2000)


if __name__ == "__main__":
    main()
