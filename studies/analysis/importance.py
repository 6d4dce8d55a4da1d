"""The importance of each technique: how strongly its settings differ between the best trials and all trials."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..configuration import HyperparameterValues, Regularization, configuration_of
from ..records import TrialRecord
from ..spec import SpaceSpec, StudySpec
from ..techniques import TECHNIQUES

FEWEST_TRIALS, FEWEST_COMPLETE = 25, 10
"""Importances need this many complete or pruned trials, and this many complete ones among them.

With fewer trials, the best fifth would have fewer than five.
"""

BEST_PART = 0.2
"""The best part of the trials is this share of the complete and pruned trials."""

_MOST_OF_COMPLETE = 0.5  # the best part has at most this share of the complete trials, even if most were pruned
_BINS = 4  # the number of bins for the range of a strength; few, since the best part has few trials
_LEVEL = 0.95
_RESAMPLES = 200

_Floats = npt.NDArray[np.float64]
_Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The importance of one technique.

    Attributes:
        technique: the name of the technique.
        share: the importance of the technique as a share of the sum over all techniques, in [0, 1].
        low, high: the ends of the 95 % interval of the share, from resampled trials.
    """

    technique: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Importances:
    """The importances of all techniques.

    Attributes:
        techniques: the importance of each technique, the largest first; the shares sum to 1.
        reason: why no importance is known; None if importances are known, or if the study has no techniques.
    """

    techniques: tuple[Importance, ...]
    reason: str | None = None


def importances(spec: StudySpec, trials: Sequence[TrialRecord], resamples: int = _RESAMPLES) -> Importances:
    """Return the importance of each technique in the complete and pruned trials; every call returns the same figures.

    The method is PED-ANOVA. For each technique, it compares two histograms of settings: one of the best fifth of the
    trials, and one of all trials. The more the two histograms differ, the more the technique matters. The best fifth
    never has a pruned trial. If many trials were pruned, the best fifth shrinks to half of the complete trials.

    The difference is measured by the Pearson divergence. A random fifth of the trials also differs a little, so the
    mean divergence of a random fifth is subtracted. A histogram has a bin for "off", and four bins of equal width on
    the scale of the strength. L1 and L2 are separate techniques. A technique with the same setting in all trials is
    left out.

    Args:
        spec: the study, with its ranges, its objective and the seed for the resamples.
        trials: the trials, in any state and order.
        resamples: how often the trials are resampled with replacement for the intervals.

    Source: Watanabe, Bansal, Hutter, PED-ANOVA, IJCAI 2023, arXiv:2304.10255. `optuna.importance` has this method, but
    subtracts nothing and has no intervals.
    """
    if spec.model.hypermodel is not None and any(
        isinstance(configuration_of(t.params), HyperparameterValues) for t in trials
    ):
        return Importances(techniques=())  # a HyperModel's own hyperparameters are no techniques
    ended = sorted((t for t in trials if t.state == "pruned" or _is_result(t)), key=lambda trial: trial.number)
    complete = sum(trial.state == "complete" for trial in ended)
    if len(ended) < FEWEST_TRIALS or complete < FEWEST_COMPLETE:
        return _nothing(
            f"importance needs at least {FEWEST_TRIALS} complete or pruned trials, at least "
            f"{FEWEST_COMPLETE} of them complete; this study has {len(ended)}, {complete} of them complete"
        )
    sign = -1 if spec.search.maximizes else 1
    values = np.array([np.inf if t.state == "pruned" else sign * (t.value or 0.0) for t in ended], dtype=np.float64)
    order = values.argsort(kind="stable")
    settings = [Regularization.from_params(trial.params) for trial in ended]
    codes = {name: column[order] for name, column in _codes(settings, spec.space).items() if np.ptp(column) > 0}
    if not codes:
        return _nothing("importance needs a technique that was tried with more than one setting")
    return _importances(values[order], codes, spec.search.seed, resamples)


def _importances(values: _Floats, codes: dict[str, _Codes], seed: int, resamples: int) -> Importances:
    """Return the importances; `values` are ascending, and `codes` has the bin of each trial for each technique."""
    bins = np.concatenate([np.eye(column.max() + 1)[column] for column in codes.values()], axis=1)
    owner = np.repeat(np.arange(len(codes)), [column.max() + 1 for column in codes.values()])
    shares = _shares(np.ones(len(values)), values, bins, owner, blind=1)
    if not shares.any():
        return _nothing("for every technique, the settings of the best trials differ from the others only by chance")
    random = np.random.default_rng([seed, zlib.crc32(b"importance")])
    resampled = np.empty((resamples, len(codes)))
    for row in resampled:
        weights = np.bincount(random.integers(len(values), size=len(values)), minlength=len(values))
        # the luck of the trials and the luck of the resampling both add to the divergence
        row[:] = _shares(weights.astype(np.float64), values, bins, owner, blind=2)
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    found = [
        Importance(
            technique=name,
            share=float(shares[index]),
            low=float(min(low[index], shares[index])),
            high=float(max(high[index], shares[index])),
        )
        for index, name in enumerate(codes)
    ]
    return Importances(techniques=tuple(sorted(found, key=lambda importance: -importance.share)))


