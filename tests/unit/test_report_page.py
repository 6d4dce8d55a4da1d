"""The report's page: all of it is there, nothing of it is live, and its figures are those of plain code."""

import base64
import doctest
import hashlib
import html.parser
import json
import re
import subprocess
import sys
import tomllib
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects
import plotly.offline
import pytest
import report_contents as made

from regsearch.studies import formats, measure
from regsearch.studies.analysis.conclusion import Conclusion, Gain, TechniqueRow
from regsearch.studies.analysis.failures import grouped_reasons
from regsearch.studies.analysis.technique_verdicts import technique_verdicts
from regsearch.studies.analysis.verdicts import Verdict
from regsearch.studies.reports import dashboard_note, page, summary
from regsearch.studies.reports import html as html_elements
from regsearch.studies.reports.data import Curve, ReportData
from regsearch.studies.reports.figures.figure import round_values, shown_range, thinned
from regsearch.studies.reports.html import element
from regsearch.studies.reports.json_report import as_json
from regsearch.studies.reports.notebook import as_inline_html
from regsearch.studies.reports.sections import reproduce, techniques
from regsearch.studies.reports.sections.cost import saved_epochs
from regsearch.studies.reports.sections.epochs_by_patience import by_patience, early_stopping
from regsearch.studies.reports.sections.gains import NARROW, gains, in_order
from regsearch.studies.reports.sections.history import MOST_POINTS, best_so_far, history
from regsearch.studies.reports.sections.importance_shares import importance
from regsearch.studies.reports.sections.learning_curves import curves, mean_curve
from regsearch.studies.reports.sections.parallel_coordinates import parallel
from regsearch.studies.reports.sections.unfinished import (
    MOST_REASONS,
    MOST_TRIALS,
    pruned_after,
    pruning,
    section,
)
from regsearch.studies.reports.terminal import answer_as_text, as_text
from regsearch.studies.reports.toml import as_toml
from regsearch.studies.spec import StudySpec

ALL = [
    "answer",
    "techniques",
    "finalists",
    "strength-curves",
    "recipes",
    "history",
    "curves",
    "settings",
    "importance",
    "early-stopping",
    "unfinished",
    "cost",
    "again",
]
SECTIONS = {
    "rich": ALL,
    "large": ALL,
    "hostile": ALL,
    "nothing-gained": [name for name in ALL if name not in ("curves", "importance")],
    "unconfirmed": [name for name in ALL if name not in ("finalists", "techniques", "importance")],
    "all-failed": ["answer", "strength-curves", "history", "unfinished", "cost", "again"],
    "nothing-yet": ["answer", "again"],
}


