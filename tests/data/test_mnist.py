"""The shipped data against published numbers."""

import gzip
import time

import numpy as np
import pytest

from atelier.data import mnist

# Published with the database: digits per class, and the first test labels.
TRAINING_CLASSES = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_CLASSES = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
FIRST_TEST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_digits_are_the_published_ones():
    train, validation, test = (mnist.load(split) for split in mnist.SPLITS)
    assert [len(images) for images, _ in (train, validation, test)] == [55_000, 5_000, 10_000]
    assert (np.bincount(train[1]) + np.bincount(validation[1])).tolist() == TRAINING_CLASSES
    assert np.bincount(test[1]).tolist() == TEST_CLASSES
    assert test[1][:10].tolist() == FIRST_TEST_LABELS
    assert train[0].shape[1:] == (28, 28)
    assert (train[0].dtype, train[1].dtype) == (np.uint8, np.int64)


def test_training_and_validation_share_the_published_digits():
    (train, _), (validation, labels) = mnist.load("train"), mnist.load("val")
    pixels = np.concatenate([train, validation]) / 255
    assert pixels.mean() == pytest.approx(0.1307, abs=5e-5)  # the constants of PyTorch's own MNIST example
    assert pixels.std() == pytest.approx(0.3081, abs=5e-5)
    assert np.abs(np.bincount(labels) / np.array(TRAINING_CLASSES) - 1 / 12).max() < 0.0005
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in validation}


@pytest.mark.slow
def test_loads_in_under_a_second():
    mnist._read.cache_clear()
    mnist._training_files.cache_clear()
    started = time.perf_counter()
    for split in mnist.SPLITS:
        mnist.load(split)
    assert time.perf_counter() - started < 1


def test_digits_are_read_only_and_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="read-only"):
        mnist.load("test")[0][0, 0, 0] = 1
    with pytest.raises(ValueError, match="train, val, test"):
        mnist.load("validation")


@pytest.mark.parametrize("damage", ["missing", "truncated", "swapped", "one bit"])
def test_damaged_file_is_named(damage, tmp_path, monkeypatch):
    name = "t10k-labels-idx1-ubyte"
    content = (mnist.FOLDER / f"{name}.gz").read_bytes()
    changed = bytearray(gzip.decompress(content))
    changed[100] ^= 1
    damaged = {
        "truncated": content[:1000],
        "swapped": gzip.compress(b"something else"),
        "one bit": gzip.compress(bytes(changed)),
    }
    if damage != "missing":
        (tmp_path / f"{name}.gz").write_bytes(damaged[damage])
    monkeypatch.setattr(mnist, "FOLDER", tmp_path)
    mnist._read.cache_clear()
    with pytest.raises(mnist.DamagedDataError, match=name):
        mnist._read(name)
    mnist._read.cache_clear()
