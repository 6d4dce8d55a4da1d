"""Describe the strength curve of each technique alone, compared with the same training without the technique."""

from collections.abc import Iterable, Sequence
from typing import Any

from .. import formats
from ..analysis.conclusion import Conclusion
from ..analysis.strength_curve import Baseline, Regions, StrengthCurve
from ..analysis.tuning import Tuning, shown, tunings
from ..configuration import Regularization, configuration_of
from ..objectives import OURS, metric_of
from ..records import TrialRecord
from ..spec import SearchSpec, StudySpec

_NO_REGULARIZATION = Regularization()
_WORDS = {"early stopping": ("too short", "too long")}
_TOO_WEAK_TOO_STRONG = ("too weak", "too strong")


def strength_curves(
    spec: StudySpec, trials: Sequence[TrialRecord], conclusion: Conclusion | None
) -> tuple[StrengthCurve, ...]:
    """Return the strength curve of each technique that the study asks about.

    The result is empty until a trial with one technique alone has finished. Early stopping is compared with no
    regularization. Every other technique is compared with no regularization or early stopping alone, whichever is
    better.
    """
    all_tunings = tunings(trials, spec.space, maximizes=spec.search.maximizes)
    if not any(tuning.attempts for tuning in all_tunings):
        return ()
    none = _baseline(spec.search, trials, conclusion, _NO_REGULARIZATION)
    stopping = next(tuning for tuning in all_tunings if tuning.technique == "early stopping")
    known = [none, *_early_stopping_alone(spec.search, trials, conclusion, stopping)]
    sign = -1 if spec.search.maximizes else 1
    best = min((one for one in known if one is not None), key=lambda one: sign * one.value, default=None)
    return tuple(
        StrengthCurve(tuning=tuning, baseline=none if tuning is stopping else best)
        for tuning in all_tunings
        if tuning.is_asked
    )


def sentence(curve: StrengthCurve, search: SearchSpec) -> str:
    """Describe a curve in words: the number of trials, their strengths, how they ended, and the best strength."""
    tuning = curve.tuning
    parts = [f"{str(tuning).capitalize() if not tuning.attempts else _trials_in_words(tuning)}."]
    if tuning.best is not None:
        parts.append(_best_in_words(curve, search))
    regions = curve.regions
    if regions is not None and (words := _regions_in_words(tuning.technique, regions)):
        parts.append(f"{words[0].upper()}{words[1:]}.")
    return " ".join(parts)


def region_names(technique: str) -> tuple[str, str]:
    """Return the names of the strengths below and above the good ones: "too weak", "too strong"."""
    return _WORDS.get(technique, _TOO_WEAK_TOO_STRONG)


def value(search: SearchSpec, figure: float) -> str:
    """Format a value of the objective: "0.07658", "97.60 %"."""
    return formats.percent(figure) if search.by_accuracy else formats.cross_entropy(figure)


def objective(search: SearchSpec) -> str:
    """Return the objective's name: "cross-entropy", "accuracy", or a HyperModel's "val_f1"."""
    return search.objective.replace("_", "-") if search.objective in OURS else metric_of(search.objective)


def curve_json(curve: StrengthCurve) -> dict[str, Any]:
    """Return a strength curve as a dictionary, ready for JSON."""
    regions, baseline = curve.regions, curve.baseline
    return {
        **tuning_json(curve.tuning),
        "baseline": None if baseline is None else vars(baseline),
        "gain": curve.gain,
        "good": None if regions is None or regions.good is None else list(regions.good),
        "too_weak_to": None if regions is None else regions.too_weak_to,
        "too_strong_from": None if regions is None else regions.too_strong_from,
        "attempts": [
            {
                "trial": attempt.trial,
                "strength": attempt.strength,
                "regularization": str(attempt.regularization),
                "state": attempt.state,
                "value": attempt.value,
                "epochs": attempt.epochs,
                "has_diverged": attempt.has_diverged,
                "recipe": attempt.recipe,
            }
            for attempt in curve.tuning.attempts
        ],
    }


def tuning_json(tuning: Tuning) -> dict[str, Any]:
    """Return how well a technique was tuned, as a dictionary ready for JSON."""
    best = tuning.best
    return {
        "technique": tuning.technique,
        "is_asked": tuning.is_asked,
        "is_tuned": tuning.is_tuned,
        "tuning": str(tuning),
        "fewest": tuning.fewest,
        "trials": tuning.trials,
        "strengths": list(tuning.strengths),
        "complete": len(tuning.complete),
        "pruned": len(tuning.pruned),
        "pruned_after": list(tuning.pruned_after),
        "failed": len(tuning.failed),
        "diverged": sum(attempt.has_diverged for attempt in tuning.failed),
        "best": None if best is None else {"trial": best.trial, "strength": best.strength, "value": best.value},
    }


