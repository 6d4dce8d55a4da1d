"""Studies side by side: what differs is said, and "larger data sets need less" is answered by the intervals alone."""

import html.parser
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import report_contents as made

from regsearch.search.result import ComparisonResult
from regsearch.studies import formats
from regsearch.studies.analysis import size_effect
from regsearch.studies.analysis.comparison import ComparedStudy, Comparison, side_by_side, summarize_study
from regsearch.studies.analysis.conclusion import Conclusion, Gain
from regsearch.studies.reports.comparison import json_report, page, terminal, wording
from regsearch.studies.reports.comparison.best_so_far import best_so_far_figure
from regsearch.studies.statistics import Interval, crossed_interval, difference


def a_study(
    name: str, gain: float | None = 0.0142, rows: int | None = None, trials: int = 30, **sections: Mapping[str, Any]
) -> ComparedStudy:
    """A study of that name, confirmed with that gain of its winner, or None: not confirmed."""
    spec = made.spec(trials).changed(study={"name": name}, data={"train_size": rows}).changed(**sections)
    content = made.make_content(made.make_trials(trials, seed=len(name)), spec=spec)
    answer = replace(content.answer, study=replace(content.answer.study, name=name))
    return summarize_study(answer, None if gain is None else made.make_conclusion(gain), content.trials)


def sizes(*gains: float | None) -> Comparison:
    rows = (1_000, 5_000, 20_000, None)
    return side_by_side([a_study(f"rows-{i}", gain, rows[i]) for i, gain in enumerate(gains)])


def conclusion_of(study: ComparedStudy) -> Conclusion:
    assert study.conclusion is not None
    return study.conclusion


def test_studies_stand_in_the_order_of_their_training_rows() -> None:
    comparison = side_by_side([a_study("all"), a_study("few", rows=1_000), a_study("some", rows=5_000)])
    assert [study.name for study in comparison.studies] == ["few", "some", "all"]
    assert [study.train_rows for study in comparison.studies] == [1_000, 5_000, 48_000]
    assert [one.key for one in comparison.differences] == ["data.train_size"]
    assert not comparison.obstacles


@pytest.mark.parametrize("rows", [None, 40_000])
@pytest.mark.parametrize(
    ("sections", "key", "values"),
    [
        ({"model": {"hidden": [256, 256]}}, "model.hidden", ("[140]", "[256, 256]")),
        ({"search": {"objective": "accuracy"}}, "search.objective", ('"cross_entropy"', '"accuracy"')),
        ({"training": {"batch_size": 64}}, "training.batch_size", ("32", "64")),
        ({"data": {"stop_fraction": 0.05, "train_size": 48_000}}, "data.stop_fraction", ("0.1", "0.05")),
    ],
)
def test_what_makes_studies_incomparable_is_named(
    sections: dict[str, Any], key: str, values: tuple[str, str], rows: int | None
) -> None:
    if rows is None and key == "model.hidden":
        return  # of one size, networks are what is compared: test_searches_compared.py
    comparison = side_by_side([a_study("a", rows=rows), a_study("b", **sections)])
    assert [(one.key, one.values) for one in comparison.obstacles] == [(key, values)]
    assert f"Not comparable, because {key} differs (a: {values[0]}, b: {values[1]})." in wording.notices(comparison)
    assert key in size_effect.headline(comparison)
    assert size_effect.change(comparison) is None
    assert size_effect.differ_in_size(comparison) is (rows is not None)
    if rows is not None:
        assert f"can't tell, since they differ in more than their size: in {key}." in str(
            size_effect.sentence(comparison)
        )


