"""Show a strength curve for each technique alone, from weak to strong, and how well the search tuned it."""

from markupsafe import Markup

from ... import formats
from ...analysis.strength_curve import GOOD_SHARE, LUCK_SHARE, Baseline, StrengthCurve
from ...analysis.tuning import Attempt, shown
from ..data import ReportData
from ..figures.strength_panels import strengths
from ..html import element, join, table
from ..tuned_strengths import objective, sentence, value
from .section import Section, drawn

_HEADER = ("technique", "strength", "configuration", "ended", "epochs", "on the selection split", "recipe", "trial")
_MOST_ROWS = 200


def section(content: ReportData) -> Section | None:
    """Return the section on strength curves; None before a trial with one technique alone has finished."""
    curves = content.strength_curves
    if not curves:
        return None
    figures, search = strengths(content), content.answer.study.spec.search
    cells = []
    for curve in curves:
        figure = figures.get(curve.tuning.technique)
        if figure is not None:
            cells.append(drawn(figure, curve.tuning.technique))
        else:
            words = element("figcaption", sentence(curve, search))
            cells.append(element("figure", element("h3", curve.tuning.technique), words))
    return Section(
        id="strength-curves",
        title="Strength curves",
        figures=list(figures.values()),
        body=join(
            [
                element("p", _lead(curves)),
                element("div", *cells, class_="grid three"),
                element("p", _note(content), class_="note"),
                _attempts_table(content),
            ]
        ),
    )


def _lead(curves: tuple[StrengthCurve, ...]) -> str:
    """Return sentences on what the panels show, and which techniques have too few trials for a verdict."""
    lead = (
        "Start low and increase: each panel shows one technique alone, from its weakest to its strongest setting. "
        "A technique can only be judged at its own best strength."
    )
    missing = [curve.tuning.technique for curve in curves if not curve.tuning.is_tuned]
    if not missing:
        return lead
    return f"{lead} Too few strengths were tried for a verdict on {formats.listed(missing)}."


def _note(content: ReportData) -> str:
    """Return the note that explains how to read the panels."""
    curves, search = content.strength_curves, content.answer.study.spec.search
    parts = [
        "Each dot is a complete trial with one seed; early stopping may be used with the technique. The diamond is the "
        "technique's best trial, and the line joins the best trial at each strength.",
        f"{'Higher' if search.maximizes else 'Lower'} is better; a triangle at the edge lies beyond the axis.",
    ]
    if any(curve.tuning.pruned or curve.tuning.failed for curve in curves):
        parts.append("Pruned and failed trials have no final value, so they are marked below, at their strength.")
    if any(curve.tuning.technique == "L1+L2" and curve.tuning.attempts for curve in curves):
        parts.append("L1+L2 has two factors: its axis is the square root of their product.")
    if any(curve.baseline is not None for curve in curves):
        parts.append(_baseline_note([curve.baseline for curve in curves if curve.baseline is not None]))
    regions = [curve.regions for curve in curves if curve.regions is not None]
    if any(one.good is not None for one in regions):
        parts.append(
            "The best gain is the distance from the diamond to the dashed line. A strength is good if it loses at most "
            f"{100 * GOOD_SHARE:.0f} % of this gain. If the luck of one seed is larger, a strength may lose as much as "
            f"that luck, but at most {100 * LUCK_SHARE:.0f} % of the gain. Weaker strengths than the good ones are too "
            "weak, and stronger ones are too strong."
        )
    if any(one.good is None for one in regions):
        parts.append(
            "If no strength is better than the dashed line, none is good. Then a strength is too strong if it is worse "
            "than this line by more than the luck of one seed."
        )
    return " ".join(parts)


def _baseline_note(baselines: list[Baseline]) -> str:
    note = "The dashed line is the result of the same training without the technique. It shows early stopping alone or "
    note += "no regularization, whichever is better. In the panel of early stopping, it always shows no regularization."
    if not all(baseline.is_of_search for baseline in baselines):
        note += " If the search has no such trial, the line is the mean over the fresh seeds of the confirmation."
    seeds = max(baseline.seeds for baseline in baselines if baseline.spread is not None) if _has_band(baselines) else 0
    if seeds:
        note += " The band around the dashed line shows the typical luck of one seed: one standard deviation over "
        note += f"{seeds} fresh seeds, up and down."
    return note


def _has_band(baselines: list[Baseline]) -> bool:
    return any(baseline.spread is not None for baseline in baselines)


def _attempts_table(content: ReportData) -> Markup:
    attempts = [
        (curve.tuning.technique, attempt) for curve in content.strength_curves for attempt in curve.tuning.attempts
    ]
    best = {id(curve.tuning.best) for curve in content.strength_curves}
    listed = attempts[:_MOST_ROWS]
    which = "All trials with one technique alone"
    if len(attempts) > len(listed):
        which = f"The first {len(listed)} of {len(attempts):,} trials with one technique alone"
    rows = [_row(content, technique, attempt) for technique, attempt in listed]
    marked = [index for index, (_, attempt) in enumerate(listed) if id(attempt) in best]
    return element("details", element("summary", which), table(_HEADER, rows, numbers=(4, 5, 7), marked=marked))


def _row(content: ReportData, technique: str, attempt: Attempt) -> list[object]:
    search = content.answer.study.spec.search
    return [
        technique,
        shown(attempt.strength),
        str(attempt.regularization),
        "diverged" if attempt.has_diverged else attempt.state,
        attempt.epochs,
        None if attempt.value is None else f"{objective(search)} {value(search, attempt.value)}",
        attempt.recipe,
        attempt.trial,
    ]
