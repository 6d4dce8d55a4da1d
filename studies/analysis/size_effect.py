"""Answers whether larger data sets need less regularization, from the gains of studies of different sizes."""

from dataclasses import dataclass
from itertools import pairwise

from .. import formats
from ..statistics import Interval, difference
from .comparison import Comparison
from .technique_verdicts import TechniqueVerdict
from .verdicts import Verdict, verdict_of


@dataclass(frozen=True, kw_only=True)
class SizeEffect:
    """How a gain changes from the study with the fewest training examples to the study with the most.

    Attributes:
        fewest: the gain with the fewest training examples.
        most: the gain with the most training examples.
        reduction: `fewest` minus `most`; above 0 if the gain is smaller with more examples.
        smallest_gain: the smallest gain that matters, in the same unit. If it differs between the two studies, the
            smaller value counts. 0 if unknown.
    """

    fewest: Interval
    most: Interval
    reduction: Interval
    smallest_gain: float = 0.0

    @property
    def verdict(self) -> str:
        """The effect of more examples: "gains less", "gains more", "makes no difference" or "not settled"."""
        verdict = verdict_of(self.reduction, self.smallest_gain)
        return {Verdict.HELPS: "gains less", Verdict.HARMS: "gains more"}.get(verdict, str(verdict))

    def __str__(self) -> str:
        """Return the verdict, with other words if both gains are below 0.

        Then "gains less" becomes "harms more", and "gains more" becomes "harms less".
        """
        if self.fewest.mean >= 0 or self.most.mean >= 0:
            return self.verdict
        return {"gains less": "harms more", "gains more": "harms less"}.get(self.verdict, self.verdict)


def differ_in_size(comparison: Comparison) -> bool:
    """Return whether the studies have different numbers of training examples."""
    return comparison.studies[0].train_rows < comparison.studies[-1].train_rows


def change(comparison: Comparison, technique: str | None = None) -> SizeEffect | None:
    """Return how the gain of a technique changes from the fewest training examples to the most.

    Returns None if either gain is unknown, if the studies differ in more than their size, if all have the same size, or
    if their verdicts use different measures.

    Args:
        comparison: the comparison of the studies.
        technique: one of `LABELS`; by default, regularization as a whole.
    """
    if comparison.obstacles or not differ_in_size(comparison) or not comparison.are_of_regularization:
        return None
    if not comparison.is_judged_alike:
        return None
    first, last = comparison.studies[0], comparison.studies[-1]
    fewest, most = comparison.gain_of(first), comparison.gain_of(last)
    if technique is not None:
        fewest, most = _over_one_reference(first.verdict_on(technique), last.verdict_on(technique))
    if fewest is None or most is None:
        return None
    smallest = min(0.0 if one.conclusion is None else one.conclusion.smallest_gain for one in (first, last))
    return SizeEffect(fewest=fewest, most=most, reduction=difference(fewest, most), smallest_gain=smallest)


def headline(comparison: Comparison) -> str:
    """Return the answer in a few words, or why there is none."""
    count = f"{len(comparison.studies)} studies"
    if comparison.obstacles:
        return f"{count}, not comparable in {formats.listed([one.key for one in comparison.obstacles])}"
    if not differ_in_size(comparison):
        return f"{count} on {comparison.studies[0].train_rows:,} training examples"
    if not comparison.are_of_regularization:
        return f"{count} of different sizes"
    effect = change(comparison)
    if effect is None:
        return f"{count} of different sizes; whether more examples need less regularization is not known yet"
    if effect.verdict == Verdict.NOT_SETTLED:
        return "Whether more examples need less regularization is not settled"
    if effect.verdict == Verdict.NO_DIFFERENCE:
        return "The number of examples makes no difference to what regularization gains"
    return f"With more examples, regularization {effect.verdict}"


def sentence(comparison: Comparison) -> str | None:
    """Return the answer to the question "Do larger data sets need less regularization?" with its intervals.

    Returns None if the sizes do not differ, or if a study also searches the hyperparameters of a HyperModel.
    """
    if not differ_in_size(comparison) or not comparison.are_of_regularization:
        return None
    question = "Do larger data sets need less regularization?"
    if comparison.obstacles:
        keys = formats.listed([difference.key for difference in comparison.obstacles])
        return f"{question} These studies can't tell, since they differ in more than their size: in {keys}."
    if not comparison.is_judged_alike:
        return f"{question} These studies can't tell, since their verdicts use different measures."
    effect = change(comparison)
    if effect is None:
        ends = (comparison.studies[0], comparison.studies[-1])
        missing = [study.name for study in ends if study.regularized is None]
        have = "has" if len(missing) == 1 else "have"
        return f"{question} Not known yet: {formats.listed(missing)} {have} no confirmed gain over no regularization."
    answer = _answer(comparison, effect)
    return " ".join([question, answer, *_ends(comparison), *_steps(comparison), *_shares(comparison)])


