"""Data of the user's own, as IDX files or as a folder of images: read as they are, or refused in one line."""

import gzip
import os
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import NAMES, arrays, idx, save, write_idx, write_images
from PIL import Image

from regsearch.search.data import images, load_dataset, located, source_kind
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.idx import read_idx
from regsearch.studies.errors import InputError

EXPECTED = Dataset(name="any", **arrays()).sha256


@pytest.mark.parametrize("pack", [False, True])
def test_idx_files_are_read_by_their_folder_or_by_one_of_them(tmp_path: Path, pack: bool) -> None:
    folder = write_idx(tmp_path / "fashion", pack)
    for source in (folder, *folder.iterdir()):
        dataset = load_dataset(str(source))
        assert (dataset.name, dataset.sha256) == ("fashion", EXPECTED)


def test_idx_files_are_recognized_by_their_content(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "mixed")
    images_, labels = (folder / NAMES[key] for key in ("x_train", "y_train"))
    images_.write_bytes(gzip.compress(images_.read_bytes()))  # packed, and not called so
    labels.rename(folder / "train-labels.idx1-ubyte.gz")  # the other way about
    assert read_idx(folder).sha256 == EXPECTED


def test_the_idx_file_that_is_named_is_the_one_that_is_read(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "both")
    packed = folder / f"{NAMES['y_train']}.gz"
    packed.write_bytes(gzip.compress(idx(arrays()["y_train"][::-1].copy())))
    assert read_idx(folder).sha256 == EXPECTED
    assert read_idx(packed).sha256 != EXPECTED


HUGE = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
IMAGES = idx(arrays()["x_train"])
IDX_FAULTS: dict[str, tuple[Any, str]] = {
    "empty": (b"", r"starts with the bytes \(none\), but an IDX file of this name starts with 00 00 08 03"),
    "labels in its place": (idx(arrays()["y_train"]), "starts with the bytes 00 00 08 01"),
    "another type": (b"\0\0\x0d\x03" + IMAGES[4:], "starts with the bytes 00 00 0d 03"),
    "a web page": (b"<html>", "starts with the bytes 3c 68 74 6d"),
    "half a header": (IMAGES[:9], "is cut off"),
    "a header alone": (IMAGES[:16], r"is cut off: it is too small for the shape \(30, 5, 4\) in its header"),
    "a byte less": (IMAGES[:-1], "is cut off"),
    "a byte more": (IMAGES + b"\0", "is damaged: it continues after the 600 bytes"),
    "more than any memory": (HUGE, "is cut off"),
    "packed, a byte less": (gzip.compress(IMAGES[:-1]), "is damaged: it ends after 599 of the 600 bytes"),
    "packed, a byte more": (gzip.compress(IMAGES + b"\0"), "is damaged: it continues after"),
    "packed, more than any memory": (gzip.compress(HUGE), "is cut off"),
    "packed, cut off": (gzip.compress(IMAGES)[:-20], "is damaged"),
    "packed, without its sum": (gzip.compress(IMAGES)[:-8], "is damaged"),
    "packed, with another sum": (gzip.compress(IMAGES)[:-8] + bytes(8), "CRC"),
    "no images": (idx(np.zeros((0, 5, 4), np.uint8)), r"has the shape \(0, 5, 4\)"),
    "images of no size": (idx(np.zeros((30, 0, 4), np.uint8)), r"has the shape \(30, 0, 4\)"),
    "fewer images than labels": (idx(arrays()["x_train"][:-1]), "x_train has 29 examples, but y_train has 30 labels"),
    "none": (None, "has no file train-images-idx3-ubyte, plain or with .gz"),
}


@pytest.mark.parametrize("fault", IDX_FAULTS)
def test_idx_files_that_are_not_whole_are_refused(tmp_path: Path, fault: str) -> None:
    content, message = IDX_FAULTS[fault]
    folder = write_idx(tmp_path / "own")
    path = folder / NAMES["x_train"]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_dataset(str(folder))
    assert str(folder) in str(error.value) or str(error.value).startswith("own: ")


