"""The long drill's own code: the large study that it writes is one of ours, and a part that breaks off is told."""

from pathlib import Path
from typing import Any

import drill
import invariants
import pytest
from drills.size import fill

from regsearch.search import api
from regsearch.search.doctor import examine


def test_the_large_study_is_as_a_search_leaves_it(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/regsearch.db"
    fill(tmp_path / "regsearch.db", 60, seed=0)
    invariants.check(storage, total=60)
    assert api.load("smoke", storage=storage).answer.counts.finished == 60
    (database,) = [check for check in examine(storage) if check.subject == "database"]
    assert database.is_well, database.finding


def test_a_part_that_breaks_off_is_a_figure_that_is_not_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks_off() -> Any:
        """Break off."""
        raise RuntimeError("no such column")

    monkeypatch.setattr(drill, "PARTS", {"size": breaks_off})
    monkeypatch.setattr("sys.argv", ["drill.py"])
    assert drill.main() == 1
    out = capsys.readouterr().out
    assert "size: broke off" in out
    assert "no such column" in out
    assert "NOT MET" in out
