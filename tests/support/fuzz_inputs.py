"""Valid inputs of every kind, and what is done to them: texts, bytes, arrays and rows are mutated from a generator."""

import io
import random
import re
import sqlite3
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

SECRET = "S3NT1NEL"

STUDY_FILE = """
[study]
name = "mine"
question = "Which regularization? ü"
[data]
source = "own.npz"
stop_fraction = 0.2
select_fraction = 2e-1
train_size = 30
[model]
hidden = [8, 4]
activation = "relu"
apply_to = "widest"
[training]
trainer = "compiled"
optimizer = "adam"
learning_rate = 1e-3
batch_size = 32
max_epochs = 3
[space]
regularizer = ["none", "l1", "l2", "l1_l2"]
l1 = { low = 1e-7, high = 1e-2 }
l2 = { low = 1e-7, high = 1e-2 }
dropout = { low = 0.05, high = 0.6, off = true }
batch_norm = ["none", "before_activation", "after_activation"]
patience = { low = 1, high = 8, off = true }
[search]
objective = "cross_entropy"
sampler = "tpe"
sampler_options = { n_startup_trials = 2, n_ei_candidates = 8 }
pruner = "median"
pruner_options = { n_startup_trials = 3, n_warmup_steps = 0 }
recipes = []
seed = 0
[confirm]
top = 3
seeds = 0
[budget]
trials = 2
timeout = "30m"
epoch_timeout = "10m"
"""

GRID = """
[data]
source = "own.npz"
[space]
dropout = "off"
patience = "off"
[search]
sampler = "grid"
sampler_options = { regularizer = ["none", "l2"], l2 = [1e-4, 1e-3], batch_norm = ["none"] }
pruner = "hyperband"
pruner_options = { reduction_factor = 3 }
[budget]
trials = 3
"""

COMMANDS = [
    "run mine.toml --trials 8 --quiet",
    "run mine.toml --name other --trials 2 --timeout 30m --workers 2 --engine inline --json",
    "run mine.toml --name third --data own.npz --set training.max_epochs=2 --no-confirm",
    "run mine.toml --name fourth --set search.sampler=random --set search.sampler_options={} --trials 1",
    "run grid.toml --set space.l2={low=1e-6,high=1e-3} --set search.pruner=none --set search.pruner_options={}",
    "run smoke --trials 1 --data own.npz --set data.train_size=20 --engine processes --storage sqlite:///new.db",
    "run digits --set study.question=why --set model.hidden=[8] --set budget.timeout=1h --data mnist --trials 1",
    "run mnist --name auto --trials 1 --quiet",
    "run mine.toml --trials 1",  # fewer than are begun
    "resume mine --trials 1 --json",
    "resume mine --trials 9 --workers 1 --quiet",
    "resume mine --timeout 5s --engine inline --data own.npz --json",
    "stop mine",
    "list --json",
    "list",
    "status mine --json",
    "status mine",
    "trials mine --csv",
    "trials mine --json",
    "trials mine",
    "best mine --json",
    "best mine --storage sqlite:///regsearch.db",
    "enqueue mine --param l2=1e-4 --param dropout=off",
    "enqueue mine --param regularizer=l1_l2 --param patience=3 --param use_dropout=true",
    "dashboard --port 0 --allow-host searches.example.org",
    "doctor --json",
    "doctor --storage sqlite:///regsearch.db",
    "delete mine --yes",
    "schema",
    "--help",
    "run --help",
]

URLS = [
    "sqlite:///regsearch.db",
    "sqlite:///./folder/../regsearch.db",
    "sqlite+pysqlite:///regsearch.db",
    "sqlite:///{cwd}/regsearch.db",
    "sqlite:///new{x}%20 ü#.db",
    "sqlite:///:memory:",
    "sqlite://",
    "sqlite:///folder",
    "sqlite:///pipe",
    "sqlite:///regsearch.db?mode=ro",
    "sqlite:///file:regsearch.db?mode=ro&uri=true",
    f"sqlite://user:{SECRET}@host/regsearch.db",
    f"postgresql://user:{SECRET}@localhost:1/db",
    f"postgresql+psycopg://user:{SECRET}@localhost:1/db?sslmode=require",
    f"postgresql://localhost:1/db?user=me&password={SECRET}",
    f"mysql+pymysql://user:{SECRET}%40@[::1]:3306/db?charset=utf8mb4",
    f"redis://:{SECRET}@localhost:6379/0",
    f"journal:///tmp/{SECRET}.log",
]

