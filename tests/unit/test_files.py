"""Files are whole or not there; a trial's are told from others' by their names."""

import os
import re
from pathlib import Path

import pytest

from regsearch.studies.files import DamagedError, append_checksum, replacing, strip_checksum, write_durably
from regsearch.studies.trial_files import TrialFiles


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_that_cant_be_written_leaves_what_was_there(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"before")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_durably(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        calls.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_durably(tmp_path / "file", b"content")
    first, *others = calls
    assert re.fullmatch(r"sync file\.[0-9a-f]{8}\.tmp", first)
    assert others == ["rename", f"sync {tmp_path.name}"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("position", [0, 3, 7, 20, 39])
def test_one_changed_bit_is_noticed(position: int) -> None:
    content = bytearray(append_checksum(b"content!"))
    assert strip_checksum(bytes(content)) == b"content!"
    content[position] ^= 1
    with pytest.raises(DamagedError):
        strip_checksum(bytes(content))


def test_a_folder_is_cleaned_of_what_no_running_trial_needs(tmp_path: Path) -> None:
    files = TrialFiles(tmp_path)
    paths = [files.checkpoint(number, epochs) for number in (1, 12) for epochs in (9, 10)]
    paths += [function(number) for function in (files.ended, files.weights) for number in (1, 12)]
    for path in [*paths, tmp_path / "trial-1.9.checkpoint.99.tmp"]:
        path.touch()
    assert files.checkpoints(1) == [files.checkpoint(1, 10), files.checkpoint(1, 9)]
    files.clean([1])
    left = {files.checkpoint(1, 9), files.checkpoint(1, 10), files.ended(1), files.weights(1), files.weights(12)}
    assert set(tmp_path.iterdir()) == left
    files.forget(1)
    assert set(tmp_path.iterdir()) == {files.weights(1), files.weights(12)}
    files.keep_weights([12])
    assert list(tmp_path.iterdir()) == [files.weights(12)]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    files = TrialFiles(tmp_path / "missing")
    files.clean([1])
    files.forget(1)
    assert files.checkpoints(1) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("full")
    assert path.read_text() == "old"
    with replacing(path, tmp_path / ".next") as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
