"""Explain a table of verdicts: notes beside and below it, with the same words in every report."""

from collections.abc import Sequence

from .. import formats
from ..analysis.conclusion import Conclusion
from ..analysis.race import Drop
from ..analysis.technique_verdicts import TechniqueVerdict, technique_verdicts
from ..analysis.verdicts import Verdict
from ..measure import CROSS_ENTROPY, of_metric, per_example

REFERENCES = (
    "Each technique is judged by its gain over early stopping alone, and early stopping by its gain over no "
    "regularization."
)
CROSS_ENTROPY_UNIT = (
    "Cross-entropy is a loss in nats, and lower is better. A gain of 0.01 nats multiplies the probability of the true "
    "class by about 1.01, on average."
)
NOT_SETTLED = "Not settled means that a technique may help or harm, not that it does nothing."


def verdict_in_words(verdict: TechniqueVerdict) -> str:
    """Return a verdict, or the reason why there is none."""
    return str(verdict.verdict or verdict.reason)


def needs_in_words(verdict: TechniqueVerdict) -> str:
    """Return what would settle a verdict: "needs about 12 seeds", "needs more test examples"; "" if unknown."""
    if verdict.seeds_needed is not None:
        return f"needs about {formats.count(verdict.seeds_needed, 'seed')}"
    return "needs more test examples" if verdict.needs_test_examples else ""


def measure_in_words(conclusion: Conclusion) -> str:
    """Return a sentence that says how small "no difference" is; "" if the study has no smallest gain that matters."""
    if not conclusion.smallest_gain:
        return ""
    measure, share = conclusion.measure, conclusion.smallest_gain_share
    part = "" if share is None else f", {100 * share:.3g} % of {_reference(conclusion)}"
    in_metric = "" if conclusion.metric is None else f" {measure.in_sentence}"
    return f"No difference means {measure.no_difference(conclusion.smallest_gain)}{in_metric}{part}."


def _reference(conclusion: Conclusion) -> str:
    """Return in words what the smallest gain is a share of: "the loss with early stopping alone"."""
    reference = (
        "with early stopping alone" if conclusion.has_early_stopping_alone else f"with {conclusion.baseline_name}"
    )
    if conclusion.metric is None:
        return f"the {'error rate' if conclusion.by_accuracy else 'loss'} {reference}"
    if conclusion.is_share_of_missing:
        return f"the distance to 1 {reference}"
    return f"the {conclusion.measure.figure} {reference}"


def over_seeds_note(conclusion: Conclusion) -> str:
    """Return sentences on what the intervals of a metric don't cover; "" if they cover seeds and examples."""
    if not conclusion.is_over_seeds_only:
        return ""
    luck = "seeds and splits" if conclusion.has_drawn_splits else "seeds"
    return (
        f"The metric {conclusion.measure.name} is one figure for all test examples together. So its intervals cover "
        f"only the luck of {luck}. Other test examples could give another answer."
    )


def verdicts_note(conclusion: Conclusion) -> str:
    """Return the note that explains how to read the verdicts and their intervals."""
    verdicts = technique_verdicts(conclusion)
    parts = [CROSS_ENTROPY_UNIT] if conclusion.measure == CROSS_ENTROPY else []
    if any(one.gain_over_early_stopping is not None for one in verdicts):
        parts.append(REFERENCES)
        parts.append(formats.EARLY_STOPPING_BESIDE)
    parts.append(measure_in_words(conclusion))
    if any(one.verdict is Verdict.NOT_SETTLED for one in verdicts):
        parts.append(NOT_SETTLED)
    parts += _levels(conclusion, verdicts)
    parts.append(over_seeds_note(conclusion))
    if conclusion.not_tuned:
        parts.append(formats.NOT_TUNED)
    return " ".join(filter(None, parts))


def _levels(conclusion: Conclusion, verdicts: Sequence[TechniqueVerdict]) -> list[str]:
    """Return sentences that say which confidence the intervals have."""
    with_gain = [one for one in verdicts if one.gain is not None]
    no_difference_levels = {one.gain.level for one in with_gain if one.gain and one.verdict is Verdict.NO_DIFFERENCE}
    other_levels = {one.gain.level for one in with_gain if one.gain and one.verdict is not Verdict.NO_DIFFERENCE}
    sentences = []
    if other_levels:
        sentences.append(
            f"Each interval contains the true gain with {formats.level(max(other_levels))} confidence. This level is "
            f"high because several settings are compared. So with {formats.level(conclusion.level)} confidence, all "
            "low ends in a column are below their true gains."
        )
    if no_difference_levels:
        level = formats.level(max(no_difference_levels))
        sentences.append(f'The verdict "makes no difference" uses an interval with {level} confidence.')
    return sentences


def dropped_in_words(conclusion: Conclusion) -> list[str]:
    """Return a sentence for each finalist that the race dropped."""
    names = {result.finalist.index: formats.settings(result.finalist.params) for result in conclusion.results}
    sentences = []
    for result in conclusion.results:
        drop = result.dropped
        if drop is not None:
            than = names.get(drop.than, "another finalist")
            sentences.append(
                f"Dropped after {formats.count(drop.seeds, 'seed')}: {names[result.finalist.index]} ({drop.reason}; "
                f"on the selection split {_behind(conclusion, drop, than)})."
            )
    return sentences


def _behind(conclusion: Conclusion, drop: Drop, than: str) -> str:
    """Return by how much a finalist was worse than another one, in the figure that decided the race."""
    if conclusion.select_metric is None:
        return f"its loss is {per_example(conclusion.by_accuracy).gain(drop.behind)} above that of {than}"
    measure = of_metric(conclusion.select_metric)
    return f"its {measure.name} is worse than that of {than}, by {measure.gain(drop.behind)}"
