"""A fair contest: it proposes what a study tries next, and tunes every technique alone before it combines any.

Each contestant (L1, L2, dropout, BatchNorm, L1+L2) gets the same treatment: its strength starts low and increases until
it is too strong, then it is refined around its best value. The contestants take turns, so that the contest is fair even
if it ends early. When each contestant has had as many trials as it needs (`Contest.fewest_of`), the other trials go to
combinations of the techniques that helped, and to further refinement. These rules were chosen by replays of recorded
trainings (tests/benchmarks/replay.py).

Every proposal is a pure function of the study, the trial's number and the earlier trials.
"""

import itertools
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..canonical_configuration import effective_patience
from ..configuration import Regularization, params_of
from ..errors import InputError
from ..spec import SpaceSpec
from ..techniques import TECHNIQUES
from ..techniques.ranges import Range
from .contestants import (
    FEWEST,
    FEWEST_RATES,
    USUAL,
    Strengths,
    contestant_of,
    fewest_trials,
    strengths_of,
)
from .strength_line import Line, grid_with, smoothed

_PENALTIES = ("l1", "l2")
_RATES = (0.15, 0.5, 0.85)  # positions in the range of learning rates that are tried, too
_OWN_GRID = 3  # with at least this many recipes of a technique, they are its whole grid
_PARTS = (0.5, 0.2, 1.0, 0.1)  # factors of each technique's best strength, if several are tuned together
_PATIENCE = 0.4  # part of max_epochs; a smaller one harms if an epoch has few steps, a larger one gains nothing
_MIDDLE = 0.4  # position of a technique's strength before its best one is known
_COMBINED = (1.0, 0.5)  # factors of each technique's best strength in a combination
_STEP = 0.1  # standard deviation of a random step from a good combination, as part of a range
_DRAWS = 50  # random steps that a proposal tries at most


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trial as the contest sees it.

    Attributes:
        settings: the configuration that the trial trains.
        loss: the trial's value of the study's objective, negated if larger values are better. Infinity if the trial was
            pruned or diverged; None while it runs.
    """

    settings: Regularization
    loss: float | None

    @property
    def is_complete(self) -> bool:
        """Whether the trial has a finite loss, which other losses can be compared with."""
        return self.loss is not None and math.isfinite(self.loss)


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The contest of one study.

    Attributes:
        space: the study's space.
        seed: the study's seed.
        max_epochs: the largest number of epochs of a trial.
        recipes: known configurations, such as the course's; a contestant's grid contains the strengths of its recipes.
        contestants: the names of the study's contestants (`contestant_name`), in the order of their turns.
        learning_rate: the learning rate of trials that tune something else; None if the study doesn't search it.

    Example:
        >>> contest = Contest.of(SpaceSpec(), seed=0, max_epochs=12)
        >>> str(contest.propose(0, []))
        'no regularization'
    """

    space: SpaceSpec
    seed: int
    max_epochs: int
    recipes: Sequence[Regularization]
    contestants: Sequence[str]
    learning_rate: float | None = None

    @classmethod
    def of(
        cls,
        space: SpaceSpec,
        *,
        seed: int,
        max_epochs: int,
        recipes: Sequence[Regularization] = (),
        contestants: Sequence[str] = USUAL,
        learning_rate: float | None = None,
    ) -> "Contest":
        """Return the contest of a space; contestants and recipes that lie outside the space are left out.

        The recipes are changed as `as_tried` says.
        """
        contest = cls(
            space=space,
            seed=seed,
            max_epochs=max_epochs,
            recipes=(),
            contestants=tuple(contestants),
            learning_rate=learning_rate,
        )
        known = {key for name in contestants for key in name.split("+")}
        relevant = [recipe for recipe in recipes if strengths_of(recipe).keys() <= known]
        inside = tuple(filter(contest.is_inside, map(contest.as_tried, relevant)))
        present = tuple(name for name in contestants if any(map(contest.is_inside, contest._alone(name, {}))))
        return replace(contest, recipes=inside, contestants=present)

    @property
    def fewest(self) -> int:
        """How many trials a fair contest needs in all: for baselines, every contestant, and learning rates."""
        baselines = sum(map(self.is_inside, set(self._baselines)))
        rates = 0 if self.learning_rate is None else FEWEST_RATES * (1 + len(self.contestants))
        return baselines + sum(map(self.fewest_of, self.contestants)) + rates

    def fewest_of(self, name: str) -> int:
        """Return how many trials a contestant gets before any combination is tried.

        The number is `fewest_trials`, or less if the space has only one strength or one placement to try.
        """
        if name == "batch_norm":
            placements = [placement for placement in self.space.batch_norm if placement != "none"]
            return min(fewest_trials(name), len(placements))
        line = self._lines.get(name)
        is_point = line is not None and line.low == line.high
        return 1 if is_point else fewest_trials(name)

    @property
    def _baselines(self) -> tuple[Regularization, Regularization]:
        alone = Regularization(learning_rate=self.learning_rate)
        return alone, self._with({})

    @property
    def patience(self) -> int | None:
        """The patience of every trial that uses a technique, in epochs; None if the space has no early stopping."""
        if self.space.patience == "off":
            return None
        return min(max(int(_PATIENCE * self.max_epochs), int(self.space.patience.low)), int(self.space.patience.high))

    @property
    def has_baseline(self) -> bool:
        """Whether the space contains a baseline: no technique, with or without early stopping."""
        return any(map(self.is_inside, self._baselines))

    def is_inside(self, settings: Regularization) -> bool:
        """Return whether a configuration lies in the space."""
        try:
            params_of(settings, self.space)
        except InputError:
            return False
        return True

    def as_tried(self, recipe: Regularization) -> Regularization:
        """Return the configuration that the contest tries for a recipe.

        If the recipe uses a technique, it gets the contest's `patience` and `learning_rate`.
        """
        strengths = strengths_of(recipe)
        return self._with(strengths) if strengths else recipe

    def propose(self, number: int, entries: Sequence[Entry]) -> Regularization | None:
        """Return the configuration that a trial should try; None if the contest has nothing left to try.

        Args:
            number: the trial's number, counted from 0.
            entries: the earlier trials, by number.
        """
        tried = {self._as_trained(entry.settings) for entry in entries}
        candidates = self._candidates(number, entries)
        fresh = (settings for settings in candidates if self._as_trained(settings) not in tried)
        return next(filter(self.is_inside, fresh), None)

    def _as_trained(self, settings: Regularization) -> Regularization:
        """Return the configuration with the shortest patience that has the same effect.

        So configurations that train in the same way become equal.
        """
        if settings.patience is None:
            return settings
        return settings.changed(patience=effective_patience(settings.patience, self.max_epochs))

    def _candidates(self, number: int, entries: Sequence[Entry]) -> Iterator[Regularization]:
        """Yield configurations, the most useful first. Some may lie outside the space, or repeat an earlier trial."""
        yield from self._baselines
        groups: dict[str, list[Entry]] = {name: [] for name in (*self.contestants, "combination", "none")}
        for entry in entries:
            groups[contestant_of(entry.settings, self.contestants)].append(entry)
        turns = sorted(self.contestants, key=lambda name: len(groups[name]) / self.fewest_of(name))
        for name in turns:
            if len(groups[name]) < self.fewest_of(name):
                yield from self._alone(name, groups)
        for name in (*turns, "none"):
            yield from self._rates(groups[name], FEWEST_RATES, name)
        yield from self.recipes
        refined = sum(len(groups[name]) - self.fewest_of(name) for name in turns)
        if len(groups["combination"]) < 2 * (refined + 1):
            yield from self._combinations(number, groups)
        for name in turns:
            yield from self._alone(name, groups)
        yield from self._combinations(number, groups)
        yield from self._patiences()

    def _with(self, strengths: Strengths) -> Regularization:
        return Regularization(**strengths, patience=self.patience, learning_rate=self.learning_rate)

    def _rates(self, entries: Sequence[Entry], fewest: int, name: str) -> Iterator[Regularization]:
        """Yield a contestant's best configuration with other learning rates, until `fewest` trials have other rates."""
        rate_range = self.space.learning_rate
        best = self.best_alone(name, [entry for entry in entries if entry.settings.patience is not None])
        others = [entry for entry in entries if entry.settings.learning_rate != self.learning_rate]
        if rate_range == "fixed" or best is None or len(others) >= fewest:
            return
        line = Line(low=rate_range.low, high=rate_range.high, is_log=True)
        same = [entry for entry in entries if strengths_of(entry.settings) == strengths_of(best.settings)]
        tried = [(float(entry.settings.learning_rate), entry.loss) for entry in same]
        rates = line.next([line.strength(position) for position in _RATES], tried, to_the_end=True)
        yield from (best.settings.changed(learning_rate=rate) for rate in rates)

    def _alone(self, name: str, groups: Mapping[str, list[Entry]]) -> Iterator[Regularization]:
        """Yield configurations of one contestant, the most useful first."""
        recipes = [recipe for recipe in self.recipes if contestant_of(recipe, self.contestants) == name]
        if name == "batch_norm":
            yield from (self._with({name: placement}) for placement in self.space.batch_norm if placement != "none")
        elif name not in FEWEST:
            yield from recipes
            yield from self._together(name.split("+"), groups)
        elif name in self._lines:
            line = self._lines[name]
            own = sorted(float(strengths_of(recipe)[name]) for recipe in recipes)
            is_ladder = len(own) >= _OWN_GRID
            grid = own if is_ladder else grid_with(line, own)
            usual = [e for e in groups.get(name, []) if e.settings.learning_rate == self.learning_rate]
            tried = [(float(strengths_of(entry.settings)[name]), entry.loss) for entry in usual]
            yield from (self._with({name: strength}) for strength in line.next(grid, tried, to_the_end=is_ladder))

    def _together(self, keys: Sequence[str], groups: Mapping[str, list[Entry]]) -> Iterator[Regularization]:
        """Yield configurations with several techniques. Each technique has its best strength, times a factor."""
        best = {key: self._best_strength(key, groups.get(key, [])) for key in keys}
        if None in best.values():
            return
        numbers = [key for key in keys if key in self._lines]
        by_part = sorted(itertools.product(range(len(_PARTS)), repeat=len(numbers)), key=max)
        for parts in ([_PARTS[index] for index in indices] for indices in by_part):
            strengths = dict(best)
            for key, part in zip(numbers, parts, strict=True):
                strengths[key] = self._lines[key].rounded(float(best[key] or 0.0) * part)
            yield self._with({key: value for key, value in strengths.items() if value is not None})

    def _best_strength(self, key: str, entries: Iterable[Entry]) -> float | str | None:
        """Return the strength with which a technique alone was best.

        If no trial of the technique is complete, return a middle strength, or the first placement of BatchNorm. Return
        None if the space contains no strength of the technique.
        """
        best = self.best_alone(key, entries)
        if best is not None:
            return strengths_of(best.settings)[key]
        if key == "batch_norm":
            return next((placement for placement in self.space.batch_norm if placement != "none"), None)
        return self._lines[key].strength(_MIDDLE) if key in self._lines else None

    def best_alone(self, name: str, entries: Iterable[Entry]) -> Entry | None:
        """Return the best complete trial of one contestant; None if there is none.

        If the contestant is one technique with a numeric strength, each loss is first averaged with the losses of
        similar strengths and the same learning rate (`smoothed`).
        """
        complete = sorted((e for e in entries if e.is_complete), key=lambda e: e.settings.learning_rate or 0.0)
        losses: list[float] = []
        for _, same_rate in itertools.groupby(complete, key=lambda entry: entry.settings.learning_rate):
            losses += self._averaged(name, list(same_rate))
        best = min(range(len(complete)), key=losses.__getitem__, default=None)
        return None if best is None else complete[best]

    def _averaged(self, name: str, complete: Sequence[Entry]) -> list[float]:
        losses = [entry.loss or 0.0 for entry in complete]
        if name not in self._lines:
            return losses
        positions = [self._lines[name].position(float(strengths_of(entry.settings)[name])) for entry in complete]
        return smoothed(list(zip(positions, losses, strict=True)))

    def _combinations(self, number: int, groups: Mapping[str, list[Entry]]) -> Iterator[Regularization]:
        """Yield combinations of the techniques that helped.

        Each combination has the best strengths, then half of these. At the end, good combinations are varied randomly.
        """
        parts = self._parts(groups)
        alone = [best for name in self.contestants if (best := self.best_alone(name, groups[name])) is not None]
        rate = min(alone, key=lambda entry: entry.loss or 0.0).settings.learning_rate if alone else self.learning_rate
        for size in range(2, len(parts) + 1):
            for chosen in itertools.combinations(parts, size):
                for scale in _COMBINED:
                    strengths = self._scaled({key: part[key] for part in chosen for key in part}, scale)
                    yield self._with(strengths).changed(learning_rate=rate)
        several = (e for e in groups["combination"] if e.is_complete and len(strengths_of(e.settings)) > 1)
        complete = sorted(several, key=lambda entry: entry.loss or 0.0)
        random = np.random.default_rng((self.seed, zlib.crc32(b"combination"), number))
        for _ in range(_DRAWS if complete else 0):
            entry = complete[min(int(random.geometric(0.5)) - 1, len(complete) - 1)]
            moved = self._with(self._moved(strengths_of(entry.settings), random))
            yield moved.changed(learning_rate=entry.settings.learning_rate)

    def _parts(self, groups: Mapping[str, list[Entry]]) -> list[Strengths]:
        """Return the best strengths of each technique that helped; the best technique comes first.

        If fewer than two techniques helped, return the strengths of all techniques.

        L1, L2 and L1+L2 count as one technique: only the best of the three is used.
        """
        ranked: list[tuple[float, Strengths]] = []
        others = ((key,) for key in FEWEST if key not in _PENALTIES)
        for names in ((*_PENALTIES, "+".join(_PENALTIES)), *others):
            each = [best for name in names if (best := self.best_alone(name, groups.get(name, []))) is not None]
            if each:
                best = min(each, key=lambda entry: entry.loss or 0.0)
                ranked.append((best.loss or 0.0, strengths_of(best.settings)))
        ranked.sort(key=lambda part: part[0])
        baseline = min((entry.loss for entry in groups["none"] if entry.loss is not None), default=math.inf)
        helped = [strengths for loss, strengths in ranked if loss < baseline]
        return helped if len(helped) > 1 else [strengths for _, strengths in ranked]

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
        """Yield early stopping alone with every patience, but only in a study without other techniques."""
        if not self.contestants and self.space.patience != "off":
            patiences = range(int(self.space.patience.low), int(self.space.patience.high) + 1)
            yield from (self._baselines[1].changed(patience=patience) for patience in patiences)

    @property
    def _lines(self) -> dict[str, Line]:
        ranges = {technique: getattr(self.space, technique.key) for technique in TECHNIQUES if technique.key in FEWEST}
        return {
            technique.key: Line(low=strengths.low, high=strengths.high, is_log=technique.is_log)
            for technique, strengths in ranges.items()
            if isinstance(strengths, Range)
        }
