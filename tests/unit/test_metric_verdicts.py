"""Verdicts that go by a metric without a figure for each example, such as AUC: told as what they are everywhere."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import report_contents as made

from regsearch.studies.analysis.comparison import Comparison, side_by_side, summarize_study
from regsearch.studies.analysis.conclusion import Conclusion, Gain
from regsearch.studies.analysis.finalists import Finalist
from regsearch.studies.analysis.race import Drop
from regsearch.studies.analysis.technique_verdicts import technique_verdicts
from regsearch.studies.analysis.verdicts import Verdict
from regsearch.studies.measure import ACCURACY, CROSS_ENTROPY, of_metric
from regsearch.studies.reports import json_report, summary
from regsearch.studies.reports.comparison import json_report as compared_document
from regsearch.studies.reports.comparison import page as compared_page
from regsearch.studies.reports.comparison import terminal as compared_text
from regsearch.studies.reports.comparison import wording
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.notebook import as_inline_html
from regsearch.studies.reports.sections import answer, techniques
from regsearch.studies.reports.sections.techniques import verdicts
from regsearch.studies.reports.terminal import rendered
from regsearch.studies.reports.terminal import techniques as techniques_text
from regsearch.studies.reports.verdict_notes import dropped_in_words, measure_in_words, verdicts_note

FALSE_UNITS = re.compile(r"\bnats\b|percentage points|\bpp\b|cross-entropy|accuracy")
ONLY_SEEDS = (
    "The metric auc is one figure for all test examples together. So its intervals cover only the luck of seeds. "
    "Other test examples could give another answer."
)


def cases() -> dict[str, Conclusion]:
    usual = made.make_conclusion()
    nothing = made.make_conclusion(0.0011, claims_gain=False, looks=2)
    return {
        "a combination helps": made.by_metric(usual),
        "by a metric that is minimized": made.by_metric(usual, "val_cost"),
        "nothing is settled": made.by_metric(nothing),
        "no difference": made.by_metric(replace(usual, winner=usual.results[-2]), "val_auc"),
        "no regularization wins": made.by_metric(replace(usual, winner=usual.baseline or usual.winner)),
        "it harms": made.by_metric(made.make_conclusion(-0.02, claims_gain=False)),
    }


CASES = cases()
USUAL = CASES["a combination helps"]


def content_of(conclusion: Conclusion) -> ReportData:
    return made.make_content(made.make_trials(30), conclusion=conclusion)


def said_of(conclusion: Conclusion) -> tuple[str, ...]:
    return summary.sentences(made.rich().answer, conclusion)


def without_figures_beside(told: str) -> str:
    """Leave out sentences on cross-entropy and accuracy that give no amount."""
    return re.sub(r"In test [a-z-]+(?: and [a-z-]+)?, however, [^.\d]*\.", "", told)


@pytest.mark.parametrize("name", CASES)
def test_no_sentence_gives_the_gain_another_unit(name: str) -> None:
    conclusion = CASES[name]
    told = " ".join([summary.headline(made.rich().answer, conclusion), *said_of(conclusion)])
    assert not FALSE_UNITS.search(without_figures_beside(told)), told
    assert not FALSE_UNITS.search(f"{verdicts_note(conclusion)} {measure_in_words(conclusion)}")


def test_a_gain_is_told_in_the_metric() -> None:
    said = said_of(USUAL)
    assert said[2:4] == (
        "It helps: over early stopping alone, it gains 0.0043 in test auc (between 0.0032 and 0.0053, with 95 % "
        "confidence).",
        "Over no regularization, it gains 0.0047 (probably between 0.0037 and 0.0058).",
    )


@pytest.mark.parametrize("name", CASES)
def test_no_table_gives_the_gain_another_unit(name: str) -> None:
    conclusion = CASES[name]
    section = techniques.section(content_of(conclusion))
    assert section is not None
    shown = [
        rendered(techniques_text(conclusion, 200), 200),
        str(section.body),
        str(as_inline_html(made.rich().answer, conclusion)).partition("<table")[2],
    ]
    for one in shown:
        assert conclusion.measure.name in one
        assert not FALSE_UNITS.search(one), one


@pytest.mark.parametrize("name", CASES)
def test_the_figures_axis_and_caption_name_the_metric(name: str) -> None:
    conclusion = CASES[name]
    figure = verdicts(conclusion)
    assert figure is not None
    assert figure.layout["xaxis"]["title"]["text"] == f"gain in {conclusion.measure.figure}"
    assert "Other test examples could give another answer" in figure.caption
    assert not FALSE_UNITS.search(json.dumps([figure.data, figure.layout, figure.caption, figure.alt_text]))
    (first, *_) = [one.gain for one in technique_verdicts(conclusion) if one.verdict is not None]
    assert first is not None
    shown = figure.data[0]["x"][0]
    assert shown == pytest.approx(first.mean, abs=1e-4) or shown >= figure.layout["xaxis"]["range"][0]


@pytest.mark.parametrize("name", ["a combination helps", "nothing is settled", "it harms"])
def test_a_reservation_and_the_note_say_what_the_intervals_leave_out(name: str) -> None:
    assert ONLY_SEEDS in said_of(CASES[name])
    assert ONLY_SEEDS in verdicts_note(CASES[name])
    drawn = replace(CASES[name], has_drawn_splits=True)
    assert ONLY_SEEDS.replace("of seeds.", "of seeds and splits.") in said_of(drawn)
    assert "one figure for all test examples" not in " ".join(said_of(made.make_conclusion()))


def test_json_names_the_metric_and_what_each_interval_covers() -> None:
    found: dict[str, Any] = json_report.as_json(content_of(USUAL))
    told = json.loads(json.dumps(found, allow_nan=False))["confirmation"]
    assert told["metric"] == "val_auc"
    assert told["winner_over_baseline"]["is_over_seeds_only"] is True
    assert told["winner_over_early_stopping"]["is_over_seeds_only"] is True
    for row in told["techniques"]:
        assert row["is_over_seeds_only"] == (row["finalist"] is not None)
        judgements = [row["over_early_stopping"], row["over_baseline"]]
        assert all(one["is_over_seeds_only"] for one in judgements if one is not None)
    first, baseline = told["finalists"][0], told["finalists"][-1]
    assert first["gain_in_metric"]["mean"] == pytest.approx(first["gain_in_cross_entropy"]["mean"] / 3)
    assert baseline["gain_in_metric"] is None
    words_told = " ".join([found["headline"], found["answer"], *found["sentences"]])
    assert not FALSE_UNITS.search(without_figures_beside(words_told))
    usual = json_report.as_json(made.rich())["confirmation"]
    assert usual["metric"] is None
    assert usual["winner_over_baseline"]["is_over_seeds_only"] is False
    assert usual["finalists"][0]["gain_in_metric"] is None


def test_the_smallest_gain_is_a_share_of_what_the_metric_has_left() -> None:
    assert measure_in_words(USUAL) == (
        "No difference means less than ±0.0013 in test auc, 7 % of the distance to 1 with early stopping alone."
    )
    cost = CASES["by a metric that is minimized"]
    assert measure_in_words(cost).endswith("in test cost, 7 % of the test cost with early stopping alone.")
    assert measure_in_words(made.make_conclusion()).endswith("nats, 5 % of the loss with early stopping alone.")
    assert of_metric("val_count").no_difference(1234.0) == "less than ±1,234"


def test_a_drop_is_told_in_what_the_race_went_by() -> None:
    dropped = USUAL.results[1]
    drop = Drop(index=1, reason="clearly behind", than=0, behind=made.interval(0.0066, 0.002), seeds=3)
    raced = replace(USUAL, results=(USUAL.results[0], replace(dropped, dropped=drop)))
    (told,) = dropped_in_words(raced)
    assert told.endswith(f"its auc is worse than that of {USUAL.winner.finalist.settings}, by "
                         "+0.00660 [+0.00460, +0.00860]).")  # fmt: skip
    (told,) = dropped_in_words(replace(raced, select_metric=None, metric=None))
    assert "its loss is +0.00660 [+0.00460, +0.00860] above" in told


def test_who_beats_the_baseline_is_decided_by_the_metric() -> None:
    """In cross-entropy all gain much, in the metric none does."""
    conclusion = CASES["no regularization wins"]
    assert conclusion.others_beyond_noise
    assert summary.headline(made.rich().answer, conclusion).endswith("beats it on the test examples")
    unsettled = made.by_metric(made.make_conclusion(0.0011)).winner.metric_over_baseline
    assert unsettled is not None
    assert unsettled.verdict is Verdict.NOT_SETTLED
    results = tuple(
        replace(one, metric_over_baseline=None if one.gain is None else unsettled) for one in conclusion.results
    )
    rows = tuple(replace(row, over_early_stopping=None, over_baseline=unsettled) for row in conclusion.techniques)
    none = replace(conclusion, results=results, techniques=rows, claims_gain=False)
    assert none.others_beyond_noise == ()
    said = said_of(none)
    assert "gains" not in " ".join(said).replace("what it gains", "")
    pattern = r"In test cross-entropy, however, \d+ settings gain over .*; this study decides by auc\."
    assert any(re.fullmatch(pattern, one) for one in said)


def test_a_gain_in_cross_entropy_never_stands_for_one_in_the_metric() -> None:
    rows = tuple(replace(row, over_early_stopping=None, over_baseline=None) for row in USUAL.techniques)
    bare = replace(USUAL, techniques=rows, winner_over_early_stopping=None, winner_over_baseline=None)
    assert [one.verdict for one in technique_verdicts(bare)] == [None] * len(rows)
    assert all(one.gain is None for one in technique_verdicts(bare))


def test_the_winner_may_be_worse_in_both_figures_beside_the_metric() -> None:
    worse = Gain(cross_entropy=made.interval(-0.02, 0.003), accuracy=made.interval(-0.01, 0.003))
    said = said_of(replace(USUAL, winner=replace(USUAL.winner, gain=worse)))
    assert "In test cross-entropy and accuracy, however, it is worse than no regularization." in said


def test_who_is_best_on_the_select_rows_goes_by_the_metric() -> None:
    assert USUAL.winner_is_best
    results = tuple(
        replace(one, select_objective=-0.9 - 0.001 * place) for place, one in enumerate(USUAL.results)
    )  # the last is the best
    conclusion = replace(USUAL, results=results, winner=results[0])
    assert [one.finalist.index for one in conclusion.ranked] == [one.finalist.index for one in reversed(results)]
    assert not conclusion.winner_is_best


def test_a_tile_has_the_gain_in_the_metric() -> None:
    shown = str(answer.section(content_of(USUAL)).body)
    assert re.search(r"<dt>gain in auc</dt><dd>\+0\.00473</dd>", shown)
    assert "gain in auc" not in str(answer.section(made.rich()).body)


def comparison_of(*conclusions: Conclusion | None) -> Comparison:
    studies = []
    for index, conclusion in enumerate(conclusions):
        spec = made.spec(30).changed(study={"name": f"rows-{index}"}, data={"train_size": (1_000, 20_000)[index]})
        content = made.make_content(made.make_trials(30), spec=spec)
        found = replace(content.answer, study=replace(content.answer.study, name=f"rows-{index}"))
        studies.append(summarize_study(found, conclusion, content.trials))
    return side_by_side(studies)


def test_a_comparison_is_told_in_the_metric() -> None:
    comparison = comparison_of(made.by_metric(made.make_conclusion(0.03)), USUAL)
    assert comparison.measure == of_metric("val_auc")
    sentence = str(wording.sentence(comparison))
    assert "falls from 0.01000 to 0.00473 in test auc. It falls by 0.00527 " in sentence
    assert not FALSE_UNITS.search(sentence)
    shown = compared_text.as_text(comparison, 300)
    table = shown[shown.index("The verdict on each technique alone") :]
    assert table.startswith("The verdict on each technique alone, and its gain in test auc")
    assert not FALSE_UNITS.search(table)
    section = compared_page.as_html(comparison).partition('id="techniques"')[2].partition('id="answers"')[0]
    assert "the gain behind it and the interval of the gain, in test auc" in section
    assert not FALSE_UNITS.search(section)


def test_gains_in_different_figures_are_not_held_against_each_other() -> None:
    comparison = comparison_of(made.make_conclusion(0.03), USUAL)
    assert comparison.measure == CROSS_ENTROPY
    assert str(wording.sentence(comparison)).endswith("since their verdicts use different measures.")
    assert compared_document.as_json(comparison)["more_rows"]["all"] is None
    cells = [row[2] for row in wording.techniques(comparison) if "[" in row[2]]
    assert cells
    assert all("] in auc" in cell for cell in cells)


def test_a_measure_has_one_name_and_one_unit() -> None:
    interval = made.interval(0.0123, 0.004)
    assert (CROSS_ENTROPY.title, ACCURACY.title) == (
        "test cross-entropy (nats)",
        "test accuracy (percentage points)",
    )
    assert (of_metric("val_auc").title, of_metric("val_f1:max").figure) == ("test auc", "test f1")
    assert ACCURACY.gain(interval) == "+1.23 [+0.83, +1.63]"
    assert of_metric("val_auc").gain(interval) == "+0.01230 [+0.00830, +0.01630]"
    assert (CROSS_ENTROPY.ends_of(interval), ACCURACY.mean_of(interval)) == ("0.0083 and 0.0163", "1.23")


def test_a_failed_baseline_leaves_the_gain_unknown() -> None:
    failed = (Finalist(index=9, params=made.NONE, roles=("baseline: none",), trial=0, look=1), "seed 1: lost")
    results = tuple(replace(one, gain=None, metric_over_baseline=None) for one in USUAL.results[:-1])
    bare = replace(USUAL, baseline=None, results=results, winner=results[0], failed=(failed,), techniques=(),
                   winner_over_baseline=None, winner_over_early_stopping=None)  # fmt: skip
    assert not FALSE_UNITS.search(" ".join(said_of(bare)))
    assert "one figure for all test examples" not in " ".join(said_of(bare))
