"""The trials without a result: when they were pruned, and why they failed."""

import re
from collections import Counter
from collections.abc import Sequence

from regsearch.studies import formats
from regsearch.studies.records import TrialRecord
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.pruning import pruning
from regsearch.studies.reports.html import Html, clean, element, join, table
from regsearch.studies.reports.sections.section import Section, drawn

MOST_REASONS = 10
MOST_TRIALS = 20
_LONGEST_REASON = 300


def section(content: ReportData) -> Section | None:
    """Return it; None where every finished trial is complete."""
    counts = content.answer.counts
    if not counts.pruned and not counts.failed:
        return None
    figure = pruning(content.trials, content.answer.study.spec.training.max_epochs)
    failed = [trial for trial in content.trials if trial.state == "failed"]
    parts = [
        f"{counts.pruned:,} were pruned, since others were better after as many epochs" if counts.pruned else "",
        f"{counts.failed:,} failed" if counts.failed else "",
    ]
    sentence = f"Of {formats.count(counts.finished, 'finished trial')}, {', and '.join(filter(None, parts))}."
    return Section(
        id="unfinished",
        title="Pruned and failed trials",
        figures=[figure] if figure else [],
        body=join(
            [element("p", sentence), drawn(figure) if figure else "", _reasons(failed), _list(failed)],
        ),
    )


def grouped_reasons(failed: Sequence[TrialRecord]) -> list[tuple[str, int]]:
    """Return an example of each reason, numbers aside, and how many trials have it; the most frequent first."""
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for trial in failed:
        reason = " ".join((trial.reason or "no reason is recorded").split())
        kind = re.sub(r"\d+", "#", reason)[:_LONGEST_REASON]
        examples.setdefault(kind, reason)
        counts[kind] += 1
    return [(examples[kind], count) for kind, count in counts.most_common()]


def _reasons(failed: Sequence[TrialRecord]) -> Html:
    if not failed:
        return Html("")
    groups = grouped_reasons(failed)
    rows: list[list[object]] = [
        [clean(reason, _LONGEST_REASON), f"{count:,}"] for reason, count in groups[:MOST_REASONS]
    ]
    rest = sum(count for _, count in groups[MOST_REASONS:])
    if rest:
        rows.append([f"{formats.count(len(groups) - MOST_REASONS, 'other reason')}", f"{rest:,}"])
    return join(
        [
            element("h3", "Why trials failed"),
            table(("reason (one example, where numbers differ)", "trials"), rows, numbers=(1,)),
        ]
    )


def _list(failed: Sequence[TrialRecord]) -> Html:
    if not failed:
        return Html("")
    rows = [
        [trial.number, formats.settings(trial.params), clean(trial.reason or "no reason is recorded", _LONGEST_REASON)]
        for trial in failed[:MOST_TRIALS]
    ]
    which = (
        "Failed trials" if len(failed) <= MOST_TRIALS else f"The first {MOST_TRIALS} of {len(failed):,} failed trials"
    )
    return element("details", element("summary", which), table(("trial", "settings", "reason"), rows))
