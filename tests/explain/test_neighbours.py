"""Nearest neighbours by hand, and the shipped indices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import neighbours
from atelier.explain.neighbours import NeighbourIndex

DIGITS = mnist.load("test")[0][:4]


@pytest.fixture(scope="module", params=MODELS)
def classifier(request, load):
    return load(request.param)


@pytest.fixture(scope="module", params=[*MODELS, "untrained detector"])
def network(request, load):
    """Shipped networks, and a detector whose best proposal is not the one that answers."""
    if request.param in MODELS:
        return load(request.param)
    torch.manual_seed(0)
    detector = MODELS["faster_rcnn"].build({"channels": 8, "hidden": 16})
    torch.nn.init.normal_(detector.detector.roi_heads.box_predictor.cls_score.weight, std=100)  # proposals differ
    return Classifier(MODELS["faster_rcnn"], detector, {})


@pytest.fixture
def forty(monkeypatch):
    """Only forty reference digits."""
    images, labels = neighbours.reference_digits()
    monkeypatch.setattr(neighbours, "reference_digits", lambda: (images[:40], labels[:40]))
    return images[:40]


@pytest.fixture
def tiny() -> Classifier:
    """A network with new weights and of other sizes; its family is not known."""
    torch.manual_seed(0)
    spec = replace(MODELS["cnn"], family=None)
    return Classifier(spec, spec.build({"channels": (3, 4, 5, 6), "hidden": 7}), {})


def test_last_layer_turns_the_features_into_the_answer(network):
    module = network.network
    last_layers = {
        "cnn": lambda: module.classifier[-1],
        "faster_rcnn": lambda: lambda features: module.detector.roi_heads.box_predictor(features)[0][:, 1:],
        "vit": lambda: module.head,
    }
    last_layer = last_layers.get(network.spec.name, lambda: module.head[-1])()
    features = neighbours.extract_features(network, DIGITS)
    with torch.no_grad():
        assert torch.allclose(last_layer(torch.tensor(features)), module(torch.tensor(DIGITS)), atol=1e-3)
    assert not any(part._forward_hooks for part in module.modules())


def test_shipped_indices_fit_the_shipped_weights(classifier):
    """If not: `python -m atelier.explain.neighbours`."""
    index = NeighbourIndex.load(neighbours.SHIPPED / f"{classifier.spec.name}.npz")
    assert str(index.fingerprint) == neighbours.weights_hash(classifier)
    images, _ = neighbours.reference_digits()
    assert len(images) == len(index.points) == 5000
    nearest, distances, _ = index.nearest(classifier, images[7], 3)
    assert nearest[0] == 7  # the digit itself
    features = neighbours.extract_features(classifier, images[[7, *nearest]]) @ index.components.T.astype(np.float32)
    rounding = index.scale / 2 * np.sqrt(features.shape[1])
    assert distances == pytest.approx(np.linalg.norm(features[1:] - features[0], axis=1), abs=rounding)


def test_shipped_indices_are_small():
    assert sum(file.stat().st_size for file in neighbours.SHIPPED.iterdir()) < 700_000


def test_features_on_a_line_by_hand(monkeypatch, tiny):
    """The features of forty digits are 0, 1, 2, … times (3, 4): five apart, in one direction."""
    images = np.zeros((40, 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(40)
    line = np.array([3, 4], np.float32)
    monkeypatch.setattr(neighbours, "reference_digits", lambda: (images, np.arange(40)))
    monkeypatch.setattr(neighbours, "extract_features", lambda _, digits, progress=None: digits[:, 0, :1] * line)
    index = NeighbourIndex.compute(tiny)
    assert index.spread == pytest.approx([1, 0], abs=1e-6)
    nearest, distances, _ = index.nearest(tiny, images[0], 4)
    assert list(nearest) == [0, 1, 2, 3]
    rounding = 39 * 5 / 2 / 64 / 2  # half a step, of which 64 lead from the mean to each end
    assert distances == pytest.approx([0, 5, 10, 15], abs=rounding)
    assert np.ptp(index.map_2d()[:, 0]) == pytest.approx(39 * 5, abs=2 * rounding)
    _, _, point = index.nearest(tiny, images[20], 1)
    assert abs(point[0]) == pytest.approx(0.5 * 5, abs=0.01)  # 20 is half a digit from the mean of 0 to 39


def test_compressed_neighbours_are_almost_as_near_as_the_exact_ones(load, forty):
    cnn = load("cnn")
    index = NeighbourIndex.compute(cnn)
    assert 0 <= neighbours.excess_distance(index, cnn, DIGITS, 6) < 0.05
    mixed_up = replace(index, points=index.points[::-1])
    assert neighbours.excess_distance(mixed_up, cnn, DIGITS, 6) > 0.2


def test_index_is_computed_once_and_cached(monkeypatch, tiny, forty):
    shares = []
    first = neighbours.get_index(tiny, shares.append)
    assert shares[-1] == 1
    monkeypatch.setattr(NeighbourIndex, "compute", None)
    again = neighbours.get_index(Classifier(tiny.spec, tiny.network, {}))
    assert np.array_equal(again.points, first.points)
    assert again.components.shape == (7, 7)  # no more than there are features


def test_damaged_cache_is_computed_again(tmp_path, monkeypatch, tiny, forty):
    monkeypatch.setattr(neighbours, "user_cache_path", lambda name: tmp_path)
    neighbours.get_index(tiny)
    (file,) = (tmp_path / "neighbours").iterdir()
    file.write_bytes(file.read_bytes()[:200])
    assert NeighbourIndex.load(file) is None
    assert len(neighbours.get_index(Classifier(tiny.spec, tiny.network, {})).points) == 40
    assert len(NeighbourIndex.load(file).points) == 40