NASTY = [
    *("", " ", "0", "-1", "-0", "1", "2", "0.5", "1e309", "-1e-400", "nan", "inf", "-inf", "true", "false", "null"),
    *("none", "off", "9223372036854775807", "9223372036854775808", "2147483648", "-9223372036854775809", "1e18"),
    *("9" * 400, "9" * 5000, "0x" + "f" * 5000, "0b" + "1" * 70000, "1_000", "1__0", "+1", "01", "1.", ".5", "٣", "²"),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-13-41", "99:99:99", "9" * 400 + "h", "0s", "1h1h"),
    *("\ufeff", "\u202e", "\u2028", "\u200b", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x0b", "\x85", "\r", "\n", "\t"),
    *("\udcff", "\ud800", "К", "ﬁ", "ß", "é", "🙂", "İ", "\x00", "\\u0000", "\\ud800", "\\U0010ffff", "\\"),
    *("a" * 65, "a" * 300, "a" * 5000, "a" * 70000, "ü" * 200, "/" * 300, "../" * 3, "..", ".", "/", "~", "-", "--"),
    *("%", "%s", "%n", "{}", "{0}", "{x}", "$HOME", "`id`", "';--", '"', "'", '"""', "'''", "#", "=", "==", ",", ";"),
    *("[" * 3000, "{a=" * 3000, "[" * 50 + "]" * 50, "a." * 3000 + "a", "a." * 30000 + "a", "[[a]]", "[a]", "{}", "[]"),
    *("--help", "--set", "--json", "mine", "kept2", "own.npz", "mine.toml", "processes", "ray", "base", "GridSampler"),
    *("CmaEsSampler", "GPSampler", "NSGAIISampler", "BruteForceSampler", "QMCSampler", "PartialFixedSampler"),
    *("PatientPruner", "PercentilePruner", "ThresholdPruner", "SuccessiveHalvingPruner", "WilcoxonPruner"),
    *("study.name=x", "search.sampler_options.a=1", "search.seed=-1", "space.l1=off", "confirm=off", "mnist", "digits"),
    *("__class__", "__proto__", "constructor", "pipe", "folder", "loop.npz", "big.npz", "/dev/null", "/dev/full"),
]

UNPRINTABLE = ["\n", "\r", "\x1b[31m", "\u202e", "\u2028", "\x85", "\x0b", "\udcff", "\u200b"]

_NUMBERS = [
    *("0", "1", "2", "-1", "0.0", "1e-300", "5e-324", "1e300", "1e6", "0.4999", "inf", "nan", "1000000", "true"),
    *("9223372036854775807", "9223372036854775808", "0x" + "f" * 4000),
]

_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


def mutated_text(text: str, others: Sequence[str], generator: random.Random) -> str:
    """Return a text with one to three changes to its tokens."""
    tokens = _TOKEN.findall(text) or [""]
    for _ in range(generator.choice((1, 1, 2, 3))):
        at = generator.randrange(len(tokens))
        match generator.randrange(9):
            case 0:
                del tokens[at : at + generator.choice((1, 1, 2, 8))]
            case 1:
                tokens[at:at] = tokens[at : at + generator.choice((1, 2, 6, 40))] * generator.choice((1, 1, 2, 50))
            case 2:
                other = generator.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at:at] = [generator.choice(NASTY)]
            case 4:
                donor = _TOKEN.findall(generator.choice(others)) or [""]
                begin = generator.randrange(len(donor))
                tokens[at : at + generator.randrange(6)] = donor[begin : begin + generator.randrange(1, 12)]
            case 5:
                tokens[at] = tokens[at].swapcase() if generator.random() < 0.5 else tokens[at][::-1]
            case 6:
                line = text.splitlines() or [""]
                tokens.insert(at, generator.choice(line) + "\n" * (len(line) > 1))
            case _:
                words = [n for n, token in enumerate(tokens) if re.match(r"\w", token)] or [0]
                tokens[generator.choice(words)] = generator.choice(NASTY)
        tokens = tokens or [""]
    return "".join(tokens)


def with_other_value(study: str, generator: random.Random) -> str:
    """Return a study file in which one or two keys have other values: often read well, and then hard to serve."""
    lines = study.splitlines()
    keys = [n for n, line in enumerate(lines) if "=" in line]
    for _ in range(generator.choice((1, 1, 2))):
        at = generator.choice(keys)
        key, _, value = lines[at].partition(" = ")
        number = generator.choice(_NUMBERS)
        text = generator.choice(
            ("tpe", "off", "none", "auto", "digits", "", "\\u0000", "\\u202e", "a" * 2000, "1h", "9" * 400 + "h")
        )
        old = re.sub(r"[0-9][0-9.e-]*", number, value, count=generator.randrange(3))
        other = lines[generator.choice(keys)].partition(" = ")[2]
        new = generator.choice((old, old, number, other, f'"{text}"', f"[{value}, {value}]", f"{{ x = {value} }}"))
        lines[at] = f"{key} = {new}"
        if generator.random() < 0.1:
            lines.insert(at, generator.choice((lines[at], f"{key}.{'a.' * 3000}a = 1", f"x.{key} = 1")))
    return "\n".join(lines)


