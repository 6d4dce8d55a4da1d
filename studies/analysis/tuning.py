"""How well a search tuned each technique alone: with too few strengths tried, there is no verdict on the technique."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..configuration import LABELS, Regularization, configuration_of
from ..contest.contestants import FEWEST_TOGETHER
from ..spec import SpaceSpec
from ..techniques import TECHNIQUES

ALONE = tuple(label for label in LABELS if label != "combination")
"""The techniques that can be tuned alone."""

_FEWEST = {technique.name: 1 if technique.accompanies else technique.fewest_trials for technique in TECHNIQUES}

FEWEST_TRIALS = {label: _FEWEST.get(label, FEWEST_TOGETHER) for label in ALONE}
"""How many different strengths of each technique alone must have been trained before it is judged: as in a contest."""

PLACEMENTS = ("before_activation", "after_activation")
"""Where BatchNormalization may stand, in the order in which answers list it."""

Strength = float | tuple[float, float] | str
"""A factor, a rate or a patience; the two factors of L1+L2; or the placement of BatchNormalization."""

_FINISHED = ("complete", "pruned", "failed")


class Trial(Protocol):
    """What a tuning reads of a trial, as `studies.records.TrialRecord` has it."""

    @property
    def number(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def value(self) -> float | None: ...

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def metrics(self) -> Mapping[str, int | float]: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def recipe(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One finished trial of one technique alone.

    Attributes:
        trial: its number.
        strength: of the technique; the patience where early stopping itself is the technique.
        regularization: all its settings: early stopping may stand beside the technique.
        state: complete, pruned or failed.
        value: the objective on the select rows; None unless it is complete.
        epochs: that it trained; None where that isn't known.
        has_diverged: whether it failed because its loss stopped being finite.
        recipe: the known setting that it was, by its name; None for a proposal of the sampler.
    """

    trial: int
    strength: Strength
    regularization: Regularization
    state: str
    value: float | None
    epochs: int | None
    has_diverged: bool
    recipe: str | None

    @property
    def position(self) -> float:
        """Where it stands on an axis of strengths."""
        return position_of(self.strength)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What the search tried of one technique alone, with early stopping or without.

    Attributes:
        technique: one of ALONE.
        attempts: its finished trials, the smallest strength first, then by number.
        points: how many strengths the study's space has of the technique alone, infinite for a range; 0 where the
            space doesn't have it.
        maximizes: whether the larger objective is the better one.
    """

    technique: str
    attempts: tuple[Attempt, ...]
    points: float
    maximizes: bool

    @property
    def is_asked(self) -> bool:
        """Whether the study asks about the technique alone."""
        return self.points > 0 or bool(self.attempts)

    @property
    def fewest(self) -> int:
        """How many strengths must have been trained for a verdict: never more than the space has, at least one."""
        return max(1, int(min(FEWEST_TRIALS[self.technique], self.points)))

    @property
    def trials(self) -> int:
        """How many trials finished."""
        return len(self.attempts)

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """The different strengths that were tried, the smallest first."""
        return _different(self.attempts)

    @property
    def trained(self) -> tuple[Strength, ...]:
        """The different strengths that count for `fewest`, the smallest first; one that diverges is too strong."""
        return _different(attempt for attempt in self.attempts if attempt.state != "failed" or attempt.has_diverged)

    @property
    def complete(self) -> tuple[Attempt, ...]:
        """The trials with a value."""
        return tuple(attempt for attempt in self.attempts if attempt.value is not None)

    @property
    def pruned(self) -> tuple[Attempt, ...]:
        """The trials that were ended since others were better."""
        return tuple(attempt for attempt in self.attempts if attempt.state == "pruned")

    @property
    def pruned_after(self) -> tuple[int, ...]:
        """After how many epochs trials were pruned, ascending, each number once."""
        return tuple(sorted({attempt.epochs for attempt in self.pruned if attempt.epochs is not None}))

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """The trials without a result, diverged ones among them."""
        return tuple(attempt for attempt in self.attempts if attempt.state == "failed")

    @property
    def best(self) -> Attempt | None:
        """The complete trial with the best value, the first of equals; None where none is complete."""
        return min(self.complete, key=lambda attempt: (self.loss_of(attempt), attempt.trial), default=None)

    @property
    def is_tuned(self) -> bool:
        """Whether enough strengths were trained to judge the technique and not only a setting of it."""
        return len(self.trained) >= self.fewest

    def loss_of(self, attempt: Attempt) -> float:
        """Return a complete trial's value such that the smaller one is the better one."""
        assert attempt.value is not None
        return -attempt.value if self.maximizes else attempt.value

    @property
    def tried(self) -> str:
        """What was tried, in words: "1 trial at 0.01", "6 trials from 1e-06 to 0.01", "no trial"."""
        if not self.attempts:
            return "no trial"
        told = f"1 trial{_at(self)}" if self.trials == 1 else f"{self.trials:,} trials{_at(self)}"
        has_failed = len(self.failed) == self.trials
        return f"{told}, {'all of which' if self.trials > 1 else 'which'} failed" if has_failed else told

    def __str__(self) -> str:
        """Return it in words: "not tuned: 1 trial at 0.01", "tuned: 6 trials from 1e-06 to 0.01", "not asked"."""
        if not self.is_asked:
            return "not asked"
        return f"{'tuned' if self.is_tuned else 'not tuned'}: {self.tried}"


