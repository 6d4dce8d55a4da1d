"""A comparison for a terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from regsearch.studies.analysis import size_effect
from regsearch.studies.analysis.comparison import Comparison
from regsearch.studies.reports.answer import dataset_line
from regsearch.studies.reports.comparison import wording
from regsearch.studies.reports.terminal import rendered


def as_text(comparison: Comparison, width: int) -> str:
    """Return it, at most so many columns wide."""
    datasets = dict.fromkeys(dataset_line(study.answer.study.dataset) for study in comparison.studies)
    parts: list[RenderableType] = [*(Text(line) for line in datasets), "", Text(wording.headline(comparison))]
    sentence = wording.sentence(comparison)
    if sentence is not None:
        parts.append(Text(sentence))
    parts += [Text(notice) for notice in wording.notices(comparison)]
    parts += ["", _table(f"Side by side, {wording.order_note(comparison)}", wording.overview_table(comparison))]
    if note := wording.strengths_note(comparison):
        parts.append(Text(note))
    rows = wording.techniques_table(comparison)
    if rows:
        title = f"The verdict on each technique alone, and its gain in {wording.gain_unit(comparison)}"
        if any(size_effect.change(comparison, row[0]) for row in rows[1:]):
            rows = [[*rows[0], "with more rows"], *([*row, _verdict(comparison, row[0])] for row in rows[1:])]
        parts += ["", _table(title, rows), Text(wording.techniques_note(comparison))]
    return rendered(parts, width)


def _verdict(comparison: Comparison, technique: str) -> str:
    change = size_effect.change(comparison, technique)
    return "" if change is None else str(change)


def _table(title: str, rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        table.add_column(Text(name), overflow="fold")  # never "…" in place of digits
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    return table
