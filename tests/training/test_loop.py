"""The training loop: its events, its schedules, and that an interruption changes nothing."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from atelier.checkpoint import TRAINING_STATE
from atelier.classifier import predict_logits
from atelier.data import mnist
from atelier.recipe import Recipe
from atelier.training import loop
from atelier.training.loop import DivergedError, epoch_batches, fit
from atelier.training.setup import new_session, new_task

ADAMW = Recipe(epochs=4, batch_size=50, train_size=500, learning_rate=0.01)
SGD = replace(ADAMW, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3)
MUON = replace(ADAMW, optimizer="muon")
AVERAGED = replace(SGD, ema_decay=0.8)


@pytest.fixture(scope="module")
def data():
    """500 training and 300 validation digits."""
    return [tuple(torch.tensor(part[:count]) for part in mnist.load(split)) for split, count in
            (("train", 500), ("val", 300))]  # fmt: skip


def start(recipe, data):
    """A new session and its task."""
    model, config = ("vit", {"depth": 2, "patch_size": 7, "dim": 48, "heads": 2}) if recipe is MUON else ("cnn", None)
    session = new_session(model, recipe, torch.device("cpu"), config)
    return session, new_task(model, session, *data)


@pytest.fixture(scope="module", params=[ADAMW, MUON, AVERAGED], ids=["adamw", "muon", "averaged sgd"])
def trained(request, data):
    session, task = start(request.param, data)
    return session, list(fit(session, task))


def test_events_follow_steps_and_schedule(trained, data):
    session, events = trained
    assert [(e.step, e.epoch) for e in events if e.split == "val"] == [(10, 1), (20, 2), (30, 3), (40, 4)]
    assert [e.step for e in events if e.split == "train"] == list(range(1, 41))
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(events))
    assert all(e.images_per_second > 0 for e in events)
    rates = [e.learning_rate for e in events]
    assert max(rates) == pytest.approx(session.recipe.learning_rate, rel=0.05)
    assert rates[-1] < rates[0] < max(rates)
    counts = np.array(events[-1].confusion)
    assert counts.sum(axis=1).tolist() == np.bincount(data[1][1], minlength=10).tolist()
    assert counts.trace() / counts.sum() == pytest.approx(events[-1].accuracy)


def test_accuracy_rises(trained):
    _, events = trained
    assert events[0].accuracy < 0.4
    assert events[-1].accuracy > (0.25 if trained[0].recipe is MUON else 0.6)  # a ViT needs more epochs


def interrupted(recipe, data, stop, random_state=None):
    """Train to the event `stop`, and finish in a second session; `random_state` replaces the saved random state."""
    (first, task), events = start(recipe, data), []
    for event in fit(first, task):
        events.append(event)
        if (event.split, event.step) == stop:
            break
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()}
    if random_state is not None:
        saved[f"{TRAINING_STATE}random"] = random_state
    second, task = start(recipe, data)
    second.restore(saved, json.loads(json.dumps(first.counters())))
    return second, events + list(fit(second, task))


def assert_same(one, other):
    """The same weights, losses and confusions."""
    (session, events), (again, events_again) = one, other
    for a, b in zip(session.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [(e.loss, e.confusion) for e in events] == [(e.loss, e.confusion) for e in events_again]


def test_seed_decides_everything(trained, data):
    session, task = start(trained[0].recipe, data)
    assert_same(trained, (session, list(fit(session, task))))


@pytest.mark.parametrize("stop", [("val", 20), ("train", 20), ("train", 13)], ids=str)
def test_interrupted_run_ends_with_the_same_weights(trained, data, stop):
    """After an epoch, after its last step but before its validation, or within an epoch."""
    assert_same(trained, interrupted(trained[0].recipe, data, stop))


def be_one_of_two(monkeypatch, rank):
    """Compute in this process what one of two would, without the exchange of gradients."""
    monkeypatch.setattr(Fabric, "world_size", 2)
    monkeypatch.setattr(Fabric, "global_rank", rank)


def test_two_processes_share_each_batch(data, monkeypatch):
    session, _ = start(ADAMW, data)
    whole, halves = list(epoch_batches(session)), []
    for rank in range(2):
        be_one_of_two(monkeypatch, rank)
        halves.append(list(epoch_batches(session)))
    for batch, *parts in zip(whole, *halves, strict=True):
        assert [len(part) for part in parts] == [25, 25]
        assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())


def test_two_processes_augment_differently(data, monkeypatch):
    monkeypatch.setattr(loop, "epoch_batches", lambda _: [torch.arange(50)])
    losses = set()
    for rank in range(2):
        be_one_of_two(monkeypatch, rank)
        losses.add(next(fit(*start(SGD, data))).loss)
    assert len(losses) == 2


@pytest.mark.parametrize("rank", range(2))
def test_each_of_two_processes_resumes_without_its_own_random_state(data, monkeypatch, rank):
    """Only the first process's random state is saved, so it must not matter."""
    be_one_of_two(monkeypatch, rank)
    recipe = replace(AVERAGED, epochs=2)
    session, task = start(recipe, data)
    other_state = torch.Generator().manual_seed(99).get_state()
    assert_same((session, list(fit(session, task))), interrupted(recipe, data, ("train", 13), other_state))


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_learning_rate_follows_its_schedule(schedule, data):
    recipe = replace(ADAMW, schedule=schedule, epochs=1, batch_size=25)
    rates = [e.learning_rate for e in fit(*start(recipe, data)) if e.split == "train"]
    changes = np.diff(rates)
    if schedule == "constant":
        assert rates == [0.01] * 20
    elif schedule == "cosine":
        assert changes.max() < 0
        assert rates[9] == pytest.approx(0.005)  # half of the maximum after half of the steps
    else:
        assert changes[0] > 0 > changes[-2]


def test_averaged_weights_are_validated(data):
    """The decays of three steps: 0, then 2 / 11, then 0.2, which is less than 3 / 12."""
    session, task = start(replace(AVERAGED, epochs=1, train_size=150, ema_decay=0.2), data)
    bias = session.network.classifier[-1].bias
    expected = torch.zeros_like(bias)
    for event in fit(session, task):
        if event.split == "train":
            decay = (0, 2 / 11, 0.2)[event.step - 1]
            expected = decay * expected + (1 - decay) * bias.detach()
    average = session.average.module
    assert average.classifier[-1].bias.detach().numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    predictions = predict_logits(average, data[1][0]).argmax(1)
    assert event.accuracy == pytest.approx((predictions == data[1][1]).float().mean().item())


def test_slow_network_reports_more_often(data, monkeypatch):
    monkeypatch.setattr(loop, "EVENT_SECONDS", 0.0)
    events = fit(*start(replace(ADAMW, epochs=1, batch_size=10), data))
    assert [e.step for e in events if e.split == "train"] == list(range(1, 51))  # not 20 events


def test_loss_of_nan_stops_training(data):
    session, task = start(ADAMW, data)
    with torch.no_grad():
        next(session.network.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match="learning rate"):
        list(fit(session, task))