def _baseline(
    search: SearchSpec, trials: Iterable[TrialRecord], conclusion: Conclusion | None, settings: Regularization
) -> Baseline | None:
    """Return a configuration's result in the search, else in the confirmation; None if it was never trained."""
    results = () if conclusion is None or search.objective not in OURS else conclusion.results
    result = next((result for result in results if result.finalist.settings == settings), None)
    spread = None if result is None else result.select_spread(search.by_accuracy)
    seeds = 0 if result is None or conclusion is None else conclusion.seeds
    trial_values = [trial.value for trial in trials if trial.value is not None and _has_settings(trial, settings)]
    if trial_values:
        return Baseline(name=str(settings), value=trial_values[0], spread=spread, seeds=seeds)
    if result is None:
        return None
    mean = result.select_accuracy if search.by_accuracy else result.select_cross_entropy
    return Baseline(name=str(settings), value=mean, spread=spread, seeds=seeds, is_of_search=False)


def _early_stopping_alone(
    search: SearchSpec, trials: Iterable[TrialRecord], conclusion: Conclusion | None, tuning: Tuning
) -> list[Baseline | None]:
    """Return the result of early stopping alone at its best patience; an empty list if it was never trained."""
    if tuning.best is not None:
        return [_baseline(search, trials, conclusion, tuning.best.regularization)]
    rows = () if conclusion is None else conclusion.techniques
    result = next((row.result for row in rows if row.technique == "early stopping"), None)
    settings = None if result is None else result.finalist.settings
    return [_baseline(search, (), conclusion, settings)] if isinstance(settings, Regularization) else []


def _has_settings(trial: TrialRecord, settings: Regularization) -> bool:
    try:
        return configuration_of(trial.params) == settings
    except (TypeError, ValueError, AttributeError):  # another program wrote these parameters
        return False


def _trials_in_words(tuning: Tuning) -> str:
    """Describe the trials of a technique: how many, at which strengths, and how they ended."""
    parts = [f"{'Tuned' if tuning.is_tuned else 'Not tuned'}: {tuning.tried}"]
    if not tuning.is_tuned:
        parts[0] += f"; a verdict needs {_strengths_needed(tuning)}"
    if tuning.pruned:
        after = formats.listed([f"{epochs}" for epochs in tuning.pruned_after])
        epochs = f", after {after} {'epoch' if after == '1' else 'epochs'}" if after else ""
        parts.append(f"{_count_with_verb(len(tuning.pruned))} pruned{epochs}")
    diverged = sum(attempt.has_diverged for attempt in tuning.failed)
    if diverged:
        parts.append(f"{diverged:,} diverged")
    if len(tuning.failed) > diverged:
        parts.append(f"{len(tuning.failed) - diverged:,} failed")
    return "; ".join(parts)


def _strengths_needed(tuning: Tuning) -> str:
    """Return how many strengths a verdict needs, with the technique's own word for a strength: "5 rates"."""
    noun = {"L1+L2": "pair", "BatchNorm": "placement", "early stopping": "patience", "dropout": "rate"}
    return formats.count(tuning.fewest, noun.get(tuning.technique, "strength"))


def _count_with_verb(count: int) -> str:
    return "1 was" if count == 1 else f"{count:,} were"


def _best_in_words(curve: StrengthCurve, search: SearchSpec) -> str:
    """Describe the best strength, and how much better or worse its value is than the baseline's."""
    best, gain, baseline = curve.tuning.best, curve.gain, curve.baseline
    assert best is not None
    assert best.value is not None
    where = f"{'patience ' if curve.tuning.technique == 'early stopping' else ''}{shown(best.strength)}"
    value_in_words = f"Best: {where}, {objective(search)} {value(search, best.value)}"
    if gain is None or baseline is None:
        return f"{value_in_words}."
    by = f"{100 * abs(gain):.2f} points" if search.by_accuracy else f"{abs(gain):.5f}"
    return f"{value_in_words}, {by} {'better' if gain > 0 else 'worse'} than {baseline.name}."


def _regions_in_words(technique: str, regions: Regions) -> str:
    weak, strong = region_names(technique)
    parts = []
    if regions.good is not None:
        low, high = map(shown, regions.good)
        parts.append(f"good at {low}" if low == high else f"good from {low} to {high}")
    if regions.too_weak_to is not None:
        parts.append(f"{weak} up to {shown(regions.too_weak_to)}")
    if regions.too_strong_from is not None:
        parts.append(f"{strong} from {shown(regions.too_strong_from)} on")
    return ", ".join(parts)
