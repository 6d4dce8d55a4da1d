"""Turn figures into Plotly figures with fixed colours, for the dashboard, notebooks and scripts."""

from typing import TYPE_CHECKING, Any

from .figure import Figure

if TYPE_CHECKING:
    import plotly.graph_objects

_LIGHT = {
    "--ink": "#1c2127",
    "--muted": "#59636e",
    "--faint": "#aeb7c1",
    "--grid": "#e6e9ed",
    "--paper": "#ffffff",
    "--paper-veil": "rgba(255, 255, 255, 0.85)",
    "--plain": "#0072b2",
    "--plain-fill": "rgba(0, 114, 178, 0.12)",
    "--best": "#d55e00",
    "--good": "#00785a",
    "--bad": "#b0467f",
}
"""The colours of the light page; a test compares them with page.css."""


def as_plotly(title: str, figure: Figure) -> "plotly.graph_objects.Figure":
    """Return a Plotly figure with a title, dark on white; this imports Plotly, which takes a second."""
    import plotly.graph_objects

    return plotly.graph_objects.Figure(as_document(title, figure))


def as_document(title: str, figure: Figure) -> dict[str, Any]:
    """Return the data and layout of a figure as a dictionary for Plotly, with colours and a title."""
    layout = _coloured(figure.layout)
    top = 44 + (24 if layout["showlegend"] else 0)
    return {
        "data": _coloured(list(figure.data)),
        "layout": {
            **layout,
            "title": {"text": title, "x": 0.02, "y": 0.98, "yanchor": "top", "font": {"size": 15}},
            "margin": {**layout["margin"], "l": 16, "r": 20, "t": top},
            "paper_bgcolor": _LIGHT["--paper"],
            "template": {},  # Plotly's default template would add 6 kB
        },
    }


def _coloured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _coloured_part(key, item) for key, item in value.items()}
    return [_coloured(item) for item in value] if isinstance(value, list) else value


def _coloured_part(key: str, item: Any) -> Any:
    return _LIGHT.get(item, item) if key.endswith("color") and isinstance(item, str) else _coloured(item)
