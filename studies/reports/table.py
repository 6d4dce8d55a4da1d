"""Write tables as text: plain ones of any width, and tables that Rich fits into a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.table import Column, Table
from rich.text import Text

from ..errors import one_line


def as_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table with left-aligned columns, two spaces apart; None gives an empty cell."""
    cells = [list(header), *([("" if cell is None else one_line(str(cell))) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def terminal_table(
    title: str, header: Iterable[str | Column], rows: Iterable[Sequence[str]], *, note: str | None = None
) -> Table:
    """Return a table for Rich, which shows its texts unchanged and breaks words that are too long for a column.

    Args:
        title: the text above the table.
        header: the name of each column, or a `Column` with its widths.
        rows: the cells of each row.
        note: the text below the table.
    """
    table = Table(
        *(column(name) if isinstance(name, str) else name for name in header),
        title=Text(title),
        title_justify="left",
        title_style="",
        caption=None if note is None else Text(note),
        caption_justify="left",
        caption_style="",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def column(name: str, *, min_width: int | None = None, max_width: int | None = None) -> Column:
    """Return a column of a terminal table, with its smallest and its largest width in characters."""
    # Rich breaks long cells over lines, because it must never replace digits by "…"
    return Column(Text(name), min_width=min_width, max_width=max_width, overflow="fold")
