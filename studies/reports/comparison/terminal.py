"""Write a comparison for a terminal."""

from rich.console import RenderableType
from rich.text import Text

from ...analysis import size_effect
from ...analysis.comparison import Comparison
from ..answer import dataset_line
from ..table import terminal_table
from ..terminal import rendered
from . import wording


def as_text(comparison: Comparison, width: int) -> str:
    """Return a comparison as text that is at most `width` characters wide."""
    datasets = dict.fromkeys(dataset_line(study.answer.study.dataset) for study in comparison.studies)
    parts: list[RenderableType] = [*(Text(line) for line in datasets), "", Text(wording.headline(comparison))]
    sentence = wording.sentence(comparison)
    if sentence is not None:
        parts.append(Text(sentence))
    parts += [Text(notice) for notice in wording.notices(comparison)]
    header, *rows = wording.overview_table(comparison)
    parts += ["", terminal_table(f"Side by side, {wording.order_note(comparison)}", header, rows)]
    if note := wording.strengths_note(comparison):
        parts.append(Text(note))
    if whole := wording.techniques_table(comparison):
        header, *rows = whole
        if any(size_effect.change(comparison, row[0]) for row in rows):
            header, rows = [*header, "with more examples"], [[*row, _size_effect(comparison, row[0])] for row in rows]
        title = f"The verdict on each technique alone, and its gain in {wording.gain_unit(comparison)}"
        parts += ["", terminal_table(title, header, rows), Text(wording.techniques_note(comparison))]
    return rendered(parts, width)


def _size_effect(comparison: Comparison, technique: str) -> str:
    change = size_effect.change(comparison, technique)
    return "" if change is None else str(change)
