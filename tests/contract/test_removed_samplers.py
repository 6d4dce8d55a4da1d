"""Studies whose sampler was removed: nothing new is searched with it, and all that is stored stays of use."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from helpers import rows
from typer.testing import CliRunner

from regsearch.search import api
from regsearch.search.cli.commands import app
from regsearch.search.result import RunResult
from regsearch.search.run.progress import Progress
from regsearch.search.samplers.factory import REMOVED
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.studies.errors import InputError

Search = Callable[..., RunResult]

BY_RANDOM = ["search.sampler=random", "search.sampler_options={}"]
GRID = "keras-tuner:grid"
POINTS = [{"regularizer": "none", "batch_norm": "none", "early_stopping": False, "use_dropout": False}]


def make_older(path: Path, sampler: str) -> None:
    """Write a sampler into a study's spec, its runs and its trials, as the version that had it did."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, column, key in (("studies", "spec", "study_uuid"), ("runs", "search", "run_id")):
            for number, text in connection.execute(f"select {key}, {column} from regsearch_{table}").fetchall():
                document = json.loads(text)
                document["search"] |= {"sampler": sampler, "sampler_options": {}}
                changed = (json.dumps(document), number)
                connection.execute(f"update regsearch_{table} set {column} = ? where {key} = ?", changed)
        connection.execute("update regsearch_runs set sampler = ?", (sampler,))
        points = json.dumps(json.dumps(POINTS[0]))
        connection.execute(
            "insert into trial_system_attributes (trial_id, key, value_json) "
            "select trial_id, 'regsearch:keras_tuner_grid_point', ? from trials",
            (points,),
        )


@pytest.fixture(params=sorted(REMOVED))
def older(request: pytest.FixtureRequest, search: Search, storage: str) -> str:
    """The removed sampler that a stored study of four trials has."""
    search(settings=BY_RANDOM, trials=4, workers=1)
    make_older(location_of(storage), request.param)
    return str(request.param)


def test_a_new_study_is_refused_before_anything_is_stored(search: Search, storage: str) -> None:
    for sampler, replacement in (("keras-tuner:random", "random or qmc"), (GRID, "grid")):
        with pytest.raises(InputError, match=rf"the sampler '{sampler}' was removed\. Use {replacement}") as error:
            search(settings=[f"search.sampler={sampler}", "search.sampler_options={}"])
        assert "\n" not in str(error.value)
        assert f"--set search.sampler={replacement.split()[0]}`" in str(error.value)
    assert not location_of(storage).exists()


def test_a_resumed_search_is_refused_and_changes_nothing(
    older: str, storage: str, inline_engine: InlineEngine, progress: Progress
) -> None:
    before = location_of(storage).read_bytes()
    with pytest.raises(InputError, match=r"--name smoke --set search\.sampler=(random|grid)`, which also resumes"):
        api.resume("smoke", trials=6, storage=storage, engine=inline_engine, progress=progress)
    assert location_of(storage).read_bytes() == before


def test_a_search_goes_on_with_the_sampler_that_is_named(
    older: str, search: Search, storage: str, inline_engine: InlineEngine, progress: Progress
) -> None:
    earlier = rows(storage)
    search(settings=["search.sampler=random", "search.sampler_options={}"], trials=6, workers=1)
    assert rows(storage)[:4] == earlier
    api.resume("smoke", trials=7, storage=storage, engine=inline_engine, progress=progress)  # it keeps the new one
    assert len(rows(storage)) == 7


def test_it_can_be_confirmed(older: str, storage: str, inline_engine: InlineEngine, progress: Progress) -> None:
    result = api.confirm("smoke", seeds=3, storage=storage, engine=inline_engine, progress=progress)
    assert result.confirmation is not None
    assert len(rows(storage)) == 4, "it was searched"
    assert api.load("smoke", storage=storage).confirmation is not None


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_every_command_shows_it(older: str, storage: str, options: tuple[str, ...], tmp_path: Path) -> None:
    for command in (
        ("list", *options),
        ("status", "smoke", *options),
        ("best", "smoke", *options),
        ("trials", "smoke", *options),
        ("report", "smoke"),
        ("report", "smoke", "--output", str(tmp_path / "report.html")),
        ("backup", str(tmp_path / f"copy{len(options)}.db")),
        ("enqueue", "smoke", "--param", "regularizer=none"),
        ("delete", "smoke", "--yes"),
    ):
        done = CliRunner().invoke(app, [*command, "--storage", storage], catch_exceptions=False)
        assert done.exit_code == 0, (command, done.output)
    assert older in (tmp_path / "report.html").read_text()


def test_a_comparison_names_it(search: Search, storage: str, older: str) -> None:
    search(settings=BY_RANDOM, name="other", trials=4, workers=1)
    command = ["compare", "smoke", "other", "--json", "--storage", storage]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert older in done.output
