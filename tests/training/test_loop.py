import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from atelier import MODELS
from atelier.data import mnist
from atelier.recipe import Recipe
from atelier.training import loop
from atelier.training.loop import TRAINING_STATE, DivergedError, Session, epoch_batches, fit
from atelier.training.tasks import predict_logits

RECIPES = [
    Recipe(epochs=4, batch_size=50, train_size=500, optimizer="adamw", learning_rate=0.01),
    Recipe(epochs=4, batch_size=50, train_size=500, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3),
    Recipe(epochs=4, batch_size=50, train_size=500, optimizer="muon", learning_rate=0.01),
    Recipe(epochs=4, batch_size=50, train_size=500, optimizer="sgd", learning_rate=0.1, ema_decay=0.8),
]


@pytest.fixture(scope="module")
def data():
    (images, labels), (others, their_labels) = mnist.load("train"), mnist.load("val")
    training = torch.tensor(images[:500]), torch.tensor(labels[:500])
    return training, (torch.tensor(others[:300]), torch.tensor(their_labels[:300]))


def new_session(recipe):
    torch.manual_seed(recipe.seed)
    small = {"depth": 2, "patch_size": 7, "dim": 48, "heads": 2}
    network = MODELS["vit"].build(small) if recipe.optimizer == "muon" else MODELS["cnn"].build()
    return Session(network, recipe, Fabric(accelerator="cpu", devices=1))


@pytest.fixture(scope="module", params=RECIPES, ids=["adamw", "sgd", "muon", "averaged sgd"])
def trained(request, data):
    session = new_session(request.param)
    return session, list(fit(session, *data))


def test_validates_once_at_the_end_of_each_epoch(trained):
    _, events = trained
    assert [(e.step, e.epoch) for e in events if e.split == "val"] == [(10, 1), (20, 2), (30, 3), (40, 4)]
    assert [e.step for e in events if e.split == "train"] == list(range(1, 41))


def test_events_follow_time_and_schedule(trained):
    session, events = trained
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(events))
    rates = [e.learning_rate for e in events]
    assert max(rates) == pytest.approx(session.recipe.learning_rate, rel=0.05)
    assert rates[-1] < rates[0] < max(rates)
    assert all(e.images_per_second > 0 for e in events)


def test_learns(trained):
    _, events = trained
    assert events[0].accuracy < 0.4
    assert events[-1].accuracy > (0.25 if trained[0].recipe.optimizer == "muon" else 0.6)  # a ViT takes its time


def trained_in_two_parts(recipe, data, stop, random=None):
    """Left at an event, and gone on by another session; `random` is put in place of the random state that was kept."""
    first, before = new_session(recipe), []
    for event in fit(first, *data):
        before.append(event)
        if (event.split, event.step) == stop:
            break
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()}
    counters = json.loads(json.dumps(first.counters()))
    if random is not None:
        saved[f"{TRAINING_STATE}random"] = random

    second = new_session(recipe)
    second.restore(saved, counters)
    return second, before + list(fit(second, *data))


@pytest.mark.parametrize("stop", [("val", 20), ("train", 20), ("train", 13)], ids=str)
def test_an_interrupted_run_ends_with_the_same_weights(trained, data, stop):
    """Left after an epoch, after its last step but before its validation, or in its middle."""
    whole, events = trained
    again, told = trained_in_two_parts(whole.recipe, data, stop)
    for a, b in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [e.loss for e in told] == [e.loss for e in events]
    assert [e.confusion for e in told] == [e.confusion for e in events]


def be_one_of_two(monkeypatch, rank):
    """Compute in this process alone what one of two would, until they exchange what they have learnt."""
    monkeypatch.setattr(Fabric, "world_size", 2)
    monkeypatch.setattr(Fabric, "global_rank", rank)


