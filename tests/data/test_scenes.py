"""Scenes: valid boxes for torchvision, ink in every box, and connected pieces."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atelier.data import mnist, scenes
from atelier.training.tasks import target


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, scenes.MOST_DIGITS),
    aspect=st.floats(0.5, 4.0),
)
def test_targets_are_valid_for_torchvision(seed, count, aspect):
    """Boxes lie inside the picture, every box has ink, and no ink lies outside the boxes."""
    images, labels = mnist.load("train")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(images), size=count)
    scene = scenes.compose(images[chosen], labels[chosen], aspect, rng)
    height, width = scene.picture.shape
    assert min(height, width) == scenes.SHORT_SIDE
    assert max(height, width) <= 4 * scenes.SHORT_SIDE
    assert scene.picture.dtype == np.uint8
    assert (scene.boxes.dtype, scene.labels.dtype) == (np.float32, np.int64)
    assert scene.boxes.shape == (len(scene.labels), 4)
    assert len(scene.labels) <= count
    assert set(scene.labels) <= set(labels[chosen])
    left, top, right, bottom = scene.boxes.T
    assert left.min(initial=0) >= 0
    assert top.min(initial=0) >= 0
    assert right.max(initial=0) <= width
    assert bottom.max(initial=0) <= height
    assert (right - left >= 3).all()
    assert (bottom - top >= scenes.SMALLEST - 1).all()
    assert (np.diff(left) >= 0).all()
    targets = target(scene)
    assert {name: tensor.dtype for name, tensor in targets.items()} == {"boxes": torch.float32, "labels": torch.int64}
    assert targets["labels"].tolist() == [1 + label for label in scene.labels]  # 0 is background
    outside = scene.picture.copy()
    for box in scene.boxes.astype(int):
        assert scene.picture[box[1] : box[3], box[0] : box[2]].max() > 100
        outside[box[1] : box[3], box[0] : box[2]] = 0
    assert not outside.any()


def test_boxes_fit_the_ink():
    images, labels = mnist.load("test")
    for seed in range(50):
        scene = scenes.compose(images[seed : seed + 1], labels[seed : seed + 1], 1.0, np.random.default_rng(seed))
        rows, columns = np.nonzero(scene.picture >= scenes.INK)
        ink = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(scene.boxes[0] - ink).max() <= 4


def test_scenes_have_1_to_6_digits_of_any_size_and_some_touch():
    made = [scenes.random_scene("train", np.random.default_rng(seed)) for seed in range(300)]
    assert {len(scene.labels) for scene in made} == set(range(1, 7))
    heights = np.concatenate([scene.boxes[:, 3] - scene.boxes[:, 1] for scene in made])
    assert heights.min() < 25
    assert heights.max() > 90
    fused = [scene for scene in made if len(scene.labels) > len(scenes.pieces(scene.picture))]
    assert 0.05 < len(fused) / len(made) < 0.5


def test_measuring_scenes_are_fixed_and_some_are_empty():
    made = scenes.measuring_scenes(60)
    digest = hashlib.sha256(b"".join(scene.boxes.tobytes() + scene.labels.tobytes() for scene in made))
    assert digest.hexdigest()[:16] == "0fa80039a1db3ea7"
    assert any(len(scene.labels) == 0 and not scene.picture.any() for scene in made)


def test_too_many_digits_for_a_scene_are_refused():
    with pytest.raises(ValueError, match="0 to 6"):
        scenes.random_scene("test", np.random.default_rng(0), digits=7)


@pytest.mark.parametrize("count", [1, 59, 60])
def test_each_digit_is_in_one_scene(count):
    parts = list(scenes.share_out(count, np.random.default_rng(0)))
    indices = np.arange(count)
    assert np.array_equal(np.concatenate([indices[part] for part in parts]), indices)
    assert max(part.stop - part.start for part in parts) <= scenes.MOST_DIGITS


def test_pieces_are_connected_ink_from_left_to_right():
    picture = np.zeros((100, 300), np.uint8)
    picture[20:80, 200:210] = 255  # a 1 on the right
    picture[20:80, 50:60] = 255  # a 1 on the left
    picture[20:30, 60:89] = 255  # with a bar
    picture[30, 89] = 255  # and a corner that touches it diagonally
    picture[5:7, 150:152] = 255  # a speck
    pieces = scenes.pieces(picture)
    assert [box for box, _ in pieces] == [(50, 20, 90, 80), (200, 20, 210, 80)]
    assert all(digit.shape == (28, 28) and digit.dtype == np.uint8 for _, digit in pieces)
    assert scenes.pieces(np.zeros((10, 10), np.uint8)) == []
