"""A figure that a part of the drill measured, beside what was asked."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the drill's table; `is_met` None: nothing was asked."""

    name: str
    measured: str
    asked: str = ""
    is_met: bool | None = None


def none_of(name: str, found: Sequence[object]) -> Figure:
    """Return the figure of what must not be."""
    return Figure(name=name, measured=str(len(found)), asked="0", is_met=not found)


def at_most(name: str, measured: float, asked: float, unit: str, *, shown: str | None = None) -> Figure:
    """Return the figure of what must be smaller than something."""
    text = shown or f"{measured:.2f} {unit}"
    return Figure(name=name, measured=text, asked=f"< {asked:g} {unit}", is_met=measured < asked)


def table(figures: Sequence[Figure]) -> str:
    """Return figures as aligned lines."""
    verdict = {True: "ok", False: "NOT MET", None: ""}
    rows = [("figure", "measured", "asked", "")]
    rows += [(figure.name, figure.measured, figure.asked, verdict[figure.is_met]) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows)
