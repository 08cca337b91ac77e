import numpy as np
import pytest
import torch

from atelier import MODELS
from atelier.data import mnist
from atelier.explain import snapshots


@pytest.fixture
def observe():
    """`observe(model, config)`: an untrained network, its observer and a first snapshot."""

    def observe(model, config):
        torch.manual_seed(0)
        network = MODELS[model].build(config).train()
        observer = snapshots.Observer(network, MODELS[model].family)
        random_state = torch.get_rng_state()
        snapshot = observer.take(3)
        assert network.training
        assert torch.equal(torch.get_rng_state(), random_state)
        return network, observer, snapshot

    return observe


def test_predictions_are_of_the_first_validation_digits(observe):
    network, _, snapshot = observe("cnn", {})
    images, labels = mnist.load("val")
    assert np.array_equal(snapshot["digits"], images[:12])
    assert np.array_equal(snapshot["labels"], labels[:12])
    assert snapshot["probabilities"].sum(axis=1) == pytest.approx(np.ones(12), abs=1e-5)
    assert snapshot["filters"] == pytest.approx(network.features[0][0].weight.detach()[:, 0].numpy())
    assert snapshot["step"] == 3


def test_attention_and_positions_are_those_of_the_network(observe):
    network, _, snapshot = observe("vit", {"patch_size": 7, "depth": 2})
    places = network.positions[0, 1:].detach().numpy()
    cosine = places[3] @ places[8] / np.linalg.norm(places[3]) / np.linalg.norm(places[8])
    assert snapshot["positions"].shape == (16, 16)
    assert snapshot["positions"][3, 8] == pytest.approx(cosine, abs=1e-5)
    _, attention = network.eval()(torch.tensor(snapshot["digits"]), return_attention=True)
    expected = attention[5, -1, :, 0, 1:].mean(0).reshape(4, 4).detach().numpy()  # the class token, in the last block
    assert snapshot["attention"][5] == pytest.approx(expected, abs=1e-5)


def test_fine_tuned_network_shows_the_kernels_that_changed_most(observe):
    network, observer, snapshot = observe("alexnet", {"backbone": "none"})
    assert not snapshot["filters"].any()  # nothing is trained yet
    with torch.no_grad():
        snapshots.trained_kernels(network)[3, 5] += 0.5
    changes = observer.take(4)["filters"]
    assert changes.shape == (24, 3, 3)
    assert changes[0] == pytest.approx(np.full((3, 3), 0.5), abs=1e-5)
    assert not changes[1:].any()


def test_detector_shows_boxes_in_its_scene(observe):
    _, _, snapshot = observe("faster_rcnn", {"channels": 16, "hidden": 32})
    height, width = snapshot["scene"].shape
    assert snapshot["boxes"].shape == (len(snapshot["scores"]), 4)
    assert (snapshot["boxes"] <= [width, height, width, height]).all()


def test_network_of_no_family_shows_its_predictions():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    network.forward = lambda digits: network[1](network[0](digits.float()))
    assert snapshots.Observer(network, None).take(0).keys() == {"digits", "labels", "probabilities", "step"}
