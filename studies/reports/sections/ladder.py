"""How much is too much: what each rung of the ladder gave, technique by technique."""

from regsearch.studies import formats
from regsearch.studies.analysis.ladder import Ladder, LadderStep, Reference, ladders, reference, sentences
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.ladder import rung_figures
from regsearch.studies.reports.html import element, join, table
from regsearch.studies.reports.sections.section import Section, drawn

_HEADER = ("technique", "strength", "select cross-entropy", "against without", "trial")


def section(content: ReportData) -> Section | None:
    """Return it; None where fewer than three rungs of every technique are complete."""
    found, without = ladders(content.trials), reference(content.answer.study.spec, content.trials, content.conclusion)
    if not found:
        return None
    figures = rung_figures(content)
    rungs = [(ladder, rung) for ladder in found for rung in ladder.rungs]
    pictures = (drawn(figure, ladder.technique) for figure, ladder in zip(figures, found, strict=True))
    return Section(
        id="rungs",
        title="What each rung gives",
        figures=figures,
        body=join(
            [
                element(
                    "ul",
                    *(
                        element("li", sentence)
                        for sentence in sentences(content.answer.study.spec, content.trials, content.conclusion)
                    ),
                ),
                element("div", *pictures, class_="grid three"),
                element(
                    "details",
                    element("summary", "All rungs"),
                    table(
                        _HEADER,
                        [_row(ladder, rung, without) for ladder, rung in rungs],
                        numbers=range(1, len(_HEADER)),
                        marked=[index for index, (ladder, rung) in enumerate(rungs) if rung is ladder.best],
                    ),
                ),
                element("p", _note(without), class_="note"),
            ]
        ),
    )


def _row(ladder: Ladder, rung: LadderStep, without: Reference | None) -> list[object]:
    against = None if without is None else formats.signed(f"{rung.cross_entropy - without.cross_entropy:+.5f}")
    loss = formats.cross_entropy(rung.cross_entropy)
    return [ladder.technique, f"{rung.strength:g}", loss, against, rung.trial]


def _note(without: Reference | None) -> str:
    note = (
        "Each rung is one trial, with early stopping as in the course and nothing else, on the select rows, in nats "
        "per row: one seed, so differences of a few thousandths may be luck."
    )
    if without is None:
        return f"{note} What the same training gives without any of it is not known."
    if without.is_of_search:
        return f"{note} The dashed line is {without.name}, with the same seed."
    return f"{note} The dashed line is {without.name}, the mean over the confirmation's fresh seeds."
