"""Small data sets as users have them: MNIST's IDX files, and folders of images."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def arrays() -> dict[str, Any]:
    """Images of three classes."""
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (30, 5, 4)).astype(np.uint8),
        "y_train": (np.arange(30) % 3).astype(np.uint8),
        "x_test": generator.integers(0, 256, (9, 5, 4)).astype(np.uint8),
        "y_test": (np.arange(9) % 3).astype(np.uint8),
    }


def idx(array: Any) -> bytes:
    """An array of bytes as an IDX file."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, pack: bool = False) -> Path:
    """Write the four files, plain or gzipped."""
    folder.mkdir(exist_ok=True)
    for key, array in arrays().items():
        (folder / f"{NAMES[key]}{'.gz' if pack else ''}").write_bytes(gzip.compress(idx(array)) if pack else idx(array))
    return folder


def save(path: Path, value: int, mode: str = "RGB", size: tuple[int, int] = (4, 5), **options: Any) -> None:
    """Save an image of one colour, (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode in ("L", "1", "I;16", "P") else (value,) * len(Image.new(mode, (1, 1)).getbands())
    Image.new(mode, size, colour).save(path, **options)


def write_images(folder: Path, rows: int = 10, mode: str = "RGB", classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write so many images of each class, each of another colour."""
    for label, name in enumerate(classes):
        for row in range(rows):
            save(folder / name / f"{row:02}.png", 100 * label + row, mode)
    return folder
