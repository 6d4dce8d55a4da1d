"""scikit-learn's 1,797 handwritten digits (UCI "Optical Recognition of Handwritten Digits"), as 28×28 images.

They come with scikit-learn, so they need no download. The test set is a stratified fifth, which is always the same. The
exported script repeats what this module does (see `regsearch.search.export.keras_script`).
"""

import numpy as np
from numpy.typing import NDArray

from .arrays import Dataset
from .splits import stratified_split

_TEST_SIZE = 360
_TEST_SEED = 1797


def load() -> Dataset:
    """Return the digits: 1,437 training and 360 test images, uint8."""
    from sklearn.datasets import load_digits  # the import takes a second

    bundled = load_digits()
    images, labels = _resample(bundled.images.astype(np.int64)), bundled.target.astype(np.int32)
    train, test = stratified_split(labels, [_TEST_SIZE], _TEST_SEED)
    return Dataset(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
    )


def _resample(images: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Enlarge images bilinearly: (n, 8, 8) with values 0…16 become (n, 28, 28) with values 0…255.

    The calculation uses whole numbers, so every machine gives the same bytes. Pixel i of a new row lies at position
    (4i − 5)/14 of the old row. Its value is a mean of the two old pixels beside this position. The weights of the two
    pixels are multiples of 1/14.
    """
    position = np.clip(4 * np.arange(28) - 5, 0, 7 * 14)
    below = np.minimum(position // 14, 6)
    above_weight = position - 14 * below
    weights = np.zeros((28, 8), np.int64)
    weights[np.arange(28), below] = 14 - above_weight
    weights[np.arange(28), below + 1] = above_weight
    scaled = weights @ images @ weights.T  # (n, 28, 28), with values 0…16 · 14²
    return ((scaled * 255 + 8 * 196) // (16 * 196)).astype(np.uint8)