def _shares(weights: _Floats, values: _Floats, bins: _Floats, owner: _Codes, blind: int) -> _Floats:
    """Return the importance of each technique as a share of the sum; all shares are 0 if no technique matters.

    Args:
        weights: how often each trial counts.
        values: the values of the trials, ascending; infinite for a pruned trial.
        bins: 1 if a trial lies in a bin, else 0; shape (trials, bins of all techniques).
        owner: for each bin, the position of its technique.
        blind: how many times the mean divergence by chance is subtracted: once for the trials, twice for resampled
            trials.
    """
    divergence, by_chance = divergences(weights, values, bins, owner)
    beyond = np.maximum(0, divergence - blind * by_chance)
    total = float(beyond.sum())
    return beyond / total if total > 0 else np.zeros_like(beyond)


def divergences(weights: _Floats, values: _Floats, bins: _Floats, owner: _Codes) -> tuple[_Floats, _Floats]:
    """Return the Pearson divergence of each technique, and the mean divergence of a randomly drawn part.

    The arguments are those of `_shares`.
    """
    reached = np.cumsum(weights)
    count = float(reached[-1])
    complete = float(weights[np.isfinite(values)].sum())
    last = int(np.searchsorted(reached, math.ceil(min(BEST_PART * count, _MOST_OF_COMPLETE * complete))))
    end = int(
        np.searchsorted(values, values[last], side="right")
    )  # includes all trials that are as good as the last one
    n_best = float(reached[end - 1])
    of_all = weights @ bins
    best = (weights[:end] @ bins[:end]) / n_best
    used = of_all > 0
    terms = np.divide(np.square(best), of_all / count, out=np.zeros_like(best), where=used)
    divergence = np.bincount(owner, weights=terms).astype(np.float64) - 1
    n_used = np.bincount(owner, weights=used).astype(np.float64)
    return divergence, (n_used - 1) * (count - n_best) / (n_best * (count - 1))


def _codes(settings: Sequence[Regularization], space: SpaceSpec) -> dict[str, _Codes]:
    """Return the bin of each trial for each technique, by the technique's name; bin 0 means off."""
    placements = ("none", "before_activation", "after_activation")
    columns = {
        "L1": _binned([setting.l1 for setting in settings], space.l1.low, space.l1.high, np.log),
        "L2": _binned([setting.l2 for setting in settings], space.l2.low, space.l2.high, np.log),
        "BatchNorm": np.array([placements.index(setting.batch_norm) for setting in settings]),
    }
    if space.dropout != "off":
        rates = [setting.dropout for setting in settings]
        columns["dropout"] = _binned(rates, space.dropout.low, space.dropout.high, np.asarray)
    if space.patience != "off":
        patiences = [setting.patience or 0 for setting in settings]
        columns["early stopping"] = _binned(patiences, space.patience.low, space.patience.high, np.asarray)
    if space.learning_rate != "fixed":
        rates = [setting.learning_rate or 0.0 for setting in settings]
        columns["learning rate"] = _binned(rates, space.learning_rate.low, space.learning_rate.high, np.log)
    for technique in TECHNIQUES:
        if technique.is_added_later and technique.is_searched(space):
            limits = getattr(space, technique.key)
            strengths = [getattr(setting, technique.key) for setting in settings]
            scale = np.log if technique.is_log else np.asarray
            columns[technique.name] = _binned(strengths, limits.low, limits.high, scale)
    return columns


def _binned(
    strengths: Sequence[float], low: float, high: float, scale: Callable[[npt.ArrayLike], npt.NDArray[np.float64]]
) -> _Codes:
    """Return the bin of each strength: 0 for a strength of 0, else 1 to 4 by its position in the range.

    `scale` is the function of the axis, such as `np.log`. The four bins have equal width on this axis.
    """
    found = np.array(strengths, dtype=np.float64)
    is_on = found > 0
    codes = np.zeros(len(found), dtype=np.int64)
    edges = scale(low) + (scale(high) - scale(low)) * np.arange(1, _BINS) / _BINS
    codes[is_on] = 1 + np.searchsorted(edges, scale(found[is_on]), side="right")
    return codes


def _is_result(trial: TrialRecord) -> bool:
    """Return whether a trial is complete with a finite value."""
    return trial.state == "complete" and trial.value is not None and math.isfinite(trial.value)


def _nothing(reason: str) -> Importances:
    """Return no importances, with the reason."""
    return Importances(techniques=(), reason=reason)
