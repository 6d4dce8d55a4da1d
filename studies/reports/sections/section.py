"""Define a section of the report page, and the parts that sections share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ...statistics import Interval
from ..figures.figure import Figure
from ..html import element, join


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the report page.

    Attributes:
        id: the anchor of the section in links.
        title: the heading, which is also the entry in the table of contents.
        body: the content below the heading, with a place for each figure (see `drawn`).
        figures: the figures that page.js draws in these places.
    """

    id: str
    title: str
    body: Markup
    figures: Sequence[Figure] = ()


def drawn(figure: Figure, heading: str | None = None) -> Markup:
    """Return the empty element in which page.js draws a figure, with the caption below it."""
    place = element(
        "div",
        id=f"figure-{figure.id}",
        class_="plot",
        role="img",
        aria_label=figure.alt_text,
        style=f"height:{figure.height}px",
    )
    return element(
        "figure",
        element("h3", heading) if heading else None,
        place,
        element("figcaption", figure.caption) if figure.caption else None,
        class_=figure.screen,
    )


def measured(interval: Interval | None, written: Callable[[Interval], str]) -> Markup | None:
    """Return a mean and its interval on two lines, formatted by `written`; None without an interval."""
    if interval is None:
        return None
    mean, _, ends = written(interval).rpartition(" [")
    return join([mean, element("small", f"[{ends}")])
