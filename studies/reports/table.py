"""A plain table, as wide as it needs to be."""

from collections.abc import Iterable, Sequence
from typing import Any


def as_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return lines of left-aligned columns, two spaces apart; None is an empty cell."""
    cells = [list(header), *([("" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
