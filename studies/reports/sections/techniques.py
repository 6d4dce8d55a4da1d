"""The verdict on each technique and the gains that it rests on, as a picture and as a table."""

from regsearch.studies import formats
from regsearch.studies.analysis.conclusion import Conclusion
from regsearch.studies.analysis.technique_verdicts import EARLY_STOPPING_ALONE, TechniqueVerdict, technique_verdicts
from regsearch.studies.analysis.verdicts import Verdict
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.verdicts import NARROW, WIDE, verdicts
from regsearch.studies.reports.html import Html, element, join, table
from regsearch.studies.reports.sections.section import Section, drawn, measured
from regsearch.studies.reports.verdict_notes import needs_in_words, verdict_in_words, verdicts_note

_KINDS = {Verdict.HELPS: "badge good", Verdict.HARMS: "badge bad"}


def section(content: ReportData) -> Section | None:
    """Return it; None before the confirmation."""
    conclusion = content.conclusion
    if conclusion is None or not conclusion.techniques:
        return None
    unit = ", ".join(filter(None, [conclusion.measure.name, conclusion.measure.symbol]))
    over = [f"gain over {EARLY_STOPPING_ALONE} ({unit})"] if conclusion.has_early_stopping_alone else []
    header = ["technique", "verdict", *over, f"gain over {conclusion.baseline_name} ({unit})", "seeds", "configuration"]
    rows = [_row(conclusion, verdict) for verdict in technique_verdicts(conclusion)]
    if not over:
        rows = [[*cells[:2], *cells[3:]] for cells in rows]
    figures = [figure for shape in (WIDE, NARROW) if (figure := verdicts(conclusion, shape))]
    return Section(
        id="techniques",
        title="Which techniques help",
        figures=figures,
        body=join(
            [
                *map(drawn, figures),
                table(header, rows, numbers=range(2, 4 + len(over))),
                element("p", verdicts_note(conclusion), class_="note"),
            ]
        ),
    )


def _row(conclusion: Conclusion, verdict: TechniqueVerdict) -> list[object]:
    """Return six cells, the third of them of the gain over early stopping alone."""
    name, result = element("strong", verdict.technique), verdict.result
    if result is None:
        return [name, _badge(verdict), None, None, None, None]
    told = conclusion.measure.gain
    return [
        name,
        _badge(verdict),
        measured(verdict.gain_over_early_stopping, told),
        measured(verdict.over_baseline, told),
        f"{verdict.seeds:,}",
        formats.settings(result.finalist.params),
    ]


def _badge(verdict: TechniqueVerdict) -> Html:
    """Return the verdict with what would settle it; a technique that was not tuned has none, but the reason."""
    words = verdict_in_words(verdict)
    if verdict.verdict is None:
        return element("span", words, class_="muted")
    needs = needs_in_words(verdict)
    return join(
        [
            element("span", words, class_=_KINDS.get(verdict.verdict, "badge")),
            element("small", needs) if needs else "",
        ]
    )
