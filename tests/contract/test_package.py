"""The import name: `regsearch` is all that is installed, and users' code with the former names still works."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from regsearch.search.training.hypermodel.code import read_code
from regsearch.search.training.hypermodel.former_names import FORMER_NAMES
from regsearch.search.training.hypermodel.loader import build, load

PACKAGES = ("search", "storage", "studies")
FILES = ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "__main__.py", "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build a wheel of a copy, without a network, and return the names of the files in it."""
    pytest.importorskip("setuptools", reason="setuptools, which builds the wheel, is not installed")
    source, target = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    script = f"from setuptools import build_meta; build_meta.build_wheel({str(target)!r})"
    done = subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = target.glob("regsearch-*.whl")
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


def test_the_wheel_installs_one_name(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"regsearch"}


def test_the_wheel_has_every_file_that_is_needed(wheel: list[str]) -> None:
    sources = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    data = {path.relative_to(ROOT) for path in (ROOT / "studies/catalog").glob("*.toml")}
    for name in ("__init__.py", "__main__.py", "py.typed", "storage/migrations/script.py.mako"):
        data.add(Path(name))
    data |= {Path("studies/reports/page.css"), Path("studies/reports/page.js")}
    assert {f"regsearch/{path}" for path in sources | data} <= set(wheel)
    assert not [name for name in wheel if "tests" in name.split("/")]


@pytest.mark.parametrize("elsewhere", ["/", None])
def test_the_module_runs_from_any_directory(elsewhere: str | None, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regsearch", "--help"],
        cwd=elsewhere or tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout


USERS = """
import search
import studies.spec
import storage.location
from search import regularized
from search.training.regularized import regularized as the_same
import regsearch
import regsearch.studies.spec
import regsearch.storage.location
import sys

assert regularized is the_same is regsearch.regularized
assert studies.spec is regsearch.studies.spec
assert storage.location.Server is regsearch.storage.location.Server
modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("search", "studies", "storage")]
assert all(module.__name__.startswith("regsearch.") for module in modules)

def build(hp):
    from search.training.cnn import build as cnn  # an import while the model is built works as well
    import keras
    assert cnn.__module__ == "regsearch.search.training.cnn"
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(loss="mse")
    return model
"""


def test_a_users_code_may_import_the_former_names(tmp_path: Path) -> None:
    import keras_tuner

    (tmp_path / "mine.py").write_text(USERS)
    hypermodel = load(read_code(f"{tmp_path}/mine.py:build"))
    assert build(hypermodel, keras_tuner.HyperParameters()).count_params() == 10
    assert not {name for name in sys.modules if name.partition(".")[0] in FORMER_NAMES}


@pytest.mark.parametrize("name", FORMER_NAMES)
def test_the_former_names_are_not_importable_afterwards(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if Path(folder).resolve() != ROOT])
    (tmp_path / "mine.py").write_text("from search import regularized\ndef build(hp): ...\n")
    load(read_code(f"{tmp_path}/mine.py:build"))
    assert importlib.util.find_spec(name) is None


def test_the_stored_reference_of_a_ready_study_is_the_module_of_today() -> None:
    code = read_code("search.training.cnn:build")
    assert code.path == ROOT / "search" / "training" / "cnn.py"
    assert code.sha256 == read_code("regsearch.search.training.cnn:build").sha256
    assert callable(load(code).build)


@pytest.mark.parametrize("file", ["storage.py", "storage/__init__.py"])
def test_a_module_of_the_users_own_wins(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("OWNER = 'user'\n")
    (tmp_path / "mine.py").write_text(
        "from storage import OWNER\nfrom search import regularized\nassert OWNER == 'user'\ndef build(hp): ...\n"
    )
    try:
        load(read_code(f"{tmp_path}/mine.py:build"))
        assert sys.modules["storage"].OWNER == "user"
    finally:
        sys.modules.pop("storage", None)
