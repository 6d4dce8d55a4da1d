"""Write a study's answer for optuna-dashboard: a note in Markdown, and a few small Plotly figures.

The dashboard stores both in the database, in pieces of 2,045 characters. So the note and the figures must be small.
"""

import re
from typing import TYPE_CHECKING

from .. import formats
from ..analysis.conclusion import Conclusion
from .answer import counts_line, dataset_line
from .data import ReportData
from .figures.plotly_export import as_plotly
from .html import clean
from .sections.gains import CARD, gains, in_order
from .sections.history import history
from .sections.importance_shares import importance
from .sections.techniques import CARD as VERDICTS_CARD
from .sections.techniques import verdicts
from .summary import headline, sentences

if TYPE_CHECKING:
    import plotly.graph_objects

_MOST_POINTS = 300
_MOST_ROWS = 10
_MARKUP = re.compile(r"([\\`*_\[\]<>!|~&$]|^[#+=-])")
_LINK_PLACES = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)


def as_markdown(content: ReportData) -> str:
    """Return the answer in Markdown, as the note of the study."""
    answer, conclusion = content.answer, content.conclusion
    question = answer.study.spec.study.question
    parts = [
        f"# {_plain(headline(answer, conclusion))}",
        *([f"*{_plain(question)}*"] if question else []),
        "\n".join(f"- {_plain(sentence)}" for sentence in sentences(answer, conclusion)),
        *(f"- {_plain(sentence)}" for sentence in content.edges),
        *([_table(conclusion)] if conclusion is not None and in_order(conclusion) else []),
        _plain(dataset_line(answer.study.dataset)),
        _plain(counts_line(answer)),
        f"Run it again: {_plain(content.command)}",
    ]
    return "\n\n".join(parts) + "\n"


def dashboard_figures(content: ReportData) -> "dict[str, plotly.graph_objects.Figure]":
    """Return the figures that the study has data for; the keys are the ids of the figures in the dashboard."""
    figures = {
        "Which techniques help": None if content.conclusion is None else verdicts(content.conclusion, VERDICTS_CARD),
        "What the finalists gain": None if content.conclusion is None else gains(content.conclusion, CARD),
        "The search": history(content, _MOST_POINTS),
        "What matters": importance(content.importance),
    }
    return {
        f"regsearch-{figure.id}": as_plotly(title, figure) for title, figure in figures.items() if figure is not None
    }


def _table(conclusion: Conclusion) -> str:
    rows = [
        "| configuration | gain in test cross-entropy (nats per example) | gain in test accuracy (percentage points) |",
        "| --- | ---: | ---: |",
    ]
    for result in in_order(conclusion)[:_MOST_ROWS]:
        assert result.gain is not None
        is_winner = result.finalist.index == conclusion.winner.finalist.index
        name = _plain(formats.settings(result.finalist.params))
        in_cross_entropy = _plain(formats.cross_entropy_gain(result.gain.cross_entropy))
        in_accuracy = _plain(formats.accuracy_gain(result.gain.accuracy))
        rows.append(f"| {f'**{name}**' if is_winner else name} | {in_cross_entropy} | {in_accuracy} |")
    return "\n".join(rows)


def _plain(words: str) -> str:
    """Return the words on one line, escaped so that Markdown shows them unchanged and makes no links."""
    # the dashboard makes a link of any address, even an escaped one; a zero-width space prevents that
    return _LINK_PLACES.sub("\u200b", _MARKUP.sub(r"\\\1", " ".join(clean(words).split())))