def test_other_data_are_another_question_and_another_space_or_seed_is_not() -> None:
    one, other = a_study("a"), a_study("b", search={"seed": 7}, space={"batch_norm": ["none"]})
    comparison = side_by_side([one, other])
    assert {(d.key, d.kind) for d in comparison.differences} == {
        ("search.seed", "search"),
        ("space.batch_norm", "search"),
    }
    assert all(notice.startswith("Comparable, although") for notice in wording.notices(comparison))
    study = replace(other.answer.study, dataset=replace(other.answer.study.dataset, sha256="1" * 64))
    comparison = side_by_side([one, replace(other, answer=replace(other.answer, study=study))])
    assert [d.key for d in comparison.obstacles] == ["data"]
    same = side_by_side([a_study("a"), a_study("b")])
    assert wording.notices(same) == ["These studies are comparable: everything that decides results is the same."]


def test_a_difference_of_two_means_has_the_ends_of_both() -> None:
    one, other = Interval(mean=5, low=2, high=6, level=0.95), Interval(mean=1, low=0, high=5, level=0.9)
    found = difference(one, other)
    assert (found.mean, found.low, found.high, found.level) == (4, 4 - 5, 4 + math.hypot(1, 1), 0.9)
    same = difference(replace(one, low=5, high=5), replace(other, low=1, high=1))
    assert (same.low, same.high) == (4, 4)


def test_a_difference_covers_the_truth_as_often_as_it_says() -> None:
    luck = np.random.default_rng(3)

    def measured(mean: float) -> Interval:
        seeds, rows = luck.normal(0, 0.3, (5, 1)), luck.normal(0, 1, (1, 60))
        return crossed_interval(mean + seeds + rows + luck.normal(0, 0.5, (5, 60)))

    covered = sum(
        found.low <= 0.4 <= found.high for found in (difference(measured(1.0), measured(0.6)) for _ in range(400))
    )
    assert 0.93 <= covered / 400 <= 1


@pytest.mark.parametrize(
    ("gains", "verdict", "said"),
    [
        ((0.08, 0.0142), "gains less", "falls from 0.08000 to 0.01420 nats"),
        ((0.0142, 0.08), "gains more", "rises from 0.01420 to 0.08000 nats"),
        ((0.0142, 0.0122), "not settled", "falls from 0.01420 to 0.01220 nats"),
        ((0.0142, 0.0152), "not settled", "rises from 0.01420 to 0.01520 nats"),
    ],
)
def test_more_rows_gain_less_only_beyond_noise(gains: tuple[float, float], verdict: str, said: str) -> None:
    comparison = sizes(*gains)
    found = size_effect.change(comparison)
    assert found is not None
    half = math.hypot(0.0031, 0.0031)  # of the two intervals
    assert (found.reduction.low, found.reduction.high) == pytest.approx(
        (gains[0] - gains[1] - half, gains[0] - gains[1] + half)
    )
    assert found.verdict == verdict
    sentence = str(size_effect.sentence(comparison))
    assert said in sentence
    assert "From 1,000 to 5,000 training examples" in sentence
    assert {"gains less": "so yes", "gains more": "so no", "not settled": "so this is not settled"}[verdict] in sentence
    ends = re.search(r"by ([\d.]+) \(95 % interval (\S+) to (\S+)\)", sentence)
    assert ends is not None
    mean, low, high = (float(end.replace("−", "-")) for end in ends.groups())
    assert (mean, high - mean, mean - low) == pytest.approx((abs(gains[0] - gains[1]), half, half), abs=2e-5)


def test_the_sentence_has_each_step_and_its_share_of_the_gain() -> None:
    sentence = str(size_effect.sentence(sizes(0.08, 0.04, 0.05, 0.0142)))
    assert "From 1,000 to 48,000 training examples" in sentence
    assert "The gain falls in 2 of the 3 steps between the sizes." in sentence
    assert sentence.endswith(
        "As a share of the test cross-entropy without regularization, the gain is 99 % with 1,000 examples and 17 % "
        "with 48,000 examples."
    )
    assert "falls in all of the 2 steps" in str(size_effect.sentence(sizes(0.08, 0.06, 0.0142)))
    assert "falls in none of the 2 steps" in str(size_effect.sentence(sizes(0.01, 0.02, 0.03)))


