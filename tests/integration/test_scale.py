"""The benchmark of many workers runs: `make scale`, in the small."""

import json
import subprocess
import sys
from pathlib import Path

SCALE = Path(__file__).parent.parent / "benchmarks" / "scale.py"


def test_a_row_is_measured_through_a_kill_and_leaves_no_database(tmp_path: Path) -> None:
    small = ["--workers", "3", "--samplers", "random", "--history", "20", "--warm-up", "2", "--seconds", "30"]
    storage = f"sqlite:///{tmp_path}/scale.db"
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
