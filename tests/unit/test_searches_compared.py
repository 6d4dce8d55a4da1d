"""Search methods side by side: one is better only beyond noise, and what can't be compared is named."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import report_contents as made

from regsearch.studies.analysis import search_methods, size_effect
from regsearch.studies.analysis.comparison import ComparedStudy, Comparison, side_by_side, summarize_study
from regsearch.studies.reports.comparison import json_report, page, terminal, wording
from regsearch.studies.reports.comparison.search_methods_figure import search_methods_figure
from regsearch.studies.statistics import mean_interval

TRIALS = 20


def a_study(
    sampler: str, seed: int = 0, better: float = 0.0, trials: int = TRIALS, **sections: Mapping[str, Any]
) -> ComparedStudy:
    """A study of that sampler and seed, whose values are lower by so much than those of the same trials elsewhere."""
    search = {"sampler": sampler, "seed": seed, **sections.pop("search", {})}
    name = "-".join([sampler.replace(":", "."), str(seed), *map(str, sections)])
    spec = made.spec(trials).changed(study={"name": name}, search=search, **sections)
    found = [
        replace(trial, value=None if trial.value is None else trial.value - better)
        for trial in made.make_trials(trials, seed=seed)
    ]
    content = made.make_content(found, spec=spec)
    answer = replace(content.answer, study=replace(content.answer.study, name=name))
    return summarize_study(answer, made.make_conclusion(), content.trials, samplers=[sampler])


def several(*ways: tuple[str, float], seeds: int = 4, **sections: Mapping[str, Any]) -> Comparison:
    luck = np.random.default_rng(0)
    return side_by_side(
        [
            a_study(sampler, seed, better + 1e-4 * luck.standard_normal(), **sections)
            for sampler, better in ways
            for seed in range(seeds)
        ]
    )


def test_studies_of_other_samplers_are_grouped_with_their_seeds() -> None:
    comparison = several(("tpe", 0.0), ("random", -0.01))
    found = search_methods.search_methods(comparison)
    assert {way.label: way.seeds for way in found} == {"tpe": (0, 1, 2, 3), "random": (0, 1, 2, 3)}
    assert not comparison.obstacles
    assert [one.key for one in comparison.differences if one.kind == "way"] == ["search.sampler"]
    assert "The studies compare search.sampler (" in wording.notices(comparison)[0]


@pytest.mark.parametrize(
    ("ways", "seeds", "headline", "said"),
    [
        ((("tpe", 0.01), ("random", 0.0)), 4, "tpe found better settings than random", "beyond noise"),
        ((("tpe", 0.0), ("random", 0.01)), 3, "random found better settings than tpe", "seed by seed): beyond noise"),
        (
            (("tpe", 0.0), ("random", 0.0)),
            4,
            "2 search methods; noise hides which one finds better settings",
            "within noise",
        ),
        ((("tpe", 0.01), ("random", 0.0)), 2, "2 search methods, on too few seeds", "may be luck"),
        ((("tpe", 0.01), ("random", 0.0)), 1, "2 search methods, on too few seeds", "(one seed)"),
        (
            (("tpe", 0.01), ("random", 0.0), ("keras-tuner:bayesian", 0.005)),
            4,
            "tpe found better settings than keras-tuner:bayesian and random",
            "The best of several methods is a little lucky.",
        ),
    ],
)
def test_a_way_is_better_only_beyond_noise(
    ways: tuple[tuple[str, float], ...], seeds: int, headline: str, said: str
) -> None:
    comparison = several(*ways, seeds=seeds)
    assert wording.headline(comparison).startswith(headline)
    sentence = str(wording.sentence(comparison))
    assert sentence.startswith(
        "Which search method finds better settings? After 20 trials each, the best selection cross-entropy"
    )
    assert said in sentence


def test_the_lead_is_that_of_the_values_after_as_many_trials() -> None:
    studies = [a_study("tpe", seed, 0.01) for seed in range(3)] + [a_study("random", s, trials=30) for s in range(3)]
    comparison = side_by_side(studies)
    assert search_methods.common_trials(comparison) == TRIALS
    (lead,) = search_methods.leads(comparison)
    values = {
        sampler: [study.best_after(TRIALS) or 0.0 for study in studies if study.samplers == (sampler,)]
        for sampler in ("tpe", "random")
    }
    expected = mean_interval(np.subtract(values["random"], values["tpe"]))
    assert lead.difference is not None
    assert (lead.difference.mean, lead.difference.low) == pytest.approx((expected.mean, expected.low))
    assert lead.is_paired
    budget = [notice for notice in wording.notices(comparison) if "budget.trials" in notice]
    assert len(budget) == 1
    assert budget[0].startswith("Comparable after 20 trials but not at the end, because budget.trials differs")


def test_other_seeds_are_not_paired() -> None:
    studies = [a_study("tpe", seed, 0.01) for seed in range(3)] + [a_study("random", seed) for seed in range(3, 7)]
    (lead,) = search_methods.leads(side_by_side(studies))
    assert not lead.is_paired
    assert lead.difference is not None


def test_accuracy_is_better_where_it_is_higher() -> None:
    by_accuracy = {"objective": "accuracy"}
    studies = [a_study("tpe", seed, -0.01, search=by_accuracy) for seed in range(3)]
    studies += [a_study("random", seed, search=by_accuracy) for seed in range(3)]
    comparison = side_by_side(studies)
    assert wording.headline(comparison) == "tpe found better settings than random"
    assert "is better than random by 1.00 (95 % interval 1.00 to 1.00" in str(wording.sentence(comparison))


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        ({"pruner": "median"}, {"pruner": "hyperband"}, {"median", "hyperband"}),
        (
            {"sampler_options": {"n_startup_trials": 3}},
            {"sampler_options": {}},
            {'sampler options {"n_startup_trials": 3}', "sampler options {}"},
        ),
        (
            {"pruner": "median", "pruner_options": {"n_startup_trials": 3}},
            {"pruner": "none", "pruner_options": {}},
            {"median", "none"},
        ),
        ({"recipes": ["course"]}, {"recipes": []}, {'recipes ["course"]', "recipes []"}),
    ],
)
def test_a_label_says_what_differs_and_no_more(one: dict[str, Any], other: dict[str, Any], labels: set[str]) -> None:
    studies = [a_study("tpe", 0, search=one), a_study("tpe", 1, search=other)]
    assert {way.label for way in search_methods.search_methods(side_by_side(studies))} == labels


def test_networks_of_as_many_rows_are_compared() -> None:
    comparison = side_by_side([a_study("tpe"), a_study("tpe", model={"hidden": [32]})])
    assert {way.label for way in search_methods.search_methods(comparison)} == {"hidden [140]", "hidden [32]"}


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"space": {"dropout": "off"}}, "space.dropout"),
        ({"training": {"batch_size": 64}}, "training.batch_size"),
        ({"search": {"objective": "accuracy"}}, "search.objective"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(sections: dict[str, Any], key: str) -> None:
    comparison = side_by_side([a_study("tpe"), a_study("random", **sections)])
    assert search_methods.search_methods(comparison) == []
    sentence = f"Which search method finds better settings? These studies can't tell, since they differ in {key}."
    assert wording.sentence(comparison) == sentence
    assert sentence.split("? ")[1] in " ".join(terminal.as_text(comparison, 200).split())


def test_other_data_cannot_be_compared() -> None:
    other = a_study("random")
    study = replace(other.answer.study, dataset=replace(other.answer.study.dataset, sha256="1" * 64))
    comparison = side_by_side([a_study("tpe"), replace(other, answer=replace(other.answer, study=study))])
    assert "can't tell, since they differ in data." in str(wording.sentence(comparison))


def test_a_study_of_several_samplers_shows_none_of_them() -> None:
    comparison = side_by_side([a_study("tpe"), replace(a_study("random"), samplers=("tpe", "random"))])
    assert search_methods.search_methods(comparison) == []
    assert "random-0 was searched by tpe and random." in str(wording.sentence(comparison))


def test_sizes_are_compared_as_ever() -> None:
    comparison = side_by_side([a_study("tpe", data={"train_size": 1000}), a_study("random")])
    assert search_methods.search_methods(comparison) == []
    assert search_methods.sentences(comparison) is None
    assert wording.sentence(comparison) == size_effect.sentence(comparison)
    assert wording.headline(comparison) == size_effect.headline(comparison)
    assert [one.key for one in comparison.differences] == ["data.train_size"]


def test_nothing_complete_is_not_known_yet() -> None:
    study = a_study("random")
    content = made.nothing_yet()
    empty = replace(summarize_study(study.answer, None, content.trials), samplers=("random",))
    comparison = side_by_side([a_study("tpe"), empty])
    assert "is not known yet" in wording.headline(comparison)
    assert "Not known yet" in str(wording.sentence(comparison))
    page.as_html(comparison)


@pytest.mark.parametrize("spent", ["trials", "epochs"])
def test_curves_are_means_of_seeds_with_a_band_from_the_worst_to_the_best(spent: Any) -> None:
    comparison = several(("tpe", 0.0), ("random", 0.0), seeds=3)
    figure = search_methods_figure(comparison, spent)
    assert figure is not None
    lines = {trace["name"]: trace for trace in figure.data if "name" in trace}
    assert set(lines) == {"tpe (3 seeds)", "random (3 seeds)"}
    bands = [trace for trace in figure.data if trace.get("fill") == "toself"]
    assert len(bands) == 2
    way = next(way for way in search_methods.search_methods(comparison) if way.label == "tpe")
    line = lines["tpe (3 seeds)"]
    assert line["y"] == sorted(line["y"], reverse=True)
    assert line["y"][-1] == pytest.approx(np.mean([study.best_so_far[-1][1] for study in way.studies]), rel=1e-5)
    ends = {"trials": TRIALS, "epochs": min(study.epochs for study in way.studies)}
    assert line["x"][-1] == ends[spent]
    band = next(trace for trace in bands if trace["fillcolor"] == line["line"]["color"])
    last = [y for x, y in zip(band["x"], band["y"], strict=True) if x == line["x"][-1]]
    values = [study.best_so_far[-1][1] for study in way.studies]
    assert min(last) == pytest.approx(min(values), rel=1e-5)
    assert max(last) >= max(values) * (1 - 1e-5)


def test_many_searches_stand_one_below_the_other() -> None:
    comparison = several(("tpe", 0.01), ("random", 0.0), seeds=4)
    header, *rows = wording.overview_table(comparison)
    assert header[:2] == ["", "search.sampler"]
    assert "confirmed winner" in header
    assert [row[0] for row in rows] == [study.name for study in comparison.studies]
    assert {row[1] for row in rows} == {"tpe", "random"}
    techniques = wording.techniques_table(comparison)
    assert "L2" in techniques[0]
    assert len(techniques) == 9
    notice = wording.notices(comparison)[0]
    assert notice.startswith('The studies compare search.sampler ("random": random-0, random-1, random-2, random-3; ')
    assert max(map(len, terminal.as_text(comparison, 120).splitlines())) <= 120
    few = several(("tpe", 0.01), ("random", 0.0), seeds=3)
    assert wording.overview_table(few)[0] == ["", *(study.name for study in few.studies)]
    assert "L2" in page.as_html(comparison)


def test_one_seed_each_has_no_band() -> None:
    figure = search_methods_figure(several(("tpe", 0.0), ("random", 0.0), seeds=1), "trials")
    assert figure is not None
    assert [trace.get("fill") for trace in figure.data] == [None, None]
    assert "band" not in figure.caption


def test_epochs_count_those_of_every_finished_trial() -> None:
    study = a_study("tpe")
    content = made.make_content(made.make_trials(TRIALS, seed=0), spec=made.spec(TRIALS))
    given = summarize_study(content.answer, None, content.trials, {trial.number: 2 for trial in content.trials})
    assert given.epochs == 2 * sum(trial.state in ("complete", "pruned", "failed") for trial in content.trials)
    assert list(given.epochs_at) == sorted(given.epochs_at)
    assert study.epochs == sum(int(trial.metrics.get("epochs", 0)) for trial in content.trials)


def test_json_page_and_text_hold_all_of_it() -> None:
    comparison = several(("tpe", 0.01), ("keras-tuner:random", 0.0), seeds=3)
    found = json.loads(json.dumps(json_report.as_json(comparison), allow_nan=False))
    assert found["headline"] == "tpe found better settings than keras-tuner:random"
    assert found["more_rows"] is None
    assert found["searches"]["after_trials"] == TRIALS
    assert {way["label"]: len(way["best"]) for way in found["searches"]["ways"]} == {"tpe": 3, "keras-tuner:random": 3}
    assert found["searches"]["leads"][0]["is_beyond_noise"]
    assert {"number", "value", "epochs"} == found["studies"][0]["best_so_far"][0].keys()
    shown = page.as_html(comparison)
    assert 'id="figure-ways-by-trials"' in shown
    assert 'id="figure-ways-by-epochs"' in shown
    assert found["searches"]["sentence"] in shown
    cells = {row[0]: row[1:] for row in wording.overview(comparison)}
    assert set(cells["search.sampler"]) == {"tpe", "keras-tuner:random"}
    assert cells["its test cross-entropy (nats per example)"][0].count("\n") == 1
    assert all(int(cell.replace(",", "")) > 0 for cell in cells["epochs trained"])
    assert "Side by side, by name" in terminal.as_text(comparison, 300)
