"""How well a search tuned each technique alone; a technique with too few tried strengths gets no verdict."""

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
"""How many different strengths of a technique must be trained alone before the technique gets a verdict."""

PLACEMENTS = ("before_activation", "after_activation")
"""The placements of BatchNormalization, in the order in which answers list them."""

Strength = float | tuple[float, float] | str
"""The strength of a technique: a factor, a rate, a patience, the two factors of L1+L2, or a placement of BatchNorm."""

_FINISHED = ("complete", "pruned", "failed")


class Trial(Protocol):
    """The part of a trial that this module reads; `studies.records.TrialRecord` has these attributes."""

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
        trial: the number of the trial.
        strength: the strength of the technique; for early stopping, its patience.
        regularization: the whole configuration, which may have early stopping besides the technique.
        state: complete, pruned or failed.
        value: the objective on the selection split; None unless the trial is complete.
        epochs: the number of trained epochs; None if it is unknown.
        has_diverged: whether the trial failed because the loss became NaN or infinite.
        recipe: the name of the recipe; None if the sampler proposed the trial.
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
        """The position of the strength on an axis."""
        return position_of(self.strength)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The trials of one technique alone, with or without early stopping.

    Attributes:
        technique: one of ALONE.
        attempts: the finished trials, ordered by strength and then by number.
        points: how many strengths of the technique alone the search space has: infinite for a range, 0 if the space
            never has the technique alone.
        maximizes: whether larger values of the objective are better.
    """

    technique: str
    attempts: tuple[Attempt, ...]
    points: float
    maximizes: bool

    @property
    def is_asked(self) -> bool:
        """Whether the search space has the technique alone, or a trial had it."""
        return self.points > 0 or bool(self.attempts)

    @property
    def fewest(self) -> int:
        """How many strengths must be trained for a verdict: at least one, and never more than the search space has."""
        return max(1, int(min(FEWEST_TRIALS[self.technique], self.points)))

    @property
    def trials(self) -> int:
        """The number of finished trials."""
        return len(self.attempts)

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """The different strengths of all finished trials, the smallest first."""
        return _different(self.attempts)

    @property
    def trained(self) -> tuple[Strength, ...]:
        """The different strengths that count for `fewest`, the smallest first.

        A failed trial counts only if it diverged, since this shows that the strength is too large.
        """
        return _different(attempt for attempt in self.attempts if attempt.state != "failed" or attempt.has_diverged)

    @property
    def complete(self) -> tuple[Attempt, ...]:
        """The complete trials, which have a value."""
        return tuple(attempt for attempt in self.attempts if attempt.value is not None)

    @property
    def pruned(self) -> tuple[Attempt, ...]:
        """The trials that the pruner ended early because others were better."""
        return tuple(attempt for attempt in self.attempts if attempt.state == "pruned")

    @property
    def pruned_after(self) -> tuple[int, ...]:
        """The numbers of epochs after which trials were pruned, ascending, each number once."""
        return tuple(sorted({attempt.epochs for attempt in self.pruned if attempt.epochs is not None}))

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """The failed trials, including those that diverged."""
        return tuple(attempt for attempt in self.attempts if attempt.state == "failed")

    @property
    def best(self) -> Attempt | None:
        """The complete trial with the best value, the earliest of equal ones; None if no trial is complete."""
        return min(self.complete, key=lambda attempt: (self.loss_of(attempt), attempt.trial), default=None)

    @property
    def is_tuned(self) -> bool:
        """Whether enough strengths of the technique were trained for a verdict."""
        return len(self.trained) >= self.fewest

    def loss_of(self, attempt: Attempt) -> float:
        """Return the value of a complete trial with its sign chosen so that smaller is better."""
        assert attempt.value is not None
        return -attempt.value if self.maximizes else attempt.value

    @property
    def tried(self) -> str:
        """The trials in words, such as "1 trial at 0.01", "6 trials from 1e-06 to 0.01" or "no trial"."""
        if not self.attempts:
            return "no trial"
        words = f"1 trial{_at(self)}" if self.trials == 1 else f"{self.trials:,} trials{_at(self)}"
        has_failed = len(self.failed) == self.trials
        return f"{words}, {'all of which' if self.trials > 1 else 'which'} failed" if has_failed else words

    def __str__(self) -> str:
        """Return the state in words, such as "not tuned: 1 trial at 0.01", "tuned: no trial" or "not asked"."""
        if not self.is_asked:
            return "not asked"
        return f"{'tuned' if self.is_tuned else 'not tuned'}: {self.tried}"


def tunings(trials: Iterable[Trial], space: SpaceSpec, *, maximizes: bool) -> tuple[Tuning, ...]:
    """Return the tuning of each technique, in the order of ALONE.

    Args:
        trials: the trials of the study, ordered by number; trials that another program wrote are left out.
        space: the search space of the study.
        maximizes: whether larger values of the objective are better.
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
    """Return how many strengths of a technique alone a search space has; see `Tuning.points`."""
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
    """Return how many strengths a search space has for a technique that was added after the first release."""
    technique = next(one for one in TECHNIQUES if one.name == name)
    if not technique.is_searched(space):
        return 0
    strengths = getattr(space, technique.key)
    return _points(strengths.low, strengths.high)


