"""Inputs mutated from valid ones, by the thousand: each ends with an exit code and one line, and harms nothing.

python tests/programs/fuzz.py --inputs 10000 --seed 0, or one of them again: --kind options --only 123

Everything runs in this process, with trials of milliseconds. While an input runs, nothing outside a temporary
folder can be written, no process started, no network reached, and memory is bounded.
"""

import argparse
import faulthandler
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python tests/programs/fuzz.py`
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
from fuzz_inputs import (
    ACCEPTED_ARRAYS,
    COMMANDS,
    GRID,
    NASTY,
    REFUSED_ARRAYS,
    SECRET,
    STUDY_FILE,
    UNPRINTABLE,
    URLS,
    arrays,
    mutated_bytes,
    mutated_rows,
    mutated_text,
    with_other_page,
    with_other_value,
    write_bomb,
)
from helpers import raw_study
from in_process import Escaped, Outcome, broken_rules, call, harness
from own_data import write_idx, write_images

from regsearch.search.samplers import factory, pruners
from regsearch.storage.study_store import StudyStore
from regsearch.studies.files import TEMPORARY, append_checksum
from regsearch.studies.trial import TrialTask


class Interrupted(BaseException):
    """Stands for kill -9."""


@dataclass
class Figures:
    """Of one kind of input: how many, which exit codes, and what broke a rule."""

    inputs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    outside: int = 0
    failures: list[str] = field(default_factory=list)


class World:
    """A folder with valid inputs of every kind, from which each case gets a copy.

    Attributes:
        kept: the raw rows of a study that no input names.
        whole: the raw rows of `mine` had it not been interrupted.
    """

    def __init__(self, folder: Path) -> None:
        self.root = Path(os.path.realpath(folder))
        self.valid = self.root / "valid"
        self.case = self.root / "a" / "b" / "c" / "case"
        self.valid.mkdir()
        self.case.parent.mkdir(parents=True)
        np.savez(self.root / "mnist.npz", **arrays())
        np.savez(self.root / "own.npz", **arrays())
        shutil.copy(self.root / "own.npz", self.valid)
        (self.valid / "mine.toml").write_text(STUDY_FILE)
        (self.valid / "grid.toml").write_text(GRID)
        (self.valid / "folder").mkdir()
        self.database = self.valid / "regsearch.db"
        study = [str(self.valid / "mine.toml"), f"--data={self.root}/own.npz", "--quiet"]
        storage = f"--storage=sqlite:///{self.database}"
        self._must(storage, "run", *study, "--name=kept", "--trials=2")
        shutil.copy(self.database, self.root / "whole.db")
        self._must(f"--storage=sqlite:///{self.root}/whole.db", "run", *study, "--trials=4")
        self.whole = raw_study(self.root / "whole.db", "mine")
        self.kept = raw_study(self.database, "kept")
        self.ended = self._interrupt(study, "ended", "finish")
        self.interrupted = self._interrupt(study, "interrupted", "record_epoch")
        shutil.copytree(self.interrupted, self.valid, dirs_exist_ok=True)

    def _must(self, storage: str, command: str, *arguments: str) -> None:
        outcome = call(self.valid, [command, storage, *arguments])
        assert outcome.code == 0, (outcome.err, outcome.problems)

    def _interrupt(self, study: Sequence[str], name: str, method: str) -> Path:
        """Return a folder with the database of a search that was killed over its second trial or a later one."""
        folder = self.root / name
        folder.mkdir()
        shutil.copy(self.database, folder / "regsearch.db")
        real = getattr(StudyStore, method)

        def die(store: StudyStore, task: TrialTask, result: Any) -> Any:
            if task.number >= 1 and getattr(result, "epoch", 1) == 1:
                raise Interrupted
            return real(store, task, result)

        with mock.patch.object(StudyStore, method, die):
            outcome = call(self.valid, ["run", *study, "--trials=4", f"--storage=sqlite:///{folder}/regsearch.db"])
        assert "Interrupted" in outcome.problems[0]
        return folder

    def fresh_case(self, source: Path | None = None) -> Path:
        """Return the folder of a case, with fresh copies of the valid inputs in it."""
        shutil.rmtree(self.case, ignore_errors=True)
        shutil.copytree(source or self.valid, self.case)
        if source is None:
            os.mkfifo(self.case / "pipe.db")
            (self.case / "loop.npz").symlink_to("loop.npz")
        return self.case


@contextmanager
def made_world() -> Iterator[World]:
    """Give a world in a temporary folder, with the harness around it."""
    with tempfile.TemporaryDirectory() as folder, harness(Path(folder)):
        yield World(Path(folder))


Kind = Callable[[World, random.Random], tuple[str, Outcome, list[str]]]
"""Runs one input: what it was, what the command did, and which rules it broke."""


def _checked(world: World, folder: Path, before: bytes, outcome: Outcome, **options: Any) -> list[str]:
    """Hold a command against the rules, and the database against what was in it."""
    broken = broken_rules(outcome, **options)
    database = folder / "regsearch.db"
    if outcome.code == 2 and database.read_bytes() != before:
        broken.append("exit code 2, and the database was changed")
    if raw_study(database, "kept") != world.kept:
        broken.append("a study that nobody named was changed")
    return broken + _left_over(folder)


def _left_over(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if path.name.endswith((TEMPORARY, "-data", "new.db")) and path.exists()]
    broken = [f"left over: {path.name}" for path in found if path.parent.name.endswith((".d", "-trials"))]
    for log in folder.rglob("*.log"):
        if SECRET.encode() in log.read_bytes():
            broken.append(f"a password in {log.name}")
    return broken


def study_files(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A study file."""
    folder = world.fresh_case()
    text = generator.choice((STUDY_FILE, STUDY_FILE, GRID))
    if generator.random() < 0.6:
        text = with_other_value(text, generator)
    else:
        text = mutated_text(text, (STUDY_FILE, GRID), generator)
    content = text.encode("utf-8", "surrogatepass")
    if generator.random() < 0.15:
        content = mutated_bytes(content, generator)
    if generator.random() < 0.05:
        content = b"\xef\xbb\xbf" + content
    if generator.random() < 0.02:
        content = text.encode("utf-16", "surrogatepass")
    (folder / "fuzz.toml").write_bytes(content)
    before = (folder / "regsearch.db").read_bytes()
    outcome = call(folder, ["run", "fuzz.toml"])
    return repr(content), outcome, _checked(world, folder, before, outcome)


def options(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A command line."""
    folder = world.fresh_case()
    command = generator.choice(COMMANDS)
    arguments = command.split(" ")
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        at = generator.randrange(len(arguments))
        match generator.randrange(7):
            case 0:
                del arguments[at]
            case 1:
                arguments.insert(at, arguments[at])
            case 2:
                other = generator.choice(generator.choice(COMMANDS).split(" "))
                arguments.insert(generator.randrange(len(arguments) + 1), other)
            case 3:
                arguments[at] = generator.choice(NASTY)
            case _:
                arguments[at] = mutated_text(arguments[at], COMMANDS, generator)
        arguments = arguments or [""]
    if generator.random() < 0.2:  # within a name or a path, where it may be quoted
        at = generator.randrange(len(arguments))
        cut = generator.randrange(len(arguments[at]) + 1)
        arguments[at] = arguments[at][:cut] + generator.choice(UNPRINTABLE) + arguments[at][cut:]
    # no process can be given a NUL, nor anything that isn't bytes
    arguments = [os.fsdecode(a.replace("\0", "").encode("utf-8", "surrogateescape" if _is_bytes(a) else "replace"))
                 for a in arguments]  # fmt: skip
    before = (folder / "regsearch.db").read_bytes()
    outcome = call(folder, arguments)
    return repr(arguments), outcome, _checked(world, folder, before, outcome)


def _is_bytes(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def urls(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A storage URL, given as an option or in the environment."""
    folder = world.fresh_case()
    url = generator.choice(URLS).replace("{cwd}", str(folder))
    if generator.random() < 0.9:
        url = mutated_text(url, URLS, generator)
    url = os.fsdecode(url.replace("\0", "").encode("utf-8", "surrogateescape" if _is_bytes(url) else "replace"))
    valid = ("list", "status mine", "doctor", "best mine", "run mine.toml --trials 1", "delete mine", "enqueue mine")
    arguments = generator.choice(valid).split(" ")
    before = (folder / "regsearch.db").read_bytes()
    if generator.random() < 0.5:
        outcome = call(folder, [*arguments, "--storage", url])
    else:
        outcome = call(folder, arguments, REGSEARCH_STORAGE=url)
    broken = _checked(world, folder, before, outcome)
    if re.match(rf"(?i)sqlite(\+pysqlite)?:///|[^:]*{SECRET}", url) and "it shows a password" in broken:
        broken.remove("it shows a password")  # the path of a file, or a scheme, is no password
    return repr((arguments, url)), outcome, broken


def data_files(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """An .npz file, IDX files, or a folder of images."""
    folder = world.fresh_case()
    path = folder / "fuzz.npz"
    allowed: tuple[int, ...] = (0, 2)
    match generator.randrange(9):
        case 7 | 8 as kind:
            path = folder / "fuzz"
            if kind == 7:
                write_idx(path, pack=generator.random() < 0.5)
            else:
                write_images(path, rows=30, mode=generator.choice(("L", "RGB", "P")))
            changed = generator.choice(sorted(file for file in path.rglob("*") if file.is_file()))
            changed.write_bytes(mutated_bytes(changed.read_bytes(), generator))
            what = f"changed bytes of {changed.name}"
        case 6:
            what = generator.choice(list(ACCEPTED_ARRAYS))
            np.savez(path, **arrays(**ACCEPTED_ARRAYS[what]))
            allowed = (0,)
        case 0 | 1:
            what = generator.choice(list(REFUSED_ARRAYS))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                generator.choice((np.savez, np.savez_compressed))(path, **arrays(**REFUSED_ARRAYS[what]))
            allowed = (2,)
        case 2:
            what, kept = "an array is missing", arrays()
            name = generator.choice(list(kept))
            kept[name.upper() if generator.random() < 0.5 else f"{name}_"] = kept.pop(name)
            np.savez(path, **kept)
            allowed = (2,)
        case 3:
            what = write_bomb(path, generator)
        case _:
            kinds = (np.savez, np.savez_compressed)
            generator.choice(kinds)(path, **arrays())
            content = mutated_bytes(path.read_bytes(), generator)
            path.write_bytes(content)
            what = "changed bytes"
    before = (folder / "regsearch.db").read_bytes()
    outcome = call(folder, ["run", "mine.toml", "--name", "new", "--data", path.name, "--trials", "1",
                            "--set", "data.train_size=10"])  # fmt: skip
    return what, outcome, _checked(world, folder, before, outcome, allowed=allowed)


def databases(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A database file, on which several commands are tried."""
    folder = world.fresh_case()
    path = folder / "regsearch.db"
    if generator.random() < 0.6:
        what = mutated_rows(path, generator)
    else:
        content = path.read_bytes()
        what, changed = generator.choice(
            [
                ("bytes", mutated_bytes(content, generator)),
                ("bytes", mutated_bytes(content, generator)),
                ("cut", content[: 512 * generator.randrange(len(content) // 512)]),
                ("a page", with_other_page(content, generator)),
                ("a page", with_other_page(content, generator)),
                ("an enum's text", content.replace(b"COMPLETE", b"COMPLETF", 1)),
                ("an enum's text", content.replace(b"PRUNED", b"RUNNED")),
                ("an enum's text", content.replace(b"MINIMIZE", b"MINIMISE")),
                ("garbage", generator.randbytes(5000)),
                ("another header", b"SQLite format 3\0" + generator.randbytes(4000)),
            ]
        )
        path.write_bytes(changed)
    readers = (
        "list",
        "status mine",
        "best mine --json",
        "trials mine",
        "trials mine --csv",
        "trials mine --json",
        "doctor",
    )
    writers = ("resume mine", "run mine.toml --trials 5", "enqueue mine --param l2=1e-4", "delete mine", "stop mine",
               "run mine.toml --name new --trials 1")  # fmt: skip
    codes: Counter[int] = Counter()
    broken: list[str] = []
    for command in (*generator.sample(readers, 2), *generator.sample(writers, 2)):
        before = path.read_bytes()
        outcome = call(folder, command.split(" "))
        allowed = (0, 2, 3, 4, 143) if command.startswith(("best", "run", "resume")) else (0, 2, 3)
        found = broken_rules(outcome, allowed)
        found += _left_over(folder)
        if (command in readers or outcome.code == 2) and path.read_bytes() != before:
            found.append("the file was changed")
        codes[outcome.code] += 1
        broken += [f"{command}: {rule}" for rule in found]
    first = min(codes, key=lambda code: -codes[code])
    return what, Outcome(code=first, out="", err="", told=[], problems=[]), broken


def trial_files(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A file of a trial under way; the study is resumed, and must end as if nothing had happened."""
    folder = world.fresh_case(generator.choice((world.ended, world.interrupted)))
    shutil.copy(world.root / "own.npz", folder)
    (trials,) = (folder / "regsearch.db.d").glob("study-mine-trials")
    path = generator.choice(sorted(trials.iterdir()))
    what, must_equal = path.name, True
    match generator.randrange(9):
        case 0:
            path.unlink()
            path.mkdir()
            what += " is a folder"
        case 1:
            begin = path.name.split(".")[0]
            ends = (
                ".x.checkpoint",
                "..checkpoint",
                ".1.2.checkpoint",
                ".-1.checkpoint",
                ".².checkpoint",
                ".999.checkpoint",
            )
            others = ("trial-x.1.checkpoint", "trial-02.ended", "x.weights.npz", "a.tmp")
            strange = generator.choice([*(f"{begin}{end}" for end in ends), *others])
            shutil.copy(path, trials / strange)
            what += f" copied to {strange}"
        case 2:
            other = generator.choice(sorted(trials.iterdir()))
            path.write_bytes(other.read_bytes())
            what += f" is {other.name}"
        case 3:
            shutil.rmtree(trials)
            what = "the folder is gone"
        case 5:
            shutil.rmtree(trials)
            trials.write_bytes(b"")
            must_equal = False  # no weights can be kept
            what = "a file in the folder's place"
        case 4:
            inner = mutated_bytes(path.read_bytes()[:-32], generator)
            path.write_bytes(append_checksum(inner))
            must_equal = False
            what += " changed and sealed again"
        case _:
            path.write_bytes(mutated_bytes(path.read_bytes(), generator))
            what += " changed"
    outcome = call(folder, ["resume", "mine"])
    broken = broken_rules(outcome, (0,))
    if must_equal and raw_study(folder / "regsearch.db", "mine") != world.whole:
        broken.append("the study ended otherwise than one that was not interrupted")
    if raw_study(folder / "regsearch.db", "kept") != world.kept:
        broken.append("a study that nobody named was changed")
    return what, outcome, broken + _left_over(folder)


KINDS: dict[str, Kind] = {
    kind.__name__: kind for kind in (study_files, options, urls, data_files, databases, trial_files)
}


def fuzz(world: World, kind: str, numbers: Sequence[int], seed: int) -> Figures:
    """Run the inputs of a kind that have these numbers; each follows from the seed, its kind and its number."""
    figures = Figures()
    with ExitStack() as stack:
        if kind in ("data_files", "databases", "trial_files"):  # samplers and pruners aren't what is tried out here
            stack.enter_context(mock.patch.object(factory, "_try_out"))
            stack.enter_context(mock.patch.object(pruners, "_try_out"))
        for number in numbers:
            _fuzz_once(world, kind, number, seed, figures)
    return figures


def _fuzz_once(world: World, kind: str, number: int, seed: int, figures: Figures) -> None:
    figures.inputs += 1
    try:
        what, outcome, broken = KINDS[kind](world, random.Random(f"{seed} {kind} {number}"))
    except Escaped:
        figures.outside += 1
        return
    except Exception:  # noqa: BLE001 - what it left can't even be looked at
        figures.failures.append(f"{kind} {number} (seed {seed}): {traceback.format_exc()[-2000:]}")
        return
    figures.codes[outcome.code] += 1
    if broken:
        figures.failures.append(f"{kind} {number} (seed {seed}): {'; '.join(broken)}\n  input: {_collapsed(what)}")


def _collapsed(text: str) -> str:
    """Return a text in which what repeats is written once, and how often."""
    return re.sub(r"(.{1,12}?)\1{20,}", lambda m: f"⟨{m[1]} × {len(m[0]) // len(m[1])}⟩", text)[:1500]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--only", type=int, help="the number of one input")
    given = parser.parse_args()
    shares = {"study_files": 25, "options": 30, "urls": 15, "data_files": 12, "databases": 12, "trial_files": 6}
    if given.kind:
        shares = {given.kind: 100}
    faulthandler.enable()
    total: dict[str, Figures] = {}
    began = time.monotonic()
    with made_world() as world:
        for kind, share in shares.items():
            count = given.inputs * share // 100
            faulthandler.dump_traceback_later(600 + count * 10, exit=True)
            total[kind] = fuzz(world, kind, [given.only] if given.only is not None else range(count), given.seed)
    codes = sorted({code for figures in total.values() for code in figures.codes})
    for figures in total.values():
        for failure in figures.failures:
            print(failure)
    print(
        f"{'kind':14}{'inputs':>8}"
        + "".join(f"{f'exit {code}':>10}" for code in codes)
        + f"{'outside':>9}{'failures':>10}"
    )
    for kind, figures in total.items():
        counts = "".join(f"{figures.codes[code]:>10}" for code in codes)
        print(f"{kind:14}{figures.inputs:>8}{counts}{figures.outside:>9}{len(figures.failures):>10}")
    print(f"{time.monotonic() - began:.0f} s; of a database, the exit code of most of its four commands")
    sys.exit(any(figures.failures for figures in total.values()))


if __name__ == "__main__":
    main()
