"""A fair contest: which settings a study tries next, so that every technique is tuned alone before any is combined.

Each contestant (L1, L2, dropout, BatchNorm, L1+L2) gets the same treatment: it starts low and increases until it is
too strong, then it is refined around its best strength. The contestants take turns, so that an early end is fair too.
Once all of them had their fewest trials, the rest goes to combinations of what helped, and to further refinement. All
of this was decided by replaying recorded trainings (tests/benchmarks/replay.py).

Every proposal is a pure function of the study, the trial's number and the trials before.
"""

import itertools
import math
import statistics
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from studies.errors import InputError
from studies.space import Regularization, params_of
from studies.spec import DropoutRange, SpaceSpec, StrengthRange

Strengths = Mapping[str, float | str]
"""The strength of each technique that is on, by its key: a factor, a rate, or a placement."""

FEWEST = {"l1": 6, "l2": 6, "dropout": 5, "batch_norm": 2}
"""How many trials each technique gets alone before any combination."""

FEWEST_TOGETHER = 4
"""How many trials a contestant of several techniques gets before any other combination."""

USUAL = (*FEWEST, "l1+l2")
"""The contestants of a study that names none."""

_PENALTIES = ("l1", "l2")
_GRID = (0.1, 0.3, 0.5, 0.7, 0.9)  # positions in a range, from low to high
_OWN_GRID = 3  # as many recipes of one technique are its grid
_SPACING = (0.06, 0.03, 0.015, 0.007)  # of a range: how near to a tried strength another one may lie, coarse first
_TOO_STRONG = 1.15  # times the best loss
_PARTS = (1, 0.3, 0.1)  # of a technique's own best strength, where several are tuned together
_MIDDLE = 0.4  # position of a strength before any is known
_COMBINED = (1.0, 0.5)  # times a technique's own best strength, where it is combined
_STEP = 0.1  # of a range: standard deviation of a step from a good combination
_DRAWS = 50


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trial as the contest sees it.

    Attributes:
        settings: what it trains.
        loss: the study's objective, turned so that less is better; inf if it was pruned or diverged; None if it runs.
    """

    settings: Regularization
    loss: float | None

    @property
    def is_complete(self) -> bool:
        """Whether it has a loss to compare."""
        return self.loss is not None and math.isfinite(self.loss)


def strengths_of(settings: Regularization) -> dict[str, float | str]:
    """Return the strength of each technique that is on, early stopping left out.

    For example:
        >>> strengths_of(Regularization(l1=1e-5, batch_norm="after_activation", patience=3))
        {'l1': 1e-05, 'batch_norm': 'after_activation'}
    """
    found: dict[str, float | str] = {key: getattr(settings, key) for key in ("l1", "l2", "dropout")}
    found["batch_norm"] = "" if settings.batch_norm == "none" else settings.batch_norm
    return {key: value for key, value in found.items() if value}


def contestant_name(text: str) -> str:
    """Return a contestant's name, its techniques in their usual order: "dropout+l2" is "l2+dropout".

    Raises ValueError for an unknown technique, or one that stands there twice.
    """
    keys = text.split("+")
    if unknown := [key for key in keys if key not in FEWEST]:
        raise ValueError(
            f"a contestant is one of {', '.join(FEWEST)}, or several joined by +; given was {unknown[0]!r}"
        )
    if len(set(keys)) < len(keys):
        raise ValueError(f"a contestant has each technique once; given was {text!r}")
    return "+".join(key for key in FEWEST if key in keys)


def contestant_of(settings: Regularization, contestants: Collection[str] = USUAL) -> str:
    """Return whose trial it is: one of the contestants, "combination", or "none" with or without early stopping.

    For example:
        >>> contestant_of(Regularization(l2=1e-4, dropout=0.2))
        'combination'
    """
    name = "+".join(strengths_of(settings)) or "none"
    return name if name == "none" or name in contestants else "combination"


def fewest_trials(contestant: str) -> int:
    """Return how many trials a contestant gets before any combination."""
    return FEWEST.get(contestant, FEWEST_TOGETHER)


@dataclass(frozen=True, kw_only=True)
class Line:
    """The range of one technique's strength, as positions from 0 (low) to 1 (high), both included.

    Attributes:
        low, high: of the strength.
        is_log: whether positions are even on a log scale.
    """

    low: float
    high: float
    is_log: bool

    def strength(self, position: float) -> float:
        """Return the strength at a position, rounded to two digits within the range."""
        if self.is_log:
            value = self.low * (self.high / self.low) ** position
        else:
            value = self.low + position * (self.high - self.low)
        return self.rounded(value)

    def rounded(self, strength: float) -> float:
        """Return a strength with two digits, within the range."""
        return min(max(float(f"{strength:.2g}"), self.low), self.high)

    def position(self, strength: float) -> float:
        """Return the position of a strength that lies in the range."""
        if self.high == self.low:
            return 0.0
        if self.is_log:
            return math.log(strength / self.low) / math.log(self.high / self.low)
        return (strength - self.low) / (self.high - self.low)

    def next(self, grid: Sequence[float], tried: Sequence[tuple[float, float | None]]) -> Iterator[float]:
        """Give strengths to try next, the most useful first: start low, increase, then refine around the best.

        Args:
            grid: strengths to begin with, from low to high; it ends where strengths are too strong.
            tried: (strength, loss) of each trial, the loss as in `Entry`.
        """
        points = sorted(((self.position(strength), loss) for strength, loss in tried), key=lambda point: point[0])
        known = [(loss, position) for position, loss in points if loss is not None and math.isfinite(loss)]
        best_loss, best = min(known, default=(math.inf, 0.0))
        too_strong = [at for at, loss in points if at > best and loss is not None and loss > _TOO_STRONG * best_loss]
        limit = min(too_strong, default=math.inf)
        for strength in grid:
            at = self.position(strength)
            if at < limit and all(abs(at - there) >= _SPACING[0] for there, _ in points):
                yield strength
        for spacing in _SPACING:
            taken = sorted({-spacing, *(position for position, _ in points), 1 + spacing})
            gaps = [(high - low, low, high) for low, high in itertools.pairwise(taken) if best in (low, high)]
            for width, low, high in sorted(gaps, reverse=True):
                if width >= 2 * spacing:
                    yield self.strength(min(max((low + high) / 2, 0.0), 1.0))


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The contest of one study.

    Attributes:
        space: of the study.
        seed: of the study.
        max_epochs: of a trial.
        recipes: known settings, such as the course's; their strengths belong to the grid of their contestant.
        contestants: whom the study is about, by `contestant_name`, in the order in which they take turns.

    For example:
        >>> contest = Contest.of(SpaceSpec(), seed=0, max_epochs=12)
        >>> str(contest.propose(0, []))
        'no regularization'
    """

    space: SpaceSpec
    seed: int
    max_epochs: int
    recipes: Sequence[Regularization]
    contestants: Sequence[str]

    @classmethod
    def of(
        cls,
        space: SpaceSpec,
        *,
        seed: int,
        max_epochs: int,
        recipes: Sequence[Regularization] = (),
        contestants: Sequence[str] = USUAL,
    ) -> "Contest":
        """Return the contest of a space: its contestants are those, and its recipes those, that the space has.

        The recipes of a technique get the patience of all trials.
        """
        contest = cls(space=space, seed=seed, max_epochs=max_epochs, recipes=(), contestants=tuple(contestants))
        inside = tuple(filter(contest.is_inside, map(contest.as_tried, recipes)))
        there = tuple(name for name in contestants if any(map(contest.is_inside, contest._alone(name, {}))))
        return replace(contest, recipes=inside, contestants=there)

    @property
    def fewest(self) -> int:
        """How many trials a fair contest needs: the baselines, and the fewest of every contestant."""
        baselines = sum(map(self.is_inside, {Regularization(), Regularization(patience=self.patience)}))
        return baselines + sum(map(fewest_trials, self.contestants))

    @property
    def patience(self) -> int | None:
        """The patience that every trial has but the first; None where the space has no early stopping."""
        if self.space.patience == "off":
            return None
        return max(min(int(self.space.patience.high), self.max_epochs), int(self.space.patience.low))

    @property
    def has_baseline(self) -> bool:
        """Whether the space has no regularization, with or without early stopping."""
        return any(map(self.is_inside, (Regularization(), Regularization(patience=self.patience))))

    def is_inside(self, settings: Regularization) -> bool:
        """Return whether the space has these settings."""
        try:
            params_of(settings, self.space)
        except InputError:
            return False
        return True

    def as_tried(self, recipe: Regularization) -> Regularization:
        """Return a recipe as the contest tries it: with the patience of all trials, unless it is a patience's own."""
        strengths = strengths_of(recipe)
        return self._with(strengths) if strengths else recipe

    def propose(self, number: int, entries: Sequence[Entry]) -> Regularization | None:
        """Return the settings of a trial; None if the contest knows none that was not tried.

        Args:
            number: of the trial, counted from 0.
            entries: the trials before, by number.
        """
        tried = {entry.settings for entry in entries}
        fresh = (settings for settings in self._candidates(number, entries) if settings not in tried)
        return next(filter(self.is_inside, fresh), None)

    def _candidates(self, number: int, entries: Sequence[Entry]) -> Iterator[Regularization]:
        """Give settings, the most wanted first; some were tried, and some lie outside the space."""
        yield from (Regularization(), Regularization(patience=self.patience))
        groups: dict[str, list[Entry]] = {name: [] for name in (*self.contestants, "combination", "none")}
        for entry in entries:
            groups[contestant_of(entry.settings, self.contestants)].append(entry)
        turns = sorted(self.contestants, key=lambda name: len(groups[name]) / fewest_trials(name))
        for name in turns:
            if len(groups[name]) < fewest_trials(name):
                yield from self._alone(name, groups)
        yield from self.recipes
        refined = sum(len(groups[name]) - fewest_trials(name) for name in turns)
        if len(groups["combination"]) < 2 * (refined + 1):
            yield from self._combinations(number, groups)
        for name in turns:
            yield from self._alone(name, groups)
        yield from self._combinations(number, groups)
        yield from self._patiences()

    def _with(self, strengths: Strengths) -> Regularization:
        return Regularization(**strengths, patience=self.patience)  # type: ignore[arg-type]

    def _alone(self, name: str, groups: Mapping[str, list[Entry]]) -> Iterator[Regularization]:
        """Give settings of one contestant."""
        recipes = [recipe for recipe in self.recipes if contestant_of(recipe, self.contestants) == name]
        if name == "batch_norm":
            yield from (self._with({name: placement}) for placement in self.space.batch_norm if placement != "none")
        elif name not in FEWEST:
            yield from recipes
            yield from self._together(name.split("+"), groups)
        elif name in self._lines:
            line = self._lines[name]
            own = sorted(float(strengths_of(recipe)[name]) for recipe in recipes)
            grid = own if len(own) >= _OWN_GRID else _merged(line, own)
            tried = [(float(strengths_of(entry.settings)[name]), entry.loss) for entry in groups.get(name, [])]
            yield from (self._with({name: strength}) for strength in line.next(grid, tried))

    def _together(self, keys: Sequence[str], groups: Mapping[str, list[Entry]]) -> Iterator[Regularization]:
        """Give several techniques together, each with a part of its own best strength."""
        best = {key: self._best_strength(key, groups.get(key, [])) for key in keys}
        if None in best.values():
            return
        numbers = [key for key in keys if key in self._lines]
        for parts in sorted(itertools.product(_PARTS, repeat=len(numbers)), key=math.prod, reverse=True):
            strengths = dict(best)
            for key, part in zip(numbers, parts, strict=True):
                strengths[key] = self._lines[key].rounded(float(best[key] or 0.0) * part)
            yield self._with({key: value for key, value in strengths.items() if value is not None})

    def _best_strength(self, key: str, entries: Iterable[Entry]) -> float | str | None:
        """Return the best strength of a technique alone, a middle one before any is complete; None if it has none."""
        complete = [entry for entry in entries if entry.is_complete]
        if complete:
            return strengths_of(min(complete, key=lambda entry: entry.loss or 0.0).settings)[key]
        if key == "batch_norm":
            return next((placement for placement in self.space.batch_norm if placement != "none"), None)
        return self._lines[key].strength(_MIDDLE) if key in self._lines else None

    def _combinations(self, number: int, groups: Mapping[str, list[Entry]]) -> Iterator[Regularization]:
        """Give combinations of what helped: of each one's best strength and half of it, then steps from the best."""
        parts = self._parts(groups)
        for size in range(2, len(parts) + 1):
            for chosen in itertools.combinations(parts, size):
                for scale in _COMBINED:
                    yield self._with(self._scaled({key: part[key] for part in chosen for key in part}, scale))
        complete = sorted((e for e in groups["combination"] if e.is_complete), key=lambda entry: entry.loss or 0.0)
        random = np.random.default_rng((self.seed, zlib.crc32(b"combination"), number))
        for _ in range(_DRAWS if complete else 0):
            entry = complete[min(int(random.geometric(0.5)) - 1, len(complete) - 1)]
            yield self._with(self._moved(strengths_of(entry.settings), random))

    def _parts(self, groups: Mapping[str, list[Entry]]) -> list[Strengths]:
        """Return the best strengths of what helped, the best first, all penalties as one; all if fewer than two did."""
        found: list[tuple[float, Strengths]] = []
        for names in (("l1", "l2", "l1+l2"), ("dropout",), ("batch_norm",)):
            complete = [entry for name in names for entry in groups.get(name, []) if entry.is_complete]
            if complete:
                best = min(complete, key=lambda entry: entry.loss or 0.0)
                found.append((best.loss or 0.0, strengths_of(best.settings)))
        found.sort(key=lambda part: part[0])
        baseline = min((entry.loss for entry in groups["none"] if entry.loss is not None), default=math.inf)
        helped = [strengths for loss, strengths in found if loss < baseline]
        return helped if len(helped) > 1 else [strengths for _, strengths in found]

    def _scaled(self, strengths: Strengths, scale: float) -> Strengths:
        return {
            key: value if isinstance(value, str) else self._lines[key].rounded(value * scale)
            for key, value in strengths.items()
        }

    def _moved(self, strengths: Strengths, random: np.random.Generator) -> Strengths:
        moved: dict[str, float | str] = {}
        for key, value in strengths.items():
            if isinstance(value, str):
                moved[key] = value
            else:
                position = self._lines[key].position(value) + random.normal(0, _STEP)
                moved[key] = self._lines[key].strength(min(max(position, 0.0), 1.0))
        return moved

    def _patiences(self) -> Iterator[Regularization]:
        """Give early stopping alone with every patience: a study of nothing else tries them all."""
        if not self.contestants and self.space.patience != "off":
            patiences = range(int(self.space.patience.low), int(self.space.patience.high) + 1)
            yield from (Regularization(patience=patience) for patience in patiences)

    @property
    def _lines(self) -> dict[str, Line]:
        lines = {name: _line(getattr(self.space, name), is_log=True) for name in _PENALTIES}
        return lines if self.space.dropout == "off" else {**lines, "dropout": _line(self.space.dropout, is_log=False)}


def is_out(best: float, peers: Sequence[float], fewest: int) -> bool:
    """Return whether a trial is worse than the median of its own contestant's, and so ends.

    Args:
        best: the trial's least stopping loss so far.
        peers: the least stopping loss until then of each finished trial of the same contestant.
        fewest: how many of them there must be.
    """
    return len(peers) >= fewest and best > statistics.median(peers)


def _line(among: StrengthRange | DropoutRange, *, is_log: bool) -> Line:
    return Line(low=among.low, high=among.high, is_log=is_log)


def _merged(line: Line, own: Iterable[float]) -> list[float]:
    """Return the grid of a line with some strengths of its own, which replace those of the grid next to them."""
    at = [line.position(strength) for strength in own]
    grid = [position for position in _GRID if all(abs(position - there) >= _SPACING[0] for there in at)]
    return sorted([*own, *(line.strength(position) for position in grid)])
