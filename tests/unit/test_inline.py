"""An answer in a notebook's cell: all of it is there, small, and nothing of it is live; its figures have colours."""

import re

import pytest
import report_contents as made

from regsearch.studies import formats
from regsearch.studies.reports import page
from regsearch.studies.reports.figures import plotly_export
from regsearch.studies.reports.notebook import as_inline_html
from regsearch.studies.reports.summary import headline


@pytest.mark.parametrize("name", made.CONTENTS)
def test_a_cell_shows_the_answer_in_few_kilobytes(name: str) -> None:
    content = made.CONTENTS[name]()
    shown = as_inline_html(content.answer, content.conclusion)
    assert len(shown.encode()) < 60_000
    assert not re.search(r"<(?!/?(?:div|p|strong|span|table|thead|tbody|tr|th|td|code)\b)", shown), "another element"
    assert not re.search(r"<[^>]* (?:class|id|on\w+|href|src)=", shown)
    assert not re.search(r"[; \"](?:color|background)", shown), "neither light nor dark"


def test_a_cell_shows_headline_and_each_technique() -> None:
    content = made.rich()
    assert content.conclusion is not None
    shown = as_inline_html(content.answer, content.conclusion)
    assert headline(content.answer, content.conclusion) in shown
    for row in content.conclusion.techniques:
        assert f">{row.technique}</td>" in shown
        if row.result is not None and row.result.gain is not None:
            assert formats.cross_entropy_gain(row.result.gain.cross_entropy) in shown
    assert "<table" not in as_inline_html(content.answer, None)


def test_the_colours_of_figures_elsewhere_are_the_pages_when_it_is_light() -> None:
    style = page._resource("page.css").split("@media")[0]
    named = dict(re.findall(r"(--[a-z-]+): ([^;]+);", style))
    assert {name: named[name] for name in plotly_export._LIGHT} == plotly_export._LIGHT


@pytest.mark.parametrize("name", ["rich", "unconfirmed", "hostile"])
def test_every_figure_of_a_report_can_be_had_alone(name: str) -> None:
    figures = page.titled_figures(made.CONTENTS[name]())
    assert {"history", "curves", "strength-l1"} <= figures.keys()
    assert not any("narrow" in figure for figure in figures)
    for title, figure in figures.values():
        drawn = plotly_export.as_plotly(title, figure)
        assert '"--' not in drawn.to_json()
        assert drawn.layout.title.text == title