def test_a_packed_file_can_not_take_more_than_what_it_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_idx(tmp_path / "own")
    bomb = bytes((0, 0, 8, 3)) + struct.pack(">3I", 9_000, 1_000, 1_000)  # 9 GB, and it has them
    (folder / NAMES["x_train"]).write_bytes(gzip.compress(bomb + bytes(10_000_000)) + os.urandom(10_000_000))
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("memory was taken"))
    with pytest.raises(InputError, match="unpacks to 9,000,000,000 bytes"):
        read_idx(folder)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(list(NAMES)), st.booleans())
def test_whatever_an_idx_header_says_there_is_a_data_set_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, seed: int, key: str, pack: bool
) -> None:
    generator = random.Random(seed)
    folder = write_idx(tmp_path_factory.mktemp("fuzz") / "own")
    content = bytearray(idx(arrays()[key]))
    for _ in range(generator.randrange(1, 4)):
        at = generator.randrange(min(len(content), 20))
        match generator.randrange(4):
            case 0:
                content[at] = generator.randrange(256)
            case 1:
                content[at : at + 4] = struct.pack(">I", generator.choice((0, 1, 2**31, 2**32 - 1)))
            case 2:
                del content[at:]
            case _:
                content[at:at] = generator.randbytes(generator.randrange(1, 9))
        if not content:
            break
    (folder / NAMES[key]).write_bytes(gzip.compress(content) if pack else bytes(content))
    with suppress(InputError):
        assert read_idx(folder).x_train.shape == (30, 5, 4)  # what was changed is pixels or labels


# folders of images