class Page(html.parser.HTMLParser):
    """What a page holds, as a browser reads it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._is_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._is_script = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = self._is_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts[-1] += data
        else:
            self.text += data

    def ids(self, tag: str) -> list[str | None]:
        return [attributes.get("id") for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: page.as_html(make()) for name, make in made.CONTENTS.items()}


@pytest.fixture(scope="module")
def read(pages: dict[str, str]) -> dict[str, Page]:
    return {name: Page(text) for name, text in pages.items()}


@pytest.fixture(scope="module")
def rich() -> ReportData:
    return made.rich()


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_there_that_has_something_to_show(name: str, read: dict[str, Page]) -> None:
    elements = read[name].elements
    assert read[name].ids("section") == SECTIONS[name]
    assert [attributes["href"] for tag, attributes in elements if tag == "a"] == [f"#{i}" for i in SECTIONS[name]]
    places = [attributes["id"] for _, attributes in elements if attributes.get("class") == "plot"]
    assert [figure["id"] for figure in json.loads(read[name].scripts[0])] == places


@pytest.mark.parametrize("name", made.CONTENTS)
def test_the_same_content_gives_the_same_bytes(name: str, pages: dict[str, str]) -> None:
    assert page.as_html(made.CONTENTS[name]()).encode() == pages[name].encode()


@pytest.mark.parametrize("name", made.CONTENTS)
def test_a_page_asks_nothing_of_any_other_place(name: str, pages: dict[str, str], read: dict[str, Page]) -> None:
    text = pages[name]
    own = text.replace(plotly.offline.get_plotlyjs(), "")
    assert len(own) < len(text) - 4_000_000
    assert not re.search(r"@import|url\(", own)
    for tag, attributes in read[name].elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        assert not {"src", "srcset", "action", "data", "poster"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
    assert "//" not in re.sub(r"// .*", "", own.replace("javascript:alert", "")), "an address"


def test_the_policy_lets_only_the_two_scripts_run(pages: dict[str, str], read: dict[str, Page]) -> None:
    (policy,) = (
        str(attributes["content"])
        for _, attributes in read["hostile"].elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    digests = (hashlib.sha256(script.encode()).digest() for script in read["hostile"].scripts[1:])
    assert directives["script-src"] == " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
    assert "eval" not in policy
    assert "\r" not in pages["rich"], "a browser would read another text than was hashed"


def test_no_text_of_a_database_is_live(pages: dict[str, str], read: dict[str, Page]) -> None:
    plain, hostile = read["rich"], read["hostile"]
    assert {tag for tag, _ in hostile.elements} == {tag for tag, _ in plain.elements}
    assert len(hostile.scripts) == len(plain.scripts) == 3
    assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)
    shown = hostile.text.count("<img src=x onerror=alert(1)>")
    assert shown > 50, "it is shown as what it is"
    assert not set("\x00\ud800\u202e") & set(pages["hostile"])


@pytest.mark.parametrize("module", [formats, html_elements, measure])
def test_the_examples_of_docstrings_are_true(module: types.ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    text = "<b title='x\">&"
    made_element = element("p", element("i", text), text, title=text)
    shown = Page(str(made_element))
    assert [tag for tag, _ in shown.elements] == ["p", "i"]
    assert shown.elements[0][1] == {"title": text}
    assert shown.text == text + text


def test_no_text_of_a_database_is_markup_to_plotly(read: dict[str, Page]) -> None:
    block = read["hostile"].scripts[0]
    assert not set("<>&") & set(block)
    for words in texts(json.loads(block)):
        assert not re.findall(r"<(?!/?(?:b|br|sup|extra)>)", words), words


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [words for item in inner for words in texts(item)]


@pytest.mark.parametrize("name", made.CONTENTS)
def test_figures_are_what_plotly_takes(name: str, read: dict[str, Page]) -> None:
    for figure in json.loads(read[name].scripts[0]):
        colourless = json.loads(re.sub(r'"--[a-z-]+"', '"#123456"', json.dumps(figure)))
        plotly.graph_objects.Figure({"data": colourless["data"], "layout": colourless["layout"]})


def test_every_colour_of_a_figure_is_in_the_style_light_and_dark(pages: dict[str, str], read: dict[str, Page]) -> None:
    named = set(re.findall(r'"(--[a-z-]+)"', read["rich"].scripts[0]))
    assert named
    light, dark = re.findall(r":root(?::not\(\.on-paper\))? \{(.*?)\}", pages["rich"], re.DOTALL)[:2]
    for colour in named:
        assert f"{colour}:" in light
        assert f"{colour}:" in dark


def test_every_axis_has_its_unit(read: dict[str, Page]) -> None:
    titles = {
        axis["title"]["text"]
        for figure in json.loads(read["rich"].scripts[0])
        for name, axis in figure["layout"].items()
        if re.fullmatch(r"[xy]axis\d*", name) and "title" in axis
    }
    without = {"", "trial number", "trials", "epochs trained", "epochs trained before pruning", "nats per example"}
    assert all("(" in title for title in titles - without)
    assert len(titles) > 10


@pytest.mark.slow
def test_ten_thousand_trials_make_a_page_of_six_megabytes_quickly(
    pages: dict[str, str],
) -> None:
    script = (
        "import hashlib, sys, time\n"
        "import report_contents\n"
        "content = report_contents.large()\n"
        "begin = time.process_time()\n"
        "from regsearch.studies.reports import page\n"
        "text = page.as_html(content)\n"
        "print(len(text.encode()), time.process_time() - begin, hashlib.sha256(text.encode()).hexdigest())\n"
        "assert not {'tensorflow', 'keras', 'plotly.graph_objects', 'pandas'} & set(sys.modules)\n"
    )
    support = str(Path(made.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {support!r})\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    size, seconds, sha256 = done.stdout.split()
    assert int(size) <= 6_000_000
    assert float(seconds) <= 3
    assert sha256 == hashlib.sha256(pages["large"].encode()).hexdigest(), "another process gives other bytes"


def test_best_so_far_is_what_a_loop_finds(rich: ReportData) -> None:
    for by_accuracy in (False, True):
        values = {trial.number: trial.value for trial in rich.trials if trial.value is not None}
        expected = []
        for number, value in values.items():
            before = [value for other, value in values.items() if other < number]
            if not before or (value > max(before) if by_accuracy else value < min(before)):
                expected.append(number)
        assert [trial.number for trial in best_so_far(rich.trials, maximizes=by_accuracy)] == expected


def test_history_shows_every_trial_once(rich: ReportData) -> None:
    figure = history(rich)
    assert figure is not None
    complete, steps, pruned, failed = figure.data
    by_state = {
        state: [trial.number for trial in rich.trials if trial.state == state]
        for state in ("complete", "pruned", "failed")
    }
    assert (complete["x"], pruned["x"], failed["x"]) == tuple(by_state.values())
    assert complete["customdata"] == [
        pytest.approx(trial.value, 1e-5) for trial in rich.trials if trial.value is not None
    ]
    assert rich.answer.best is not None
    assert (steps["x"][-2], steps["x"][-1]) == (rich.answer.best.number, rich.trials[-1].number)
    assert steps["y"][-1] == pytest.approx(rich.answer.best.value, 1e-5)


def test_a_large_history_keeps_every_best_so_far() -> None:
    content = made.large()
    figure = history(content)
    assert figure is not None
    steps = best_so_far(content.trials, maximizes=False)
    drawn = set(figure.data[0]["x"])
    assert {trial.number for trial in steps} <= drawn
    assert len(drawn) <= MOST_POINTS + len(steps)
    assert f"{len(drawn):,} of {content.answer.counts.complete:,} complete trials" in figure.caption


def test_history_of_accuracy_rises() -> None:
    trials = [
        replace(trial, value=trial.metrics.get("select_accuracy") if trial.state == "complete" else None)
        for trial in made.make_trials(40)
    ]
    figure = history(made.make_content(trials, spec=made.spec(40, search={"objective": "accuracy"})))
    assert figure is not None
    steps = figure.data[1]["y"]
    assert steps == sorted(steps)
    assert figure.layout["yaxis"]["title"]["text"] == "selection accuracy (%)"
    assert 90 < steps[-1] < 100


def test_gains_are_those_of_the_conclusion(rich: ReportData) -> None:
    conclusion = rich.conclusion
    assert conclusion is not None
    ordered = in_order(conclusion)
    assert ordered[0] is conclusion.winner
    assert conclusion.baseline not in ordered
    for figure in (gains(conclusion), gains(conclusion, NARROW)):
        assert figure is not None
        for panel, scale in (("x", 1), ("x2", 100)):
            bars = [trace for trace in figure.data if trace["xaxis"] == panel]
            low, high = figure.layout["xaxis" if panel == "x" else "xaxis2"]["range"]
            for bar, result in zip(bars, ordered, strict=True):
                assert result.gain is not None
                interval = result.gain.cross_entropy if panel == "x" else result.gain.accuracy
                (mean,), (up,), (down,) = bar["x"], bar["error_x"]["array"], bar["error_x"]["arrayminus"]
                expected = (interval.mean, interval.high, interval.low)
                assert low < min(0, mean - down)
                assert high > max(0, mean + up)
                assert (mean, mean + up, mean - down) == pytest.approx([scale * end for end in expected], rel=1e-4)


def test_curves_mark_the_kept_epoch_and_average_what_all_have() -> None:
    long = Curve(label="a", train_loss=[3.0, 2.0, 1.0], stop_cross_entropy=[4.0, 2.0, 3.0], best_epoch=1)
    short = Curve(label="b", train_loss=[5.0, 4.0], stop_cross_entropy=[6.0, 5.0], best_epoch=1)
    broken = Curve(label="c", train_loss=[1.0], stop_cross_entropy=[], best_epoch=0)
    (_, figure), (_, other) = curves({"best": [long, short, broken], "no regularization": [long], "empty": []})
    train, stop = figure.data[:2]
    assert (train["y"], stop["y"]) == ([4.0, 3.0], [5.0, 3.5])
    assert (figure.data[-1]["x"], figure.data[-1]["y"]) == ([2, 2], [2.0, 5.0])
    assert figure.layout["yaxis"]["range"] == other.layout["yaxis"]["range"]
    assert mean_curve([]) == []
    assert curves({"best": [broken]}) == []


def test_importance_and_early_stopping_and_pruning_show_their_figures(rich: ReportData) -> None:
    bars = importance(rich.importance)
    assert bars is not None
    assert bars.data[0]["x"] == [pytest.approx(100 * one.share) for one in rich.importance]
    assert importance([]) is None
    groups = by_patience(rich.trials)
    assert sum(map(len, groups.values())) == rich.answer.counts.complete
    figure = early_stopping(rich)
    assert figure is not None
    drawn = sum(len(trace["y"]) for trace in figure.data if "customdata" in trace)
    assert drawn == rich.answer.counts.complete
    counts = pruned_after(rich.trials)
    assert sum(counts.values()) == rich.answer.counts.pruned
    picture = pruning(rich.trials, made.MAX_EPOCHS)
    assert picture is not None
    assert dict(zip(picture.data[0]["x"], picture.data[0]["y"], strict=True)) == counts


def test_parallel_lines_end_at_their_cross_entropy_and_are_bounded(rich: ReportData) -> None:
    figure = parallel(rich)
    assert figure is not None
    best = figure.data[-1]
    assert best["x"][-2] < 0.1, "the best is at the left"
    drawn = sum(trace["x"].count(None) for trace in figure.data)
    assert drawn == rich.answer.counts.complete
    large = parallel(made.large())
    assert large is not None
    assert sum(trace["x"].count(None) for trace in large.data) < 250
    assert "complete trials are drawn" in large.caption


def test_reasons_are_grouped_and_bounded() -> None:
    trials = [
        replace(trial, reason=f"reason {chr(97 + trial.number % 13)}: {trial.number}")
        for trial in made.make_trials(90, pruned=0.0, failed=1.1, recipes=False)
    ]
    groups = grouped_reasons(trials)
    assert sum(count for _, count in groups) == 90
    assert len(groups) == 13
    shown = section(made.make_content(trials))
    assert shown is not None
    assert shown.body.count("<tr>") == 2 + MOST_REASONS + 1 + MOST_TRIALS
    assert "3 other reasons" in shown.body


def test_saved_epochs_are_those_not_trained() -> None:
    trials = made.make_trials(50)
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert saved_epochs(pruned, made.MAX_EPOCHS) == sum(made.MAX_EPOCHS - trial.metrics["epochs"] for trial in pruned)


def test_the_study_file_of_a_report_reads_back_as_the_same_spec() -> None:
    spec = made.spec(
        search={"sampler_options": {"n_startup_trials": 5, "a key": ["x", {"y": 1.5}]}, "pruner_options": {}},
        confirm={"top": 2},
        space={"dropout": "off"},
    ).changed(study={"question": 'why "so"?\n\\ \x7f é'})
    assert StudySpec.model_validate(tomllib.loads(as_toml(spec))) == spec


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            made.rich(),
            [
                "Use L2 9.7e-05",
                "0.0128 nats",
                "with 95 % confidence",
                "5 seeds",
                "Over no regularization, it gains 0.0142",
            ],
        ),
        (made.rich(), ["One setting failed to train", "All this holds for learning rate 0.001, at most 12 epochs"]),
        (made.nothing_gained(), ["is not settled", "for now", "makes no difference", "used 2 times"]),
        (made.unconfirmed(), ["Not confirmed yet", "a little optimistic"]),
        (made.all_failed(), ["All 30 trials failed"]),
        (made.nothing_yet(), ["No trial has finished yet"]),
    ],
)
def test_the_paragraph_says_how_it_stands(content: ReportData, words: list[str]) -> None:
    said = summary.paragraph(content.answer, content.conclusion)
    for expected in words:
        assert expected in said
    assert summary.headline(content.answer, content.conclusion)
    assert "None" not in said


def conclusion_with(**changes: Any) -> Conclusion:
    return replace(made.make_conclusion(), **changes)


def test_the_sentences_never_claim_what_is_not_known() -> None:
    answer, usual = made.rich().answer, made.make_conclusion()
    without = conclusion_with(
        winner=replace(usual.winner, gain=None, gain_over_early_stopping=None),
        results=tuple(replace(result, gain=None) for result in usual.results),
        baseline=None,
        claims_gain=False,
        winner_over_early_stopping=None,
        winner_over_baseline=None,
    )
    said = summary.paragraph(answer, without)
    assert "What it gains over no regularization is not known" in said
    assert summary.headline(answer, without).endswith(", but there is no baseline to compare it with")
    none_wins = made.judged(replace(made.make_conclusion(0.0011, claims_gain=False), winner=usual.baseline))
    assert summary.headline(answer, none_wins) == "No regularization: no technique is shown to help"
    assert summary.paragraph(answer, none_wins).startswith("Use no regularization. ")
    assert " helps" not in summary.paragraph(answer, none_wins)
    worse = made.make_conclusion(-0.01, claims_gain=False)
    worse = replace(worse, results=(worse.winner, usual.baseline))
    said = summary.paragraph(answer, worse)
    assert "It harms: compared with early stopping alone, it loses 0.0090 nats" in said
    assert "between 0.0059 and 0.0121" in said, "a loss is told without signs"
    assert "In test accuracy, however, it is worse than no regularization" in said
    assert "Use L2" not in said
    for conclusion in (without, worse):
        assert page.as_html(replace(made.rich(), conclusion=conclusion))


def gains_of(loss: float, accuracy: float) -> Gain:
    """A gain in each figure, both with half an interval of 0.003."""
    return Gain(cross_entropy=made.interval(loss, 0.003), accuracy=made.interval(accuracy, 0.003))


def two_finalists(winner: Gain, other: Gain, *, by_accuracy: bool) -> Conclusion:
    """A conclusion in which the winner and one other finalist stand beside no regularization."""
    usual = made.make_conclusion()
    first, second = (
        replace(usual.results[i], gain=gain, gain_over_early_stopping=None) for i, gain in enumerate((winner, other))
    )
    judged = winner.accuracy if by_accuracy else winner.cross_entropy
    conclusion = replace(
        usual,
        winner=first,
        results=(first, second, usual.baseline),
        claims_gain=judged.low > 0,
        by_accuracy=by_accuracy,
        techniques=(TechniqueRow(technique="L1", result=second), TechniqueRow(technique="combination", result=first)),
    )
    return made.judged(conclusion)


@pytest.mark.parametrize("by_accuracy", [False, True])
def test_the_objective_alone_decides_claim_order_and_what_is_bold(by_accuracy: bool) -> None:
    content = made.rich()
    in_loss_alone, in_accuracy_alone = gains_of(0.01, 0.001), gains_of(0.001, 0.01)
    judged, beside = (in_accuracy_alone, in_loss_alone) if by_accuracy else (in_loss_alone, in_accuracy_alone)
    conclusion = two_finalists(beside, beside, by_accuracy=by_accuracy)
    assert conclusion.others_beyond_noise == ()
    said = summary.paragraph(content.answer, conclusion)
    assert re.search("is not settled|makes no difference", summary.headline(content.answer, conclusion))
    names = conclusion.figures
    assert (
        f"In test {names[1]}, however, 2 settings gain over no regularization; this study decides by {names[0]}."
        in said
    )
    assert names == (("accuracy", "cross-entropy") if by_accuracy else ("cross-entropy", "accuracy"))
    assert ">helps<" not in page.as_html(replace(content, conclusion=conclusion))
    assert "<strong>helps" not in as_inline_html(content.answer, conclusion)

    conclusion = two_finalists(beside, judged, by_accuracy=by_accuracy)
    assert [result.finalist.index for result in conclusion.others_beyond_noise] == [1], (
        "the winner is no other finalist"
    )
    assert "On the test set, however, L1 1.13e-06" in summary.paragraph(content.answer, conclusion)
    assert re.findall(r"<td[^>]*>L1</td><td[^>]*><div><strong>helps<", as_inline_html(content.answer, conclusion))
    more = tuple(
        replace(result, gain=judged if i == 3 else beside)
        for i, result in enumerate(made.make_conclusion().results[:5])
    )
    assert in_order(replace(conclusion, winner=more[0], results=more))[1] is more[3]


@pytest.mark.parametrize("by_accuracy", [False, True])
def test_figures_that_contradict_each_other_beyond_noise_are_said_to(by_accuracy: bool) -> None:
    content = made.rich()
    gain = gains_of(-0.01, 0.01) if by_accuracy else gains_of(0.01, -0.01)
    conclusion = two_finalists(gain, gain, by_accuracy=by_accuracy)
    other = conclusion.figures[1]
    assert conclusion.claims_gain
    assert f"In test {other}, however, it is worse than no regularization, by" in summary.paragraph(
        content.answer, conclusion
    )


def test_a_chosen_but_beaten_baseline_is_not_a_lucky_winner() -> None:
    answer, usual = made.rich().answer, made.make_conclusion()
    beaten = replace(usual, winner=usual.baseline, claims_gain=False)
    best = formats.settings(usual.winner.finalist.params)
    assert summary.headline(answer, beaten) == f"No regularization was chosen, but {best} beats it on the test examples"
    paragraph = summary.paragraph(answer, beaten)
    assert "It is the simplest of 2 settings that did about equally well" in paragraph
    assert f"On the test set, however, {best} gains 0.0142 over no regularization." in paragraph
    assert "luck" not in summary.headline(answer, beaten)


def test_every_report_shows_what_is_left_over_early_stopping_alone(rich: ReportData) -> None:
    conclusion = rich.conclusion
    assert conclusion is not None
    reports = [
        page.as_html(rich),
        as_text(rich, 300),
        answer_as_text(rich.answer, conclusion, 300),
        as_inline_html(rich.answer, conclusion),
    ]
    for said in reports:
        assert formats.EARLY_STOPPING_BESIDE in " ".join(said.split())
        assert "over early stopping alone, it gains 0.0128 nats per example of test cross-entropy" in " ".join(
            said.split()
        )
        for row in conclusion.techniques:
            if row.result is not None and row.result.gain_over_early_stopping is not None:
                mean, _, ends = formats.cross_entropy_gain(row.result.gain_over_early_stopping.cross_entropy).partition(
                    " "
                )
                assert all(end in said for end in (mean, *ends.split())), row.technique
    without = tuple(replace(result, gain_over_early_stopping=None) for result in conclusion.results)
    rows = tuple(
        replace(row, result=row.result and replace(row.result, gain_over_early_stopping=None), over_early_stopping=None)
        for row in conclusion.techniques
    )
    none_tried = replace(
        conclusion, results=without, techniques=rows, winner=without[0], winner_over_early_stopping=None
    )
    assert "over early stopping" not in as_text(replace(rich, conclusion=none_tried), 120)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (0.005, "It helps: over early stopping alone, it gains 0.0050 nats"),
        (0.001, "Its gain over early stopping alone is not settled: between −0.0021 and 0.0041 nats"),
        (0.0002, "Compared with early stopping alone, it makes no difference: less than ±0.004 nats"),
        (-0.005, "It harms: compared with early stopping alone, it loses 0.0050 nats"),
    ],
)
def test_a_winner_is_held_against_early_stopping_alone(over: float, said: str) -> None:
    usual = made.make_conclusion()
    winner = replace(usual.winner, gain_over_early_stopping=made.gain_of(over))
    paragraph = summary.paragraph(made.rich().answer, made.judged(replace(usual, winner=winner)))
    assert said in paragraph
    stopped = next(row.result for row in usual.techniques if row.technique == "early stopping" and row.result)
    won = made.judged(replace(usual, winner=stopped))
    assert "ver early stopping alone, it" not in summary.paragraph(made.rich().answer, won), "it is that itself"
    assert summary.paragraph(made.rich().answer, won).startswith("Use early stopping (patience 2) alone")


@pytest.mark.parametrize(
    ("gain", "over", "verdict"),
    [
        (0.006, 0.005, "helps"),
        (0.006, 0.001, "not settled"),
        (0.006, 0.0001, "makes no difference"),
        (0.006, -0.005, "harms"),
        (-0.006, 0.005, "helps"),
    ],
)
def test_a_verdict_credits_no_technique_with_what_early_stopping_gains(
    gain: float, over: float, verdict: str, rich: ReportData
) -> None:
    params = {**made.RECIPES["course: L2"], "patience": 2}
    result = made.make_result(1, params, ("best of L2 alone",), gain, over=over)
    conclusion = replace(made.make_conclusion(), techniques=(TechniqueRow(technique="L2", result=result),))
    found = techniques.section(replace(rich, conclusion=made.judged(conclusion)))
    assert found is not None
    assert re.findall(r'class="badge[a-z ]*">([a-z ]+)</span>', found.body) == [verdict]


@pytest.mark.parametrize("is_best", [True, False])
def test_only_the_best_on_the_select_rows_is_said_to_be_that(is_best: bool) -> None:
    content, usual = made.nothing_gained(), made.make_conclusion(0.0011, claims_gain=False)
    dropout = next(row.result for row in usual.techniques if row.technique == "dropout" and row.result)
    tied = replace(dropout, is_tied=True)
    results = tuple(tied if result is dropout else result for result in usual.results)
    conclusion = replace(usual, results=results, winner=usual.winner if is_best else tied)
    assert conclusion.winner_is_best == is_best
    not_judged = replace(conclusion, winner=replace(conclusion.winner, gain=None), baseline=None)
    beaten = replace(conclusion, results=tuple(replace(result, gain=made.gain_of(0.01)) for result in results))
    for one in (conclusion, not_judged, beaten):
        said = summary.paragraph(content.answer, one)
        assert ("it was the best of" in said) == is_best
        assert ("It is the simplest of 3 settings that did about equally well" in said) == (not is_best)
    html = page.as_html(replace(content, conclusion=conclusion))
    assert ("best on selection</span>" in html) == is_best
    assert ("simplest of the tied</span>" in html) == (not is_best)
    assert "Finalists are compared on the 6,000 selection examples. There, a finalist is tied with the best one" in html
    drawn = page.as_html(replace(content, conclusion=replace(conclusion, has_drawn_splits=True)))
    assert "Finalists are compared on the selection splits of all seeds." in drawn
    figure = gains(conclusion)
    assert figure is not None
    chosen = "Best on the selection split: " if is_best else "Simplest of those tied: "
    assert sum(chosen in label["text"] for label in figure.layout["annotations"]) == 1


def test_the_cost_has_the_trainings_of_finalists_in_it(read: dict[str, Page], rich: ReportData) -> None:
    assert "; 6 min 39 s in 46 trainings of finalists, 512 epochs" in " ".join(as_text(rich, 120).split())
    assert "finalists on fresh seeds465126 min 39 s" in read["rich"].text
    assert as_json(rich)["cost"]["confirmation"] == {"trainings": 46, "epochs": 512, "seconds": 399.4}
    assert "of finalists" not in as_text(made.unconfirmed(), 120)
    assert "finalists on fresh seeds" not in read["unconfirmed"].text
    assert as_json(made.unconfirmed())["cost"]["confirmation"] is None


@pytest.mark.parametrize("name", ["rich", "nothing-gained"])
def test_every_report_says_which_confidence_its_intervals_have(name: str, read: dict[str, Page]) -> None:
    """The shared level of what helps, harms and is not settled, and the lower one of what makes no difference."""
    content = made.CONTENTS[name]()
    assert content.conclusion is not None
    levels: dict[str, set[str]] = {"shared": set(), "alike": set()}
    for row in content.conclusion.techniques:
        if row.judgement is not None:
            kind = "alike" if row.judgement.verdict is Verdict.NO_DIFFERENCE else "shared"
            levels[kind].add(f"{100 * row.judgement.gain.level:.3g} % confidence")
    told = " ".join(read[name].text.split())
    for level in levels["shared"]:
        assert f"Each interval contains the true gain with {level}" in told
    for level in levels["alike"]:
        assert f'The verdict "makes no difference" uses an interval with {level}' in told
    assert any(levels.values())


def test_trials_that_something_else_wrote_do_not_break_a_page() -> None:
    odd: list[dict[str, Any]] = [{"l1": "much"}, {"dropout": True, "patience": "x"}, {}, {}]
    odd[2] = {"regularizer": "l1", "l1": "much", "batch_norm": "none"}
    trials = [
        replace(trial, params=odd[trial.number % 4], metrics={} if trial.number % 2 else trial.metrics)
        for trial in made.make_trials(30)
    ]
    text = page.as_html(made.make_content(trials))
    assert "settings that regsearch did not give" in text


def test_axes_have_round_values_and_leave_bad_values_at_the_edge() -> None:
    assert round_values(0.05, 0.6) == pytest.approx([0.2, 0.4, 0.6])
    assert round_values(2.0, 2.0) == [2.0]
    low, high = shown_range([*(0.07 + 0.001 * i for i in range(10)), 5.0])
    assert low < 0.07
    assert 0.08 < high < 0.2
    low, high = shown_range([*(0.97 + 0.001 * i for i in range(10)), 0.1], higher_is_better=True)
    assert 0.9 < low < 0.97
    assert high > 0.979
    assert shown_range([]) == (0.0, 1.0)
    assert thinned(range(10), 3) == [0, 3, 6]
    assert thinned(range(10), 3, [9]) == [0, 3, 6, 9]


def test_the_dashboard_note_has_the_answer_and_no_foreign_markup() -> None:
    said = dashboard_note.as_markdown(made.rich())
    assert said.startswith("# L2 9.7e-05, dropout 0.24")
    assert said.count("\n| ") == 10
    for line in dashboard_note.as_markdown(made.hostile()).splitlines():
        assert not re.search(r"(?<!\\)[<>\[\]`]", line)
    linked = replace(made.rich(), command="see https://a.b, www.a.b, c@a.b, [a](b)")
    assert not re.search(r"://|www\.|\w@|(?<!\\)\[", dashboard_note.as_markdown(linked))
    assert "its gain over early stopping alone is not settled" in dashboard_note.as_markdown(made.nothing_gained())
    assert dashboard_note.as_markdown(made.nothing_yet()).startswith("# No trial has finished yet")


def test_figures_of_the_dashboard_are_small_and_have_colours_of_their_own() -> None:
    for content in (made.large(), made.rich()):
        figures = dashboard_note.dashboard_figures(content)
        assert list(figures) == [
            "regsearch-verdicts",
            "regsearch-gains",
            "regsearch-history",
            "regsearch-importance",
        ]
        for figure in figures.values():
            stored = figure.to_json()
            assert len(stored) < 80_000
            assert '"--' not in stored
    assert dashboard_note.dashboard_figures(made.nothing_yet()) == {}


@pytest.mark.parametrize(("model", "is_said"), [({}, True), ({"batch_norm_momentum": 0.99}, False)])
def test_the_page_names_a_momentum_that_is_not_that_of_keras(model: dict[str, Any], is_said: bool) -> None:
    study_spec = made.spec(model=model, data={"train_size": 1149})
    shown = reproduce.section(made.make_content(made.make_trials(5), spec=study_spec)).body
    assert ("0.92, derived from 36 steps an epoch" in shown) is is_said


def test_the_page_names_no_momentum_where_batch_norm_is_not_searched() -> None:
    study_spec = made.spec(space={"batch_norm": ["none"]}, data={"train_size": 1149})
    assert "averages" not in reproduce.section(made.make_content(made.make_trials(5), spec=study_spec)).body


def test_the_first_figure_has_each_verdict_in_words_beside_its_interval(rich: ReportData) -> None:
    conclusion = rich.conclusion
    assert conclusion is not None
    found = {one.technique: one for one in technique_verdicts(conclusion) if one.verdict is not None}
    for shape in (techniques.WIDE, techniques.NARROW):
        figure = techniques.verdicts(conclusion, shape)
        assert figure is not None
        texts = " ".join(annotation["text"] for annotation in figure.layout["annotations"])
        assert len(figure.data) == len(found) == 6
        for bar, one in zip(figure.data, found.values(), strict=True):
            assert one.gain is not None
            assert f"<b>{one.technique}</b>: {one.verdict}" in texts, "not by colour alone"
            assert formats.cross_entropy_gain(one.gain) in texts
            (mean,), (up,), (down,) = bar["x"], bar["error_x"]["array"], bar["error_x"]["arrayminus"]
            assert (mean, mean + up, mean - down) == pytest.approx(
                (one.gain.mean, one.gain.high, one.gain.low), rel=1e-3
            )
        assert len({bar["marker"]["symbol"] for bar in figure.data}) == 3, "a shape for each verdict"
        (region,) = (shape for shape in figure.layout["shapes"] if shape["type"] == "rect")
        assert (region["x0"], region["x1"]) == (-0.004, 0.004)
        assert region["fillcolor"] == "--plain-fill"
        assert "less than ±0.004 nats" in figure.caption
        assert "BatchNorm harms" in figure.alt_text
    html = page.as_html(rich)
    assert 0 < html.find('id="figure-verdicts"') < html.find('id="figure-gains"')


def test_a_technique_that_harms_much_leaves_the_others_to_be_told_apart() -> None:
    usual = made.make_conclusion()
    rows = tuple(
        replace(row, over_early_stopping=made.judgement_of(made.interval(-0.8, 0.01)))
        if row.technique == "BatchNorm"
        else row
        for row in usual.techniques
    )
    figure = techniques.verdicts(replace(usual, techniques=rows))
    assert figure is not None
    low, high = figure.layout["xaxis"]["range"]
    assert -0.05 < low < -0.004
    assert "An interval at the left edge continues beyond it." in figure.caption
    assert high < 0.02
    beyond = figure.data[3]
    assert (beyond["x"], beyond["error_x"]["array"]) == ([low], [0.0])
    assert beyond["marker"]["symbol"] == "triangle-left"
    assert "−0.80000 [−0.81000, −0.79000]" in " ".join(one["text"] for one in figure.layout["annotations"])


def test_a_study_without_verdicts_has_no_such_figure() -> None:
    usual = made.make_conclusion()
    rows = tuple(replace(row, result=None, over_early_stopping=None, over_baseline=None) for row in usual.techniques)
    assert techniques.verdicts(replace(usual, techniques=rows)) is None
    assert page.as_html(replace(made.rich(), conclusion=replace(usual, techniques=rows)))


def test_a_means_interval_has_its_own_level_after_a_second_evaluation() -> None:
    content = replace(made.rich(), conclusion=conclusion_with(level=0.975))
    html = page.as_html(content)
    assert "The 95 % interval in brackets" in html
    assert "with 97.5 % confidence, every low end in the column" in html
    assert "nats per example; 95 % interval" in html
