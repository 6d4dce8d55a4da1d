"""What stands beside and below a table of verdicts, the same in every report."""

from storage.reports import formats, gain_words
from storage.reports.conclusion import Conclusion
from storage.reports.technique_verdicts import TechniqueVerdict, shares_risk, technique_verdicts
from studies.verdicts import Verdict

REFERENCES = (
    "Verdicts go by the gain over early stopping alone; early stopping itself is judged over no regularization."
)
NOT_SETTLED = "Not settled means that it may help or harm, not that it does nothing."


def verdict_in_words(verdict: TechniqueVerdict) -> str:
    """Return a verdict, or why there is none."""
    return str(verdict.verdict or verdict.reason)


def needs_in_words(verdict: TechniqueVerdict) -> str:
    """Return what would settle a verdict: "needs about 12 seeds", "needs more test examples"; "" if unknown."""
    if verdict.seeds_needed is not None:
        return f"needs about {formats.count(verdict.seeds_needed, 'seed')}"
    return "needs more test examples" if verdict.needs_test_examples else ""


def measure_in_words(conclusion: Conclusion) -> str:
    """Say how small "no difference" is; nothing if the study knows no smallest gain that matters."""
    if not conclusion.smallest_gain:
        return ""
    measure = gain_words.no_difference(conclusion.smallest_gain, conclusion.by_accuracy)
    share = conclusion.smallest_gain_share
    of = "error rate" if conclusion.by_accuracy else "loss"
    part = "" if share is None else f", {100 * share:.3g} % of the {of} with early stopping alone"
    return f"No difference means {measure}{part}."


def verdicts_note(conclusion: Conclusion) -> str:
    """Return what it takes to read the verdicts and their intervals."""
    found = technique_verdicts(conclusion)
    parts = []
    if any(one.over_early_stopping is not None for one in found):
        parts.append(REFERENCES)
        parts.append(formats.EARLY_STOPPING_BESIDE)
    parts.append(measure_in_words(conclusion))
    if any(one.verdict is Verdict.NOT_SETTLED for one in found):
        parts.append(NOT_SETTLED)
    parts.append(
        formats.shared_risk(conclusion.level) if shares_risk(conclusion) else formats.own_risk(conclusion.level)
    )
    if conclusion.not_tuned:
        parts.append(formats.NOT_TUNED)
    return " ".join(filter(None, parts))


def dropped_in_words(conclusion: Conclusion) -> list[str]:
    """Return a sentence for each finalist that a race gave no more seeds."""
    names = {result.finalist.index: formats.settings(result.finalist.params) for result in conclusion.results}
    told = []
    for result in conclusion.results:
        drop = result.dropped
        if drop is not None:
            behind = formats.gain(drop.behind, conclusion.by_accuracy)
            than = names.get(drop.than, "another finalist")
            told.append(
                f"Dropped after {formats.count(drop.seeds, 'seed')}: {names[result.finalist.index]} ({drop.reason}; "
                f"on the selection examples its loss is {behind} above that of {than})."
            )
    return told
