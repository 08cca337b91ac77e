"""What a class watches really changes while a network learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atelier import MODELS
from atelier.data import mnist
from atelier.runs import recorder, watch
from atelier.runs.folder import Run
from atelier.runs.worker import supervise

SMALL = {  # networks and data small enough for a test; epochs as in the demo. VGG16 is watched as AlexNet is.
    "cnn": ({}, {"train_size": 1000}),
    "faster_rcnn": ({"channels": 16, "hidden": 32}, {"train_size": 200}),
    "alexnet": ({"backbone": "none"}, {"train_size": 100, "batch_size": 25}),
    "vit": ({"depth": 2}, {"train_size": 200}),
}
LEARNT = {"cnn": ["filters"], "alexnet": ["filters"], "vit": ["positions", "attention"], "faster_rcnn": ["boxes"]}


@pytest.mark.parametrize("model", SMALL)
def test_each_panel_shows_at_least_three_things_in_a_demo(model, tmp_path, monkeypatch):
    network, small = SMALL[model]
    recipe = replace(MODELS[model].presets["demo"], **{"batch_size": 20, "validation_size": 100, **small})
    few = {split: tuple(part[:1000] for part in mnist.load(split)) for split in ("train", "val")}
    few["test"] = tuple(part[:100] for part in mnist.load("test"))
    monkeypatch.setattr(mnist, "load", few.get)
    run = Run.create(tmp_path, recorder.new_config(model, recipe, "cpu", network))
    if model == "faster_rcnn":  # so little training finds no box for sure
        monkeypatch.setattr(watch, "SHOWN_FROM", 0.0)
    shown = {name: set() for name in ("probabilities", "confusion", *LEARNT[model])}
    for event in supervise(run, "cpu", lambda: recorder.train(run.read("config.json"), run)):
        seen = run.watched()
        for name in shown.keys() - {"confusion"}:
            shown[name].add(seen[name].tobytes())
        if getattr(event, "split", "") == "val":
            shown["confusion"].add(event.confusion)
            assert seen["step"] == event.step
    assert {name: len(contents) >= 3 for name, contents in shown.items()} == dict.fromkeys(shown, True)


@pytest.fixture
def look(tmp_path):
    """What is seen of a new network."""

    def seen(model, config):
        torch.manual_seed(0)
        network = MODELS[model].build(config).train()
        run = Run.create(tmp_path, {"model": model})
        before = torch.get_rng_state()
        watch.Watch(network).look(run, 3)
        assert network.training
        assert torch.equal(torch.get_rng_state(), before)
        return network, run.watched()

    return seen


def test_guesses_are_on_the_first_validation_digits(look):
    network, seen = look("cnn", {})
    images, labels = mnist.load("val")
    assert (seen["digits"] == images[:12]).all()
    assert (seen["labels"] == labels[:12]).all()
    assert seen["probabilities"].sum(axis=1) == pytest.approx(np.ones(12), abs=1e-5)
    assert seen["filters"] == pytest.approx(network.features[0][0].weight.detach()[:, 0].numpy())


def test_attention_and_positions_of_the_vit(look):
    network, seen = look("vit", {"patch_size": 7, "depth": 2})
    places = network.positions[0, 1:].detach().numpy()
    cosine = places[3] @ places[8] / np.linalg.norm(places[3]) / np.linalg.norm(places[8])
    assert seen["positions"].shape == (16, 16)
    assert seen["positions"][3, 8] == pytest.approx(cosine, abs=1e-5)
    _, attention = network.eval()(torch.tensor(seen["digits"]), return_attention=True)
    looked = attention[5, -1, :, 0, 1:].mean(0).reshape(4, 4).detach().numpy()  # the class token, in the last block
    assert seen["attention"][5] == pytest.approx(looked, abs=1e-5)


def test_a_fine_tuned_network_shows_how_far_its_kernels_have_moved(look, tmp_path):
    network, seen = look("alexnet", {"backbone": "none"})
    assert not seen["filters"].any()  # not yet
    watcher = watch.Watch(network)
    kernels = watch.trained_kernels(network)
    with torch.no_grad():
        kernels[3, 5] += 0.5
    run = Run.create(tmp_path, {"model": "alexnet"})
    watcher.look(run, 1)
    moved = run.watched()["filters"]
    assert moved.shape == (24, 3, 3)
    assert moved[0] == pytest.approx(np.full((3, 3), 0.5), abs=1e-5)
    assert not moved[1:].any()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_file_shows_nothing(content, tmp_path):
    run = Run.create(tmp_path, {"model": "cnn"})
    if content is not None:
        run.path("watch.npz").write_bytes(content)
    assert run.watched() == {}
