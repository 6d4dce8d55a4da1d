"""Show a study's answer in a notebook: headline, sentences and table, in the colours of the notebook."""

from markupsafe import Markup

from .. import formats
from ..analysis.conclusion import Conclusion
from ..analysis.technique_verdicts import EARLY_STOPPING_ALONE, TechniqueVerdict, technique_verdicts
from ..analysis.verdicts import Verdict
from ..measure import Measure
from ..records import StudySummary
from ..statistics import Interval
from .answer import counts_line, dataset_line
from .html import element, inline_table, mark_code
from .summary import headline, sentences
from .verdict_notes import needs_in_words, verdict_in_words, verdicts_note

_MUTED = "opacity:0.7;font-size:0.9em;margin:0.4em 0 0"


def as_inline_html(answer: StudySummary, conclusion: Conclusion | None) -> Markup:
    """Return the answer as a few kilobytes of HTML, without scripts and classes."""
    lines = [element("div", mark_code(sentence)) for sentence in sentences(answer, conclusion)]
    return element(
        "div",
        element("p", element("strong", headline(answer, conclusion)), style="font-size:1.2em;margin:0 0 0.4em"),
        element("div", *lines, style="max-width:52em;margin:0 0 0.6em"),
        None if conclusion is None or not conclusion.techniques else _techniques(conclusion),
        element("p", f"{dataset_line(answer.study.dataset)}. {counts_line(answer)}.", style=_MUTED),
    )


def _techniques(conclusion: Conclusion) -> Markup:
    unit = conclusion.measure.symbol or conclusion.measure.name
    over = [f"gain over {EARLY_STOPPING_ALONE} ({unit})"] if conclusion.has_early_stopping_alone else []
    header = ["technique", "verdict", *over, f"over {conclusion.baseline_name} ({unit})", "seeds", "configuration"]
    rows = [_row(conclusion, verdict) for verdict in technique_verdicts(conclusion)]
    cells = inline_table(header, rows, numbers=range(2, 4 + len(over)))
    return element("div", cells, element("p", verdicts_note(conclusion), style=_MUTED))


def _row(conclusion: Conclusion, verdict: TechniqueVerdict) -> list[object]:
    gains = [verdict.gain_over_early_stopping] if conclusion.has_early_stopping_alone else []
    return [
        verdict.technique,
        _verdict(verdict),
        *(_gain(gain, conclusion.measure) for gain in (*gains, verdict.over_baseline)),
        f"{verdict.seeds:,}" if verdict.seeds else "",
        "" if verdict.result is None else formats.settings(verdict.result.finalist.params),
    ]


def _verdict(verdict: TechniqueVerdict) -> Markup:
    """Return a verdict, bold if it says that the technique helps or harms."""
    is_clear = verdict.verdict in (Verdict.HELPS, Verdict.HARMS)
    words = element("strong" if is_clear else "span", verdict_in_words(verdict))
    needs = needs_in_words(verdict)
    return element("div", words, element("div", needs, style=_MUTED) if needs else None)


def _gain(interval: Interval | None, measure: Measure) -> Markup:
    return element("span", "" if interval is None else measure.gain(interval))
