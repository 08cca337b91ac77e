"""How the other families learn: fine-tuning on cached features, detection in scenes."""

import json

import numpy as np
import pytest
import torch

from atelier.data import scenes
from atelier.models.faster_rcnn import FasterRCNN, FasterRCNNConfig
from atelier.recipe import Recipe, RecipeError
from atelier.training.events import Event, Preparation
from atelier.training.loop import fit
from atelier.training.setup import new_config, new_session, new_task, to_device
from atelier.training.tasks import Detection, FineTuning, target
from atelier.zoo import MODELS

CPU = torch.device("cpu")
FINE_TUNING = Recipe(epochs=4, batch_size=25, train_size=50, variations=2, precision="bf16-mixed")
DETECTION = Recipe(epochs=3, batch_size=10, train_size=20, precision="32-true")
CASES = {
    "alexnet": ({"backbone": "none"}, FINE_TUNING, FineTuning),
    "faster_rcnn": ({"channels": 16, "hidden": 16}, DETECTION, Detection),
}


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def digits():
    """50 for training and 30 for validation."""
    return to_device("train", CPU, 50), to_device("val", CPU, 30)


def start(name, seed=0):
    config, recipe, _ = CASES[name]
    session = new_session(name, recipe, CPU, config)
    if seed:
        torch.manual_seed(seed)
        session.network.load_state_dict(MODELS[name].build(config).state_dict())
    return session, new_task(name, session, *digits())


def losses(session, task):
    return [event.loss for event in fit(session, task) if isinstance(event, Event)]


@pytest.mark.parametrize("name", CASES)
def test_interrupted_run_ends_with_the_same_weights(name):
    whole, task = start(name)
    assert type(task) is CASES[name][2]
    expected = losses(whole, task)
    first, task = start(name)
    for event in fit(first, task):
        if isinstance(event, Event) and event.step == 3:  # in the second epoch
            break
    saved = {key: tensor.clone() for key, tensor in first.tensors().items()}
    second, _ = start(name, seed=99)
    second.restore(saved, json.loads(json.dumps(first.counters())))
    after = losses(second, new_task(name, second, *digits()))
    assert after == expected[-len(after) :]
    for a, b in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_features_of_each_copy_are_computed_once_and_found_by_the_next_run():
    results = []
    for seed in (0, 0, 1):  # the last with other frozen weights
        session, task = start("alexnet", seed)
        sizes = []
        session.network.features[0].register_forward_hook(
            lambda _, inputs, __, sizes=sizes: sizes.append(len(inputs[0]))
        )
        events = list(fit(session, task))
        results.append([e.loss for e in events if isinstance(e, Event)])
        assert [e.done for e in events if isinstance(e, Preparation)] == [30, 50, 50]
        # Validation once; two copies of 50 digits serve four epochs.
        assert sizes == ([] if len(results) == 2 else [30, 50, 50])
    assert not torch.equal(task.copies[0], task.copies[1])
    assert results[0] == results[1]


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
    boxes, probabilities = boxes[:2], probabilities[:2]  # a third, less confident box may depend on rounding
    order = boxes[:, 0].argsort()
    assert probabilities.argmax(1)[order].tolist() == scene.labels.tolist()
    assert np.abs(boxes[order].numpy() - scene.boxes).max() < 8  # pixels
