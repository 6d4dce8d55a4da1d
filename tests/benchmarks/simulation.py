"""How often does a confirmation mislead? Synthetic studies of its whole procedure, from search to claim, no training.

    python tests/benchmarks/simulation.py [STUDIES]
    python tests/benchmarks/simulation.py quantiles

A study has a hidden loss for each kind of configuration. Its search tries 60 trials on one seed and takes the finalists
by their luck on the select rows: the best three, the best of each technique, the best combination, and both baselines.
They keep that luck of rows when they are trained again on fresh seeds, and the luck of a seed is the same on select and
test rows, as it is one network. What all finalists share, such as hard rows, cancels in their differences and is left
out. README.md beside this has the tables, and what they settled.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from regsearch.studies.statistics import TIE_LEVEL, Interval, choose_winner, gain, shared_level

Array = np.ndarray

KINDS = ("none", "early stopping", "L1", "L2", "dropout", "BatchNorm", "combination")
COMPLEXITY = (0, 1, 2, 2, 2, 2, 3)
TRIED = np.repeat(range(2, 7), [9, 9, 9, 9, 24])  # the kinds of the 60 trials of a search
TOP, LEVEL, TINY = 3, 0.95, 1e-12
RULES = ("alone", "both", "shared")
NOTHING = "nothing helps"

GAINS: dict[str, tuple[float, ...]] = {  # of each kind over none, as parts of a setting's full gain
    NOTHING: (0, 0, 0, 0, 0, 0, 0),
    "one helps": (0, 0, 0, 0, 0, 0, 1),
    "all help alike": (0, 1, 1, 1, 1, 1, 1),
    "more helps more": (0, 0.3, 0.6, 0.6, 0.8, 0.6, 1),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a kind of study is like.

    Attributes:
        gains: a name in GAINS.
        effect: the full gain over none, in standard errors of the difference of two configurations on the test rows.
        seeds, select_rows, test_rows: what confirmation has.
        seed, row, residual: standard deviations of what a seed, a row, and both together add to one configuration.
        tail: of rows and residual: "normal", "heavy" (Student's t, 3 degrees of freedom) or "skewed" (log-normal, and
            twice as wild without regularization).
    """

    gains: str = NOTHING
    effect: float = 3.5
    seeds: int = 5
    select_rows: int = 1500
    test_rows: int = 2500
    seed: float = 0.0025
    row: float = 0.05
    residual: float = 0.1
    tail: str = "heavy"

    @property
    def gain(self) -> float:
        """The full gain in nats a row."""
        variance = self.seed**2 / self.seeds + (self.row**2 + self.residual**2 / self.seeds) / self.test_rows
        return 0.0 if self.gains == NOTHING else self.effect * (2 * variance) ** 0.5


def gains_over(losses: Array, baseline: int, level: float) -> tuple[Interval, ...]:
    """Return how much lower each finalist's losses are than the baseline's, with the risk shared."""
    each = shared_level(len(losses) - 1, level=level)
    return tuple(gain(finalist, losses[baseline], each) for finalist in losses)


@dataclass(frozen=True, kw_only=True)
class Study:
    """The finalists: kind and expected loss of each, and losses of shape (finalists, seeds, rows)."""

    kinds: Array
    expected: Array
    select: Array
    test: Array

    @property
    def complexity(self) -> list[int]:
        return [COMPLEXITY[kind] for kind in self.kinds]

    @cached_property
    def shared(self) -> tuple[Interval, ...]:
        """The gains over none as the report says them."""
        return gains_over(self.test, 0, LEVEL)

    @cached_property
    def over_stopped(self) -> tuple[Interval, ...]:
        """The gains over early stopping alone as the report says them."""
        return gains_over(self.test, 1, LEVEL)

    @cached_property
    def alone(self) -> tuple[Interval, ...]:
        """The gains over none if each interval stood alone."""
        return tuple(gain(losses, self.test[0], LEVEL) for losses in self.test)


class Noise:
    """Draws of mean 0 and variance 1, cut from long rolls of each shape: a thousand studies in seconds."""

    def __init__(self, seed: int, length: int = 1 << 23) -> None:
        self.random = np.random.default_rng(seed)
        normal = self.random.standard_normal(length, dtype=np.float32)
        self._rolls = {"normal": normal}
        self._rolls["heavy"] = self.random.standard_t(3, length).astype(np.float32)
        self._rolls["skewed"] = np.exp(self.random.standard_normal(length, dtype=np.float32))
        for roll in self._rolls.values():
            roll -= roll.mean()
            roll /= roll.std()

    def draw(self, tail: str, *shape: int) -> Array:
        roll, size = self._rolls[tail], int(np.prod(shape))
        start = self.random.integers(len(roll) - size)
        return roll[start : start + size].reshape(shape)


