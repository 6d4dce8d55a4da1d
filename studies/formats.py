"""Formats figures and settings for reports, without meaningless digits."""

from collections.abc import Mapping, Sequence
from typing import Any

from .configuration import configuration_of
from .objectives import OURS, metric_of
from .records import TrialRecord
from .spec import StudySpec
from .statistics import Interval

_UNKNOWN = "settings that regsearch did not give"


def cross_entropy(nats: float) -> str:
    """Return a cross-entropy in nats per example.

    Example:
        >>> cross_entropy(0.0765812)
        '0.07658'
    """
    return f"{nats:.5f}"


def percent(share: float) -> str:
    """Return a share in per cent.

    Example:
        >>> percent(0.976)
        '97.60 %'
    """
    return f"{100 * share:.2f} %"


def cross_entropy_interval(interval: Interval) -> str:
    """Return a cross-entropy with its interval: "0.07658 [0.07400, 0.07916]"."""
    return f"{interval.mean:.5f} [{interval.low:.5f}, {interval.high:.5f}]"


def accuracy_interval(interval: Interval) -> str:
    """Return an accuracy with its interval: "97.60 % [97.20, 98.00]"."""
    return f"{100 * interval.mean:.2f} % [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def cross_entropy_gain(interval: Interval) -> str:
    """Return a difference with its interval, always with signs: "+0.01234 [+0.01000, +0.01468]"."""
    return signed(f"{interval.mean:+.5f} [{interval.low:+.5f}, {interval.high:+.5f}]")


def accuracy_gain(interval: Interval) -> str:
    """Return a difference with its interval, in percentage points: "+0.31 [+0.10, +0.52]"."""
    return signed(f"{100 * interval.mean:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]")


def signed(figures: str) -> str:
    """Return a text in which minus signs are as wide as plus signs."""
    return figures.replace("-", "−")


def level(share: float) -> str:
    """Return an interval's level in per cent.

    Example:
        >>> level(0.9888)
        '98.9 %'
    """
    return f"{100 * share:.3g} %"


def shared_risk(share: float) -> str:
    """Return the sentence that says what the intervals in one column of gains mean together."""
    return (
        f"The gains in a column share their risk: with {level(share)} confidence, every low end in the column is below "
        "the true gain."
    )


EARLY_STOPPING_BESIDE = (
    "If a technique was used with early stopping, its gain over no regularization is the gain of both."
)

NOT_TUNED = (
    "A technique that was not tuned has no verdict: its figures describe this one setting, and another strength may "
    "do better."
)


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> count(1, "trial"), count(2000, "trial")
        ('1 trial', '2,000 trials')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    Example:
        >>> listed(["L1", "L2", "dropout"])
        'L1, L2 and dropout'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def duration(seconds: float) -> str:
    """Return a duration in the units that fit it.

    Example:
        >>> duration(42), duration(200), duration(7500)
        ('42 s', '3 min 20 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def settings(params: Mapping[str, Any]) -> str:
    """Return a trial's parameters in words, or a fixed text if another program wrote parameters that can't be read."""
    try:
        return str(configuration_of(params))
    except (TypeError, ValueError, AttributeError):
        return _UNKNOWN


def objective(spec: StudySpec) -> str:
    """Return the name of what ranks trials: "selection cross-entropy", "selection accuracy", or a metric's name."""
    if spec.search.objective in OURS:
        return f"selection {spec.search.objective.replace('_', '-')}"
    return metric_of(spec.search.objective)


def number_of(params: Mapping[str, Any], name: str) -> float | None:
    """Return a parameter's value if it is a positive number (then its technique is on), otherwise None."""
    value = params.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def select_cross_entropy(trial: TrialRecord) -> float | None:
    """Return a complete trial's cross-entropy on the selection split, without penalty; else None."""
    return trial.metrics.get("select_cross_entropy") if trial.state == "complete" else None


def trial_seconds(trial: TrialRecord) -> float:
    """Return the seconds that a trial trained. If these are unknown, return the seconds from its start to its end."""
    measured = trial.metrics.get("seconds")
    if measured is not None:
        return measured
    if trial.started_at is None or trial.ended_at is None:
        return 0.0
    return max((trial.ended_at - trial.started_at).total_seconds(), 0.0)
