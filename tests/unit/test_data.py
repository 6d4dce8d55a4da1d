"""Data are checked before any trial exists, and split in a stratified and seeded way."""

import doctest
import pickle
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regsearch.search import data
from regsearch.search.data import arrays as arrays_module
from regsearch.search.data import dataset_names, idx, load_dataset, mnist, splits
from regsearch.search.data.arrays import Dataset, DataUnavailableError, read_npz
from regsearch.search.data.shared import read_shared, shared
from regsearch.search.data.splits import make_splits, stratified_split
from regsearch.studies.errors import InputError
from regsearch.studies.spec import DataSpec


def arrays(**changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    good = {
        "x_train": random.integers(0, 256, (40, 4, 4)).astype(np.uint8),
        "y_train": (np.arange(40) % 4).astype(np.uint8),
        "x_test": random.integers(0, 256, (8, 4, 4)).astype(np.uint8),
        "y_test": (np.arange(8) % 4).astype(np.uint8),
    }
    return {**good, **changes}


def test_good_arrays_make_a_data_set() -> None:
    dataset = Dataset(name="mine", **arrays())
    assert (dataset.n_train, dataset.n_test, dataset.class_count) == (40, 8, 4)
    assert dataset.x_train.dtype == np.uint8
    assert dataset.y_train.dtype == np.int32


def test_whole_numbers_up_to_255_become_uint8_and_floats_up_to_1_float32() -> None:
    whole = Dataset(name="mine", **arrays(x_train=np.ones((40, 4, 4), np.int64), x_test=np.ones((8, 4, 4), np.int64)))
    assert whole.x_train.dtype == np.uint8
    real = Dataset(name="mine", **arrays(x_train=np.ones((40, 4, 4)), x_test=np.ones((8, 4, 4))))
    assert real.x_train.dtype == np.float32


@pytest.mark.parametrize("shape", [(1,), (16,), (4, 3), (4, 3, 1), (4, 3, 3), (2, 4, 3, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_rows_have_any_shape(shape: tuple[int, ...], kind: type) -> None:
    parts = {f"x_{part}": np.ones((n, *shape), kind) for part, n in (("train", 40), ("test", 8))}
    dataset = Dataset(name="mine", **arrays(**parts))
    assert dataset.x_train.shape == (40, *shape)
    assert dataset.x_train.dtype == kind


def test_numbers_that_are_not_pixels_are_used_as_they_are() -> None:
    for values, is_noted in (([-3.0, 2.5], False), ([0, 255.0], True), ([-1e6, 0], True), ([-300, 7], True)):
        features = np.resize(np.array(values), (40, 6))
        dataset = Dataset(name="mine", **arrays(x_train=features, x_test=features[:8]))
        assert dataset.x_train.dtype == np.float32
        assert np.array_equal(dataset.x_train, features)
        assert [note for note in dataset.notes if "are used as they are" in note] == dataset.notes
        assert len(dataset.notes) == is_noted
    assert Dataset(name="mine", **arrays()).notes == []  # pixels


LABELS = np.arange(40) % 4
IMAGES = np.zeros((40, 4, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_train": np.zeros(40, np.uint8)},
            r"x_train has the shape \(40,\)\. Examples must have the shape \(n, features\)",
        ),
        ({"x_train": np.zeros((40, 0), np.uint8)}, r"x_train has the shape \(40, 0\)"),
        (
            {"x_train": np.zeros((40, 16), np.uint8)},
            r"but x_train has \(16,\) uint8, and x_test has \(4, 4\) uint8",
        ),
        ({"x_train": np.zeros((0, 4, 4), np.uint8), "y_train": np.zeros(0, int)}, "x_train has the shape"),
        ({"x_train": np.full((40, 4, 4), 256)}, "ranges from 256 to 256"),
        ({"x_train": np.full((40, 4, 4), -1)}, "ranges from -1"),
        ({"x_train": np.where(np.arange(640).reshape(40, 4, 4) == 3, np.nan, IMAGES)}, "NaN or infinite"),
        ({"x_train": np.where(np.arange(640).reshape(40, 4, 4) == 3, np.inf, IMAGES)}, "NaN or infinite"),
        ({"x_train": np.full((40, 4, 4), 1e39)}, "NaN or infinite as float32"),
        ({"x_train": np.full((40, 16), np.nan)}, "NaN or infinite"),
        ({"x_train": np.zeros((40, 4, 4), bool)}, "has the type bool"),
        ({"x_train": np.zeros((40, 4, 4), complex)}, "has the type complex128"),
        ({"x_train": np.full((40, 4, 4), "a")}, "has the type <U1"),
        ({"x_train": np.zeros((39, 4, 4), np.uint8)}, "39 examples, but y_train has 40 labels"),
        ({"x_test": np.zeros((8, 5, 4), np.uint8)}, "must have the same shape and type"),
        ({"x_test": np.zeros((8, 4, 4))}, "must have the same shape and type"),
        ({"y_train": LABELS.astype(float)}, "Labels must be whole numbers"),
        ({"y_train": LABELS.reshape(40, 1)}, r"y_train has the shape \(40, 1\)"),
        ({"y_train": LABELS - 1}, "ranges from -1"),
        ({"y_train": LABELS * 0}, "has only the class 0"),
        ({"y_train": LABELS + 1, "y_test": np.arange(8) % 4 + 1}, r"must be the whole numbers 0…C−1"),
        ({"y_train": LABELS * 2}, r"y_train has 4 different labels from 0 to 6"),
        ({"y_test": np.arange(8) % 3}, "must have the same classes, but 3 is in only one of them"),
        ({"y_test": np.arange(8) % 2}, "2, 3 are in only one of them"),
        ({"y_test": np.arange(8) % 5}, "must have the same classes, but 4 is in only one of them"),
        ({"y_train": LABELS * 10**9}, "Labels must be whole numbers"),
    ],
)
def test_bad_arrays_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset(name="mine", **arrays(**changes))


def test_an_npz_file_is_read_and_its_fingerprint_is_that_of_the_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays())
    np.savez_compressed(tmp_path / "b.npz", **arrays())
    a, b = load_dataset(str(tmp_path / "a.npz")), load_dataset(str(tmp_path / "b.npz"))
    assert a.name == "a"
    assert a.sha256 == b.sha256
    changed = arrays()
    changed["x_test"][0, 0, 0] ^= 1
    assert Dataset(name="a", **changed).sha256 != a.sha256


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("executed").touch, ())


def test_nothing_in_an_npz_file_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays(x_train=np.array([Malicious()] * 40, object)))
    with pytest.raises(InputError, match=r"it is not an \.npz file of plain arrays"):
        read_npz(tmp_path / "bad.npz")
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(InputError, match=r"it is not a zip archive, or it is cut off\.$"):
        read_npz(tmp_path / "raw.npz")
    assert not (tmp_path / "executed").exists()


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", **arrays())
    content = (tmp_path / "whole.npz").read_bytes()
    for name, part in (("empty", b""), ("cut", content[: len(content) // 2]), ("noise", b"\0" * 100)):
        (tmp_path / f"{name}.npz").write_bytes(part)
        with pytest.raises(InputError, match=f"{name}.npz"):
            read_npz(tmp_path / f"{name}.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(InputError, match=r"one\.npz"):
        read_npz(tmp_path / "one.npz")
    with pytest.raises(InputError, match="No such file"):
        read_npz(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        read_npz(tmp_path / "folder.npz")


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays())
    np.savez_compressed(tmp_path / "b.npz", **arrays())
    generator = np.random.default_rng(0)
    refused = 0
    for name in ("a.npz", "b.npz"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(300):
            content = bytearray(whole)
            content[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
            (tmp_path / "flipped.npz").write_bytes(content)
            try:
                flipped = read_npz(tmp_path / "flipped.npz", "same")
            except InputError:
                refused += 1
            else:  # a byte that means nothing, such as a date in the archive
                assert flipped.sha256 == Dataset(name="same", **arrays()).sha256
    assert refused > 300


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{key: value for key, value in arrays().items() if key != "y_test"})
    with pytest.raises(InputError, match="has no array y_test"):
        read_npz(tmp_path / "a.npz")


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "junk.npz", "w") as file:
        for key in arrays():
            file.writestr(f"{key}.npy", "junk")
    with pytest.raises(InputError, match=r"junk\.npz: it is not an \.npz file of plain arrays"):
        read_npz(tmp_path / "junk.npz")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regsearch.search.data.arrays.memory_bytes", lambda: 10**12)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for key in arrays():
            file.writestr(f"{key}.npy", b"\x93NUMPY\x01\x00")
        info = file.getinfo("x_train.npy")
        info.file_size = 10**12
    with pytest.raises(InputError, match=r"unpacks to .* but at most 8,000,000,000 are allowed\."):
        read_npz(tmp_path / "bomb.npz")


def test_what_is_larger_than_the_machine_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "own.npz", **arrays())
    unpacked = sum(member.file_size for member in zipfile.ZipFile(tmp_path / "own.npz").infolist())
    monkeypatch.setattr("regsearch.search.data.arrays.memory_bytes", lambda: unpacked)
    read_npz(tmp_path / "own.npz")
    monkeypatch.setattr("regsearch.search.data.arrays.memory_bytes", lambda: unpacked - 1)
    with pytest.raises(InputError, match=rf"own.npz unpacks to {unpacked:,} bytes, but at most {unpacked - 1:,} fit"):
        read_npz(tmp_path / "own.npz")


def test_an_unknown_data_set_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match="Did you mean mnist"):
        load_dataset("minst")


@pytest.mark.parametrize("name", [name for name in dataset_names() if name != "mnist"])
def test_every_data_set_loads_and_is_the_same_each_time(name: str) -> None:
    one, other = load_dataset(name), load_dataset(name)
    assert one.name == name
    assert one.sha256 == other.sha256


def test_digits_are_the_same_bytes_on_every_machine() -> None:
    digits = load_dataset("digits")
    assert (digits.n_train, digits.n_test, digits.class_count) == (1437, 360, 10)
    assert digits.x_train.shape == (1437, 28, 28)
    assert digits.sha256 == "8975837f7fa4a597f739b133fee333b4a081b3665e7f52b8c0ff0e1f35e45633"


def test_mnist_is_the_real_one(mnist_file: Path) -> None:
    dataset = load_dataset("mnist")
    assert (dataset.n_train, dataset.n_test, dataset.class_count) == (60_000, 10_000, 10)
    assert dataset.sha256 == "9a67364004874c840df1f723fe9ffedfe337a64e9926ae08729e7a1413fc8ffc"


def test_mnist_named_by_the_environment_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGSEARCH_MNIST", "/nowhere/mnist.npz")
    with pytest.raises(InputError, match=r"\$REGSEARCH_MNIST names /nowhere/mnist.npz, which is not a file"):
        load_dataset("mnist")


def test_a_cache_that_keras_would_not_accept_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGSEARCH_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    np.savez(tmp_path / "datasets" / "mnist.npz", **arrays())
    assert mnist.find() is None


def test_a_fetch_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGSEARCH_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(mnist, "_FETCH", 'import time\nprint("asking", flush=True)\ntime.sleep(60)')
    with pytest.raises(DataUnavailableError, match="nothing arrived for"):
        load_dataset("mnist")


def test_a_fetch_that_fails_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGSEARCH_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "_FETCH", "raise SystemExit(1)")
    with pytest.raises(DataUnavailableError, match="loader failed"):
        load_dataset("mnist")


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=200).map(np.array),
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)
def test_parts_are_disjoint_whole_and_stratified(labels: Any, seed: int, one: float, other: float) -> None:
    sizes = [int(one * len(labels)), int(other * len(labels))]
    parts = stratified_split(labels, sizes, seed)
    assert [len(part) for part in parts[1:]] == sizes
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    first = parts[1]
    for label in np.unique(labels):
        share = sizes[0] * np.mean(labels == label)
        assert abs(np.sum(labels[first] == label) - share) <= 1
    again = stratified_split(labels, sizes, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_other_seeds_give_other_splits() -> None:
    digits = load_dataset("digits")
    assert not np.array_equal(make_splits(digits, DataSpec(), 0).stop, make_splits(digits, DataSpec(), 1).stop)


def test_train_size_limits_the_training_rows_alone() -> None:
    digits = load_dataset("digits")
    full, small = make_splits(digits, DataSpec(), 0), make_splits(digits, DataSpec(train_size=100), 0)
    assert len(small.train) == 100
    assert np.isin(small.train, full.train).all()
    assert np.array_equal(full.select, small.select)


def test_splits_that_miss_a_class_or_rows_are_refused() -> None:
    digits = load_dataset("digits")
    with pytest.raises(InputError, match=r"the stopping split has 3 examples, but none of class \d\. That class has"):
        make_splits(digits, DataSpec(stop_fraction=0.002), 0)
    with pytest.raises(InputError, match=r"data.train_size is 5,000"):
        make_splits(digits, DataSpec(train_size=5000), 0)


@given(
    st.lists(st.integers(2, 40), min_size=2, max_size=6),
    st.floats(0.01, 0.3),
    st.floats(0.01, 0.3),
    st.one_of(st.none(), st.integers(1, 150)),
    st.integers(0, 2**32 - 1),
)
def test_what_suffices_on_one_seed_suffices_on_all(
    sizes: list[int], stop: float, select: float, train_size: int | None, seed: int
) -> None:
    """A split that fails can't appear for the first time on a fresh seed."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    tests = {"x_test": np.zeros((len(sizes), 2), np.uint8), "y_test": np.arange(len(sizes))}
    dataset = Dataset(name="skewed", x_train=np.zeros((len(labels), 2), np.uint8), y_train=labels, **tests)
    data = DataSpec(stop_fraction=stop, select_fraction=select, train_size=train_size)

    def counts(seed: int) -> Any:
        try:
            splits = make_splits(dataset, data, seed)
        except InputError as error:
            return str(error)
        return {name: np.bincount(labels[rows]).tolist() for name, rows in vars(splits).items()}

    assert counts(seed) == counts(0)


def test_one_copy_serves_all_processes_and_is_gone_afterwards(tmp_path: Path) -> None:
    digits = load_dataset("digits")
    folder = tmp_path / "data"
    for _ in range(2):  # what a killed run left is no obstacle
        folder.mkdir(exist_ok=True)
        (folder / "x_train.npy").write_bytes(b"half a fi")
        with shared(digits, folder) as written:
            mapped = read_shared(written, "digits")
            assert mapped.sha256 == digits.sha256
            assert not mapped.x_train.flags.owndata
            mapped.x_train[0] = 0
            assert read_shared(written, "digits").sha256 == digits.sha256
        assert not folder.exists()
    with pytest.raises(OSError, match="x_train"):
        read_shared(folder, "digits")


@pytest.mark.parametrize("module", [arrays_module, data, idx, splits])
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