def run_study(setting: Setting, noise: Noise) -> Study:
    """Search and confirm once."""
    expected = -setting.gain * np.array(GAINS[setting.gains])
    luck = setting.row / setting.select_rows**0.5 * noise.random.standard_normal(len(TRIED))
    one_seed = np.hypot(setting.seed, setting.residual / setting.select_rows**0.5)
    value = expected[TRIED] + luck + one_seed * noise.random.standard_normal(len(TRIED))
    best_of_kind = [np.flatnonzero(kind == TRIED)[value[kind == TRIED].argmin()] for kind in range(2, 7)]
    trials = sorted({*best_of_kind, *value.argsort()[:TOP]})
    kinds = np.array([0, 1, *TRIED[trials]])
    fixed = expected[kinds][:, None, None] + setting.seed * noise.random.standard_normal((len(kinds), setting.seeds, 1))
    return Study(
        kinds=kinds,
        expected=expected[kinds],
        select=fixed + _of_rows(setting, noise, setting.select_rows, [None, None, *luck[trials]]),
        test=fixed + _of_rows(setting, noise, setting.test_rows, [None] * len(kinds)),
    )


def _of_rows(setting: Setting, noise: Noise, n_rows: int, lucky: Sequence[float | None]) -> Array:
    """Return what rows and residual add, (finalists, seeds, rows); the mean of rows is the luck given, if any."""
    of_row = setting.row * noise.draw(setting.tail, len(lucky), 1, n_rows)
    residual = setting.residual * noise.draw(setting.tail, len(lucky), setting.seeds, n_rows)
    if setting.tail == "skewed":
        wild = np.array([2.0] + [1.0] * (len(lucky) - 1), dtype=np.float32)[:, None, None]
        of_row, residual = wild * of_row, wild * residual
    for finalist, mean in enumerate(lucky):
        if mean is not None:
            of_row[finalist] += mean - of_row[finalist].mean()
    return of_row + residual


def by_seeds(select: Array, complexity: Sequence[int]) -> int:
    """The winner if ties were judged by Student's t over the seeds alone."""
    of_seed = select.mean(axis=2)
    means = of_seed.mean(axis=1)
    behind = of_seed - of_seed[means.argmin()]
    error = behind.std(axis=1, ddof=1) / behind.shape[1] ** 0.5
    tied = np.flatnonzero(behind.mean(axis=1) <= stdtrit(behind.shape[1] - 1, (1 + TIE_LEVEL) / 2) * error)
    return int(min(tied, key=lambda index: (complexity[index], means[index])))


TIES: dict[str, Callable[[Array, Sequence[int]], int]] = {
    "crossed, 68 %": lambda select, complexity: choose_winner(select, complexity).index,
    "crossed, 95 %": lambda select, complexity: choose_winner(select, complexity, LEVEL).index,
    "seeds only, 68 %": by_seeds,
    "lowest mean": lambda select, complexity: int(select.mean(axis=(1, 2)).argmin()),
}


class Tally:
    """Sums of figures by question."""

    def __init__(self) -> None:
        self.figures: dict[str, list[float]] = defaultdict(list)

    def note(self, question: str, figure: float) -> None:
        self.figures[question].append(float(figure))

    def percent(self, *question: str) -> str:
        """The mean in percent; a dash where a question came up too seldom to tell."""
        figures = self.figures["/".join(question)]
        return "–" if len(figures) < 100 else f"{100 * np.mean(figures):.1f}"


def judge_winner(study: Study, ties: str, tally: Tally) -> None:
    """Note what one rule of ties makes of a study, and what the rules of a claim make of its winner."""
    select, expected, complexity = study.select.astype(np.float64), study.expected, study.complexity
    winner = TIES[ties](select, complexity)
    true = expected[0] - expected[winner]
    shared, alone = study.shared[winner], study.alone[winner]
    if winner != 0:
        tally.note(f"{ties}/alone covers", alone.low <= true <= alone.high)
        tally.note(f"{ties}/shared covers", shared.low <= true <= shared.high)
    claims = {"alone": winner != 0 and alone.is_above(0), "shared": winner != 0 and shared.is_above(0)}
    claims["both"] = claims["alone"] and gain(select[winner], select[0], LEVEL).is_above(0)
    for rule, claim in claims.items():
        tally.note(f"{ties}/{rule} false", claim and true <= TINY)
        tally.note(f"{ties}/{rule} right", claim and true > TINY)
    as_good = [c for c, loss in zip(complexity, expected, strict=True) if loss <= expected[winner] + TINY]
    tally.note(f"{ties}/needless", complexity[winner] > min(as_good))
    if expected.min() < expected[0]:
        tally.note(f"{ties}/lost", (expected[winner] - expected.min()) / (expected[0] - expected.min()))


def judge_techniques(study: Study, tally: Tally) -> None:
    """Note what the technique table says of the best trial of each technique, over none and over early stopping."""
    columns = (("alone", study.alone, 0), ("shared", study.shared, 0), ("over early stopping", study.over_stopped, 1))
    for rule, gains, reference in columns:
        rows = [int(np.flatnonzero(study.kinds == kind)[0]) for kind in range(reference + 1, len(KINDS))]
        true = study.expected[reference] - study.expected[rows]
        table = [gains[row] for row in rows]
        covers = [row.low <= gained <= row.high for row, gained in zip(table, true, strict=True)]
        above = np.array([row.is_above(0) for row in table])
        tally.note(f"{rule}/covers", np.mean(covers))
        tally.note(f"{rule}/some row misses", not all(covers))
        tally.note(f"{rule}/some false gain", bool((above & (true <= TINY)).any()))
        tally.note(f"{rule}/some low end misses", any(row.low > t for row, t in zip(table, true, strict=True)))
        if (true > TINY).any():
            tally.note(f"{rule}/found", above[true > TINY].mean())


