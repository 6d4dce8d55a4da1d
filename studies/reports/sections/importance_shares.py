"""Show how much each technique matters for being among the best trials, with intervals."""

from collections.abc import Sequence

from ...analysis.importance import Importance
from ..data import ReportData
from ..figures.figure import INK, PLAIN, Figure, axis, layout, rounded, text
from ..html import element
from .section import Section, drawn


def section(content: ReportData) -> Section | None:
    """Return the section with the importances, or with the reason why they are unknown; None without techniques."""
    figure = importance(content.importance)
    if figure is None:
        if content.importance_missing is None:
            return None
        body = element("p", f"Not known: {content.importance_missing}.", class_="note")
        return Section(id="importance", title="What matters", body=body)
    return Section(id="importance", title="What matters", body=drawn(figure), figures=[figure])


def importance(techniques: Sequence[Importance]) -> Figure | None:
    """Return a bar chart of the techniques, the most important at the top; None if no share is known."""
    if not techniques:
        return None
    shares = [100 * one.share for one in techniques]
    return Figure(
        id="importance",
        alt_text="How much each technique matters for being among the best trials, with its interval.",
        height=80 + 34 * len(techniques),
        caption="A technique matters if its settings in the best trials differ from its settings in all trials. All "
        "bars sum to 100 %. A bar does not say that the technique helps: a technique that ruins trials matters, too.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "x": [rounded(share) for share in shares],
                "y": [text(one.technique, 40) for one in techniques],
                "width": 0.55,
                "marker": {"color": PLAIN},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [rounded(max(100 * (one.high - one.share), 0.0)) for one in techniques],
                    "arrayminus": [rounded(max(100 * (one.share - one.low), 0.0)) for one in techniques],
                    "color": INK,
                    "thickness": 1.5,
                    "width": 4,
                },
                "hovertemplate": "%{x:.1f} %<extra></extra>",
            }
        ],
        layout=layout(
            xaxis=axis("share of the importance of all techniques (%)", rangemode="tozero"),
            yaxis=axis("", type="category", autorange="reversed", showgrid=False, tickfont={"color": INK}),
        ),
    )
