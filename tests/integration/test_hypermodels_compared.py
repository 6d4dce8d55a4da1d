"""HyperModels in a comparison: samplers on one, one beside another, and beside the built-in network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import MeasuringTrainer, write_code

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.analysis import search_methods
from regsearch.studies.reports.comparison import json_report, page, wording
from regsearch.studies.reports.comparison.search_methods_figure import search_methods_figure

Search = Callable[..., RunResult]
Own = Callable[..., RunResult]


@pytest.fixture
def own(search: Search, tmp_path: Path) -> Own:
    """Search a HyperModel of fake trials under a name."""

    def run(name: str, *settings: str, folder: str = ".", code: str = "", **options: Any) -> RunResult:
        (tmp_path / folder).mkdir(exist_ok=True)
        hypermodel = write_code(tmp_path / folder)
        if code:
            (tmp_path / folder / "mine.py").write_text(code)
        engine = InlineEngine(MeasuringTrainer)
        options = {"trials": 4, "confirm": False, "trust_code": True, "engine": engine, "workers": 1, **options}
        return search(name=name, settings=[hypermodel, *settings], **options)

    return run


def test_samplers_are_compared_on_a_hypermodel(own: Own, storage: str) -> None:
    names = []
    for sampler in ("tpe", "random"):
        for seed in range(3):
            names.append(f"{sampler}-{seed}")
            own(names[-1], f"search.sampler={sampler}", "search.sampler_options={}", f"search.seed={seed}")
    comparison = api.compare(*names, storage=storage)
    assert {way.label: way.seeds for way in search_methods.search_methods(comparison)} == {
        "tpe": (0, 1, 2),
        "random": (0, 1, 2),
    }
    assert "After 4 trials each, the best selection cross-entropy (nats per example): " in str(
        wording.sentence(comparison)
    )
    own("elsewhere", "search.sampler=random", "search.sampler_options={}", "space.dropout=off")
    against = search_methods.obstacles(api.compare("tpe-0", "elsewhere", storage=storage))
    assert against == ["they differ in space.dropout"]


def test_a_hypermodel_is_compared_with_others_and_the_built_in_network(search: Search, own: Own, storage: str) -> None:
    """Each has a space of its own, so that a difference in [space] is no obstacle."""
    confirmed = ["confirm.seeds=3", "confirm.top=1"]
    own("one", *confirmed, confirm=True)
    own("two", *confirmed, folder="other", code="def build(hp): ...\n")
    settings = [*confirmed, "space.batch_norm=['none']", "model.hidden=[32]"]
    search(name="ours", settings=settings, trials=4, workers=1)
    search(name="wide", settings=[*settings, "model.hidden=[64]"], trials=4, workers=1, confirm=False)
    comparison = api.compare("one", "two", "ours", storage=storage)
    assert not comparison.obstacles
    assert not search_methods.obstacles(comparison)
    labels = {way.studies[0].name: way.label for way in search_methods.search_methods(comparison)}
    assert labels["one"].startswith("mine.py:build (")
    assert labels["two"].startswith("mine.py:build (")
    assert labels["one"] != labels["two"]
    assert labels["ours"] == "the built-in network"

    overview = {row[0]: row[1:] for row in wording.overview(comparison)}
    names = [study.name for study in comparison.studies]
    assert overview["best L2 alone"][names.index("one")] == "", "a parameter of its own may be called so"
    assert "test cross-entropy of the defaults or without regularization" in overview
    assert json_report.as_json(comparison)["is_comparable"]
    four = {
        way.label for way in search_methods.search_methods(api.compare("one", "two", "ours", "wide", storage=storage))
    }
    assert {"hidden [32], the built-in network", "hidden [64], the built-in network"} < four
    assert "mine.py:build" in page.as_html(comparison)
    json.dumps(json_report.as_json(comparison), allow_nan=False)


def test_the_same_code_in_another_folder_is_no_difference(own: Own, storage: str) -> None:
    own("here")
    own("there", folder="moved")
    comparison = api.compare("here", "there", storage=storage)
    assert comparison.differences == ()


def test_other_metrics_are_compared_in_their_direction(own: Own, storage: str) -> None:
    """Larger is better for one, smaller for the other, and neither is cross-entropy."""
    for objective, pick, title in (
        ("val_f1:max", max, "best val_f1"),
        ("val_cost:min", min, "best val_cost"),
        ("val_accuracy", max, "best val_accuracy"),
    ):
        name = objective.partition(":")[0]
        for sampler in ("tpe", "random"):
            own(f"{name}-{sampler}", f"search.objective={objective}", f"search.sampler={sampler}",
                "search.sampler_options={}", trials=6)  # fmt: skip
        comparison = api.compare(f"{name}-tpe", f"{name}-random", storage=storage)
        for study in comparison.studies:
            with api.trials(study.name, storage=storage) as (_, trials):
                values = [trial.value for trial in trials if trial.value is not None]
            assert study.best_after(6) == pick(values)
        (lead,) = search_methods.leads(comparison)
        assert pick(lead.best.best_after(6) + lead.other.best_after(6)) == lead.best.best_after(6)[0]
        assert title in {row[0] for row in wording.overview(comparison)}
        figure = search_methods_figure(comparison, "trials")
        assert figure is not None
        assert figure.layout["yaxis"]["title"]["text"].startswith(title)


def test_sizes_of_a_hypermodel_ask_nothing_of_regularization(own: Own, storage: str) -> None:
    own("few", "data.train_size=100")
    own("many")
    comparison = api.compare("few", "many", storage=storage)
    assert wording.headline(comparison) == "2 studies of different sizes"
    assert wording.sentence(comparison) is None
    assert json_report.as_json(comparison)["more_rows"] is None
