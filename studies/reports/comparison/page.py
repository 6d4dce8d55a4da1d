"""Write a comparison as one self-contained HTML page, and as HTML for a notebook."""

from collections.abc import Sequence

from markupsafe import Markup

from ... import formats
from ...analysis import search_methods, size_effect
from ...analysis.comparison import Comparison
from ..answer import counts_line, dataset_line
from ..html import element, inline_table, join, mark_code, table
from ..page import page_of
from ..sections.section import Section, drawn
from ..summary import headline, sentences
from . import wording
from .best_so_far import best_so_far_figure
from .search_methods_figure import search_methods_figure


def as_html(comparison: Comparison) -> str:
    """Return the whole page; the caller must write it as UTF-8."""
    sections = [_answer(comparison), _search(comparison), _overview(comparison), _techniques(comparison)]
    name = formats.listed([study.name for study in comparison.studies])
    return page_of(name, "regsearch comparison", [one for one in [*sections, _answers(comparison)] if one is not None])


def as_inline_html(comparison: Comparison) -> Markup:
    """Return headline, sentences and overview as HTML, in the colours of the notebook."""
    sentence = wording.sentence(comparison)
    header, *rows = wording.overview_table(comparison)
    return element(
        "div",
        element("p", element("strong", wording.headline(comparison)), style="font-size:1.2em;margin:0 0 0.4em"),
        None if sentence is None else element("p", sentence),
        element("ul", *(element("li", notice) for notice in wording.notices(comparison))),
        inline_table(header, [[_lines(cell) for cell in row] for row in rows]),
    )


def _answer(comparison: Comparison) -> Section:
    sentence = wording.sentence(comparison)
    datasets = dict.fromkeys(f"{dataset_line(study.answer.study.dataset)}." for study in comparison.studies)
    notices = [element("li", notice) for notice in wording.notices(comparison)]
    return Section(
        id="answer",
        title="Answer",
        body=join(
            [
                element("p", wording.headline(comparison), class_="headline"),
                "" if sentence is None else element("p", sentence, class_="lead"),
                element("ul", *notices, class_="warnings"),
                element("p", " ".join(datasets), class_="facts"),
            ]
        ),
    )


def _search(comparison: Comparison) -> Section | None:
    if search_methods.search_methods(comparison):
        figures = [search_methods_figure(comparison, "trials"), search_methods_figure(comparison, "epochs")]
    else:
        figures = [best_so_far_figure(comparison)]
    shown = [figure for figure in figures if figure is not None]
    return Section(id="searches", title="The searches", body=join(map(drawn, shown)), figures=shown) if shown else None


def _overview(comparison: Comparison) -> Section:
    header, *rows = wording.overview_table(comparison)
    order = wording.order_note(comparison).capitalize()
    return Section(
        id="overview",
        title="Side by side",
        body=join(
            [
                table(header, _cells(rows)),
                element("p", f"{order}. {wording.strengths_note(comparison)}", class_="note"),
            ]
        ),
    )


def _techniques(comparison: Comparison) -> Section | None:
    if not (whole := wording.techniques_table(comparison)):
        return None
    header, *rows = whole
    changes = [size_effect.change(comparison, row[0]) for row in rows]
    note = (
        f"Below each verdict is the gain behind it and the interval of the gain, in {wording.gain_unit(comparison)}. "
        f"{wording.techniques_note(comparison)}"
    )
    if any(changes):
        header.append("with more examples")
        rows = [
            [*row, "" if one is None else f"{one}\n{wording.gain_in_unit(comparison, one.reduction)}"]
            for row, one in zip(rows, changes, strict=True)
        ]
        note += (
            " The last column says how the gain changes. Its figures are the gain with the fewest examples minus the "
            "gain with the most examples, and the interval of this difference. "
            "Several techniques are compared, so the largest difference is a little optimistic."
        )
    return Section(
        id="techniques",
        title="Which techniques help",
        body=join([table(header, _cells(rows)), element("p", note, class_="note")]),
    )


def _answers(comparison: Comparison) -> Section:
    parts: list[object] = []
    for study in comparison.studies:
        question = study.answer.study.spec.study.question
        parts += [
            element("h3", study.name),
            element("p", question, class_="question") if question else "",
            element("p", element("strong", headline(study.answer, study.conclusion))),
            element("ul", *(element("li", mark_code(one)) for one in sentences(study.answer, study.conclusion))),
            element("p", f"{counts_line(study.answer)}.", class_="facts"),
        ]
    return Section(id="answers", title="Each study's own answer", body=join(parts))


def _cells(rows: Sequence[Sequence[str]]) -> list[list[object]]:
    return [[element("strong", row[0]), *(_lines(cell) if cell else None for cell in row[1:])] for row in rows]


def _lines(cell: str) -> object:
    first, _, rest = cell.partition("\n")
    return join([first, element("small", rest)]) if rest else first
