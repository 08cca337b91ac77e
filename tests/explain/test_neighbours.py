"""NeighbourIndex by hand, and those that ship."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import atelier
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import neighbours
from atelier.explain.neighbours import NeighbourIndex

DIGITS = mnist.load("test")[0][:4]


@pytest.fixture(scope="module", params=atelier.MODELS)
def classifier(request):
    return atelier.load(request.param, "cpu")


@pytest.fixture
def few(monkeypatch):
    """Compare with forty digits only."""
    images, labels = neighbours.reference_digits()
    monkeypatch.setattr(neighbours, "compared", lambda: (images[:40], labels[:40]))
    return images[:40]


@pytest.fixture
def own_run() -> Classifier:
    """Another architecture, with weights that nobody has seen."""
    spec = atelier.MODELS["cnn"]
    return Classifier(spec, spec.build({"channels": (3, 4, 5, 6), "hidden": 7}), {})


def test_the_last_layer_turns_the_features_into_the_answer(classifier):
    """So they are the last features: also Faster R-CNN's, of the proposal that answers."""
    network = classifier.network
    last = {
        "cnn": lambda: network.classifier[-1],
        "faster_rcnn": lambda: lambda seen: network.detector.roi_heads.box_predictor(seen)[0][:, 1:],
        "vit": lambda: network.head,
    }.get(classifier.spec.name, lambda: network.head[-1])()
    seen = neighbours.extract_features(classifier, DIGITS)
    with torch.no_grad():
        logits = network(torch.tensor(DIGITS))
        assert torch.allclose(last(torch.tensor(seen)), logits, atol=1e-3)
    assert not any(module._forward_hooks for module in network.modules())


def test_the_shipped_neighbours_fit_the_shipped_weights(classifier):
    """If not: `python -m atelier.explain.neighbours`."""
    found = NeighbourIndex.load(neighbours.SHIPPED / f"{classifier.spec.name}.npz")
    assert str(found.fingerprint) == neighbours.weights_hash(classifier)
    images, labels = neighbours.reference_digits()
    assert len(images) == len(found.points) == 5000
    index, apart, _ = found.nearest(classifier, images[7], 3)
    assert index[0] == 7  # itself
    seen = neighbours.extract_features(classifier, images[[7, *index]]) @ found.components.T.astype(np.float32)
    rounding = found.scale / 2 * np.sqrt(seen.shape[1])
    assert apart == pytest.approx(np.linalg.norm(seen[1:] - seen[0], axis=1), abs=rounding)
    said = [np.bincount(labels[found.nearest(classifier, digit, 10)[0]]).argmax() for digit in DIGITS]
    assert said == [7, 2, 1, 0]


def test_the_shipped_neighbours_are_small():
    assert sum(file.stat().st_size for file in neighbours.SHIPPED.iterdir()) < 700_000


def test_what_lies_on_a_line_needs_one_number(monkeypatch, own_run):
    """Forty digits whose features are 0, 1, 2, … times (3, 4): five apart, all along one direction."""
    images = np.zeros((40, 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(40)
    line = np.array([3, 4], np.float32)
    monkeypatch.setattr(neighbours, "compared", lambda: (images, np.arange(40)))
    monkeypatch.setattr(neighbours, "features", lambda _, digits, progress=None: digits[:, 0, :1] * line)
    found = NeighbourIndex.compute(own_run)
    assert found.spread == pytest.approx([1, 0], abs=1e-6)
    index, apart, _ = found.nearest(own_run, images[0], 4)
    assert list(index) == [0, 1, 2, 3]
    rounding = 39 * 5 / 2 / 64 / 2  # to half a step: from the middle it is 64 of them to each end
    assert apart == pytest.approx([0, 5, 10, 15], abs=rounding)
    assert np.ptp(found.map_2d()[:, 0]) == pytest.approx(39 * 5, abs=2 * rounding)
    _, _, middle = found.nearest(own_run, images[20], 1)
    assert abs(middle[0]) == pytest.approx(0.5 * 5, abs=0.01)  # of 0 to 39, 20 is half a digit from the mean


def test_neighbours_found_are_hardly_farther_than_the_true_ones(classifier, few):
    found = NeighbourIndex.compute(classifier)
    assert 0 <= neighbours.excess_distance(found, classifier, DIGITS, 6) < 0.05
    mixed_up = replace(found, points=found.points[::-1])
    assert neighbours.excess_distance(mixed_up, classifier, DIGITS, 6) > 0.2


def test_a_run_is_computed_once_and_kept(monkeypatch, own_run, few):
    told = []
    first = neighbours.get_index(own_run, told.append)
    assert told[-1] == 1
    monkeypatch.setattr(NeighbourIndex, "compute", None)
    again = neighbours.get_index(Classifier(own_run.spec, own_run.network, {}))
    assert np.array_equal(again.points, first.points)
    assert again.components.shape == (7, 7)  # no more than there are features


def test_a_damaged_file_is_computed_again(tmp_path, monkeypatch, own_run, few):
    monkeypatch.setattr(neighbours, "user_cache_path", lambda name: tmp_path)
    neighbours.get_index(own_run)
    (file,) = (tmp_path / "neighbours").iterdir()
    file.write_bytes(file.read_bytes()[:200])
    assert len(neighbours.get_index(Classifier(own_run.spec, own_run.network, {})).points) == 40
    assert len(NeighbourIndex.load(file).points) == 40
