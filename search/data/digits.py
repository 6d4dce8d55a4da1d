"""scikit-learn's 1,797 handwritten digits (UCI "Optical Recognition of Handwritten Digits"), as 28×28 images.

They come with scikit-learn, so they are there without a network. The test part is fixed: a stratified fifth.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import stratified_split

_TEST_ROWS = 360
_TEST_SEED = 1797


def load() -> Dataset:
    """Return the digits: 1,437 training and 360 test images, uint8."""
    pixels, labels = _read()
    images = _resample(pixels)
    train, test = stratified_split(labels, [_TEST_ROWS], _TEST_SEED)
    return Dataset(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
    )


def _read() -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return images (n, 8, 8) and labels as `sklearn.datasets.load_digits` does, without its second of imports.

    Where the file lies is undocumented; pinned by a test.
    """
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    rows = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", np.int64, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int32)


def _resample(images: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return (n, 8, 8) images with values 0…16 as (n, 28, 28) with values 0…255, bilinearly.

    In whole numbers, so that every machine gives the same bytes: a pixel of the 28 lies at
    (4i − 5)/14 on the grid of the 8, hence weights in fourteenths.
    """
    position = np.clip(4 * np.arange(28) - 5, 0, 7 * 14)
    below = np.minimum(position // 14, 6)
    above_weight = position - 14 * below
    weights = np.zeros((28, 8), np.int64)
    weights[np.arange(28), below] = 14 - above_weight
    weights[np.arange(28), below + 1] = above_weight
    scaled = weights @ images @ weights.T  # (n, 28, 28), in 16 · 14²
    return ((scaled * 255 + 8 * 196) // (16 * 196)).astype(np.uint8)