def _answer(comparison: Comparison, effect: SizeEffect) -> str:
    """Return the sentence with both gains, their difference and its interval, and what follows from it."""
    first, last = comparison.studies[0], comparison.studies[-1]
    unit, scale, digits = _unit(comparison)

    def number(value: float) -> str:
        return formats.signed(f"{scale * value:.{digits}f}")

    reduction = effect.reduction
    is_reduced = reduction.mean > 0
    low, high = (reduction.low, reduction.high) if is_reduced else (-reduction.high, -reduction.low)
    no_difference = comparison.measure.no_difference(effect.smallest_gain)
    consequence = {
        "gains less": "so yes",
        "gains more": "so no",
        "makes no difference": f"which makes no difference ({no_difference}), so no",
        "not settled": "so this is not settled",
    }[effect.verdict]
    return (
        f"From {first.train_rows:,} to {last.train_rows:,} training examples, the gain over no regularization "
        f"{'falls' if is_reduced else 'rises'} from {number(effect.fewest.mean)} to {number(effect.most.mean)} {unit}. "
        f"It {'falls' if is_reduced else 'rises'} by {number(abs(reduction.mean))} "
        f"({formats.level(reduction.level)} interval {number(low)} to {number(high)}), {consequence}."
    )


def _ends(comparison: Comparison) -> list[str]:
    """Return a sentence with two verdicts on regularization as a whole: with the fewest examples, and with the most."""
    parts = []
    for study in (comparison.studies[0], comparison.studies[-1]):
        gain = comparison.gain_of(study)
        if gain is None or study.conclusion is None:
            return []
        smallest = study.conclusion.smallest_gain
        verdict = verdict_of(gain, smallest)
        effect = f"regularization {verdict}"
        if verdict is Verdict.NOT_SETTLED:
            effect = f"it is {verdict} whether regularization helps"
        if verdict is Verdict.NO_DIFFERENCE:
            effect += f" ({comparison.measure.no_difference(smallest)})"
        parts.append((f"with {study.train_rows:,} examples", effect))
    (few, with_few), (many, with_many) = parts
    if with_few == with_many:
        return [f"Both {few} and {many}, {with_few}."]
    return [f"{few[0].upper()}{few[1:]}, {with_few}; {many}, {with_many}."]


def _steps(comparison: Comparison) -> list[str]:
    """Return a sentence that says in how many steps from size to size the gain falls; none for fewer than 3 sizes."""
    gains = {study.train_rows: comparison.gain_of(study) for study in comparison.studies}
    means = [gain.mean for gain in gains.values() if gain is not None]
    if len(means) < 3:
        return []
    falls, steps = sum(after < before for before, after in pairwise(means)), len(means) - 1
    in_how_many = "all" if falls == steps else f"{falls:,}" if falls else "none"
    return [f"The gain falls in {in_how_many} of the {steps} steps between the sizes."]


def _shares(comparison: Comparison) -> list[str]:
    """Return a sentence with the gains as shares of the loss without regularization, which also depends on the size."""
    if not comparison.measure.unit:  # the best value of a metric need not be 0, so a share of it means nothing
        return []
    shares = []
    for study in (comparison.studies[0], comparison.studies[-1]):
        gain, conclusion = comparison.gain_of(study), study.conclusion
        if gain is None or conclusion is None or conclusion.baseline is None:
            return []
        baseline = conclusion.baseline
        loss = 1 - baseline.test_accuracy.mean if comparison.is_by_accuracy else baseline.test_cross_entropy.mean
        if loss <= 0:
            return []
        share = formats.signed(f"{100 * gain.mean / loss:.0f}")
        shares.append(f"{share} % with {study.train_rows:,} examples")
    figure = "error" if comparison.is_by_accuracy else "cross-entropy"
    return [f"As a share of the test {figure} without regularization, the gain is {' and '.join(shares)}."]


def _over_one_reference(
    first: TechniqueVerdict | None, last: TechniqueVerdict | None
) -> tuple[Interval | None, Interval | None]:
    """Return both gains of a technique over early stopping alone; if one is unknown, both over no regularization."""
    if first is None or last is None or first.verdict is None or last.verdict is None:
        return None, None
    if first.gain_over_early_stopping is not None and last.gain_over_early_stopping is not None:
        return first.gain_over_early_stopping, last.gain_over_early_stopping
    return first.over_baseline, last.over_baseline


def _unit(comparison: Comparison) -> tuple[str, int, int]:
    """Return the unit of gains in a sentence, the factor from a gain to this unit, and the number of decimal places."""
    if comparison.is_by_accuracy:
        return "percentage points of test accuracy", 100, 2
    if not comparison.measure.unit:
        return comparison.measure.in_sentence, 1, 5
    return "nats of test cross-entropy per example", 1, 5
