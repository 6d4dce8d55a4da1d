"""scikit-learn's 1,797 handwritten digits (UCI "Optical Recognition of Handwritten Digits"), as 28×28 images.

They come with scikit-learn, so they are there without a network. The test part is fixed: a stratified fifth.
"""

import numpy as np
from numpy.typing import NDArray

from search.data.arrays import Dataset
from search.data.splits import stratified_split

_TEST_ROWS = 360
_TEST_SEED = 1797


def load() -> Dataset:
    """Return the digits: 1,437 training and 360 test images, uint8."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = _resample(digits.images.astype(np.int64))
    labels = digits.target.astype(np.int32)
    train, test = stratified_split(labels, [_TEST_ROWS], _TEST_SEED)
    return Dataset(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
    )


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