def test_nothing_is_said_of_sizes_where_they_are_the_same_or_not_confirmed() -> None:
    assert size_effect.sentence(side_by_side([a_study("a"), a_study("b")])) is None
    assert json_report.as_json(side_by_side([a_study("a"), a_study("b")]))["more_rows"] is None
    said = str(size_effect.sentence(sizes(0.08, None)))
    assert said.endswith("Not known yet: rows-1 has no confirmed gain over no regularization.")
    assert "is not known yet" in size_effect.headline(sizes(0.08, None))
    assert "rows-0 and rows-1 have no" in str(size_effect.sentence(sizes(None, None)))


def test_if_none_wins_the_best_other_finalist_shows_the_gain() -> None:
    study = a_study("a")
    conclusion = conclusion_of(study)
    assert study.regularized is conclusion.winner
    none_wins = replace(study, conclusion=replace(conclusion, winner=conclusion.baseline, claims_gain=False))
    other = none_wins.regularized
    assert other is not None
    regularized = [result for result in conclusion.results if result.gain is not None]
    assert other.select_cross_entropy == min(result.select_cross_entropy for result in regularized)
    cells = {row[0]: row[1] for row in wording.overview(side_by_side([none_wins, a_study("b")]))}
    assert cells["gain in test cross-entropy (nats per example)"] == "the winner uses no regularization"
    assert cells["confirmed winner"] == "no regularization"


def test_studies_ranked_by_accuracy_are_compared_by_accuracy() -> None:
    by_accuracy = {"search": {"objective": "accuracy"}}
    comparison = side_by_side([a_study("few", 0.08, 1_000, **by_accuracy), a_study("all", **by_accuracy)])
    found = size_effect.change(comparison)
    assert found is not None
    assert found.fewest.mean == pytest.approx(0.2 * 0.08)
    assert "from 1.60 to 0.28 percentage points of test accuracy" in str(size_effect.sentence(comparison))
    figure = best_so_far_figure(comparison)
    assert figure is not None
    assert figure.layout["yaxis"]["title"]["text"] == "best selection accuracy (%)"
    mixed = side_by_side([a_study("a"), a_study("b", **by_accuracy)])
    assert best_so_far_figure(mixed) is None, "two figures on one axis"


def test_best_strengths_are_those_of_techniques_alone() -> None:
    confirmed, searched = a_study("a"), a_study("b", None)
    rows = {row.technique: row.result for row in conclusion_of(confirmed).techniques}
    assert rows["L2"] is not None
    assert confirmed.strengths["L2"].value == rows["L2"].finalist.params["l2"]
    assert confirmed.strengths["L2"].is_confirmed
    trials = made.make_trials(30, seed=1)
    alone = [
        t for t in trials if t.value is not None and made.Regularization.from_params(t.params).technique == "dropout"
    ]
    assert alone
    best = min(alone, key=lambda trial: trial.value or 0.0)
    assert searched.strengths["dropout"].value == best.params["dropout"]
    assert not searched.strengths["dropout"].is_confirmed
    cells = {row[0]: row[1:] for row in wording.overview(side_by_side([confirmed, searched]))}
    assert cells["best dropout alone"][1] == f"~{best.params['dropout']:.3g}"
    assert cells["best L2 alone"][0] == f"{confirmed.strengths['L2'].value:.3g}"


def test_a_technique_that_nobody_tried_is_not_one_that_is_not_known() -> None:
    study = a_study("a")
    conclusion = conclusion_of(study)
    untried = replace(conclusion, techniques=tuple(replace(row, result=None) for row in conclusion.techniques))
    unknown = tuple(
        replace(
            row,
            result=row.result and replace(row.result, gain=None, gain_over_early_stopping=None),
            over_early_stopping=None,
            over_baseline=None,
        )
        for row in conclusion.techniques
    )
    others = [replace(study, conclusion=untried), replace(study, conclusion=replace(conclusion, techniques=unknown))]
    cells = {row[0]: row[1:] for row in wording.techniques(side_by_side([*others, replace(study, conclusion=None)]))}
    assert cells["L2"] == ["not tried alone", "nothing to compare it with", "not confirmed"]


