"""When trials were pruned: how many after each epoch."""

from collections import Counter
from collections.abc import Sequence

from regsearch.studies.records import TrialRecord
from regsearch.studies.reports.figures.figure import PLAIN, Figure, axis, layout


def pruned_after(trials: Sequence[TrialRecord]) -> dict[int, int]:
    """Return how many trials were pruned after so many epochs, the fewest first."""
    epochs = Counter(
        int(trial.metrics["epochs"]) for trial in trials if trial.state == "pruned" and "epochs" in trial.metrics
    )
    return dict(sorted(epochs.items()))


def pruning(trials: Sequence[TrialRecord], max_epochs: int) -> Figure | None:
    """Return the picture; None where nothing was pruned."""
    counts = pruned_after(trials)
    if not counts:
        return None
    return Figure(
        id="pruning",
        alt_text="How many trials were pruned after each epoch.",
        height=240,
        caption=f"A trial that nothing ends trains {max_epochs} epochs.",
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
