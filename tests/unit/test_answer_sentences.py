"""The answer in words: short sentences, the four verdicts in the same words everywhere, and no more than is known."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import report_contents as made
from report_contents import confirmed, l1, many, trial

from regsearch.search.export.model_card import ModelCard
from regsearch.studies import formats
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult, TechniqueRow
from regsearch.studies.analysis.race import Drop
from regsearch.studies.analysis.technique_verdicts import technique_verdicts
from regsearch.studies.analysis.tuning import tunings
from regsearch.studies.analysis.verdicts import Judgement, Verdict
from regsearch.studies.records import StudySummary
from regsearch.studies.reports import dashboard_note, json_report, page, summary
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.notebook import as_inline_html
from regsearch.studies.reports.terminal import answer_as_text, as_text
from regsearch.studies.statistics import Interval


def row_of(conclusion: Conclusion, technique: str) -> TechniqueRow:
    return next(row for row in conclusion.techniques if row.technique == technique)


def result_of(conclusion: Conclusion, technique: str) -> FinalistResult:
    result = row_of(conclusion, technique).result
    assert result is not None
    return result


def cases() -> Iterator[tuple[str, Conclusion]]:
    usual = made.make_conclusion()
    nothing = made.make_conclusion(0.0011, claims_gain=False, looks=2)
    yield "a combination helps", usual
    yield "nothing is settled", nothing
    yield "no regularization wins", made.judged(replace(nothing, winner=nothing.baseline))
    yield "early stopping wins", made.judged(replace(usual, winner=result_of(usual, "early stopping")))
    yield "a small gain", made.make_conclusion(0.005)
    yield "it harms", made.make_conclusion(-0.02, claims_gain=False)
    yield "by accuracy", made.judged(replace(usual, by_accuracy=True))
    yield "too few test examples", made.judged(made.make_conclusion(0.005), None)
    yield "still improving", replace(usual, still_improving=True)
    yield "not tuned", conclusion_of(confirmed(many()))
    yield "a race", raced(usual)


def conclusion_of(content: ReportData) -> Conclusion:
    assert content.conclusion is not None
    return content.conclusion


def raced(conclusion: Conclusion) -> Conclusion:
    """As after a race that dropped BatchNorm after three seeds."""
    dropped = result_of(conclusion, "BatchNorm")
    drop = Drop(
        index=dropped.finalist.index, reason="clearly harms", than=7, behind=made.interval(0.0066, 0.002), seeds=3
    )
    replaced = replace(dropped, dropped=drop, epochs=dropped.epochs[:3])
    return replace(
        conclusion,
        is_race=True,
        has_drawn_splits=True,
        results=tuple(replaced if result is dropped else result for result in conclusion.results),
        techniques=tuple(
            replace(row, result=replaced) if row.result is dropped else row for row in conclusion.techniques
        ),
    )


CASES = dict(cases())


def said_of(conclusion: Conclusion, answer: StudySummary | None = None) -> tuple[str, ...]:
    return summary.sentences(answer or made.rich().answer, conclusion)


@pytest.mark.parametrize("name", CASES)
def test_sentences_are_short_and_few(name: str) -> None:
    said = said_of(CASES[name])
    assert max(len(sentence.split()) for sentence in said) <= 35
    prose = " ".join(said)
    for result in CASES[name].results:
        prose = prose.replace(str(result.finalist.settings), "X")
    assert len(prose.split()) / len(said) <= 15
    core = said[: next(i for i, sentence in enumerate(said) if sentence.startswith("All this holds for "))]
    assert 3 <= len(core) <= (8 if CASES[name].still_improving else 7)
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in said)


@pytest.mark.parametrize("name", CASES)
def test_sentences_use_no_jargon_and_no_double_negation(name: str) -> None:
    said = " ".join(said_of(CASES[name]))
    assert not re.search(r"noise|tied|paired|crossed|look [0-9]|\brows?\b|hurt|significan|None|nan", said)
    assert not re.search(r"\b(not|no)\b[^.;:,]*\b(not|nothing|never|without)\b", said.replace("no regularization", ""))
    assert "useless" not in said


@pytest.mark.parametrize("name", CASES)
def test_no_difference_always_comes_with_its_measure(name: str) -> None:
    for sentence in said_of(CASES[name]):
        if "makes no difference" in sentence:
            assert re.search(r"less than ±[\d.]+ (nats|percentage points)", sentence)


@pytest.mark.parametrize("name", CASES)
def test_each_verdict_in_the_sentences_is_that_of_its_technique(name: str) -> None:
    conclusion = CASES[name]
    said = " ".join(said_of(conclusion))
    told = [one.partition(", ")[2] for one in said_of(conclusion) if one.startswith("Compared with ")]
    parts = [part for one in told for part in re.split(r"(?<=helps|harms|nats\)|ints\)), (?:and )?", one)]
    for one in technique_verdicts(conclusion):
        if one.result is conclusion.winner and one.technique in ("combination", "early stopping"):
            continue
        pattern = rf"(?<![+\w]){re.escape(one.name)}(?![+\w])"
        found = [part for part in parts if re.search(pattern, part)]
        if one.verdict is Verdict.NOT_SETTLED:
            (opened,) = re.findall(r"Not settled: (.*?) may help or harm\.", said)
            assert re.search(pattern, opened)
            assert not found
        elif one.verdict is None:
            assert not found
        else:
            assert [str(one.verdict) in part for part in found] == [True]


def test_the_first_interval_says_its_confidence_and_where_it_lies() -> None:
    said = said_of(made.make_conclusion())
    assert said[2] == (
        "It helps: over early stopping alone, it gains 0.0128 nats per example of test cross-entropy "
        "(between 0.0097 and 0.0159, with 95 % confidence)."
    )
    assert said[3] == "Over no regularization, it gains 0.0142 (probably between 0.0111 and 0.0173)."


def test_accuracy_is_in_percentage_points() -> None:
    said = " ".join(said_of(CASES["by accuracy"]))
    assert "0.26 percentage points of test accuracy (between 0.13 and 0.39, with 95 % confidence)" in said
    assert "nats" not in said
    none = made.judged(replace(made.make_conclusion(0.0001), by_accuracy=True))
    none = replace(none, techniques=tuple(with_gain(none, row, 0.0001) for row in none.techniques))
    assert "makes no difference (less than ±0.08 percentage points)" in " ".join(said_of(none))


def with_gain(conclusion: Conclusion, row: TechniqueRow, half: float) -> TechniqueRow:
    judgement = made.judgement_of(made.interval(0.0, half), smallest_gain=conclusion.smallest_gain)
    return replace(row, over_early_stopping=judgement if row.technique != "early stopping" else None)


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (
            (12, 12),
            "More seeds would probably settle L1 and dropout (12 in all): run `regsearch confirm mnist --seeds 12`.",
        ),
        (
            (12, 40),
            "More seeds would probably settle L1 (12 in all) and dropout (40 in all): run "
            "`regsearch confirm mnist --seeds 40`.",
        ),
        (
            (None, None),
            "The 10,000 test examples are probably too few to settle L1 and dropout, with any number of seeds.",
        ),
    ],
)
def test_what_is_open_comes_with_what_would_settle_it(needed: tuple[int | None, int | None], told: str) -> None:
    usual = made.make_conclusion()
    rows = []
    for row in usual.techniques:
        if row.technique in ("L1", "dropout"):
            seeds = needed[row.technique == "dropout"]
            row = replace(row, over_early_stopping=made.judgement_of(made.interval(0.002, 0.004), seeds))
        elif row.technique == "early stopping":
            row = replace(row, over_baseline=made.judgement_of(made.interval(0.01, 0.004)))
        rows.append(row)
    said = said_of(replace(usual, techniques=tuple(rows)))
    assert "Not settled: L1 and dropout may help or harm." in said
    assert told in said
    assert sum("seeds" in sentence and "settle" in sentence for sentence in said) == 1


def test_a_command_names_what_a_hypermodel_needs_and_is_never_broken() -> None:
    content = made.rich()
    text = answer_as_text(content.answer, content.conclusion, 60)
    assert "`regsearch confirm mnist --seeds 12`" in text
    assert "<code>regsearch confirm mnist --seeds 12</code>" in page.as_html(content)
    spec = content.answer.study.spec.changed(model={"hypermodel": "a_file.py:Own", "hypermodel_sha256": "0" * 64})
    answer = replace(content.answer, study=replace(content.answer.study, spec=spec))
    said = " ".join(summary.sentences(answer, content.conclusion))
    assert "regsearch confirm mnist --seeds 12 --trust-code" in said
    assert "All this holds for 48,000 training examples, with the network and training of Own" in said


def test_what_was_searched_is_not_said_to_be_fixed() -> None:
    content = made.rich()
    searched = content.answer.study.spec.changed(
        space={"learning_rate": {"low": 1e-4, "high": 1e-2}},
        model={"hidden": [64, 32]},
        training={"batch_size": 128},
        data={"train_size": 2_000},
    )
    (fixed,) = (
        sentence
        for sentence in summary.sentences(
            replace(content.answer, study=replace(content.answer.study, spec=searched)), content.conclusion
        )
        if sentence.startswith("All this holds for ")
    )
    assert fixed == (
        "All this holds for at most 12 epochs, batches of 128, 64 and 32 hidden units and 2,000 training examples."
    )


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("L1 0.01", "L1 at the course's 0.01 is too strong: 3e-05 did better in the search."),
        ("my own", "L1 at 0.01 is too strong: 3e-05 did better in the search."),
        (None, None),
    ],
)
def test_a_recipe_at_a_bad_strength_has_a_sentence_of_its_own(recipe: str | None, told: str | None) -> None:
    trials = [*many()[:-1], trial(7, l1(0.01), 0.440, recipe=recipe)]
    content = confirmed(trials)
    said = [one for one in said_of(conclusion_of(content), content.answer) if "too strong" in one]
    assert said == ([] if told is None else [told])


def test_no_strength_is_called_bad_for_what_one_seed_may_make() -> None:
    trials = [*many()[:-1], trial(7, l1(0.01), 0.0881, recipe="L1 0.01")]
    assert "too strong" not in " ".join(said_of(conclusion_of(confirmed(trials))))


def test_a_patience_that_was_too_short_is_named() -> None:
    told = "Early stopping with the course's patience 2 is too short: patience 6 did better in the search."
    for loss, is_too_short in ((0.07, True), (0.085, False)):
        trials = [*many(), trial(8, {**made.NONE, "early_stopping": True, "patience": 6}, loss)]
        assert (told in said_of(conclusion_of(confirmed(trials)))) == is_too_short


def test_a_training_that_was_too_short_names_the_setting_to_raise() -> None:
    said = " ".join(said_of(CASES["still improving"]))
    assert "Most trainings with early stopping alone were still improving in their last epoch." in said
    longer = said.index(
        "These trainings may be too short, so train longer first: raise `training.max_epochs` (now 12) in a new study."
    )
    assert longer < said.index("With trainings of the present length, more seeds would probably settle"), (
        "what comes first is said first"
    )
    assert "too short" not in " ".join(said_of(made.make_conclusion()))


def test_a_race_and_drawn_splits_are_said_where_they_matter() -> None:
    conclusion = CASES["a race"]
    content = replace(made.rich(), conclusion=conclusion)
    assert "over up to 5 seeds (random starts and splits of the data)" in " ".join(said_of(conclusion))
    told = "Dropped after 3 seeds: BatchNorm after activation (clearly harms; on the selection split its loss is"
    for shown in (as_text(content, 300), page.as_html(content)):
        assert told in " ".join(shown.split())
        assert "+0.00660 [+0.00460, +0.00860] above that of early stopping (patience 2)" in " ".join(shown.split())
    assert "dropped after 3</span>" in page.as_html(content)
    found = json_report.as_json(content)["confirmation"]
    (dropped,) = (one for one in found["finalists"] if one["dropped"])
    assert dropped["seeds"] == 3
    assert dropped["dropped"] == {
        "reason": "clearly harms",
        "seeds": 3,
        "than": 7,
        "behind": {"mean": 0.0066, "low": pytest.approx(0.0046), "high": pytest.approx(0.0086), "level": 0.95},
    }
    assert (found["is_race"], found["has_drawn_splits"]) == (True, True)


def test_a_technique_whose_training_failed_has_that_for_its_reason() -> None:
    content = confirmed(many())
    conclusion = conclusion_of(content)
    rows = tuple(replace(row, result=None) if row.technique == "L1" else row for row in conclusion.techniques)
    assert "Without a verdict: L1 (its training failed)." in said_of(replace(conclusion, techniques=rows))


def test_a_network_with_settings_of_its_own_is_told_over_its_defaults() -> None:
    usual = made.make_conclusion()
    own = [{"units": 64, "lr": 0.001}, {"units": 128, "lr": 0.003}]
    defaults = made.make_result(0, own[0], ("baseline: defaults",), None)
    other = made.make_result(1, own[1], ("top 1",), 0.0142, is_tied=True)
    conclusion = replace(
        usual, winner=other, baseline=defaults, results=(other, defaults), techniques=(), failed=(),
        winner_over_early_stopping=None, winner_over_baseline=made.judgement_of(made.interval(0.0142, 0.003)),
    )  # fmt: skip
    said = said_of(conclusion)
    assert said[0] == "Use lr 0.003, units 128."
    assert said[2].startswith("It helps: over the defaults, it gains 0.0142 nats per example of test cross-entropy")
    assert "regularization" not in " ".join(said)
    kept = replace(conclusion, winner=defaults, winner_over_baseline=None, claims_gain=False)
    assert said_of(kept)[0] == "Keep the defaults, lr 0.001, units 64."


def test_every_report_has_the_same_sentences() -> None:
    content = made.rich()
    conclusion, study = conclusion_of(content), content.answer.study
    card = ModelCard(
        spec=study.spec, dataset=study.dataset, configuration=conclusion.winner.finalist.settings, origin="trial 2",
        seed=0, n_train=1, n_stop=1, figures={}, versions={}, conclusion=conclusion, finalist=conclusion.winner,
    ).as_markdown()  # fmt: skip
    reports = {
        "report": as_text(content, 200),
        "end of a run": answer_as_text(content.answer, conclusion, 200),
        "page": re.sub("</?code>", "`", page.as_html(content)),
        "notebook": re.sub("</?code>", "`", as_inline_html(content.answer, conclusion)),
        "note": dashboard_note.as_markdown(content).replace("\\", ""),
        "model card": card.replace("\\", ""),
    }
    for sentence in said_of(conclusion):
        for name, shown in reports.items():
            assert sentence in " ".join(shown.split()), name
    found = json_report.as_json(content)
    assert tuple(found["sentences"]) == said_of(conclusion)
    assert found["answer"] == " ".join(found["sentences"])


def test_the_words_come_before_every_table() -> None:
    content = made.rich()
    for shown in (page.as_html(content), as_inline_html(content.answer, content.conclusion), as_text(content, 120)):
        first = min(i for i in (shown.find("<table"), shown.find('class="tiles"'), shown.find("──")) if i >= 0)
        assert 0 < shown.find("All this holds for learning rate") < first


def test_json_has_each_verdict_for_a_program() -> None:
    found = json.loads(json.dumps(json_report.as_json(made.rich()), allow_nan=False))["confirmation"]
    rows: dict[str, Any] = {row["technique"]: row for row in found["techniques"]}
    assert (found["smallest_gain"], found["smallest_gain_share"], found["is_race"]) == (0.004, 0.05, False)
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "L1": "helps",
        "L2": "helps",
        "L1+L2": None,
        "dropout": "helps",
        "BatchNorm": "harms",
        "early stopping": "not settled",
        "combination": "helps",
    }
    assert rows["L1+L2"]["no_verdict"] == "not tried alone"
    assert rows["L1"]["no_verdict"] is None
    assert rows["L1"]["over"] == "early stopping alone"
    assert rows["L1"]["gain"]["mean"] == pytest.approx(0.44 * 0.0142)
    assert rows["L1"]["over_baseline"]["gain"]["mean"] == pytest.approx(0.55 * 0.0142)
    assert (
        rows["early stopping"] | {"seeds": 5, "seeds_needed": 12, "needs_test_examples": False}
        == rows["early stopping"]
    )
    assert rows["early stopping"]["over"] == "no regularization"
    assert rows["early stopping"]["over_early_stopping"] is None
    assert found["winner_over_early_stopping"]["verdict"] == "helps"


def test_a_technique_that_was_not_tuned_has_no_verdict_for_a_program() -> None:
    found = json_report.as_json(confirmed(many()))["confirmation"]
    (row,) = (one for one in found["techniques"] if one["technique"] == "L2")
    assert (row["verdict"], row["no_verdict"]) == (None, "not tuned: no trial")
    assert row["seeds_needed"] is None


def test_not_settled_is_never_said_to_do_nothing() -> None:
    content = made.nothing_gained()
    rows = tuple(
        replace(row, over_early_stopping=made.judgement_of(made.interval(0.002, 0.004)))
        for row in conclusion_of(content).techniques
    )
    content = replace(content, conclusion=replace(conclusion_of(content), techniques=rows))
    told = "Not settled means that a technique may help or harm, not that it does nothing."
    for shown in (as_text(content, 120), page.as_html(content), as_inline_html(content.answer, content.conclusion)):
        assert told in " ".join(shown.split())


def test_judgements_are_of_tuned_techniques_alone() -> None:
    content = confirmed(many())
    found = {one.technique: one for one in tunings(many(), made.spec().space, maximizes=False)}
    judged = {row.technique: row.judgement for row in conclusion_of(content).techniques}
    assert isinstance(judged["L1"], Judgement)
    assert all(judged[name] is None for name, tuning in found.items() if not tuning.is_tuned and tuning.is_asked)


def test_a_mixture_that_makes_no_difference_is_not_recommended() -> None:
    conclusion = made.make_conclusion()
    alike = Judgement(
        verdict=Verdict.NO_DIFFERENCE,
        gain=Interval(mean=0.001, low=-0.002, high=0.003, level=0.9),
        smallest_gain=0.004,
        seeds=5,
    )
    conclusion = replace(conclusion, winner_over_early_stopping=alike, winner_over_baseline=alike)
    name = formats.settings(conclusion.winner.finalist.params)
    assert said_of(conclusion)[0] == f"Use early stopping alone: {name} did best, but makes no difference."
    assert summary.headline(made.rich().answer, conclusion).startswith("Early stopping alone: compared with that, ")


def test_those_that_a_race_dropped_are_listed_last_and_are_not_the_best() -> None:
    conclusion = CASES["a race"]
    best = min(conclusion.results, key=lambda one: one.select_loss(conclusion.by_accuracy))
    lucky = [
        replace(one, select_cross_entropy=best.select_cross_entropy / 2) if one.dropped else one
        for one in conclusion.results
    ]
    conclusion = replace(conclusion, results=tuple(lucky))
    assert conclusion.ranked[-1].dropped is not None
    assert conclusion.ranked[0].dropped is None
