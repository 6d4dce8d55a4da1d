"""Do larger data sets need less regularization? What the gains of studies of different sizes say, and how surely."""

from dataclasses import dataclass
from itertools import pairwise

from storage.reports import formats
from storage.reports.comparison.value import ComparedStudy, Comparison
from studies.statistics import Interval, difference


@dataclass(frozen=True, kw_only=True)
class Change:
    """How much less a gain over no regularization is with the most rows than with the fewest.

    Attributes:
        fewest, most: the gain with so many training rows.
        less: the one minus the other; above 0 where more rows gain less.
    """

    fewest: Interval
    most: Interval
    less: Interval

    @property
    def verdict(self) -> str:
        """In two words: "gains less", "gains more" or "within noise"."""
        if self.less.low > 0:
            return "gains less"
        return "gains more" if self.less.high < 0 else "within noise"


def differ_in_size(comparison: Comparison) -> bool:
    """Return whether the studies train on different numbers of rows."""
    return comparison.studies[0].train_rows < comparison.studies[-1].train_rows


def change(comparison: Comparison, technique: str | None = None) -> Change | None:
    """Return what more rows change in the gain of a technique alone, or if not given of regularization as a whole.

    Compared are the study with the fewest rows and the one with the most. None where that isn't known, or where the
    studies differ in more than their rows.
    """
    if comparison.obstacles or not differ_in_size(comparison) or not comparison.are_of_regularization:
        return None
    fewest, most = (_gain(comparison, study, technique) for study in (comparison.studies[0], comparison.studies[-1]))
    if fewest is None or most is None:
        return None
    return Change(fewest=fewest, most=most, less=difference(fewest, most))


def headline(comparison: Comparison) -> str:
    """Return the answer in a few words."""
    count = f"{len(comparison.studies)} studies"
    if comparison.obstacles:
        return f"{count}, not comparable in {formats.listed([one.key for one in comparison.obstacles])}"
    if not differ_in_size(comparison):
        return f"{count} on {comparison.studies[0].train_rows:,} training rows"
    if not comparison.are_of_regularization:
        return f"{count} of different sizes"
    found = change(comparison)
    if found is None:
        return f"{count} of different sizes; whether more rows need less regularization is not known yet"
    if found.verdict == "within noise":
        return "Whether more rows need less regularization, these studies can't tell"
    return f"With more rows, regularization {found.verdict}"


def sentence(comparison: Comparison) -> str | None:
    """Return what the intervals say of "larger data sets need less regularization".

    None where sizes don't differ, or a study asks for something else than regularization.
    """
    if not differ_in_size(comparison) or not comparison.are_of_regularization:
        return None
    question = "Do larger data sets need less regularization?"
    first, last = comparison.studies[0], comparison.studies[-1]
    if comparison.obstacles:
        keys = formats.listed([one.key for one in comparison.obstacles])
        return f"{question} These studies can't tell, since they differ in more than their rows: in {keys}."
    found = change(comparison)
    if found is None:
        missing = [study.name for study in (first, last) if study.regularized is None]
        have = "has" if len(missing) == 1 else "have"
        return f"{question} Not known yet: {formats.listed(missing)} {have} no confirmed gain over no regularization."
    unit, scale, digits = _unit(comparison)
    verb = "falls" if found.less.mean > 0 else "rises"
    by = Interval(mean=abs(found.less.mean), low=found.less.low, high=found.less.high, level=found.less.level)
    low, high = (by.low, by.high) if found.less.mean > 0 else (-by.high, -by.low)
    ends = f"{_number(scale * low, digits)} to {_number(scale * high, digits)}"
    told = (
        f"From {first.train_rows:,} to {last.train_rows:,} training rows, what regularization gains over none {verb} "
        f"from {_number(scale * found.fewest.mean, digits)} to {_number(scale * found.most.mean, digits)} {unit}, by "
        f"{_number(scale * by.mean, digits)} ({formats.level(by.level)} interval {ends})"
    )
    answers = {
        "gains less": "beyond noise, so yes",
        "gains more": "beyond noise, so no",
        "within noise": "within noise, so these studies can't tell",
    }
    return " ".join([question, f"{told}: {answers[found.verdict]}.", *_steps(comparison), *_shares(comparison)])


def _steps(comparison: Comparison) -> list[str]:
    gains = {study.train_rows: _gain(comparison, study, None) for study in comparison.studies}
    means = [gain.mean for gain in gains.values() if gain is not None]
    if len(means) < 3:
        return []
    falls = sum(after < before for before, after in pairwise(means))
    how = "every one" if falls == len(means) - 1 else f"{falls:,}" if falls else "none"
    return [f"Of the {len(means) - 1} steps between the sizes it falls in {how}."]


def _shares(comparison: Comparison) -> list[str]:
    """Say the gain as a share of what there was to gain: with more rows there is less of that, too."""
    shares = []
    for study in (comparison.studies[0], comparison.studies[-1]):
        gain, conclusion = _gain(comparison, study, None), study.conclusion
        if gain is None or conclusion is None or conclusion.baseline is None:
            return []
        baseline = conclusion.baseline
        whole = 1 - baseline.test_accuracy.mean if comparison.is_by_accuracy else baseline.test_cross_entropy.mean
        if whole <= 0:
            return []
        shares.append(f"{formats.signed(f'{100 * gain.mean / whole:.0f}')} %")
    of = "error" if comparison.is_by_accuracy else "cross-entropy"
    return [f"As a share of the test {of} without regularization that is {shares[0]} and {shares[1]}."]


def _gain(comparison: Comparison, study: ComparedStudy, technique: str | None) -> Interval | None:
    if technique is not None:
        gain = study.gain_of(technique)
    else:
        gain = None if study.regularized is None else study.regularized.gain
    return None if gain is None else comparison.interval_of(gain)


def _unit(comparison: Comparison) -> tuple[str, int, int]:
    if comparison.is_by_accuracy:
        return "percentage points of test accuracy", 100, 2
    return "nats of test cross-entropy per row", 1, 5


def _number(value: float, digits: int) -> str:
    return formats.signed(f"{value:.{digits}f}")
