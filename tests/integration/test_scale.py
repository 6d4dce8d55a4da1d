"""The benchmark of many workers runs: `make scale`, in the small."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from postgres import SERVER, execute, needs_postgres

SCALE = Path(__file__).parent.parent / "benchmarks" / "scale.py"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=needs_postgres)])
def test_a_row_is_measured_through_a_kill_and_leaves_no_database(kind: str, tmp_path: Path) -> None:
    small = ["--workers", "3", "--samplers", "random", "--history", "20", "--warm-up", "2", "--seconds", "30"]
    storage, is_there = f"sqlite:///{tmp_path}/scale.db", lambda: (tmp_path / "scale.db").exists()
    if kind == "postgres":
        assert SERVER is not None
        url = sqlalchemy.make_url(SERVER).set(database=f"regsearch_test_scale_{os.getpid()}")
        storage, known = url.render_as_string(hide_password=False), "select 1 from pg_database where datname = %s"
        is_there = lambda: bool(execute(SERVER, known, url.database))  # noqa: E731
    command = [sys.executable, str(SCALE), *small, "--storage", storage, "--json", str(tmp_path / "rows.json")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| random, 20 | 3 |" in ended.stdout
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert 0 < row["share"] <= 1
    assert row["trials"] > 0
    assert row["transactions"] > row["epochs"]
    assert len(row["trained"]) == 3
    assert 0 < row["restart"]["first_back"] <= row["restart"]["all_back"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]
    assert not is_there()