def test_a_comparison_judges_techniques_over_early_stopping_alone() -> None:
    comparison = side_by_side([a_study("a"), a_study("b", 0.0011)])
    cells = {row[0]: row[1:] for row in wording.techniques(comparison)}
    assert cells["L1"] == [
        f"helps\n{formats.cross_entropy_gain(made.interval(0.44 * 0.0142, 0.0031))}",
        f"makes no difference\n{formats.cross_entropy_gain(made.interval(0.44 * 0.0011, 0.0031))}",
    ]
    for shown in (terminal.as_text(comparison, 100), page.as_html(comparison)):
        assert "Each technique is judged by its gain over early stopping alone, and early stopping by" in " ".join(
            shown.split()
        )
        assert "No difference means less than ±0.004 nats." in " ".join(shown.split())
    assert "The verdict on each technique alone, and its gain in" in " ".join(terminal.as_text(comparison, 100).split())


def test_the_size_question_has_the_four_verdicts() -> None:
    def with_gains(gain: float, half: float, name: str, rows: int | None) -> ComparedStudy:
        study = a_study(name, gain, rows)
        winner = conclusion_of(study).winner
        gained = Gain(cross_entropy=made.interval(gain, half), accuracy=made.interval(gain, half))
        return replace(study, conclusion=replace(conclusion_of(study), winner=replace(winner, gain=gained)))

    same = side_by_side([with_gains(0.01, 0.0005, "few", 1_000), with_gains(0.0105, 0.0005, "all", None)])
    found = size_effect.change(same)
    assert found is not None
    assert found.verdict == "makes no difference"
    assert size_effect.headline(same) == "The number of examples makes no difference to what regularization gains"
    sentence = str(size_effect.sentence(same))
    assert "which makes no difference (less than ±0.004 nats), so no." in sentence
    assert "Both with 1,000 examples and with 48,000 examples, regularization helps." in sentence
    less = side_by_side([with_gains(0.01, 0.0005, "few", 1_000), with_gains(0.001, 0.0005, "all", None)])
    assert "; with 48,000 examples, regularization makes no difference (less than ±0.004 nats)." in str(
        size_effect.sentence(less)
    )
    unsettled = side_by_side([with_gains(0.01, 0.02, "few", 1_000), with_gains(0.001, 0.0005, "all", None)])
    assert size_effect.headline(unsettled) == "Whether more examples need less regularization is not settled"
    assert "With 1,000 examples, it is not settled whether regularization helps" in str(size_effect.sentence(unsettled))
    of_technique = size_effect.change(sizes(0.08, 0.0142), "L1")
    assert of_technique is not None
    assert of_technique.fewest.mean == pytest.approx(0.44 * 0.08), "over early stopping alone, as its verdict"
    harmful = size_effect.change(sizes(0.08, 0.0142), "BatchNorm")
    assert (str(of_technique), str(harmful)) == ("gains less", "harms less")
    assert harmful is not None
    assert harmful.verdict == "gains more", "as programs have it"


