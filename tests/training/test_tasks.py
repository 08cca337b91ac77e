"""How the other families learn: fine-tuning on cached features, detection in scenes."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from atelier.data import mnist, scenes
from atelier.models.faster_rcnn import FasterRCNN, FasterRCNNConfig
from atelier.recipe import Recipe, RecipeError
from atelier.training.events import Event, Preparation
from atelier.training.loop import fit
from atelier.training.setup import new_config, new_session, new_task
from atelier.training.tasks import Detection, FineTuning, target
from atelier.zoo import MODELS, Family

FINE_TUNING = Recipe(epochs=4, batch_size=25, train_size=50, variations=2, precision="bf16-mixed")
DETECTION = Recipe(epochs=3, batch_size=10, train_size=20, precision="32-true")
CASES = {
    "alexnet": ({"backbone": "none"}, FINE_TUNING),
    "faster_rcnn": ({"channels": 16, "hidden": 16}, DETECTION),
}


@pytest.fixture(scope="module")
def data():
    """50 training and 30 validation digits."""
    return [tuple(torch.tensor(part[:count]) for part in mnist.load(split)) for split, count in
            (("train", 50), ("val", 30))]  # fmt: skip


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def start(name, data, seed=0):
    config, recipe = CASES[name]
    session = new_session(name, recipe, torch.device("cpu"), config)
    if seed:
        torch.manual_seed(seed)
        session.network.load_state_dict(MODELS[name].build(config).state_dict())
    return session, new_task(name, session, *data)


def losses(session, task):
    return [event.loss for event in fit(session, task) if isinstance(event, Event)]


@pytest.mark.parametrize("name", CASES)
def test_interrupted_run_ends_with_the_same_weights(name, data):
    whole, task = start(name, data)
    expected = losses(whole, task)
    first, task = start(name, data)
    for event in fit(first, task):
        if isinstance(event, Event) and event.step == 3:  # in the second epoch
            break
    saved = {key: tensor.clone() for key, tensor in first.tensors().items()}
    second, _ = start(name, data, seed=99)
    second.restore(saved, json.loads(json.dumps(first.counters())))
    after = losses(second, new_task(name, second, *data))
    assert after == expected[-len(after) :]
    for a, b in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(a, b)


def batches_of_frozen_part(session):
    """A list that grows by the size of each batch that the frozen part computes."""
    sizes = []
    session.network.features[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    return sizes


def test_features_of_each_copy_are_computed_once_and_found_by_the_next_run(data):
    session, task = start("alexnet", data)
    sizes = batches_of_frozen_part(session)
    events = list(fit(session, task))
    assert sizes == [30, 50, 50]  # validation once; two copies of 50 digits serve four epochs
    assert [e.done for e in events if isinstance(e, Preparation)] == [30, 50, 50]

    again, task = start("alexnet", data)
    sizes = batches_of_frozen_part(again)
    assert losses(again, task) == [e.loss for e in events if isinstance(e, Event)]
    assert sizes == []

    other, task = start("alexnet", data, seed=1)  # other frozen weights
    sizes = batches_of_frozen_part(other)
    losses(other, task)
    assert sizes == [30, 50, 50]


def test_copies_of_a_digit_differ(data):
    _, task = start("alexnet", data)
    features = []
    for epoch in range(3):
        list(task.start_epoch(epoch))
        features.append(task.features)
    assert not torch.equal(features[0], features[1])
    assert features[0] is features[2]


def test_families_have_their_tasks(data):
    types = {MODELS[name].family: type(start(name, data)[1]) for name in CASES}
    assert types == {Family.FINE_TUNED: FineTuning, Family.DETECTOR: Detection}


@pytest.mark.parametrize(
    ("model", "recipe", "network"),
    [
        ("faster_rcnn", Recipe(epochs=1, precision="bf16-mixed"), {}),
        ("vgg16", Recipe(epochs=1, ema_decay=0.9), {}),
        ("vgg16", Recipe(epochs=6, variations=6), {"input_size": 224}),
        ("cnn", Recipe(epochs=1, optimizer="muon"), {}),
        ("cnn", Recipe(epochs=1), {"width": 3}),
    ],
    ids=["detector in half precision", "average of a part", "features too large", "no matrices", "unknown size"],
)
def test_recipe_that_cannot_work_is_refused(model, recipe, network):
    with pytest.raises(RecipeError, match=r"\.$"):
        new_config(model, recipe, "cpu", network)


def test_detector_learns_where_digits_are():
    """After 200 steps on one scene, the detector finds its two digits."""
    torch.manual_seed(0)
    network = FasterRCNN(FasterRCNNConfig(channels=16, hidden=32)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    scene = scenes.random_scene("train", np.random.default_rng(5), digits=2)
    picture = torch.tensor(scene.picture).unsqueeze(0) / 255
    for _ in range(200):
        optimizer.zero_grad()
        sum(network.losses([picture, picture], [target(scene), target(scene)]).values()).backward()
        optimizer.step()
    with torch.inference_mode():
        boxes, probabilities = network.eval().detect(picture, threshold=0.5)
    scores = probabilities.amax(1).tolist()
    assert all(a >= b for a, b in pairwise(scores))
    boxes, probabilities = boxes[:2], probabilities[:2]  # a third, less confident box may depend on rounding
    order = boxes[:, 0].argsort()
    assert probabilities.argmax(1)[order].tolist() == scene.labels.tolist()
    assert np.abs(boxes[order].numpy() - scene.boxes).max() < 8  # pixels
