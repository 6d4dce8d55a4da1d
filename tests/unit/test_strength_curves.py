"""Strength curves and "not tuned": every report shows them, and none judges a technique that was not tuned."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import report_contents as made
from databases.restore import restore
from report_contents import confirmed, few, many, trial

from regsearch.search import api
from regsearch.search.export.model_card import ModelCard
from regsearch.studies import formats
from regsearch.studies.analysis import size_effect
from regsearch.studies.analysis.comparison import side_by_side, summarize_study
from regsearch.studies.analysis.strength_curve import Regions, StrengthCurve
from regsearch.studies.records import TrialRecord
from regsearch.studies.reports import dashboard_note, page, summary
from regsearch.studies.reports.comparison import json_report as comparison_document
from regsearch.studies.reports.comparison import wording
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.figure import Figure
from regsearch.studies.reports.figures.strength_panels import strengths
from regsearch.studies.reports.json_report import as_json
from regsearch.studies.reports.notebook import as_inline_html
from regsearch.studies.reports.sections import strength_curves, techniques
from regsearch.studies.reports.terminal import answer_as_text, as_text
from regsearch.studies.reports.tuned_strengths import sentence

JUDGED = re.compile(r">(helps|harms|makes no difference|not settled)<")


def test_a_technique_that_was_not_tuned_has_no_verdict_on_the_page() -> None:
    found = techniques.section(confirmed(few()))
    assert found is not None
    rows = dict(re.findall(r"<strong>([^<]*)</strong>(.*?)</tr>", found.body))
    assert "not tuned: 1 trial at 0.01" in rows["L1"]
    assert "not tuned: 2 trials at 1e-07 and 1e+06" in rows["L2"]
    assert "not tuned: no trial" in rows["dropout"]
    for technique in ("L1", "L2", "L1+L2", "dropout", "BatchNorm"):
        assert not JUDGED.search(rows[technique]), technique
    assert JUDGED.search(rows["early stopping"])
    assert JUDGED.search(rows["combination"]), "a combination is not tuned alone"
    assert "L1 1.3e-05" in rows["L1"], "its figures stay, with the one setting that they are about"
    assert formats.NOT_TUNED in found.body


def test_a_technique_that_was_tuned_has_its_verdict() -> None:
    found = techniques.section(confirmed(many()))
    assert found is not None
    rows = dict(re.findall(r"<strong>([^<]*)</strong>(.*?)</tr>", found.body))
    assert JUDGED.search(rows["L1"])
    assert "not tuned" not in rows["L1"]


def test_every_answer_says_which_techniques_were_not_tuned() -> None:
    content = confirmed(few())
    answer, conclusion = content.answer, content.conclusion
    said = "Not tuned, and so without a verdict: L1 (1 trial at 0.01), L2 ("
    assert said in summary.paragraph(answer, conclusion)
    for text in (as_text(content, 120), answer_as_text(answer, conclusion, 120)):
        assert said in " ".join(text.split())
        assert text.count("not tuned:") == 5, "a line in the cell of each"
    html = page.as_html(content)
    for shown in (html, as_inline_html(answer, conclusion)):
        assert said in shown
        assert "not tuned: 1 trial at 0.01" in shown
    assert said in dashboard_note.as_markdown(content).replace("\\", "")
    assert "Not tuned" not in summary.paragraph(answer, made.make_conclusion())


def test_nothing_is_said_of_techniques_that_were_not_tuned() -> None:
    content = confirmed(few())
    said = summary.paragraph(content.answer, content.conclusion)
    assert not re.search(r"(L1|L2|dropout|BatchNorm)( and \w+)? (helps|harms|makes)", said)


def test_a_notebook_shows_no_verdict_on_what_was_not_tuned() -> None:
    content = confirmed(few())
    assert content.conclusion is not None
    shown = as_inline_html(content.answer, content.conclusion)
    (cell,) = re.findall(r"<td[^>]*>L1</td><td[^>]*><div>(.*?)</div>", shown)
    assert cell == "<span>not tuned: 1 trial at 0.01</span>"


def test_a_model_card_gives_no_verdict_on_a_technique_that_was_not_tuned() -> None:
    content = confirmed(few())
    conclusion, study = content.conclusion, content.answer.study
    assert conclusion is not None
    finalist = next(row.result for row in conclusion.techniques if row.technique == "L1")
    assert finalist is not None
    card = ModelCard(
        spec=study.spec, dataset=study.dataset, configuration=finalist.finalist.settings, origin="trial 2", seed=0,
        n_train=1, n_stop=1, figures={}, versions={}, conclusion=conclusion, finalist=finalist,
    ).as_markdown()  # fmt: skip
    assert "figures describe this one setting. They are not a verdict on L1 (not tuned: 1 trial at 0.01)." in card
    assert "Not tuned, and so without a verdict: L1 (1 trial at 0.01), L2" in card


def test_json_says_how_each_technique_was_tuned() -> None:
    found = json.loads(json.dumps(as_json(confirmed(few())), allow_nan=False))
    rows = {row["technique"]: row for row in found["confirmation"]["techniques"]}
    assert rows["L1"] | {"trials": 1, "strengths": [0.01], "pruned": 0, "fewest": 6, "is_tuned": False} == rows["L1"]
    assert rows["L2"]["pruned"] == rows["L2"]["diverged"] == 1
    assert rows["L2"]["pruned_after"] == [1]
    assert rows["early stopping"]["is_tuned"]
    assert "is_tuned" not in rows["combination"]
    curves = {curve["technique"]: curve for curve in found["strength_curves"]}
    assert curves["L1"]["baseline"]["name"] == "early stopping (patience 2)"
    assert [attempt["value"] for attempt in curves["L1"]["attempts"]] == [0.4778]


def test_a_comparison_judges_no_technique_that_was_not_tuned() -> None:
    studies = []
    for name, trials in (("few", few()), ("many", many())):
        content = confirmed(trials)
        spec = content.answer.study.spec.changed(data={"train_size": 1000 if name == "few" else None})
        answer = replace(content.answer, study=replace(content.answer.study, name=name, spec=spec))
        studies.append(summarize_study(answer, content.conclusion, trials))
    comparison = side_by_side(studies)
    cells = {row[0]: row[1:] for row in wording.techniques(comparison)}
    assert cells["L1"][0] == "not tuned: 1 trial at 0.01"
    assert cells["L1"][1].startswith("helps\n+0.")
    assert cells["dropout"] == ["not tuned: no trial"] * 2
    assert size_effect.change(comparison, "L1") is None
    assert size_effect.change(comparison, "early stopping") is not None
    assert comparison_document.as_json(comparison)["more_rows"]["techniques"]["L1"] is None
    overview = {row[0]: row[1:] for row in wording.overview(comparison)}
    assert overview["best L1 alone"] == ["1.3e-05\nnot tuned", "1.3e-05"]


def test_a_stored_study_of_an_older_version_is_not_tuned(tmp_path: Path) -> None:
    path = restore("0003", tmp_path / "old.db")
    api.upgrade(storage=f"sqlite:///{path}")
    result = api.load("confirmed", storage=f"sqlite:///{path}")
    report = " ".join(result.report().split())
    assert "Not tuned, and so without a verdict: L1 (1 trial at 0.01, which failed), L2 (1 trial at 0.01)" in report
    assert "L2 no, 1 of 6 1 0.01 0 0.01" in report
    html = result.save_report(tmp_path / "report.html").read_text(encoding="utf-8")
    section = html.partition('id="techniques"')[2].partition("</section>")[0]
    assert section.count("not tuned: ") == 5
    assert not JUDGED.search(section)


def figures_of(trials: list[TrialRecord], **sections: Any) -> dict[str, Figure]:
    return strengths(made.make_content(trials, spec=made.spec(len(trials), **sections)))


def shapes_of(figure: Figure, kind: str) -> list[dict[str, Any]]:
    return [shape for shape in figure.layout["shapes"] if shape["type"] == kind]


def test_a_curve_has_a_point_for_each_complete_trial_at_its_strength() -> None:
    figure = figures_of(many())["L1"]
    points = [trace for trace in figure.data if trace["mode"] == "markers"]
    drawn = {x: trace["customdata"][i][1] for trace in points for i, x in enumerate(trace["x"])}
    assert drawn == {trial.params["l1"]: pytest.approx(trial.value) for trial in many()[2:]}
    best = next(trace for trace in points if trace["marker"]["symbol"] == ["diamond"])
    assert best["x"] == [3e-5]
    assert figure.layout["xaxis"]["type"] == "log"
    low, high = figure.layout["xaxis"]["range"]
    assert (low, high) == (pytest.approx(-7.25), pytest.approx(-1.75)), "the whole space, not only what was tried"
    symbols = {x: symbol for trace in points for x, symbol in zip(trace["x"], trace["marker"]["symbol"], strict=True)}
    assert symbols[1e-2] == "triangle-up", "far worse than the axis shows"


def test_a_curve_labels_the_good_strengths() -> None:
    figure = figures_of(many())["L1"]
    (good,) = shapes_of(figure, "rect")
    parts = [(exponent + 7.25) / 5.5 for exponent in (-6, -5, -4.52288, -4)]
    assert parts[0] < good["x0"] < parts[1]
    assert parts[2] < good["x1"] < parts[3]
    assert {label["text"] for label in figure.layout["annotations"]} == {
        "too weak",
        "good",
        "too strong",
        "early stopping (patience 2)",
    }
    assert "Good from 1e-05 to 3e-05, too weak up to 1e-06, too strong from 0.0001 on." in figure.caption


def test_a_sentence_tells_trials_strengths_pruning_and_the_best() -> None:
    content = made.make_content(few())
    search = content.answer.study.spec.search
    said = {curve.tuning.technique: sentence(curve, search) for curve in content.strength_curves}
    assert said["L1"] == (
        "Not tuned: 1 trial at 0.01; a verdict needs 6 strengths. Best: 0.01, cross-entropy 0.47780, 0.38980 worse "
        "than early stopping (patience 2)."
    )
    assert said["L2"] == (
        "Not tuned: 2 trials at 1e-07 and 1e+06; a verdict needs 6 strengths; 1 was pruned, after 1 epoch; 1 diverged."
    )
    assert said["dropout"] == "Not tuned: no trial."
    assert said["early stopping"] == (
        "Tuned: 1 trial with patience 2. Best: patience 2, cross-entropy 0.08800, 0.00140 better than no "
        "regularization."
    )


def test_pruned_and_diverged_trials_are_marked_at_their_strength() -> None:
    figures = figures_of(few())
    rows = {trace["yaxis"]: trace for trace in figures["L2"].data if "yaxis" in trace}
    assert rows.keys() == {"y2"}
    marks = [(x, told) for trace in figures["L2"].data for x, told in zip(trace["x"], trace["text"], strict=True)]
    assert [x for x, _ in marks] == [1e-7, 1e6]
    assert marks[0][1].startswith("pruned after 1 epoch")
    assert marks[1][1].startswith("diverged")
    assert figures["L2"].layout["yaxis2"]["ticktext"] == ["pruned", "failed"]
    assert set(figures) == {"L1", "L2", "early stopping"}, "no panel where nothing was tried"
    assert "yaxis2" not in figures_of(many())["L1"].layout


def test_recipes_are_points_marked_by_their_names() -> None:
    names = [trace for trace in figures_of(few())["L1"].data if trace["mode"] == "text"]
    assert [[name.strip() for name in trace["text"]] for trace in names] == [["L1 0.01"]]
    assert names[0]["x"] == [0.01]


def test_the_baseline_has_a_band_where_it_was_confirmed_on_several_seeds() -> None:
    plain = figures_of(many())["L1"]
    (line,) = shapes_of(plain, "line")
    assert line["y0"] == pytest.approx(0.088), "early stopping alone is the better one"
    content = confirmed(many())
    conclusion = content.conclusion
    assert conclusion is not None
    seeds = (0.084, 0.086, 0.088, 0.090, 0.092)
    results = tuple(
        replace(result, select_cross_entropies=seeds) if "early stopping" in result.finalist.roles[0] else result
        for result in conclusion.results
    )
    figure = strengths(replace(content, conclusion=replace(conclusion, results=results)))["L1"]
    band = next(shape for shape in shapes_of(figure, "rect") if shape["yref"] == "y")
    assert (band["y0"], band["y1"]) == (pytest.approx(0.088 - 0.0031623, 1e-4), pytest.approx(0.088 + 0.0031623, 1e-4))


@pytest.mark.parametrize("good", [(1e-5, 3e-5), None])
def test_the_note_on_good_strengths_is_true_where_no_strength_is_good(
    good: tuple[float, float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = Regions(good=good, too_weak_to=None, too_strong_from=1e-2)
    monkeypatch.setattr(StrengthCurve, "regions", regions)
    found = strength_curves.section(confirmed(many()))
    assert found is not None
    assert ("A strength is good if it loses at most 10 % of this gain." in found.body) == (good is not None)
    assert ("If no strength is better than the dashed line, none is good." in found.body) == (good is None)


def test_without_a_baseline_trial_the_confirmation_gives_the_line() -> None:
    content = confirmed(many()[2:])
    curve = next(curve for curve in content.strength_curves if curve.tuning.technique == "L1")
    assert curve.baseline is not None
    assert not curve.baseline.is_of_search
    unconfirmed = made.make_content(many()[2:])
    assert all(curve.baseline is None for curve in unconfirmed.strength_curves)
    assert strengths(unconfirmed)["L1"].layout["shapes"] == []


def test_accuracy_is_turned_round() -> None:
    trials = [
        trial(one.number, dict(one.params), None if one.value is None else 1 - one.value, recipe=one.recipe)
        for one in many()
    ]
    figure = figures_of(trials, search={"objective": "accuracy"})["L1"]
    best = next(trace for trace in figure.data if trace.get("marker", {}).get("symbol") == ["diamond"])
    assert best["x"] == [3e-5]
    worst = [symbol for trace in figure.data for symbol in trace.get("marker", {}).get("symbol", [])]
    assert "triangle-down" in worst
    assert "triangle-up" not in worst
    assert figure.layout["yaxis"]["title"]["text"] == "selection accuracy (%)"
    assert "accuracy 91.84 %, 0.64 points better than early stopping" in figure.caption


def test_patience_is_too_short_or_too_long() -> None:
    stopped = made.RECIPES["course: early stopping"]
    losses = {1: 0.12, 3: 0.08, 8: 0.089}
    trials = [few()[0], *(trial(p, {**stopped, "patience": p}, loss) for p, loss in losses.items())]
    figure = figures_of(trials)["early stopping"]
    assert "Good at 3, too short up to 1, too long from 8 on." in figure.caption
    assert figure.layout["xaxis"]["range"] == [0.4, 8.6]


def test_placements_are_categories_and_pairs_have_one_axis() -> None:
    pair = {**made.NONE, "regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-3}
    trials = [
        *few()[:2],
        trial(2, {**made.NONE, "batch_norm": "before_activation"}, 0.09),
        trial(3, {**made.NONE, "batch_norm": "after_activation"}, 0.085),
        trial(4, pair, 0.084),
        trial(5, {**pair, "l1": 1e-3}, 0.2),
    ]
    figures = figures_of(trials)
    assert figures["BatchNorm"].layout["xaxis"]["ticktext"] == ["before activation", "after activation"]
    assert figures["BatchNorm"].caption.startswith("Tuned: 2 trials, before activation and after activation.")
    (best,) = (t for t in figures["L1+L2"].data if t.get("marker", {}).get("symbol") == ["diamond"])
    assert best["x"] == [pytest.approx(1e-4)]
    assert not shapes_of(figures["L1+L2"], "rect"), "two factors have no weaker and stronger"


@pytest.mark.parametrize("trials", [[], few()[:1], few()[3:], few()[2:3]])
def test_a_page_can_do_with_hardly_any_points(trials: list[TrialRecord]) -> None:
    content = made.make_content(trials)
    assert page.as_html(content)
    assert as_text(content, 80)
    has_section = strength_curves.section(content) is not None
    assert has_section == any(one.params["regularizer"] != "none" for one in trials)


def test_every_panel_has_a_text_in_its_place_for_who_cannot_see_it() -> None:
    content = made.rich()
    found = strength_curves.section(content)
    assert found is not None
    for figure in found.figures:
        assert sentence_of(content, figure) in figure.alt_text
        assert f'aria-label="{figure.alt_text[:20]}' in found.body
    assert "All trials with one technique alone" in found.body
    spec = content.answer.study.spec
    assert all(one.tuning.technique in found.body for one in content.strength_curves)
    assert spec.space.regularizer


def sentence_of(content: ReportData, figure: Figure) -> str:
    search = content.answer.study.spec.search
    return next(
        sentence(curve, search)
        for curve in content.strength_curves
        if figure.alt_text.startswith(f"{curve.tuning.technique} alone by")
    )


def test_the_terminal_has_a_line_for_each_technique() -> None:
    shown = as_text(made.make_content(many()), 120)
    table = shown.partition("Each technique alone by its strength")[2].partition("Recipes")[0]
    lines = {line.split("  ")[0].strip(): " ".join(line.split()) for line in table.splitlines()}
    assert lines["L1"] == "L1 yes 6 1e-06 to 0.01 0 3e-05 0.08160 1e-05 to 3e-05"
    assert lines["dropout"] == "dropout no, 0 of 6 0 0"
    assert lines["early stopping"] == "early stopping yes 1 2 0 2 0.08800"


def test_a_network_with_settings_of_its_own_has_no_curves() -> None:
    trials = [trial(0, {"units": 64}, 0.1)]
    spec = made.spec(1).changed(model={"hypermodel": "mine.py:build", "hypermodel_sha256": "0" * 64})
    content = made.make_content(trials, spec=spec)
    assert content.strength_curves == ()
    found = as_json(content)
    assert found["strength_curves"] == []
    for said in (json.dumps({**found, "again": None}), as_text(content, 120)):
        assert "technique" not in said
        assert "not tuned" not in said.lower()
    assert strength_curves.section(content) is None
