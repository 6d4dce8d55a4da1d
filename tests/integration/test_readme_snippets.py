"""The Python on the pages, run as it is written, with nothing but what it imports."""

import re
from pathlib import Path
from typing import Any

import fakes
import keras_tuner
import numpy as np
import pytest
from asking import MeasuringTrainer
from page_reader import PAGES, ROOT, Page

import regsearch
from regsearch.search.result import StudyResult
from regsearch.search.workers.inline import InlineEngine

FIRST, RUNNING, NETWORK = (Page.of(ROOT / folder / "README.md") for folder in (".", "search", "search/training"))
RUN_HERE = [
    (FIRST, "From Python", 1),
    (RUNNING, "From Python", 2),
    (NETWORK, "A HyperModel", 1),
    (NETWORK, "From a KerasTuner script", 1),
    (NETWORK, "The built-in network in a KerasTuner script", 1),
    (NETWORK, "Regularize your own layers", 1),
]


def snippets(page: Page, heading: str) -> list[str]:
    """The Python of a section."""
    return Page(path=page.path, text=page.section(heading)).code("python")


def images(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(n).integers(0, 256, (n, 28, 28)).astype(np.uint8)


def test_all_python_on_the_pages_is_run_here() -> None:
    for page, heading, count in RUN_HERE:
        assert len(snippets(page, heading)) == count, heading
    assert sum(len(Page.of(path).code("python")) for path in PAGES) == sum(count for *_, count in RUN_HERE)


@pytest.mark.slow
def test_scripts_run_as_they_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("regsearch.search.workers.engines.make_engine", lambda name: InlineEngine(fakes.FakeTrainer))
    (first,) = snippets(FIRST, "From Python")
    cell, small = snippets(RUNNING, "From Python")
    assert len(first.splitlines()) <= len(cell.splitlines()) <= 10
    for code in (first, cell, small):
        exec(code.replace('"mnist"', '"digits"'), {})
    for name in ("course.html", "report.html", "history.json"):
        assert (tmp_path / name).exists()


def test_every_public_name_on_the_pages_exists() -> None:
    for page in map(Page.of, PAGES):
        text = page.section("From Python") + "".join(page.code("python"))
        assert set(re.findall(r"\bregsearch\.([a-zA-Z]\w*)(?=[(,`)])", text)) <= set(regsearch.__all__)
        for method in re.findall(r"result\.(\w+)\(", text):
            assert hasattr(StudyResult, method)


def test_the_hypermodel_builds_as_it_stands() -> None:
    names: dict[str, Any] = {}
    exec(snippets(NETWORK, "A HyperModel")[0], names)
    model = names["build_model"](keras_tuner.HyperParameters())
    history = model.fit(images(20), np.eye(10)[np.arange(20) % 10], verbose=0).history
    assert history.keys() == {"accuracy", "loss"}
    assert np.isfinite(history["loss"]).all()


@pytest.mark.slow
def test_three_changed_lines_bring_a_kerastuner_script_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Around the page's own HyperModel, which isn't built here."""
    monkeypatch.setattr("regsearch.search.workers.engines.make_engine", lambda name: InlineEngine(MeasuringTrainer))
    (lines,) = snippets(NETWORK, "From a KerasTuner script")
    before, after = (re.findall(pattern, lines, re.MULTILINE) for pattern in ("^# .*", "^[^#].*"))
    assert len(before) == len(after) == 3
    (tmp_path / "mine.py").write_text(snippets(NETWORK, "A HyperModel")[0])
    names: dict[str, Any] = {"regsearch": regsearch}
    exec(lines.replace('"mnist"', '"digits"'), names)
    assert names["result"].answer.counts.finished == 50
    assert names["result"].answer.study.spec.search.objective == "val_accuracy"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(currentThread|getName|setName):DeprecationWarning")  # by KerasTuner
def test_the_built_in_network_is_searched_by_a_keras_tuner_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = snippets(NETWORK, "The built-in network in a KerasTuner script")
    for text, small in (('"mnist"', '"digits"'), ("max_trials=50", "max_trials=1"), ("epochs=10", "epochs=1")):
        assert text in code
        code = code.replace(text, small)
    names: dict[str, Any] = {}
    exec(code, names)
    assert "regularizer" in names["tuner"].get_best_hyperparameters()[0].values


def test_a_network_of_ones_own_is_regularized() -> None:
    names: dict[str, Any] = {}
    exec(snippets(NETWORK, "Regularize your own layers")[0], names)
    hp = keras_tuner.HyperParameters()
    model = names["build_model"](hp)
    assert {"regularizer", "batch_norm"} <= hp.values.keys()
    assert model(images(2)[..., np.newaxis] / 255).shape == (2, 10)
