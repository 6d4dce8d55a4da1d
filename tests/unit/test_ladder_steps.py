"""Each step of a ladder has the figures of its recipe, and is compared with a training without the technique."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import report_contents as made

from regsearch.studies.analysis.ladder import Reference, ladders, reference, sentences
from regsearch.studies.recipes import recipes_in_space
from regsearch.studies.records import TrialRecord
from regsearch.studies.reports import json_report, page, terminal
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.sections.ladder_steps import rung_figures, section

_DECADES = ("1e-06", "1e-05", "0.0001", "0.001", "0.01")
LOSSES = {
    "none": 0.090,
    "early stopping": 0.088,
    **dict(zip((f"L1 {one}" for one in _DECADES), (0.086, 0.080, 0.090, 0.2, 0.9), strict=True)),
    **dict(zip((f"L2 {one}" for one in _DECADES), (0.087, 0.085, 0.081, 0.084, 0.086), strict=True)),
    **dict(zip((f"dropout 0.{one}" for one in range(1, 6)), (0.089, 0.091, 0.092, 0.095, 0.099), strict=True)),
}


def recipe_trials(sets: Sequence[str] = ("ladder", "course")) -> list[TrialRecord]:
    example = next(trial for trial in made.make_trials(10) if trial.state == "complete")
    return [
        replace(
            example,
            number=number,
            recipe=name,
            params=params,
            value=LOSSES.get(name, 0.085),
            metrics={**example.metrics, "select_cross_entropy": LOSSES.get(name, 0.085)},
        )
        for number, (name, params) in enumerate(recipes_in_space(sets, made.spec().space).items())
    ]


def content_of(trials: list[TrialRecord], **parts: Any) -> ReportData:
    return made.make_content(trials, **parts)


def reference_in(content: ReportData) -> Reference | None:
    return reference(content.answer.study.spec, content.trials, content.conclusion)


def sentences_in(content: ReportData) -> list[str]:
    return sentences(content.answer.study.spec, content.trials, content.conclusion)


@pytest.fixture
def whole() -> ReportData:
    return content_of(recipe_trials())


def test_each_ladder_has_its_steps_in_order(whole: ReportData) -> None:
    found = {ladder.technique: ladder for ladder in ladders(whole.trials)}
    assert list(found) == ["L1", "L2", "dropout"]
    assert [step.strength for step in found["L2"].rungs] == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
    assert [step.strength for step in found["dropout"].rungs] == [0.1, 0.2, 0.3, 0.4, 0.5]
    for technique, ladder in found.items():
        for step in ladder.rungs:
            assert step.cross_entropy == LOSSES[f"{technique} {step.strength:g}"]
            assert whole.trials[step.trial].recipe == f"{technique} {step.strength:g}"


def test_the_reference_has_the_same_training_as_the_steps(whole: ReportData) -> None:
    found = reference_in(whole)
    assert found is not None
    assert (found.name, found.cross_entropy, found.is_of_search) == ("early stopping (patience 2)", 0.088, True)
    without = content_of([trial for trial in whole.trials if trial.recipe != "early stopping"])
    found = reference_in(without)
    assert found is not None
    assert (found.name, found.cross_entropy) == ("no regularization", 0.090)


def test_without_a_trial_the_reference_is_of_the_confirmation() -> None:
    trials = recipe_trials(["ladder"])
    assert reference_in(content_of(trials)) is None
    shown = section(content_of(trials))
    assert shown is not None
    assert "is not known" in shown.body
    confirmed = content_of(trials, conclusion=made.make_conclusion())
    found = reference_in(confirmed)
    assert found is not None
    assert not found.is_of_search
    shown = section(confirmed)
    assert shown is not None
    assert "its mean over the fresh seeds of the confirmation" in shown.body


def test_the_sentences_say_how_much_is_too_much(whole: ReportData) -> None:
    l1, l2, dropout = sentences_in(whole)
    assert l1 == (
        "L1 is best at 1e-05 (0.08000), −0.00800 against early stopping (patience 2); from 0.0001 on it is too much: "
        "worse than without L1."
    )
    assert l2.endswith("even its strongest step, 0.01, is not too much.")
    assert dropout.endswith("every step is worse than without dropout.")
    for sentence in (l1, l2, dropout):
        assert sentence in " ".join(terminal.as_text(whole, 100).split())
        assert sentence in page.as_html(whole)


@pytest.mark.parametrize(("complete", "is_shown"), [(2, False), (3, True)])
def test_a_ladder_is_shown_if_it_has_three_complete_steps(complete: int, is_shown: bool) -> None:
    trials = recipe_trials()
    l2 = [trial.number for trial in trials if trial.recipe and trial.recipe.startswith("L2")]
    kept = set(l2[:complete])
    trials = [
        trial if trial.number in kept else replace(trial, state="pruned", value=None, metrics={"epochs": 2})
        for trial in trials
    ]
    assert [ladder.technique for ladder in ladders(trials)] == (["L2"] if is_shown else [])
    assert (section(content_of(trials)) is not None) is is_shown
    assert ('<section id="rungs"' in page.as_html(content_of(trials))) is is_shown


def test_the_courses_recipes_alone_are_no_ladder() -> None:
    assert section(content_of(recipe_trials(["course"]))) is None
    for name in ("rich", "hostile", "nothing-yet"):
        assert section(made.CONTENTS[name]()) is None


def test_a_figure_shows_every_step_and_the_reference(whole: ReportData) -> None:
    figures = {figure.id: figure for figure in rung_figures(whole)}
    assert list(figures) == ["rungs-l1", "rungs-l2", "rungs-dropout"]
    ranges = {tuple(figure.layout["yaxis"]["range"]) for figure in figures.values()}
    ((low, high),) = ranges
    for name, figure in figures.items():
        (trace,) = figure.data
        technique = {"rungs-l1": "L1", "rungs-l2": "L2"}.get(name, "dropout")
        assert [exact for _, exact in trace["customdata"]] == [LOSSES[f"{technique} {x:g}"] for x in trace["x"]]
        assert low < min(trace["y"]) <= max(trace["y"]) <= high
        assert [shape["y0"] for shape in figure.layout["shapes"]] == [0.088]
        assert figure.layout["xaxis"].get("type") == (None if technique == "dropout" else "log")
    assert figures["rungs-l1"].data[0]["marker"]["symbol"][-1] == "triangle-up", "0.9 lies beyond the axis"
    assert figures["rungs-l1"].caption
    assert not figures["rungs-l2"].caption


def test_programs_get_the_steps_too(whole: ReportData) -> None:
    rungs = json_report.as_json(whole)["rungs"]
    assert rungs["L1"][1] == {"strength": 1e-5, "cross_entropy": 0.08, "trial": 1}
    assert json_report.as_json(made.rich())["rungs"] == {}