def simulate(setting: Setting, studies: int, noise: Noise) -> Tally:
    tally = Tally()
    for _ in range(studies):
        study = run_study(setting, noise)
        for ties in TIES:
            judge_winner(study, ties, tally)
        judge_techniques(study, tally)
    return tally


def settings() -> dict[str, Setting]:
    """The confirmations, by name.

    MNIST's spreads are those of 16 trainings of the course's network, but a quarter of the rows with half of their
    spread: the same standard errors, in a quarter of the time.
    """
    mnist = Setting()
    digits = Setting(select_rows=144, test_rows=360, seed=0.006, row=0.1, residual=0.2)
    seeds = Setting(select_rows=360, test_rows=360, seed=0.05)
    several = {
        f"{name}, S = {n_seeds}": replace(base, seeds=n_seeds)
        for name, base in (("MNIST", mnist), ("digits", digits), ("seeds decide", seeds))
        for n_seeds in (2, 3, 5, 10)
    }
    return {
        **several,
        "digits, normal, S = 5": replace(digits, tail="normal"),
        "digits, skewed, S = 5": replace(digits, tail="skewed"),
    }


def quantiles(draws: int = 200_000, n_rows: int = 1000, residual_share: float = 0.2) -> None:
    """Hold the interval's two quantiles against one for the sum, by Satterthwaite, where losses are normal.

    Prints the lowest coverage over the seeds' share of the variance of the mean, at 95 % and at the 99.3 % that each of
    seven shared intervals has, and how much longer the interval is at 95 % on average.
    """
    random = np.random.default_rng(0)
    for n_seeds in (2, 3, 5, 10):
        covers, longer = defaultdict(list), []
        for share in (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1):
            rest = (1 - share) * (1 - residual_share)
            both = max((1 - share) * residual_share, 1e-6)
            degrees = np.array([n_seeds - 1, n_rows - 1, (n_seeds - 1) * (n_rows - 1)])
            seeds, rows, residual = (
                expected * random.chisquare(freedom, draws) / freedom
                for expected, freedom in zip((share + both, rest + both, both), degrees, strict=True)
            )
            mean = random.standard_normal(draws) * (share + rest + both) ** 0.5
            least = np.maximum(seeds, residual), np.maximum(rows, residual), residual
            variance = least[0] + least[1] - residual
            freedom = variance**2 / sum(part**2 / of for part, of in zip(least, degrees, strict=True))
            for level in (LEVEL, 0.993):
                one = stdtrit(freedom, (1 + level) / 2) * variance**0.5
                ends = stdtrit(degrees[:2], (1 + level) / 2) ** 2
                two = (ends[0] * (least[0] - residual) + ends[1] * least[1]) ** 0.5
                covers[f"Satterthwaite {level}"].append(np.mean(abs(mean) <= one))
                covers[f"ours {level}"].append(np.mean(abs(mean) <= two))
                if level == LEVEL:
                    longer.append(two.mean() / one.mean() - 1)
        worst = ", ".join(f"{name}: {100 * min(found):.1f}" for name, found in covers.items())
        print(f"S = {n_seeds}: {worst}; longer by {100 * np.mean(longer):.0f} %")


WINNER = (
    *("alone covers", "shared covers"),
    *(f"{rule} {is_so}" for is_so in ("false", "right") for rule in RULES),
    *("needless", "lost"),
)
TABLE = ("covers", "some row misses", "some low end misses", "some false gain", "found")


def tables(studies: int) -> None:
    """Print what the rules make of so many studies of each setting."""
    noise = Noise(0)
    print("| setting | gains | ties | " + " | ".join(WINNER) + " |")
    of_techniques = ["", "| setting | gains | intervals | " + " | ".join(TABLE) + " |"]
    for name, setting in settings().items():
        for gains in GAINS if name in ("MNIST, S = 5", "digits, S = 5") else (NOTHING, "one helps", "all help alike"):
            tally = simulate(replace(setting, gains=gains), studies, noise)
            for ties in TIES:
                cells = [tally.percent(ties, question) for question in WINNER]
                print(f"| {name} | {gains} | {ties} | " + " | ".join(cells) + " |", flush=True)
            for rule in ("alone", "shared", "over early stopping"):
                cells = [tally.percent(rule, question) for question in TABLE]
                of_techniques.append(f"| {name} | {gains} | {rule} | " + " | ".join(cells) + " |")
    print(*of_techniques, sep="\n")


def main() -> None:
    if sys.argv[1:] == ["quantiles"]:
        quantiles()
    else:
        tables(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)


if __name__ == "__main__":
    main()
