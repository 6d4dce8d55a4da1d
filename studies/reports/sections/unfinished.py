"""Show the trials without a result: when trials were pruned, and why trials failed."""

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from ... import formats
from ...analysis.failures import LONGEST_REASON, NO_REASON, grouped_reasons
from ...records import TrialRecord
from ..data import ReportData
from ..figures.figure import PLAIN, Figure, axis, layout
from ..html import clean, element, join, table
from .section import Section, drawn

MOST_REASONS = 10
MOST_TRIALS = 20


def section(content: ReportData) -> Section | None:
    """Return the section on pruned and failed trials; None if every finished trial is complete."""
    counts = content.answer.counts
    if not counts.pruned and not counts.failed:
        return None
    figure = pruning(content.trials, content.answer.study.spec.training.max_epochs)
    failed = [trial for trial in content.trials if trial.state == "failed"]
    parts = [
        f"{counts.pruned:,} were pruned because others were better after the same number of epochs"
        if counts.pruned
        else "",
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


def _reasons(failed: Sequence[TrialRecord]) -> Markup:
    if not failed:
        return Markup("")
    groups = grouped_reasons(failed)
    rows: list[list[object]] = [
        [clean(reason, LONGEST_REASON), f"{count:,}"] for reason, count in groups[:MOST_REASONS]
    ]
    rest = sum(count for _, count in groups[MOST_REASONS:])
    if rest:
        rows.append([f"{formats.count(len(groups) - MOST_REASONS, 'other reason')}", f"{rest:,}"])
    return join(
        [
            element("h3", "Why trials failed"),
            table(("reason (numbers may differ)", "trials"), rows, numbers=(1,)),
        ]
    )


def _list(failed: Sequence[TrialRecord]) -> Markup:
    if not failed:
        return Markup("")
    rows = [
        [trial.number, formats.settings(trial.params), clean(trial.reason or NO_REASON, LONGEST_REASON)]
        for trial in failed[:MOST_TRIALS]
    ]
    which = (
        "Failed trials" if len(failed) <= MOST_TRIALS else f"The first {MOST_TRIALS} of {len(failed):,} failed trials"
    )
    return element("details", element("summary", which), table(("trial", "configuration", "reason"), rows))


def pruned_after(trials: Sequence[TrialRecord]) -> dict[int, int]:
    """Return how many trials were pruned after each number of epochs, the fewest epochs first."""
    epochs = Counter(
        int(trial.metrics["epochs"]) for trial in trials if trial.state == "pruned" and "epochs" in trial.metrics
    )
    return dict(sorted(epochs.items()))


def pruning(trials: Sequence[TrialRecord], max_epochs: int) -> Figure | None:
    """Return the figure of pruned trials; None if no trial was pruned."""
    counts = pruned_after(trials)
    if not counts:
        return None
    return Figure(
        id="pruning",
        alt_text="How many trials were pruned after each epoch.",
        height=240,
        caption=f"A trial that does not end early trains {max_epochs} epochs.",
        data=[
            {
                "type": "bar",
                "x": list(counts),
                "y": list(counts.values()),
                "marker": {"color": PLAIN},
                "hovertemplate": "after %{x} epochs: %{y} trials<extra></extra>",
            }
        ],
        layout=layout(
            bargap=0.25,
            xaxis=axis(
                "epochs trained before pruning",
                range=[0.4, max_epochs + 0.6],
                **({"dtick": 1} if max_epochs <= 20 else {"nticks": 10}),
            ),
            yaxis=axis("trials", rangemode="tozero", nticks=5),
        ),
    )
