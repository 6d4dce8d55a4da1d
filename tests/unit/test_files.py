"""Files are whole or not there; a trial's are told from others' by their names."""

import os
import re
import socket
import stat
import threading
from pathlib import Path

import pytest

from regsearch.storage.private_folder import make_private_folder
from regsearch.studies.errors import InputError
from regsearch.studies.files import (
    DamagedError,
    append_checksum,
    open_own_file,
    replacing,
    save_report,
    strip_checksum,
    write_durably,
)
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


@pytest.fixture(params=["FIFO", "socket", "directory"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What no rename may replace; a device behaves as a FIFO does, and only root can make one."""
    path = tmp_path / "there"
    if request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.mkdir()
    return path


def test_no_file_takes_the_place_of_what_is_no_file(no_file: Path) -> None:
    before = no_file.lstat()
    with pytest.raises(FileExistsError, match="only a file can be replaced"):
        write_durably(no_file, b"content")
    with pytest.raises(FileExistsError, match="only a file can be replaced"), replacing(no_file):
        raise AssertionError("nothing may be written")
    with pytest.raises(InputError, match=re.escape(str(no_file))):
        save_report(no_file, "content")
    assert stat.S_IFMT(no_file.lstat().st_mode) == stat.S_IFMT(before.st_mode)
    assert no_file.lstat().st_ino == before.st_ino
    assert list(no_file.parent.iterdir()) == [no_file]


def test_a_report_goes_through_a_fifo_to_its_reader(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "fifo")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    content = "é" * 200_000  # more than a pipe holds
    while True:
        try:
            assert save_report(path, content) == path
            break
        except InputError as error:  # the reader has not opened it yet
            assert "no process reads from it" in str(error)  # noqa: PT017
    reader.join()
    assert received == [content.encode()]
    assert stat.S_ISFIFO(path.lstat().st_mode)


def test_a_report_replaces_the_file_behind_a_link_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    save_report(tmp_path / "link", "first")
    save_report(tmp_path / "link", "second")
    assert (tmp_path / "link").readlink() == Path("file")
    assert (tmp_path / "file").read_text() == "second"
    (tmp_path / "null").symlink_to("/dev/null")
    save_report(tmp_path / "null", "content")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_own_files_are_never_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    for name, reason in (("link", "symbolic link"), ("dangling", "symbolic link"), ("fifo", "a FIFO")):
        for mode in ("r", "a+", "w"):
            with pytest.raises(OSError, match=reason):
                open(tmp_path / name, mode, opener=open_own_file)  # noqa: SIM115
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    with open(tmp_path / "new", "a", opener=open_own_file) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


def test_a_private_directory_is_this_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private_folder(folder := tmp_path / "a" / "folder")
    make_private_folder(folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InputError, match="link can't be used: it is a symbolic link"):
        make_private_folder(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file can't be used: it is not a directory"):
        make_private_folder(tmp_path / "file")
    for mode in (0o720, 0o702, 0o1777):
        folder.chmod(mode)
        with pytest.raises(InputError, match=r"other users may write to it\. Run `chmod go-w .*folder`"):
            make_private_folder(folder)
    folder.chmod(0o755)
    make_private_folder(folder)
    assert list(folder.iterdir()) == []


def test_another_users_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private_folder(folder := tmp_path / "folder")
    lstat = os.lstat

    def of_another(path: Path) -> os.stat_result:
        found = lstat(path)
        if Path(path) != folder:
            return found
        return os.stat_result([*found[:4], 4321, *found[5:10]])

    monkeypatch.setattr(os, "lstat", of_another)
    with pytest.raises(InputError, match="it belongs to the user with the id 4321"):
        make_private_folder(folder)


def test_a_file_system_without_owners_and_permissions_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private_folder(folder := tmp_path / "folder")
    lstat = os.lstat

    def without_permissions(path: Path) -> os.stat_result:
        found = lstat(path)
        return os.stat_result([found.st_mode | 0o777, *found[1:4], 4321, *found[5:10]])

    monkeypatch.setattr(os, "lstat", without_permissions)
    make_private_folder(folder)
    assert list(folder.iterdir()) == []
