"""How much of being among a study's best trials each technique explains, with an interval over the luck of trials."""

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
"""Complete or pruned trials, and complete ones, below which nothing is said: five at least are in the best part."""

BEST_PART = 0.2
_MOST_OF_COMPLETE = 0.5  # in the best part, where most trials were pruned
_BINS = 4  # of a strength's range, beside "off": few, since the best part of a study is small
_LEVEL = 0.95
_RESAMPLES = 200

_Floats = npt.NDArray[np.float64]
_Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One technique's share in [0, 1] of what all techniques explain, and its 95 % interval over resampled trials."""

    technique: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Importances:
    """The techniques, the most important first; their shares sum to 1. Where none are known, the reason why."""

    techniques: tuple[Importance, ...]
    reason: str | None = None


def importances(spec: StudySpec, trials: Sequence[TrialRecord], resamples: int = _RESAMPLES) -> Importances:
    """Return each technique's importance over complete and pruned trials; the same trials give the same figures.

    PED-ANOVA: a technique matters as far as its settings are distributed otherwise among the best fifth of the trials
    (at most the better half of the complete ones) than among all. A pruned trial counts as none of the best. Its
    measure is the Pearson divergence of the two histograms, less what a fifth drawn blindly would show on average.
    "Off" is a bin of its own beside four of equal width on the scale of its strength; L1 and L2 are two techniques. A
    technique whose setting never changed is left out.

    Args:
        spec: of the study; gives the ranges, the objective and the seed of the resamples.
        trials: of any state and in any order.
        resamples: how many times the trials are drawn again with replacement for the interval.

    Source: Watanabe, Bansal, Hutter, PED-ANOVA, IJCAI 2023, arXiv:2304.10255; `optuna.importance` has it without the
    correction and without intervals.
    """
    if spec.model.hypermodel is not None and any(
        isinstance(configuration_of(t.params), HyperparameterValues) for t in trials
    ):
        return Importances(techniques=())  # there are none
    ended = sorted((t for t in trials if t.state == "pruned" or _is_result(t)), key=lambda trial: trial.number)
    complete = sum(trial.state == "complete" for trial in ended)
    if len(ended) < FEWEST_TRIALS or complete < FEWEST_COMPLETE:
        return _nothing(
            f"importance needs at least {FEWEST_TRIALS} complete or pruned trials, {FEWEST_COMPLETE} of them complete; "
            f"there are {len(ended)} and {complete}"
        )
    sign = -1 if spec.search.maximizes else 1
    values = np.array([np.inf if t.state == "pruned" else sign * (t.value or 0.0) for t in ended], dtype=np.float64)
    order = values.argsort(kind="stable")
    settings = [Regularization.from_params(trial.params) for trial in ended]
    codes = {name: column[order] for name, column in _codes(settings, spec.space).items() if np.ptp(column) > 0}
    if not codes:
        return _nothing("importance needs a technique that was tried in more than one way")
    return _importances(values[order], codes, spec.search.seed, resamples)


def _importances(values: _Floats, codes: dict[str, _Codes], seed: int, resamples: int) -> Importances:
    bins = np.concatenate([np.eye(column.max() + 1)[column] for column in codes.values()], axis=1)
    owner = np.repeat(np.arange(len(codes)), [column.max() + 1 for column in codes.values()])
    shares = _shares(np.ones(len(values)), values, bins, owner, blind=1)
    if not shares.any():
        return _nothing("no technique's settings differ between the best trials and the others beyond chance")
    random = np.random.default_rng([seed, zlib.crc32(b"importance")])
    drawn = np.empty((resamples, len(codes)))
    for row in drawn:
        often = np.bincount(random.integers(len(values), size=len(values)), minlength=len(values))
        # the trials' own luck and that of drawing them again both add to a divergence
        row[:] = _shares(often.astype(np.float64), values, bins, owner, blind=2)
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
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


def _shares(often: _Floats, values: _Floats, bins: _Floats, owner: _Codes, blind: int) -> _Floats:
    """Return each technique's share, all 0 where none has any, of trials in order of their values.

    Args:
        often: how many times each trial counts.
        values: infinite for a pruned trial.
        bins: shape (trials, bins of all techniques), 1 where a trial lies in a bin.
        owner: of each bin, its technique.
        blind: how many times the divergence of a best part drawn blindly is taken away.
    """
    divergence, by_chance = divergences(often, values, bins, owner)
    beyond = np.maximum(0, divergence - blind * by_chance)
    total = float(beyond.sum())
    return beyond / total if total > 0 else np.zeros_like(beyond)


def divergences(often: _Floats, values: _Floats, bins: _Floats, owner: _Codes) -> tuple[_Floats, _Floats]:
    """Return each technique's Pearson divergence, and its expectation where the best part is drawn blindly."""
    reached = np.cumsum(often)
    count = float(reached[-1])
    complete = float(often[np.isfinite(values)].sum())
    last = int(np.searchsorted(reached, math.ceil(min(BEST_PART * count, _MOST_OF_COMPLETE * complete))))
    end = int(np.searchsorted(values, values[last], side="right"))  # with all that are as good as the last
    n_best = float(reached[end - 1])
    of_all = often @ bins
    best = (often[:end] @ bins[:end]) / n_best
    used = of_all > 0
    terms = np.divide(np.square(best), of_all / count, out=np.zeros_like(best), where=used)
    divergence = np.bincount(owner, weights=terms).astype(np.float64) - 1
    n_used = np.bincount(owner, weights=used).astype(np.float64)
    return divergence, (n_used - 1) * (count - n_best) / (n_best * (count - 1))


def _codes(settings: Sequence[Regularization], space: SpaceSpec) -> dict[str, _Codes]:
    """Return each technique's bin of each trial: 0 for off."""
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
            among = getattr(space, technique.key)
            strengths = [getattr(setting, technique.key) for setting in settings]
            scale = np.log if technique.is_log else np.asarray
            columns[technique.name] = _binned(strengths, among.low, among.high, scale)
    return columns


def _binned(
    strengths: Sequence[float], low: float, high: float, scale: Callable[[npt.ArrayLike], npt.NDArray[np.float64]]
) -> _Codes:
    """Return 0 for a strength of 0, else 1 to 4 for its part of the range on its scale, both ends included."""
    found = np.array(strengths, dtype=np.float64)
    is_on = found > 0
    codes = np.zeros(len(found), dtype=np.int64)
    edges = scale(low) + (scale(high) - scale(low)) * np.arange(1, _BINS) / _BINS
    codes[is_on] = 1 + np.searchsorted(edges, scale(found[is_on]), side="right")
    return codes


def _is_result(trial: TrialRecord) -> bool:
    return trial.state == "complete" and trial.value is not None and math.isfinite(trial.value)


def _nothing(reason: str) -> Importances:
    return Importances(techniques=(), reason=reason)