def test_a_folder_of_images_has_its_classes_by_name_and_a_fifth_held_out(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pets", classes=("dog", "cat", "emu"))
    save(folder / ".hidden" / "0.png", 1)
    save(folder / "dog" / ".0.png", 1)
    (folder / "dog" / "notes.txt").write_text("no image")
    (folder / "LICENSE").write_text("no class")
    dataset = load_dataset(str(folder))
    assert (dataset.name, dataset.class_names) == ("pets", ("cat", "dog", "emu"))
    assert dataset.x_train.shape == (24, 5, 4, 3)
    assert np.bincount(dataset.y_test).tolist() == [2, 2, 2]
    assert dataset.notes == [
        "pets: it has no sub-directories train and test, so 6 of its 30 images are the test set. "
        "This stratified fifth is always the same."
    ]
    rows = sorted([*dataset.x_train[:, 0, 0, 0], *dataset.x_test[:, 0, 0, 0]])
    assert rows == sorted(100 * label + row for label in range(3) for row in range(10))
    assert load_dataset(str(folder)).sha256 == dataset.sha256


def test_train_and_test_folders_are_the_parts(tmp_path: Path) -> None:
    write_images(tmp_path / "pets" / "train", 4)
    write_images(tmp_path / "pets" / "test", 2)
    dataset = load_dataset(str(tmp_path / "pets"))
    assert (dataset.n_train, dataset.n_test, dataset.held_out) == (8, 4, None)
    assert dataset.y_train.tolist() == [0] * 4 + [1] * 4


def test_the_arrays_are_those_of_keras_image_dataset_from_directory(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part, rows in (("train", 5), ("test", 2)):
        for name in ("a b", "B", "é", "deep/er"):
            for row, suffix in zip(range(rows), (".png", ".BMP", ".gif", ".png", ".bmp"), strict=False):
                path = tmp_path / "own" / part / name / f"{row}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                grey = generator.integers(0, 256, (6, 3, 1)).astype(np.uint8)
                Image.fromarray(np.repeat(grey, 3, axis=2)).save(path)
    dataset = load_dataset(str(tmp_path / "own"))
    for part, x, y in (
        ("train", dataset.x_train, dataset.y_train),
        ("test", dataset.x_test, dataset.y_test),
    ):
        theirs = keras.utils.image_dataset_from_directory(
            tmp_path / "own" / part, batch_size=None, shuffle=False, image_size=(6, 3), verbose=False
        )
        assert tuple(theirs.class_names) == dataset.class_names
        given = list(theirs.as_numpy_iterator())
        assert np.array_equal(np.stack([image for image, _ in given]), x)
        assert np.array_equal([label for _, label in given], y)


@pytest.mark.parametrize(
    ("modes", "shape"),
    [
        (("L",), (5, 4)),
        (("L", "1", "LA"), (5, 4)),
        (("L", "RGB"), (5, 4, 3)),
        (("RGBA", "P"), (5, 4, 3)),
    ],
)
def test_images_are_grey_if_all_are_and_of_three_channels_else(
    tmp_path: Path, modes: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    folder = write_images(tmp_path / "own", mode=modes[0])
    for mode in modes[1:]:
        save(folder / "cat" / f"{mode}.png", 1, mode)
    assert load_dataset(str(folder)).x_train.shape[1:] == shape


def test_images_are_resized_as_keras_load_img_does(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own" / "train")
    write_images(tmp_path / "own" / "test", 2)
    noise = np.random.default_rng(0).integers(0, 256, (11, 9, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "cat" / "00.png")
    with pytest.raises(
        InputError, match=r"have 2 sizes \(23 of 5×4, 1 of 11×9; height × width\).*data.image_size=\[64, 64\]"
    ):
        load_dataset(str(tmp_path / "own"))
    dataset = load_dataset(str(tmp_path / "own"), (7, 3))
    assert dataset.x_train.shape[1:] == (7, 3, 3)
    theirs = keras.utils.load_img(folder / "cat" / "00.png", target_size=(7, 3), interpolation="bilinear")
    assert np.array_equal(dataset.x_train[0], np.asarray(theirs))


def test_a_size_is_for_images_alone(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own")
    for source in ("digits", str(folder)):
        with pytest.raises(InputError, match=r"data.image_size is only for directories of images"):
            load_dataset(source, (8, 8))


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def bomb(path: Path, side: int) -> None:
    Image.new("L", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<2i", side, side)
    path.write_bytes(content)


def one_image_in(folder: Path, name: str) -> None:
    for path in (folder / name).iterdir():
        path.unlink()
    save(folder / name / "0.png", 1)


IMAGE_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda f: damaged(f / "cat" / "03.png"), "can't read .*03.png as an image: .* Repair or remove it"),
    "empty": (lambda f: (f / "cat" / "03.png").write_bytes(b""), "can't read .*03.png as an image"),
    "text": (lambda f: (f / "cat" / "03.png").write_text("no image"), "can't read .*03.png as an image"),
    "another format": (lambda f: save(f / "dog" / "x.png", 1, format="TIFF"), "can't read .*x.png as an image"),
    "no file": (lambda f: (f / "dog" / "x.png").symlink_to("absent"), ""),
    "a bomb": (lambda f: bomb(f / "dog" / "x.bmp", 2**30), "can't read .*x.bmp as an image: Image size"),
    "a small bomb": (lambda f: bomb(f / "dog" / "x.bmp", 10_000), "can't read .*x.bmp as an image: Image size"),
    "16 bits": (lambda f: save(f / "dog" / "x.png", 1, "I;16"), "x.png has more than 8 bits per pixel"),
    "another size": (lambda f: save(f / "dog" / "x.png", 1, size=(5, 5)), "but must all have the same size"),
    "a class without images": (lambda f: (f / "emu").mkdir(), r"emu has no images. .* end in .bmp, .gif"),
    "one class": (lambda f: [path.unlink() for path in (f / "dog").iterdir()] and (f / "dog").rmdir(), "has 1 sub-dir"),
    "a class of one image": (lambda f: one_image_in(f, "dog"), "the class dog has 1 images, too few to use"),
    "no test": (lambda f: write_images(f / "train"), "has a sub-directory train, but none called test"),
    "no train": (lambda f: write_images(f / "test"), "has a sub-directory test, but none called train"),
    "other classes": (
        lambda f: (write_images(f / "train"), write_images(f / "test", classes=("cat", "emu"))),
        "train and test must have the same classes, but only one of them has the class dog",
    ),
}


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
def test_images_that_can_not_be_used_are_refused(tmp_path: Path, fault: str) -> None:
    folder = write_images(tmp_path / "own")
    change, message = IMAGE_FAULTS[fault]
    change(folder)
    if not message:
        assert load_dataset(str(folder)).n_train == 16
        return
    with pytest.raises(InputError, match=message) as error:
        load_dataset(str(folder))
    assert str(folder) in str(error.value)
    assert not list(tmp_path.glob(".cache/regsearch/*"))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty has 0 sub-directories with images\. It must have one per class"):
        load_dataset(str(tmp_path / "empty"))
    for name in ("a.png", "b.png"):
        save(tmp_path / "flat" / name, 1)
    with pytest.raises(InputError, match="flat has 0 sub-directories"):
        load_dataset(str(tmp_path / "flat"))


def test_more_images_than_fit_are_refused_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "own")
    monkeypatch.setattr(images, "_pixels", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(
        InputError, match=r"own \(20 images of the shape \(50000, 50000, 3\)\) unpacks to 150,000,000,000"
    ):
        load_dataset(str(folder), (50_000, 50_000))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were decoded, each time."""
    counts: list[int] = []
    decode = images._pixels

    def counted(files: Any, shape: Any) -> Any:
        counts.append(len(files))
        return decode(files, shape)

    monkeypatch.setattr(images, "_pixels", counted)
    return counts


def test_images_are_decoded_once_until_any_of_them_changes(
    tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "own")
    before = load_dataset(str(folder))
    monkeypatch.chdir(tmp_path)
    assert load_dataset("own").sha256 == before.sha256
    assert decoded == [20]
    path = folder / "cat" / "01.png"
    times = path.stat()
    save(path, 77)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # and as long as it was
    assert path.stat().st_size == times.st_size
    changed = load_dataset("own")
    assert changed.sha256 != before.sha256
    path.rename(folder / "dog" / "99.png")
    assert load_dataset("own").sha256 != changed.sha256
    assert decoded == [20, 20, 20]
    load_dataset("own", (3, 3))
    load_dataset("own")
    assert decoded == [20, 20, 20, 20]
    assert len(list((tmp_path / ".cache" / "regsearch").iterdir())) == 2  # one for each size, not for each state


def test_a_damaged_or_impossible_cache_only_costs_time(
    tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "own")
    whole = load_dataset(str(folder)).sha256
    (kept,) = (tmp_path / ".cache" / "regsearch").iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    assert load_dataset(str(folder)).sha256 == whole
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert load_dataset(str(folder)).sha256 == whole
    assert decoded == [20] * 4


def test_images_that_change_while_they_are_decoded_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "own")
    decode = images._pixels

    def changed_meanwhile(files: Any, shape: Any) -> Any:
        save(folder / "dog" / "00.png", 250)
        return decode(files, shape)

    monkeypatch.setattr(images, "_pixels", changed_meanwhile)
    load_dataset(str(folder))
    assert not (tmp_path / ".cache").exists()


def test_a_source_is_told_by_what_it_is(tmp_path: Path) -> None:
    write_idx(tmp_path / "idx")
    write_images(tmp_path / "classes")
    write_images(tmp_path / "mnist")
    write_images(tmp_path / "parts" / "train")
    write_images(tmp_path / "parts" / "test")
    for source, kind in (
        ("mnist", "built-in"),
        ("absent.npz", "npz"),
        ("idx", "idx"),
        ("classes", "classes"),
        ("./mnist", "classes"),
        ("parts", "parts"),
    ):
        assert source_kind(source) == kind
        assert located(source) == (source if kind == "built-in" else str(tmp_path / source))
    (tmp_path / "notes.txt").write_text("")
    for source, message in (
        ("notes.txt", "can't read notes.txt: it is not a data set. Give digits, mnist, an .npz file"),
        (
            "no/where",
            "can't read no/where: there is no such file. Give digits, mnist, an .npz file, a directory of MNIST's IDX",
        ),
        ("idxx/train-images-idx3-ubyte.gz", "there is no such file"),
        ("idxx", r"no data set is called 'idxx'. The built-in ones are digits, mnist. You can also give the path of"),
    ):
        with pytest.raises(InputError, match=message):
            load_dataset(source)


@pytest.mark.parametrize(("module", "function"), [(os, "listdir"), (os, "scandir"), (Path, "stat")])
def test_what_may_not_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, function: str
) -> None:
    folder, inner = write_images(tmp_path / "own"), str(tmp_path / "own" / "dog")
    real = getattr(module, function)

    def refuse(path: Any, **options: Any) -> Any:
        if str(path).startswith(str(folder) if function == "listdir" else inner):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(module, function, refuse)
    with pytest.raises(InputError, match=r"can't read \S*own\S*: Permission denied"):
        load_dataset(str(folder))
