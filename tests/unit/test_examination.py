"""What `doctor --data` says of a data set: what it holds, and each thing that is questionable about it."""

from typing import Any

import numpy as np
import pytest

from regsearch.search.data import examination, load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.studies.errors import InputError
from regsearch.studies.study_file import read_study

MNIST = read_study("mnist")


def dataset(rows: int = 1200, shape: tuple[int, ...] = (5, 4), kind: Any = np.uint8, **changes: Any) -> Dataset:
    """Rows of random values in three classes, nothing questionable about them; floats lie in [0, 1)."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", rows), ("test", 90)):
        values = random.random((count, *shape))
        arrays[f"x_{part}"] = (values * 256).astype(np.uint8) if kind == np.uint8 else values.astype(kind)
        arrays[f"y_{part}"] = np.arange(count) % 3
    return Dataset(name="own", **{**arrays, **changes})


def test_what_it_holds_is_said() -> None:
    own = dataset(class_names=("cat", "dog", "emu"))
    mean = own.x_train.mean()
    assert examination.rows(own) == (
        f"shape (5, 4); uint8, which networks scale to 0…1; training values from 0 to 255, mean {mean:.4g}"
    )
    assert examination.classes(own) == (
        "3 (training/test examples of cat: 400/30, dog: 400/30, emu: 400/30), "
        "the largest class is 1.0 times as large as the smallest"
    )
    assert examination.split_sizes(own, MNIST) == "train 960, stop 120, select 120, test 90"
    assert "float32, which networks take as they are" in examination.rows(dataset(kind=np.float64))
    assert examination.classes(dataset()).startswith("3 (training/test examples of 0: 400/30, 1: 400/30")


def test_of_many_classes_the_first_are_listed() -> None:
    labels = np.arange(1200) % 45
    said = examination.classes(dataset(y_train=labels, y_test=labels[:90]))
    assert said.startswith("45 (training/test examples of 0: 27/2, ")
    assert "19: 27/2, … (25 more)), the largest class is 1.0 times as large as the smallest" in said


def test_rows_that_do_not_suffice_for_the_parts_are_refused() -> None:
    labels = np.where(np.arange(1200) == 7, 3, np.arange(1200) % 3)
    with pytest.raises(InputError, match=r"but none of class 3\. That class has 1 training examples"):
        examination.split_sizes(dataset(y_train=labels, y_test=np.arange(90) % 4), MNIST)


@pytest.mark.parametrize("own", [dataset(), dataset(kind=np.float32, shape=(20,))])
def test_nothing_is_questionable_about_good_data(own: Dataset) -> None:
    assert examination.doubts(own, MNIST) == {}
    assert examination.doubts(load_dataset("digits"), MNIST) == {}


GOOD = dataset()
VECTORS = dataset(kind=np.float32, shape=(20,))


def with_copies() -> Dataset:
    x_test, y_test = GOOD.x_test.copy(), GOOD.y_test.copy()
    x_test[:6], y_test[:6] = GOOD.x_train[3:9], GOOD.y_train[3:9]
    y_test[0] = (y_test[0] + 1) % 3
    return dataset(x_test=x_test, y_test=y_test)


def with_constants(good: Dataset, count: int) -> Dataset:
    x = good.x_train.copy().reshape(len(good.x_train), -1)
    x[:, :count] = 1
    return dataset(x_train=x.reshape(good.x_train.shape), x_test=good.x_test)


@pytest.mark.parametrize(
    ("own", "subject", "message"),
    [
        (with_copies(), "both parts", "6 of 90 test examples are also training examples, 1 of them with another"),
        (with_constants(VECTORS, 1), "constants", "1 of 20 features are constant in the training examples"),
        (with_constants(GOOD, 11), "constants", "11 of 20 features are constant"),
        (dataset(x_train=GOOD.x_train // 128, x_test=GOOD.x_test // 128), "values", "uint8 is divided by 255, but no"),
        (dataset(x_train=GOOD.x_train * 1.0, x_test=GOOD.x_test * 1.0), "values", "values from 0 to 255 are used as"),
        (dataset(y_train=np.where(np.arange(1200) < 40, np.arange(1200) % 3, 0)), "imbalance", "has 1,174 train"),
        (dataset(900), "select rows", "the selection split has only 90 examples"),
        (dataset(x_train=np.tile(VECTORS.x_train[:1000], 3600), x_test=np.tile(VECTORS.x_test, 3600),
                 y_train=np.arange(1000) % 3), "features", "72,000 features per example give the first layer 10,080,"),
    ],
)  # fmt: skip
def test_what_is_questionable_is_said(own: Dataset, subject: str, message: str) -> None:
    doubts = examination.doubts(own, MNIST)
    assert list(doubts) == [subject]
    assert message in doubts[subject]


def test_margins_of_images_are_not_questionable() -> None:
    assert examination.doubts(with_constants(GOOD, 10), MNIST) == {}