def mutated_bytes(content: bytes, generator: random.Random) -> bytes:
    """Return bytes with one to four changes."""
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        at = generator.randrange(len(changed) or 1)
        length = min(generator.choice((1, 2, 4, 64, 512)), len(changed) - at)
        match generator.randrange(8):
            case 0 | 1 | 2 if changed:
                changed[at] ^= 1 << generator.randrange(8)
            case 3 if changed:
                changed[at : at + length] = bytes(length)
            case 4:
                changed[at : at + length] = generator.choice((b"\xff", b"\x00", b"\x80\xff\xfe", b"\x7f")) * length
            case 5:
                del changed[at : at + length]
            case 6:
                changed[at:at] = generator.randbytes(length)
            case _:
                del changed[at:]
    return bytes(changed)


def arrays(**changes: Any) -> dict[str, Any]:
    """A small data set of three classes, as an .npz file's arrays."""
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (90, 4, 4)).astype(np.uint8),
        "y_train": (np.arange(90) % 3).astype(np.uint8),
        "x_test": generator.integers(0, 256, (12, 4, 4)).astype(np.uint8),
        "y_test": (np.arange(12) % 3).astype(np.uint8),
    } | changes


def labels(count: int, classes: int) -> Any:
    return (np.arange(count) % classes).astype(np.int64)


def image(value: Any, kind: Any) -> Any:
    images = np.zeros((90, 4, 4), kind)
    images[5, 1, 2] = value
    return images


REFUSED_ARRAYS: dict[str, dict[str, Any]] = {
    "NaN pixel": {"x_train": image(np.nan, float), "x_test": np.zeros((12, 4, 4))},
    "infinite pixel": {"x_train": image(np.inf, np.float16), "x_test": np.zeros((12, 4, 4), np.float16)},
    "pixel out of range": {"x_train": image(256, np.int32)},
    "negative pixel": {"x_train": image(-1, ">i2")},
    "complex pixels": {"x_train": image(1j, complex)},
    "texts": {"x_train": image("a", "<U3")},
    "times": {"x_train": image(3, "M8[s]")},
    "booleans": {"x_train": image(True, bool)},
    "records": {"x_train": np.zeros((90, 4, 4), [("a", "u1"), ("b", "f4")])},
    "void": {"x_train": np.zeros((90, 4, 4), "V7")},
    "flat images in the training part alone": {"x_train": np.zeros((90, 16), np.uint8)},
    "coloured images in the training part alone": {"x_train": np.zeros((90, 4, 4, 3), np.uint8)},
    "rows without a shape": {"x_train": np.zeros(90, np.uint8)},
    "beyond float32": {"x_train": image(1e39, float), "x_test": np.zeros((12, 4, 4))},
    "one image": {"x_train": np.zeros((), np.uint8)},
    "no images": {"x_train": np.zeros((0, 4, 4), np.uint8), "y_train": np.zeros(0, int)},
    "images of no size": {"x_train": np.zeros((90, 0, 4), np.uint8)},
    "one image less": {"x_train": np.zeros((89, 4, 4), np.uint8)},
    "other test images": {"x_test": np.zeros((12, 5, 4), np.uint8)},
    "one class": {"y_train": labels(90, 1)},
    "no class 1": {"y_train": labels(90, 2) * 2},
    "labels from 1": {"y_train": labels(90, 3) + 1},
    "labels below 0": {"y_train": labels(90, 3) - 1},
    "labels out of range": {"y_train": np.where(np.arange(90) == 3, 2**62, labels(90, 3))},
    "largest label": {"y_train": np.where(np.arange(90) == 3, 2**64 - 1, labels(90, 3)).astype(np.uint64)},
    "real labels": {"y_train": labels(90, 3).astype(float)},
    "labels in a column": {"y_train": labels(90, 3).reshape(90, 1)},
    "an empty class in the test part": {"y_test": labels(12, 2)},
    "a class in the test part alone": {"y_test": labels(12, 4)},
    "a class of one row": {"y_train": np.where(np.arange(90) == 3, 3, labels(90, 3)), "y_test": labels(12, 4)},
    "as many classes as rows": {"y_train": np.arange(90)},
    "too few rows": {"x_train": np.zeros((3, 4, 4), np.uint8), "y_train": labels(3, 3)},
    "objects": {"x_train": np.array([{}] * 90, object)},
    "object labels": {"y_train": np.array([0, 1, None] * 30, object)},
}  # fmt: skip


