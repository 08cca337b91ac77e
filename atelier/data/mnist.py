"""MNIST, shipped with this package: no download, no network.

60,000 training and 10,000 test pictures of handwritten digits (Y. LeCun, C. Cortes and C. Burges,
http://yann.lecun.com/exdb/mnist, licence CC BY-SA 3.0), stored as the four original IDX files, gzipped.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from zlib import error as zlib_error

import numpy as np

FOLDER = Path(__file__).parent / "mnist"
SIDE = 28  # pixels: height and width of a digit
CLASSES = 10
TEST_DIGITS = 10_000
SPLITS = ("train", "val", "test")

# MD5 of each file's *uncompressed* bytes, as published with the original data.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DamagedDataError(RuntimeError):
    """A data file is missing, or its content differs from the published one."""


def load(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load one split as `(images, labels)`.

    Args:
        split: `"train"` (55,000 digits), `"val"` (5,000) or `"test"` (10,000). Training and validation are fixed parts
            of MNIST's own training set: sorted by class, every twelfth digit is for validation, so both parts have the
            classes in the same proportions.

    Returns:
        images: `uint8[N, 28, 28]`, ink bright (up to 255) on black (0).
        labels: `int64[N]`, 0 to 9.
        Both are read-only and shared between callers; copy them before you change them.

    Raises:
        ValueError: for any other split.
        DamagedDataError: if a file is missing or its checksum is wrong; the message names the file.
    """
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}. Choose one of {', '.join(SPLITS)}.")
    if split == "test":
        return _read("t10k-images-idx3-ubyte"), _read("t10k-labels-idx1-ubyte")
    return _training_files()[split]


@cache
def _training_files() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    images, labels = _read("train-images-idx3-ubyte"), _read("train-labels-idx1-ubyte")
    validates = np.zeros(len(labels), dtype=bool)
    validates[np.argsort(labels, kind="stable")[::12]] = True
    parts = {"train": ~validates, "val": validates}
    return {name: (_frozen(images[part]), _frozen(labels[part])) for name, part in parts.items()}


@cache
def _read(name: str) -> np.ndarray:
    """Read one IDX file: a magic number, one big-endian size a dimension, then the bytes themselves."""
    path = FOLDER / f"{name}.gz"
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DamagedDataError(f"{path} is missing. Restore it from the repository.") from None
    except (OSError, EOFError, zlib_error):
        content = b""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[name]:
        raise DamagedDataError(f"{path} is damaged (its checksum is wrong). Restore it from the repository.")
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", count=dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    return values if dimensions == 3 else _frozen(values.astype(np.int64))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def fingerprint() -> str:
    """A short hash of the data, written into every checkpoint."""
    return hashlib.sha256("".join(MD5.values()).encode()).hexdigest()[:16]
