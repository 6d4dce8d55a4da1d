"""The notes beside and below a table of verdicts, the same in every report."""

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
    """Return a verdict, or why there is none."""
    return str(verdict.verdict or verdict.reason)


def needs_in_words(verdict: TechniqueVerdict) -> str:
    """Return what would settle a verdict: "needs about 12 seeds", "needs more test examples"; "" if unknown."""
    if verdict.seeds_needed is not None:
        return f"needs about {formats.count(verdict.seeds_needed, 'seed')}"
    return "needs more test examples" if verdict.needs_test_examples else ""


def measure_in_words(conclusion: Conclusion) -> str:
    """Return how small "no difference" is; "" if the study has no smallest gain that matters."""
    if not conclusion.smallest_gain:
        return ""
    measure, share = conclusion.measure, conclusion.smallest_gain_share
    part = "" if share is None else f", {100 * share:.3g} % of {_reference(conclusion)}"
    in_metric = "" if conclusion.metric is None else f" {measure.in_sentence}"
    return f"No difference means {measure.no_difference(conclusion.smallest_gain)}{in_metric}{part}."


def _reference(conclusion: Conclusion) -> str:
    """Return what the smallest gain is a share of, in words."""
    reference = (
        "with early stopping alone" if conclusion.has_early_stopping_alone else f"with {conclusion.baseline_name}"
    )
    if conclusion.metric is None:
        return f"the {'error rate' if conclusion.by_accuracy else 'loss'} {reference}"
    if conclusion.is_share_of_missing:
        return f"what is missing to 1 {reference}"
    return f"the {conclusion.measure.figure} {reference}"


def over_seeds_note(conclusion: Conclusion) -> str:
    """Return what the intervals of a metric leave out; "" if each example has a figure of its own."""
    if not conclusion.is_over_seeds_only:
        return ""
    luck = "seeds and splits" if conclusion.has_drawn_splits else "seeds"
    return (
        f"The metric {conclusion.measure.name} has no figure for each example, so its intervals cover only the luck "
        f"of {luck}. Other test examples could give another answer."
    )


def verdicts_note(conclusion: Conclusion) -> str:
    """Return how to read the verdicts and their intervals."""
    found = technique_verdicts(conclusion)
    parts = [CROSS_ENTROPY_UNIT] if conclusion.measure == CROSS_ENTROPY else []
    if any(one.gain_over_early_stopping is not None for one in found):
        parts.append(REFERENCES)
        parts.append(formats.EARLY_STOPPING_BESIDE)
    parts.append(measure_in_words(conclusion))
    if any(one.verdict is Verdict.NOT_SETTLED for one in found):
        parts.append(NOT_SETTLED)
    parts += _levels(conclusion, found)
    parts.append(over_seeds_note(conclusion))
    if conclusion.not_tuned:
        parts.append(formats.NOT_TUNED)
    return " ".join(filter(None, parts))


def _levels(conclusion: Conclusion, found: Sequence[TechniqueVerdict]) -> list[str]:
    """Return which confidence the intervals have."""
    known = [one for one in found if one.gain is not None]
    alike = {one.gain.level for one in known if one.gain and one.verdict is Verdict.NO_DIFFERENCE}
    shared = {one.gain.level for one in known if one.gain and one.verdict is not Verdict.NO_DIFFERENCE}
    told = []
    if shared:
        told.append(
            f"Each interval contains the true gain with {formats.level(max(shared))} confidence. The level is that "
            "high because several settings are compared: all low ends of a column are right with "
            f"{formats.level(conclusion.level)} confidence."
        )
    if alike:
        told.append(f"The verdict of no difference rests on an interval with {formats.level(max(alike))} confidence.")
    return told


def dropped_in_words(conclusion: Conclusion) -> list[str]:
    """Return a sentence for each finalist that a race gave no more seeds."""
    names = {result.finalist.index: formats.settings(result.finalist.params) for result in conclusion.results}
    told = []
    for result in conclusion.results:
        drop = result.dropped
        if drop is not None:
            than = names.get(drop.than, "another finalist")
            told.append(
                f"Dropped after {formats.count(drop.seeds, 'seed')}: {names[result.finalist.index]} ({drop.reason}; "
                f"on the selection split {_behind(conclusion, drop, than)})."
            )
    return told


def _behind(conclusion: Conclusion, drop: Drop, than: str) -> str:
    """Return by how much a finalist was behind another one in the figure that decided the race."""
    if conclusion.select_metric is None:
        return f"its loss is {per_example(conclusion.by_accuracy).gain(drop.behind)} above that of {than}"
    measure = of_metric(conclusion.select_metric)
    return f"its {measure.name} is worse than that of {than}, by {measure.gain(drop.behind)}"
