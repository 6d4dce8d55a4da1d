"""Folders on the nodes of a cluster: filled once, shared, and gone with their last user."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from regsearch.search.workers.ray.shared_folder import SharedFolder


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_users_share_what_the_first_put_there_and_the_last_removes_it(node: Path) -> None:
    filled: list[Path] = []
    users = [SharedFolder("data", filled.append) for _ in range(3)]
    assert filled == [users[0].path]
    for user in users:
        assert user.path.is_dir()
        user.leave()
    assert list(node.iterdir()) == []


def test_a_folder_that_could_not_be_filled_is_filled_by_the_next(node: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        SharedFolder("data", fail)
    filled: list[Path] = []
    SharedFolder("data", filled.append).leave()
    assert len(filled) == 1


def test_leftovers_of_a_killed_process_go_and_what_is_used_stays(node: Path) -> None:
    used = SharedFolder()
    script = (
        "import os, tempfile\n"
        f"tempfile.tempdir = {str(node)!r}\n"
        "from regsearch.search.workers.ray.shared_folder import SharedFolder\n"
        "print(SharedFolder().path, SharedFolder('data').path, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    left = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout.split()
    assert len(left) == 2
    assert all(Path(path).is_dir() for path in left)
    another = SharedFolder()
    assert set(node.iterdir()) == {used.path, another.path}
    used.leave()
    another.leave()


def test_a_folder_of_somebody_elses_name_is_not_trusted(node: Path) -> None:
    target = node / "elsewhere"
    target.mkdir()
    (node / f"regsearch-node-{os.getuid()}-data").symlink_to(target)
    folder = SharedFolder("data")
    assert folder.path.name != f"regsearch-node-{os.getuid()}-data"
    folder.leave()
