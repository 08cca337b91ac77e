"""How the networks that are no plain classifiers learn: fine-tuning on kept features, detection in scenes."""

import json

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from atelier import MODELS
from atelier.data import mnist, scenes
from atelier.models.faster_rcnn import FasterRCNN, FasterRCNNConfig
from atelier.recipe import Recipe
from atelier.training.loop import Event, Preparation, Session, fit
from atelier.training.tasks import FineTuning, target

NETWORKS = {
    "alexnet": ({"backbone": "none"}, Recipe(epochs=4, batch_size=25, train_size=50, variations=2)),
    "faster_rcnn": ({"channels": 16, "hidden": 16}, Recipe(epochs=3, batch_size=10, train_size=20)),
}


@pytest.fixture(scope="module")
def data():
    (images, labels), (others, their_labels) = mnist.load("train"), mnist.load("val")
    return (torch.tensor(images[:50]), torch.tensor(labels[:50])), (
        torch.tensor(others[:30]),
        torch.tensor(their_labels[:30]),
    )


def new_session(name, seed=0):
    config, recipe = NETWORKS[name]
    torch.manual_seed(seed)
    precision = "bf16-mixed" if name == "alexnet" else "32-true"
    return Session(MODELS[name].build(config), recipe, Fabric(accelerator="cpu", devices=1, precision=precision))


def told(session, data):
    return [event for event in fit(session, *data) if isinstance(event, Event)]


@pytest.mark.parametrize("name", NETWORKS)
def test_an_interrupted_run_ends_with_the_same_weights(name, data):
    whole = new_session(name)
    events = told(whole, data)
    first = new_session(name)
    for event in fit(first, *data):
        if isinstance(event, Event) and event.step == 3:  # in the second epoch
            break
    saved = {key: tensor.clone() for key, tensor in first.tensors().items()}
    second = new_session(name, seed=99)
    second.restore(saved, json.loads(json.dumps(first.counters())))
    after = told(second, data)
    assert [e.loss for e in after] == [e.loss for e in events[-len(after) :]]
    for a, b in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(a, b)


def watched(session):
    """How many digits the frozen part is shown, batch by batch."""
    seen = []
    session.network.features[0].register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    return seen


def test_the_frozen_part_sees_each_copy_of_a_digit_once(data, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    session = new_session("alexnet")
    seen = watched(session)
    events = list(fit(session, *data))
    assert seen == [30, 50, 50]  # 30 validate, once; four epochs show two copies of 50 digits
    assert [e.done for e in events if isinstance(e, Preparation)] == [30, 50, 50]


def test_the_next_run_finds_the_features_on_disk(data, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    events = told(new_session("alexnet"), data)
    second = new_session("alexnet")
    seen = watched(second)
    assert [e.loss for e in told(second, data)] == [e.loss for e in events]
    assert seen == []
    other = new_session("alexnet", seed=1)  # without a backbone, another seed makes other frozen weights
    seen = watched(other)
    told(other, data)
    assert seen == [30, 50, 50]


def test_the_copies_of_a_digit_differ(data):
    task = FineTuning(new_session("alexnet"), *data)
    copies = []
    for epoch in range(3):
        list(task.start_epoch(epoch))
        copies.append(task.copy)
    assert not torch.equal(copies[0], copies[1])
    assert copies[0] is copies[2]


def test_a_detector_learns_where_digits_are():
    """One scene, seen two hundred times, is found again."""
    torch.manual_seed(0)
    network = FasterRCNN(FasterRCNNConfig(channels=16, hidden=32)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    scene = scenes.random_scene("train", np.random.default_rng(5), digits=2)
    picture = torch.tensor(scene.picture).unsqueeze(0) / 255
    to_find = target(scene)
    for _ in range(200):
        optimizer.zero_grad()
        sum(network.losses([picture, picture], [to_find, to_find]).values()).backward()
        optimizer.step()
    with torch.inference_mode():
        boxes, probabilities = network.eval().detect(picture, threshold=0.5)
    surest = probabilities.amax(1).argsort(descending=True)[:2]  # a third, unsure box may depend on rounding
    order = surest[boxes[surest, 0].argsort()]
    assert probabilities.argmax(1)[order].tolist() == scene.labels.tolist()
    assert (boxes[order] - to_find["boxes"]).abs().max() < 8  # pixels
