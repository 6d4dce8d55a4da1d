"""`regsearch compare` as a user types it, on studies of fake trials."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.studies.errors import InputError

Search = Callable[..., RunResult]


@pytest.fixture
def compare(search: Search, storage: str, regsearch: Command) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Compare studies of 100 and of 200 rows, and one of another network."""
    search(settings=["confirm.seeds=3", "data.train_size=100"], name="few")
    search(settings=["confirm.seeds=3"], name="many")
    search(settings=["model.hidden=[32]"], name="wide", trials=3)
    return lambda *arguments: regsearch("compare", *arguments, "--storage", storage)


@pytest.mark.slow
def test_studies_side_by_side(
    compare: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path, storage: str
) -> None:
    done = compare("many", "few", "many")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Data: digits (1,437 training and 360 test examples")
    assert "Do larger data sets need less regularization? From 100 to 200 training examples" in " ".join(
        done.stdout.split()
    )
    assert "the same, except for the number of training examples" in " ".join(done.stdout.split())

    document = json.loads(compare("few", "many", "--json").stdout)
    assert [study["study"] for study in document["studies"]] == ["few", "many"]
    assert document["is_comparable"]
    confirmed = api.load("few", storage=storage).confirmation
    assert confirmed is not None
    assert document["studies"][0]["confirmation"]["winner"] == confirmed.winner.finalist.index

    document = json.loads(compare("few", "wide", "--json").stdout)
    assert not document["is_comparable"]
    assert {one["key"]: one["values"] for one in document["differences"]}["model.hidden"] == {
        "few": "[16]",
        "wide": "[32]",
    }

    done = compare("few", "many", "wide", "--output", "page.html")
    assert (done.returncode, done.stdout) == (0, f"wrote {tmp_path / 'page.html'}\n")
    assert "not comparable in model.hidden" in (tmp_path / "page.html").read_text()

    for arguments, message in (
        (["few"], "a comparison takes at least two studies: only 'few' was given"),
        (["few", "few"], "only 'few' was given"),
        (["few", "fwe"], "has no study called 'fwe'. It has few"),
        ([], "Missing argument"),
        (["few", "many", "--json", "--output", "x.html"], "--json and --output exclude each other"),
        (["few", "many", "--output", "."], ". is a directory: name a file in it"),
    ):
        done = compare(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_samplers_side_by_side(search: Search, storage: str, regsearch: Command, tmp_path: Path) -> None:
    """Studies of two samplers on three seeds each; one is then searched by a third."""
    names = []
    for sampler in ("random", "qmc"):
        for seed in range(3):
            names.append(f"{sampler.replace(':', '-')}-{seed}")
            settings = [f"search.sampler={sampler}", "search.sampler_options={}", f"search.seed={seed}"]
            search(settings=settings, name=names[-1], trials=5, workers=1)
    document = json.loads(regsearch("compare", *names, "--json", "--storage", storage).stdout)
    assert [way["label"] for way in document["searches"]["ways"]] == ["qmc", "random"]
    assert document["searches"]["sentence"].startswith("Which search method finds better settings? After 5 trials each")
    with sqlite3.connect(tmp_path / "test.db") as connection:
        (epochs,) = connection.execute("select count(*) from regsearch_epochs").fetchone()
    connection.close()
    assert sum(study["epochs"] for study in document["studies"]) == epochs
    done = regsearch("compare", *names, "--output", "page.html", "--storage", storage)
    assert (done.returncode, done.stderr) == (0, "")
    assert "figure-ways-by-epochs" in (tmp_path / "page.html").read_text()

    search(settings=["search.sampler=tpe"], name="random-0", trials=6, workers=1)
    mixed = regsearch("compare", "random-0", "qmc-0", "--storage", storage)
    assert "random-0 was searched by random and tpe" in " ".join(mixed.stdout.split())


@pytest.mark.slow
def test_a_comparison_needs_no_tensorflow(search: Search, storage: str) -> None:
    search(name="one", trials=2)
    search(name="two", trials=2)
    script = (
        "import sys\n"
        "from regsearch.search.cli.commands import main\n"
        f"sys.argv = ['regsearch', 'compare', 'one', 'two', '--storage', {storage!r}]\n"
        "try: main()\n"
        "finally: assert not {'tensorflow', 'keras', 'plotly.graph_objects', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_library_compares_too(search: Search, storage: str) -> None:
    search(name="one", trials=2)
    search(name="two", trials=3)
    comparison = api.compare("two", "one", storage=storage)
    assert [study.name for study in comparison.studies] == ["one", "two"]
    assert "one" in str(comparison)
    assert "<table" in comparison._repr_html_()
    with pytest.raises(InputError, match="at least two studies: none was given"):
        api.compare(storage=storage)