def position_of(strength: Strength) -> float:
    """Return the position of a strength on an axis: the geometric mean of two factors, or the index of a placement."""
    if isinstance(strength, str):
        return float(PLACEMENTS.index(strength))
    return math.sqrt(strength[0] * strength[1]) if isinstance(strength, tuple) else float(strength)


def shown(strength: Strength) -> str:
    """Return a strength in words, such as "0.01", "L1 1e-05 with L2 0.0001" or "after activation"."""
    if isinstance(strength, str):
        return strength.replace("_", " ")
    if isinstance(strength, tuple):
        return f"L1 {strength[0]:.3g} with L2 {strength[1]:.3g}"
    return f"{strength:.3g}" if strength < 1 else f"{strength:g}"


def spanned(strengths: Sequence[Strength]) -> str:
    """Return ascending strengths in words, such as "1e-06 to 0.01", "3 pairs" or "before activation"."""
    if len(strengths) > 1 and isinstance(strengths[0], tuple):
        return f"{len(strengths):,} pairs"
    if len(strengths) > 1 and not isinstance(strengths[0], str):
        return f"{shown(strengths[0])} to {shown(strengths[-1])}"
    return " and ".join(map(shown, strengths))


def _points(low: float, high: float) -> float:
    """Return how many values a range has: 1 or infinitely many."""
    return 1 if low == high else math.inf


def _alone(trial: Trial) -> tuple[str, Attempt] | None:
    """Return the technique that a trial has alone, and the trial as an attempt; None without such a technique."""
    try:
        settings = configuration_of(trial.params)
        technique = settings.technique if isinstance(settings, Regularization) else None
    except (TypeError, ValueError, AttributeError):  # another program wrote these parameters
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
    """Return the strength of the only technique of a configuration; None if the value is not a valid strength."""
    if technique == "BatchNorm":
        return regularization.batch_norm if regularization.batch_norm in PLACEMENTS else None
    names = technique.split("+")
    numbers = [getattr(regularization, one.key) for one in TECHNIQUES if one.name in names]
    found = [float(number) for number in numbers if isinstance(number, int | float) and 0 < number < math.inf]
    if len(found) < len(numbers):
        return None
    return found[0] if len(found) == 1 else (found[0], found[1])


def _different(attempts: Iterable[Attempt]) -> tuple[Strength, ...]:
    """Return the strengths of the trials, in the order of the trials, each strength once."""
    return tuple(dict.fromkeys(attempt.strength for attempt in attempts))


def _at(tuning: Tuning) -> str:
    """Return the strengths of the trials as a phrase that follows "1 trial", such as " at 0.01"."""
    strengths, is_patience = tuning.strengths, tuning.technique == "early stopping"
    if len(strengths) == 2 and not isinstance(strengths[0], tuple):  # "from … to …" would suggest others between them
        words, before = " and ".join(map(shown, strengths)), "at"
    else:
        words, before = spanned(strengths), "from" if " to " in spanned(strengths) else "at"
    if tuning.technique == "BatchNorm":
        return f", {words}"
    return f" {'with patience' if is_patience else before} {words}"
