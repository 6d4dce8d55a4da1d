"""Show the answer: a headline, a few sentences, and the most important figures with their intervals."""

from markupsafe import Markup

from ... import formats
from ...analysis.conclusion import Conclusion
from ...objectives import OURS
from ..answer import counts_line, dataset_line
from ..data import ReportData
from ..html import element, join, mark_code
from ..summary import headline, sentences
from .section import Section


def section(content: ReportData) -> Section:
    """Return the first section of the page, which every report has."""
    answer, conclusion = content.answer, content.conclusion
    question = answer.study.spec.study.question
    edges = [element("li", sentence) for sentence in content.edges]
    return Section(
        id="answer",
        title="Answer",
        body=join(
            [
                element("p", question, class_="question") if question else "",
                element("p", headline(answer, conclusion), class_="headline"),
                element("ul", *(element("li", mark_code(one)) for one in sentences(answer, conclusion)), class_="lead"),
                _tiles(content),
                element("ul", *edges, class_="warnings") if edges else "",
                element("p", f"{dataset_line(answer.study.dataset)}. {counts_line(answer)}.", class_="facts"),
            ]
        ),
    )


def _tiles(content: ReportData) -> Markup:
    conclusion, best = content.conclusion, content.answer.best
    tiles: list[Markup] = []
    if conclusion is not None:
        tiles = _confirmed_tiles(conclusion)
    elif best is not None:
        metrics, spec = best.metrics, content.answer.study.spec
        if spec.search.objective not in OURS and best.value is not None:
            tiles.append(_tile(f"selection {formats.objective(spec)}", f"{best.value:.5f}", "one seed; ranks trials"))
        if "select_cross_entropy" in metrics:
            loss = formats.cross_entropy(metrics["select_cross_entropy"])
            tiles.append(_tile("selection cross-entropy", loss, "nats per example; one seed"))
        if "select_accuracy" in metrics:
            tiles.append(_tile("selection accuracy", formats.percent(metrics["select_accuracy"]), "one seed"))
        if "select_cross_entropy" in metrics and "train_cross_entropy" in metrics:
            gap = metrics["select_cross_entropy"] - metrics["train_cross_entropy"]
            tiles.append(
                _tile("generalization gap", formats.cross_entropy(gap), "nats per example; selection minus training")
            )
    return element("dl", *tiles, class_="tiles") if tiles else Markup("")


def _confirmed_tiles(conclusion: Conclusion) -> list[Markup]:
    winner = conclusion.winner
    tiles = []
    prefix = "" if conclusion.claims_gain else "chosen finalist: "
    in_metric = conclusion.gain_of(winner)
    if conclusion.metric is not None and in_metric is not None:
        low, high = formats.signed(f"{in_metric.low:+.5f}"), formats.signed(f"{in_metric.high:+.5f}")
        tiles.append(
            _tile(
                f"{prefix}gain in {conclusion.measure.name}",
                formats.signed(f"{in_metric.mean:+.5f}"),
                f"{formats.level(in_metric.level)} interval {low} to {high}; covers the luck of the seeds only",
            )
        )
    if winner.gain is not None:
        gain = winner.gain.cross_entropy
        low, high = formats.signed(f"{gain.low:+.5f}"), formats.signed(f"{gain.high:+.5f}")
        tiles.append(
            _tile(
                f"{prefix}gain in cross-entropy",
                formats.signed(f"{gain.mean:+.5f}"),
                f"nats per example; {formats.level(gain.level)} interval {low} to {high}",
            )
        )
        gain = winner.gain.accuracy
        low, high = formats.signed(f"{100 * gain.low:+.2f}"), formats.signed(f"{100 * gain.high:+.2f}")
        tiles.append(
            _tile(
                f"{prefix}gain in accuracy",
                formats.signed(f"{100 * gain.mean:+.2f}"),
                f"percentage points; {formats.level(gain.level)} interval {low} to {high}",
            )
        )
    loss, accuracy = winner.test_cross_entropy, winner.test_accuracy
    level = f"{formats.level(loss.level)} interval"
    span = f"nats per example; {level} {loss.low:.5f} to {loss.high:.5f}"
    tiles.append(_tile(f"{prefix}test cross-entropy", formats.cross_entropy(loss.mean), span))
    span = f"{level} {100 * accuracy.low:.2f} to {100 * accuracy.high:.2f} %"
    tiles.append(_tile(f"{prefix}test accuracy", formats.percent(accuracy.mean), span))
    return tiles


def _tile(name: str, figure: str, detail: str) -> Markup:
    return element("div", element("dt", name), element("dd", figure), element("dd", detail, class_="detail"))
