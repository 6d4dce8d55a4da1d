"""The finalists on fresh seeds: what each gains over no regularization, as a picture and as a table."""

from regsearch.studies import formats
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.gains import NARROW, WIDE, gains, in_order
from regsearch.studies.reports.html import Html, element, join, table
from regsearch.studies.reports.sections.section import Section, drawn, measured
from regsearch.studies.reports.verdict_notes import dropped_in_words

_HEADER = (
    "configuration",
    "select cross-entropy",
    "test cross-entropy",
    "test accuracy",
    "gain in cross-entropy",
    "gain in accuracy (pp)",
    "generalization gap",
    "epochs",
)
_MOST_ROWS = 60


def section(content: ReportData) -> Section | None:
    """Return it; None before the confirmation."""
    conclusion = content.conclusion
    if conclusion is None:
        return None
    figures = [figure for shape in (WIDE, NARROW) if (figure := gains(conclusion, shape))]
    return Section(
        id="finalists",
        title="What the finalists gain",
        figures=figures,
        body=join(
            [*map(drawn, figures), _table(conclusion), _note(conclusion), _dropped(conclusion), _failed(conclusion)]
        ),
    )


def _table(conclusion: Conclusion) -> Html:
    first = in_order(conclusion)
    rest = [result for result in conclusion.ranked if not any(result is one for one in first)]
    results = [*first, *rest][:_MOST_ROWS]
    marked = [
        index for index, result in enumerate(results) if result.finalist.index == conclusion.winner.finalist.index
    ]
    return table(
        _HEADER, [_row(conclusion, result) for result in results], numbers=range(1, len(_HEADER)), marked=marked
    )


def _row(conclusion: Conclusion, result: FinalistResult) -> list[object]:
    return [
        _configuration(conclusion, result),
        formats.cross_entropy(result.select_cross_entropy),
        measured(result.test_cross_entropy, formats.cross_entropy_interval),
        measured(result.test_accuracy, formats.accuracy_interval),
        measured(None if result.gain is None else result.gain.cross_entropy, formats.cross_entropy_gain),
        measured(None if result.gain is None else result.gain.accuracy, formats.accuracy_gain),
        formats.signed(formats.cross_entropy(result.generalization_gap)),
        _epochs(result),
    ]


def _configuration(conclusion: Conclusion, result: FinalistResult) -> Html:
    is_winner = result.finalist.index == conclusion.winner.finalist.index
    roles = ", ".join(result.finalist.roles)
    trial = "" if result.finalist.trial is None else f"; trial {result.finalist.trial}"
    return join(
        [
            element("strong" if is_winner else "span", formats.settings(result.finalist.params)),
            element("span", _badge(conclusion), class_="badge best") if is_winner else "",
            element("span", "tied", class_="badge") if result.is_tied and not is_winner else "",
            ""
            if result.dropped is None
            else element("span", f"dropped after {result.dropped.seeds:,}", class_="badge"),
            element("small", f"{roles}{trial}"),
        ]
    )


def _badge(conclusion: Conclusion) -> str:
    """Return what the winner is called; without a gain to claim, how it was chosen."""
    if conclusion.claims_gain:
        return "winner"
    return "best on select" if conclusion.winner_is_best else "simplest of the tied"


def _epochs(result: FinalistResult) -> str:
    fewest, most = min(result.epochs, default=0), max(result.epochs, default=0)
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"


def _note(conclusion: Conclusion) -> Html:
    unfinished = f" ({conclusion.unfinished_looks:,} not ended)" if conclusion.unfinished_looks else ""
    fewer = " but those that were dropped" if any(result.dropped for result in conclusion.results) else ""
    return element(
        "p",
        f"Each figure is a mean over {formats.count(conclusion.seeds, 'fresh seed')}, the same for all{fewer}; in "
        "brackets "
        f"its {formats.level(conclusion.level)} interval, for the luck of the seeds and of the rows together. "
        f"{formats.shared_risk(conclusion.level)} Cross-entropy is in nats per row; pp are percentage points. "
        "The winner is the simplest of those tied with the best one: those whose paired difference from it on the "
        f"{formats.count(conclusion.select_rows, 'select row')} is within its standard error. "
        f"Test looks: {conclusion.looks:,}{unfinished}, with "
        f"{conclusion.evaluations:,} evaluations on the {formats.count(conclusion.test_rows, 'test row')}.",
        class_="note",
    )


def _dropped(conclusion: Conclusion) -> Html:
    told = dropped_in_words(conclusion)[:_MOST_ROWS]
    if not told:
        return Html("")
    return join([element("h3", "Finalists that got fewer seeds"), element("ul", *(element("li", one) for one in told))])


def _failed(conclusion: Conclusion) -> Html:
    if not conclusion.failed:
        return Html("")
    items = [
        element("li", f"{formats.settings(finalist.params)}: ", element("span", reason))
        for finalist, reason in conclusion.failed[:_MOST_ROWS]
    ]
    return join([element("h3", "Finalists that failed"), element("ul", *items)])
