"""Draw the best value so far of several studies against the number of trials."""

from typing import Any

from ...analysis.comparison import ComparedStudy, Comparison
from ..figures.figure import (
    BAD,
    BEST,
    GOOD,
    INK,
    MUTED,
    PLAIN,
    Figure,
    axis,
    layout,
    objective_with_unit,
    rounded,
    shown_range,
    text,
)

COLOURS = (PLAIN, BEST, GOOD, BAD, INK, MUTED)
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
MOST_LINES = 12


def best_so_far_figure(comparison: Comparison) -> Figure | None:
    """Return the figure of best values; None if the studies have different objectives, or no trial is complete."""
    drawn = [study for study in comparison.studies if study.best_so_far and study.last is not None]
    shown = drawn[:MOST_LINES]
    if not comparison.have_one_objective or not shown:
        return None
    scale = 100 if comparison.is_by_accuracy else 1
    last_values = [scale * study.best_so_far[-1][1] for study in shown]
    early = [scale * value for study in shown for _, value in study.best_so_far]
    low, high = shown_range([*early, *last_values], higher_is_better=comparison.maximizes)
    left_out = "" if len(shown) == len(drawn) else f" Only the first {len(shown)} of {len(drawn):,} studies are shown."
    beyond = " A line that enters from the edge started with worse values."
    return Figure(
        id="best-so-far",
        alt_text="The best value so far of each study against the number of its trials.",
        height=420,
        caption="Each line is the best value so far of one study, on its selection split and with one seed. The mark "
        "on a line stands at the last finished trial."
        + (beyond if any(not low <= value <= high for value in early) else "")
        + left_out,
        data=[_line(study, index, scale) for index, study in enumerate(shown)],
        layout=layout(
            showlegend=True,
            margin={"l": 8, "r": 16, "t": 32 + 18 * (len(shown) // 3), "b": 8},
            xaxis=axis("trials (in the order of their numbers)", tickformat=",d", nticks=7, rangemode="tozero"),
            yaxis=axis(f"best {objective_with_unit(comparison.studies[0].search)}", range=[low, high]),
        ),
    )


def _line(study: ComparedStudy, index: int, scale: int) -> dict[str, Any]:
    values = [rounded(scale * value) for _, value in study.best_so_far]
    colour = COLOURS[index % len(COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": text(f"{study.name} ({study.train_rows:,} examples)", 60),
        "x": [*(number + 1 for number, _ in study.best_so_far), (study.last or 0) + 1],
        "y": [*values, values[-1]],
        "line": {"shape": "hv", "color": colour, "width": 2.5, "dash": DASHES[index % len(DASHES)]},
        "marker": {
            "symbol": SYMBOLS[index % len(SYMBOLS)],
            "color": colour,
            "opacity": 1,  # if sizes differ, Plotly draws points as half-transparent bubbles
            "size": [*([0] * len(values)), 10],
        },
        "hovertemplate": f"{text(study.name, 60)}, trial %{{x}}: %{{y}}<extra></extra>",
    }