def tunings(trials: Iterable[Trial], space: SpaceSpec, *, maximizes: bool) -> tuple[Tuning, ...]:
    """Return how well each technique of ALONE was tuned, in that order.

    Args:
        trials: of the study, by number; what something else than regsearch wrote is left out.
        space: of the study.
        maximizes: whether the larger objective is the better one.
    """
    found: dict[str, list[Attempt]] = {technique: [] for technique in ALONE}
    for trial in trials:
        if trial.state in _FINISHED and (alone := _alone(trial)) is not None:
            technique, attempt = alone
            found[technique].append(attempt)
    return tuple(
        Tuning(
            technique=technique,
            attempts=tuple(sorted(attempts, key=lambda attempt: (attempt.position, attempt.trial))),
            points=points_alone(space, technique),
            maximizes=maximizes,
        )
        for technique, attempts in found.items()
    )


def points_alone(space: SpaceSpec, technique: str) -> float:
    """Return how many strengths of a technique alone a space has: 0 where it has none, infinite for a range."""
    dropout, patience = space.dropout, space.patience
    without = {
        "penalty": "none" in space.regularizer,
        "dropout": dropout == "off" or dropout.off or not dropout.high,
        "BatchNorm": "none" in space.batch_norm,
    }
    penalties = {
        "L1": ("l1", _points(space.l1.low, space.l1.high)),
        "L2": ("l2", _points(space.l2.low, space.l2.high)),
        "L1+L2": ("l1_l2", _points(space.l1.low, space.l1.high) * _points(space.l2.low, space.l2.high)),
    }
    if technique in penalties:
        name, points = penalties[technique]
        kind, own = "penalty", points if name in space.regularizer else 0
    elif technique == "dropout":
        kind, own = "dropout", 0 if dropout == "off" or not dropout.high else _points(dropout.low, dropout.high)
    elif technique == "BatchNorm":
        kind, own = "BatchNorm", sum(placement != "none" for placement in space.batch_norm)
    elif technique == "early stopping":
        kind, own = technique, 0 if patience == "off" else patience.high - patience.low + 1
    else:
        kind, own = technique, _points_of_added(space, technique)
    return own if all(can_be_off for other, can_be_off in without.items() if other != kind) else 0


def _points_of_added(space: SpaceSpec, name: str) -> float:
    technique = next(one for one in TECHNIQUES if one.name == name)
    if not technique.is_searched(space):
        return 0
    among = getattr(space, technique.key)
    return _points(among.low, among.high)


def position_of(strength: Strength) -> float:
    """Return where a strength stands on an axis: of two factors their geometric mean, of a placement its index."""
    if isinstance(strength, str):
        return float(PLACEMENTS.index(strength))
    return math.sqrt(strength[0] * strength[1]) if isinstance(strength, tuple) else float(strength)


def shown(strength: Strength) -> str:
    """Return a strength in words: "0.01", "L1 1e-05 with L2 0.0001", "after activation"."""
    if isinstance(strength, str):
        return strength.replace("_", " ")
    if isinstance(strength, tuple):
        return f"L1 {strength[0]:.3g} with L2 {strength[1]:.3g}"
    return f"{strength:.3g}" if strength < 1 else f"{strength:g}"


def spanned(strengths: Sequence[Strength]) -> str:
    """Return several strengths, in ascending order, in words: "1e-06 to 0.01", "3 pairs", "before activation"."""
    if len(strengths) > 1 and isinstance(strengths[0], tuple):
        return f"{len(strengths):,} pairs"
    if len(strengths) > 1 and not isinstance(strengths[0], str):
        return f"{shown(strengths[0])} to {shown(strengths[-1])}"
    return " and ".join(map(shown, strengths))


def _points(low: float, high: float) -> float:
    return 1 if low == high else math.inf


def _alone(trial: Trial) -> tuple[str, Attempt] | None:
    """Return the technique that a trial had alone, and what it gave; None for anything else."""
    try:
        settings = configuration_of(trial.params)
        technique = settings.technique if isinstance(settings, Regularization) else None
    except (TypeError, ValueError, AttributeError):  # something else wrote them
        return None
    if technique is None or technique not in ALONE or not isinstance(settings, Regularization):
        return None
    strength = _strength(settings, technique)
    if strength is None:
        return None
    epochs = trial.metrics.get("epochs")
    return technique, Attempt(
        trial=trial.number,
        strength=strength,
        regularization=settings,
        state=trial.state,
        value=trial.value if trial.state == "complete" else None,
        epochs=None if epochs is None else int(epochs),
        has_diverged=trial.state == "failed" and (trial.reason or "").startswith("diverged"),
        recipe=trial.recipe,
    )


def _strength(regularization: Regularization, technique: str) -> Strength | None:
    """Return the strength of a technique that is alone; None for a value that is none."""
    if technique == "BatchNorm":
        return regularization.batch_norm if regularization.batch_norm in PLACEMENTS else None
    names = technique.split("+")
    numbers = [getattr(regularization, one.key) for one in TECHNIQUES if one.name in names]
    found = [float(number) for number in numbers if isinstance(number, int | float) and 0 < number < math.inf]
    if len(found) < len(numbers):
        return None
    return found[0] if len(found) == 1 else (found[0], found[1])


def _different(attempts: Iterable[Attempt]) -> tuple[Strength, ...]:
    return tuple(dict.fromkeys(attempt.strength for attempt in attempts))


def _at(tuning: Tuning) -> str:
    """Return at which strengths trials were, as a phrase that follows "1 trial"."""
    strengths, is_patience = tuning.strengths, tuning.technique == "early stopping"
    if len(strengths) == 2 and not isinstance(strengths[0], tuple):  # a range of two would hide that there are no more
        told, before = " and ".join(map(shown, strengths)), "at"
    else:
        told, before = spanned(strengths), "from" if " to " in spanned(strengths) else "at"
    if tuning.technique == "BatchNorm":
        return f", {told}"
    return f" {'with patience' if is_patience else before} {told}"