def test_two_processes_share_each_batch(monkeypatch):
    session = new_session(RECIPES[0])
    whole, halves = list(epoch_batches(session, 3, torch.device("cpu"))), []
    for rank in range(2):
        be_one_of_two(monkeypatch, rank)
        halves.append(list(epoch_batches(session, 3, torch.device("cpu"))))
    for batch, *parts in zip(whole, *halves, strict=True):
        assert [len(part) for part in parts] == [25, 25]
        assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())


def test_two_processes_vary_their_digits_differently(data, monkeypatch):
    monkeypatch.setattr(loop, "epoch_batches", lambda *_: [torch.arange(50)])
    losses = []
    for rank in range(2):
        be_one_of_two(monkeypatch, rank)
        losses.append(next(fit(new_session(RECIPES[1]), *data)).loss)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("rank", range(2))
def test_each_of_two_processes_goes_on_as_if_nothing_had_happened(data, monkeypatch, rank):
    """Only the first one's random state is kept for all: it must not matter."""
    be_one_of_two(monkeypatch, rank)
    recipe = replace(RECIPES[-1], epochs=2)
    whole = new_session(recipe)
    events = list(fit(whole, *data))
    elsewhere = torch.Generator().manual_seed(99).get_state()
    again, told = trained_in_two_parts(recipe, data, ("train", 13), random=elsewhere)
    assert [e.loss for e in told] == [e.loss for e in events]
    for a, b in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("schedule", "shape"), [("one-cycle", "up, then down"), ("cosine", "down"), ("constant", "level")]
)
def test_schedules_go_as_they_are_called(schedule, shape, data):
    session = new_session(replace(RECIPES[0], schedule=schedule, epochs=1, batch_size=25))
    rates = [e.learning_rate for e in fit(session, *data) if e.split == "train"]
    steps = [b - a for a, b in itertools.pairwise(rates)]
    if shape == "level":
        assert rates == [0.01] * 20
    elif shape == "down":
        assert max(steps) < 0
        assert rates[9] == pytest.approx(0.005)  # half of a cosine's way down, halfway
    else:
        assert steps[0] > 0 > steps[-2]


def test_the_average_of_the_weights_answers(data):
    """Each step, it keeps 0.2 of itself and takes 0.8 of the network; after one step 2 / 11, if that is less."""
    session = new_session(replace(RECIPES[-1], epochs=1, train_size=150, ema_decay=0.2))
    bias = session.network.classifier[-1].bias
    expected, seen = None, []
    for event in fit(session, *data):
        seen.append(event)
        if event.split == "train":
            keep = (0, 2 / 11, 0.2)[event.step - 1]
            expected = bias.detach().clone() if expected is None else keep * expected + (1 - keep) * bias.detach()
    averaged = session.average.module.classifier[-1].bias.detach()
    assert averaged.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    logits = predict_logits(session.average.module, data[1][0])
    assert seen[-1].accuracy == pytest.approx((logits.argmax(1) == data[1][1]).float().mean().item())


def test_the_confusion_counts_each_validation_digit_once(trained, data):
    _, events = trained
    last = np.array(events[-1].confusion)
    assert last.sum(axis=1).tolist() == np.bincount(data[1][1], minlength=10).tolist()
    assert last.trace() / last.sum() == pytest.approx(events[-1].accuracy)


def test_a_slow_network_is_heard_of_between_events(data, monkeypatch):
    monkeypatch.setattr(loop, "EVENT_SECONDS", 0.0)
    session = new_session(replace(RECIPES[0], epochs=1, batch_size=10, train_size=500))
    assert [e.step for e in fit(session, *data) if e.split == "train"] == list(range(1, 51))  # not 20 alone


def test_the_seed_decides_everything(trained, data):
    session = new_session(trained[0].recipe)
    assert [e.loss for e in fit(session, *data)] == [e.loss for e in trained[1]]


def test_a_loss_that_is_no_number_stops_with_a_suggestion(data):
    session = new_session(RECIPES[0])
    with torch.no_grad():
        next(session.network.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match="learning rate"):
        list(fit(session, *data))