ACCEPTED_ARRAYS: dict[str, dict[str, Any]] = {
    "whole numbers": {"x_train": image(255, np.int64), "y_train": labels(90, 3).astype(">i8")},
    "real numbers": {"x_train": image(0.5, ">f8"), "x_test": np.zeros((12, 4, 4), np.float16)},
    "coloured": {"x_train": np.zeros((90, 4, 4, 3), np.uint8), "x_test": np.zeros((12, 4, 4, 3), np.uint8)},
    "features": {"x_train": np.zeros((90, 7)), "x_test": np.zeros((12, 7))},
    "far from 0": {"x_train": image(-1e30, float), "x_test": np.zeros((12, 4, 4))},
    "in another order": {"x_train": np.asfortranarray(image(7, np.uint16)), "y_test": labels(24, 3)[::2] // 1},
    "one more array": {"extra": np.zeros(3)},
}


def write_bomb(path: Path, generator: random.Random) -> str:
    """Write a small file that claims to hold much."""
    size = generator.choice((2**31, 10**10, 10**12, 2**62, 2**64, 10**30))
    shape = generator.choice((f"({size}, 4, 4)", f"({size},)", f"(1, {size}, {size})", "(-1, 4, 4)", f"{size}"))
    descr = generator.choice(("'|u1'", "'<f8'", f"'|V{size}'", f"'<U{size}'", "'|O'", "[('a', '<i4')] * 9"))
    header = f"{{'descr': {descr}, 'fortran_order': {generator.choice(('False', 'True', '1'))}, 'shape': {shape}, }}"
    if generator.random() < 0.2:
        header = generator.choice(("[" * 5000, "{" * 200, "9" * 9000, "__import__('os').getcwd()", "\x00" * 60))
    text = header.encode("latin1") + b" " * (-(len(header) + 11) % 64) + b"\n"
    member = b"\x93NUMPY\x01\x00" + (len(text) % 65536).to_bytes(2, "little") + text + bytes(90)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, array in arrays().items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", member if name == generator.choice(list(arrays())) else buffer.getvalue())
        archive.writestr("x_train.npy" if generator.random() < 0.1 else "zeros.npy", bytes(10_000_000))
    content = path.read_bytes()
    if generator.random() < 0.5:  # the directory claims another size than the member has
        at = content.index(b"PK\x01\x02") + 24
        path.write_bytes(content[:at] + (2**32 - 2).to_bytes(4, "little") + content[at + 4 :])
    return f"claims {header[:200]}"


_TABLES = (
    *("studies", "study_directions", "study_user_attributes", "study_system_attributes", "trials", "trial_values"),
    *("trial_params", "trial_intermediate_values", "trial_user_attributes", "trial_system_attributes"),
    *("regsearch_studies", "regsearch_runs", "regsearch_trials", "regsearch_epochs", "regsearch_version"),
    *("alembic_version", "version_info"),
)
_VALUES = (
    *(None, "", "abc", "{}", "[]", "null", "1", "nan", "COMPLETF", "RUNNING", "WAITING", "COMPLETE", '{"name": "x"}'),
    *(0, -1, 2**62, 1.5, 1e308, float("inf"), b"\xff\xfe", "\x1b[31m", "a\nb", "9" * 5000, "[" * 2000, '"x"'),
    "2026-99-01 00:00:00",
    *('{"spec_version": "1"}', '{"spec_version": 99}', '{"spec_version": 1, "study": 3}', '{"a": NaN}', "2026-01-01"),
)  # fmt: skip


def mutated_rows(path: Path, generator: random.Random) -> str:
    """Change a database by SQL, past every check."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma foreign_keys=off")
    connection.execute("pragma ignore_check_constraints=on")
    done = []
    for _ in range(generator.choice((1, 1, 1, 2))):
        table = generator.choice(_TABLES)
        columns = [row[1] for row in connection.execute(f"pragma table_info({table})")] or ["x"]
        column = generator.choice(columns)
        value = generator.choice(_VALUES)
        where = generator.choice(("", f"where rowid = (select max(rowid) from {table})", "where rowid % 2"))
        statement, bound = generator.choice(
            [(f"update {table} set {column} = ? {where}", (value,))] * 8
            + [
                (f"delete from {table} {where}", ()),
                (f"drop table {table}", ()),
                (f"alter table {table} drop column {column}", ()),
                (f"alter table {table} rename column {column} to {column}_", ()),
                (f"alter table {table} add column extra text default 'x'", ()),
                (f"alter table {table} rename to {table}_", ()),
            ]
        )
        with suppress(sqlite3.Error):
            connection.execute(statement, bound)
            done.append(f"{statement} {bound!r}"[:300])
    connection.close()
    return "; ".join(done)


def with_other_page(content: bytes, generator: random.Random) -> bytes:
    page = 4096 * generator.randrange(len(content) // 4096)
    new = generator.choice((bytes(4096), b"\xff" * 4096, generator.randbytes(4096), content[:4096], content[-4096:]))
    return content[:page] + new + content[page + 4096 :]
