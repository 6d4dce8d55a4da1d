"""Do larger data sets need less regularization? What the gains of studies of different sizes say, and how surely."""

from dataclasses import dataclass
from itertools import pairwise

from regsearch.studies import formats
from regsearch.studies.analysis.comparison import ComparedStudy, Comparison
from regsearch.studies.analysis.technique_verdicts import TechniqueVerdict
from regsearch.studies.analysis.verdicts import Verdict, verdict_of
from regsearch.studies.statistics import Interval, difference


@dataclass(frozen=True, kw_only=True)
class SizeEffect:
    """How much less a gain over no regularization is with the most rows than with the fewest.

    Attributes:
        fewest, most: the gain with so many training rows.
        less: the one minus the other; above 0 where more rows gain less.
        smallest_gain: the smaller one of what matters in the two studies, in the same unit; 0 if that isn't known.
    """

    fewest: Interval
    most: Interval
    less: Interval
    smallest_gain: float = 0.0

    @property
    def verdict(self) -> str:
        """In a few words: "gains less", "gains more", "makes no difference" or "not settled"."""
        verdict = verdict_of(self.less, self.smallest_gain)
        return {Verdict.HELPS: "gains less", Verdict.HARMS: "gains more"}.get(verdict, str(verdict))

    def __str__(self) -> str:
        """Return the verdict; of something that harms with either number of rows, "harms more" or "harms less"."""
        if self.fewest.mean >= 0 or self.most.mean >= 0:
            return self.verdict
        return {"gains less": "harms more", "gains more": "harms less"}.get(self.verdict, self.verdict)


def differ_in_size(comparison: Comparison) -> bool:
    """Return whether the studies train on different numbers of rows."""
    return comparison.studies[0].train_rows < comparison.studies[-1].train_rows


def change(comparison: Comparison, technique: str | None = None) -> SizeEffect | None:
    """Return what more rows change in the gain of a technique alone, or if not given of regularization as a whole.

    Compared are the study with the fewest rows and the one with the most. None where that isn't known, or where the
    studies differ in more than their rows, or their verdicts go by different figures.
    """
    if comparison.obstacles or not differ_in_size(comparison) or not comparison.are_of_regularization:
        return None
    if not comparison.is_judged_alike:
        return None
    first, last = comparison.studies[0], comparison.studies[-1]
    fewest, most = _regularized(comparison, first), _regularized(comparison, last)
    if technique is not None:
        fewest, most = _over_one_reference(first.verdict_on(technique), last.verdict_on(technique))
    if fewest is None or most is None:
        return None
    smallest = min(0.0 if one.conclusion is None else one.conclusion.smallest_gain for one in (first, last))
    return SizeEffect(fewest=fewest, most=most, less=difference(fewest, most), smallest_gain=smallest)


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
    if found.verdict == Verdict.NOT_SETTLED:
        return "Whether more rows need less regularization is not settled"
    if found.verdict == Verdict.NO_DIFFERENCE:
        return "The number of rows makes no difference to what regularization gains"
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
    if not comparison.is_judged_alike:
        return f"{question} These studies can't tell, since their verdicts go by different figures."
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
        "gains less": "so yes",
        "gains more": "so no",
        "makes no difference": "which makes no difference "
        f"({comparison.measure.no_difference(found.smallest_gain)}), so no",
        "not settled": "so this is not settled",
    }
    told = f"{told}: {answers[found.verdict]}."
    return " ".join([question, told, *_ends(comparison), *_steps(comparison), *_shares(comparison)])


def _ends(comparison: Comparison) -> list[str]:
    """Say what regularization as a whole does with the fewest rows and with the most."""
    parts = []
    for study in (comparison.studies[0], comparison.studies[-1]):
        gain = _regularized(comparison, study)
        if gain is None or study.conclusion is None:
            return []
        smallest = study.conclusion.smallest_gain
        verdict = verdict_of(gain, smallest)
        told = f"whether it helps is {verdict}" if verdict is Verdict.NOT_SETTLED else f"it {verdict}"
        if verdict is Verdict.NO_DIFFERENCE:
            told += f" ({comparison.measure.no_difference(smallest)})"
        parts.append((f"with {study.train_rows:,} rows", told))
    (few, with_few), (many, with_many) = parts
    if with_few == with_many:
        return [f"{with_few[0].upper()}{with_few[1:]} {few} and {many} alike."]
    return [f"{few[0].upper()}{few[1:]} {with_few}, and {many} {with_many}."]


def _steps(comparison: Comparison) -> list[str]:
    gains = {study.train_rows: _regularized(comparison, study) for study in comparison.studies}
    means = [gain.mean for gain in gains.values() if gain is not None]
    if len(means) < 3:
        return []
    falls = sum(after < before for before, after in pairwise(means))
    how = "every one" if falls == len(means) - 1 else f"{falls:,}" if falls else "none"
    return [f"Of the {len(means) - 1} steps between the sizes it falls in {how}."]


def _shares(comparison: Comparison) -> list[str]:
    """Say the gain as a share of what there was to gain: with more rows there is less of that, too."""
    if not comparison.measure.unit:  # a metric's own zero need not be the best that there is
        return []
    shares = []
    for study in (comparison.studies[0], comparison.studies[-1]):
        gain, conclusion = _regularized(comparison, study), study.conclusion
        if gain is None or conclusion is None or conclusion.baseline is None:
            return []
        baseline = conclusion.baseline
        whole = 1 - baseline.test_accuracy.mean if comparison.is_by_accuracy else baseline.test_cross_entropy.mean
        if whole <= 0:
            return []
        shares.append(f"{formats.signed(f'{100 * gain.mean / whole:.0f}')} %")
    of = "error" if comparison.is_by_accuracy else "cross-entropy"
    return [f"As a share of the test {of} without regularization that is {shares[0]} and {shares[1]}."]


def _regularized(comparison: Comparison, study: ComparedStudy) -> Interval | None:
    """Return what regularization as a whole gains over none in a study."""
    return comparison.gain_of(study)


def _over_one_reference(
    first: TechniqueVerdict | None, last: TechniqueVerdict | None
) -> tuple[Interval | None, Interval | None]:
    """Return two gains of a technique over the same reference: early stopping alone, or else no regularization."""
    if first is None or last is None or first.verdict is None or last.verdict is None:
        return None, None
    if first.gain_over_early_stopping is not None and last.gain_over_early_stopping is not None:
        return first.gain_over_early_stopping, last.gain_over_early_stopping
    return first.over_baseline, last.over_baseline


def _unit(comparison: Comparison) -> tuple[str, int, int]:
    if comparison.is_by_accuracy:
        return "percentage points of test accuracy", 100, 2
    if not comparison.measure.unit:
        return comparison.measure.in_sentence, 1, 5
    return "nats of test cross-entropy per row", 1, 5


def _number(value: float, digits: int) -> str:
    return formats.signed(f"{value:.{digits}f}")