def test_best_so_far_is_drawn_and_told_by_the_number_of_trials() -> None:
    comparison = side_by_side([a_study("short", trials=12), a_study("longer", trials=60)])
    figure = best_so_far_figure(comparison)
    assert figure is not None
    lines = {trace["name"].split()[0]: trace for trace in figure.data}
    looks = [(trace["line"]["color"], trace["line"]["dash"], trace["marker"]["symbol"]) for trace in figure.data]
    assert len({colour for colour, *_ in looks}) == len({dash for _, dash, _ in looks}) == 2
    for study in comparison.studies:
        trace = lines[study.name]
        assert trace["y"] == sorted(trace["y"], reverse=True)
        assert trace["x"][-1] == (study.last or 0) + 1
        assert trace["y"][-1] == pytest.approx(study.best_so_far[-1][1], rel=1e-5)
    cells = {row[0]: row[1:] for row in wording.overview(comparison)}
    names = [study.name for study in comparison.studies]
    assert cells["best after 50 trials"][names.index("short")] == ""
    before = [value for number, value in comparison.studies[names.index("longer")].best_so_far if number < 10]
    assert cells["best after 10 trials"][names.index("longer")] == f"{before[-1]:.5f}"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_text_has_every_study_and_every_technique(width: int) -> None:
    comparison = sizes(0.08, 0.04, 0.0142)
    shown = terminal.as_text(comparison, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "sha256 9a67364004874c84" in " ".join(shown.split())
    assert size_effect.headline(comparison) in " ".join(shown.split())
    assert "…" not in shown.replace("9a67364004874c84…", "")
    for technique in ("L1", "dropout"):
        assert technique in shown
    if width == 120:
        assert "gains less" in shown
        result = ComparisonResult(studies=comparison.studies, differences=comparison.differences)
        assert shown == str(result)


def test_json_holds_figures_and_differences() -> None:
    found = json.loads(json.dumps(json_report.as_json(sizes(0.08, 0.0142)), allow_nan=False))
    assert found["is_comparable"]
    assert found["differences"] == [
        {"key": "data.train_size", "kind": "size", "values": {"rows-0": "1000", "rows-1": "5000"}}
    ]
    assert [study["train_rows"] for study in found["studies"]] == [1_000, 5_000]
    assert found["studies"][0]["confirmation"]["techniques"]
    assert found["more_rows"]["all"]["verdict"] == "gains less"
    assert found["more_rows"]["all"]["less"]["mean"] == pytest.approx(0.08 - 0.0142)
    assert set(found["more_rows"]["techniques"]) > {"L1", "L2", "dropout"}


def hostile() -> Comparison:
    content = made.hostile()
    spoiled = summarize_study(content.answer, content.conclusion, content.trials)
    return side_by_side([spoiled, a_study("b", 0.08, 1_000), a_study("c", None)])


class Page(html.parser.HTMLParser):
    """The elements of a page, and the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sections: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= dict(attrs).keys()
        if tag == "section":
            self.sections.append(dict(attrs)["id"])


def test_a_page_holds_all_of_it_and_nothing_of_it_is_live() -> None:
    plain, spoiled = page.as_html(sizes(0.08, 0.04, 0.0142)), page.as_html(hostile())
    assert Page(plain).sections == ["answer", "searches", "overview", "techniques", "answers"]
    assert Page(spoiled).sections == Page(plain).sections
    assert Page(spoiled).tags == Page(plain).tags
    assert not {"src", "action", "onerror"} & Page(spoiled).attributes
    assert made.HOSTILE[:20] not in re.sub(r"<script>.*?</script>", "", spoiled, flags=re.DOTALL)
    assert "With more examples, regularization gains less" in plain
    (block,) = re.findall(r'id="figures">(.*?)</script>', spoiled)
    for trace in json.loads(block)[0]["data"]:
        assert "<" not in trace["name"] + trace["hovertemplate"].replace("<extra></extra>", "")


def test_a_notebook_shows_a_comparison_without_styles_of_a_page() -> None:
    shown = page.as_inline_html(hostile())
    comparison = sizes(0.08, 0.0142)
    result = ComparisonResult(studies=comparison.studies, differences=comparison.differences)
    assert result._repr_html_() == page.as_inline_html(comparison)
    assert str(result) == terminal.as_text(comparison, 120)
    assert not re.search(r"<(?!/?(?:div|p|strong|ul|li|table|thead|tbody|tr|th|td|small)\b)", shown)
    assert not re.search(r"<[^>]* (?:class|id|on\w+)=", shown)
    assert len(shown) < 60_000
