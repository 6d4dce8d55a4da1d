"""A comparison for a terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from storage.reports.answer import dataset_line
from storage.reports.comparison import need, words
from storage.reports.comparison.value import Comparison
from storage.reports.text import rendered


def as_text(comparison: Comparison, width: int) -> str:
    """Return it, at most so many columns wide."""
    datasets = dict.fromkeys(dataset_line(study.answer.study.dataset) for study in comparison.studies)
    parts: list[RenderableType] = [*(Text(line) for line in datasets), "", Text(need.headline(comparison))]
    sentence = need.sentence(comparison)
    if sentence is not None:
        parts.append(Text(sentence))
    parts += [Text(notice) for notice in words.notices(comparison)]
    names = [study.name for study in comparison.studies]
    parts += ["", _table("Side by side, the fewest training rows first", ["", *names], words.overview(comparison))]
    parts.append(Text(words.strengths_note()))
    rows = words.techniques(comparison)
    if rows:
        title = f"What each technique alone gains over no regularization, in {words.gain_unit(comparison)}"
        header = ["technique", *names]
        if any(need.change(comparison, row[0]) for row in rows):
            header.append("with more rows")
            rows = [[*row, _verdict(comparison, row[0])] for row in rows]
        parts += ["", _table(title, header, rows)]
    return rendered(parts, width)


def _verdict(comparison: Comparison, technique: str) -> str:
    change = need.change(comparison, technique)
    return "" if change is None else change.verdict


def _table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(Text(name), overflow="fold")  # never "…" in place of digits
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
