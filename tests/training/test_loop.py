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
from atelier.training.setup import new_session, new_task, to_device

CPU = torch.device("cpu")
ADAMW = Recipe(epochs=4, batch_size=50, train_size=500, learning_rate=0.01)
SGD = replace(ADAMW, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3)
MUON = replace(ADAMW, optimizer="muon")
AVERAGED = replace(SGD, ema_decay=0.8)


def start(recipe):
    """A new session and its task, with 500 training and 300 validation digits."""
    model, config = ("vit", {"depth": 2, "patch_size": 7, "dim": 48, "heads": 2}) if recipe is MUON else ("cnn", None)
    session = new_session(model, recipe, CPU, config)
    return session, new_task(model, session, to_device("train", CPU, 500), to_device("val", CPU, 300))


@pytest.fixture(scope="module", params=[ADAMW, MUON, AVERAGED], ids=["adamw", "muon", "averaged sgd"])
def trained(request):
    session, task = start(request.param)
    return session, list(fit(session, task))


def test_events_follow_steps_and_schedule(trained):
    session, events = trained
    assert [(e.step, e.epoch) for e in events if e.split == "val"] == [(10, 1), (20, 2), (30, 3), (40, 4)]
    assert [e.step for e in events if e.split == "train"] == list(range(1, 41))
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(events))
    assert max(e.learning_rate for e in events) == pytest.approx(session.recipe.learning_rate, rel=0.05)
    counts = np.array(events[-1].confusion)
    assert counts.sum(axis=1).tolist() == np.bincount(mnist.load("val")[1][:300], minlength=10).tolist()
    assert counts.trace() / counts.sum() == pytest.approx(events[-1].accuracy)
    assert events[0].accuracy < 0.4
    assert events[-1].accuracy > (0.25 if session.recipe is MUON else 0.6)  # a ViT needs more epochs


def interrupted(recipe, stop, random_state=None):
    """Train to the event `stop`, and finish in a second session; `random_state` replaces the saved random state."""
    (first, task), events = start(recipe), []
    for event in fit(first, task):
        events.append(event)
        if (event.split, event.step) == stop:
            break
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()}
    if random_state is not None:
        saved[f"{TRAINING_STATE}random"] = random_state
    second, task = start(recipe)
    second.restore(saved, json.loads(json.dumps(first.counters())))
    return second, events + list(fit(second, task))


def assert_same(one, other):
    """The same weights, losses and confusions."""
    (session, events), (again, events_again) = one, other
    for a, b in zip(session.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [(e.loss, e.confusion) for e in events] == [(e.loss, e.confusion) for e in events_again]


@pytest.mark.parametrize("stop", [None, ("val", 20), ("train", 20), ("train", 13)], ids=str)
def test_repeated_or_interrupted_run_ends_with_the_same_weights(trained, stop):
    """Without a break, after an epoch, after its last step but before its validation, or within an epoch."""
    assert_same(trained, interrupted(trained[0].recipe, stop))


def be_one_of_two(monkeypatch, rank):
    """Compute in this process what one of two would, without the exchange of gradients."""
    monkeypatch.setattr(Fabric, "world_size", 2)
    monkeypatch.setattr(Fabric, "global_rank", rank)


def test_two_processes_share_each_batch_and_augment_differently(monkeypatch):
    session, _ = start(ADAMW)
    whole, halves, losses = list(epoch_batches(session)), [], set()
    for rank in range(2):
        be_one_of_two(monkeypatch, rank)
        halves.append(list(epoch_batches(session)))
    for batch, *parts in zip(whole, *halves, strict=True):
        assert [len(part) for part in parts] == [25, 25]
        assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())
    monkeypatch.setattr(loop, "epoch_batches", lambda _: [torch.arange(50)])
    for rank in range(2):
        be_one_of_two(monkeypatch, rank)
        losses.add(next(fit(*start(SGD))).loss)
    assert len(losses) == 2


@pytest.mark.parametrize("rank", range(2))
def test_each_of_two_processes_resumes_without_its_own_random_state(monkeypatch, rank):
    """Only the first process's random state is saved, so it must not matter."""
    be_one_of_two(monkeypatch, rank)
    recipe = replace(AVERAGED, epochs=2)
    session, task = start(recipe)
    other_state = torch.Generator().manual_seed(99).get_state()
    assert_same((session, list(fit(session, task))), interrupted(recipe, ("train", 13), other_state))


def rates(schedule):
    recipe = replace(ADAMW, schedule=schedule, epochs=1, batch_size=25)
    return [e.learning_rate for e in fit(*start(recipe)) if e.split == "train"]


def test_learning_rate_follows_its_schedule():
    assert rates("constant") == [0.01] * 20
    cosine, one_cycle = rates("cosine"), np.diff(rates("one-cycle"))
    assert np.diff(cosine).max() < 0
    assert cosine[9] == pytest.approx(0.005)  # half of the maximum after half of the steps
    assert one_cycle[0] > 0 > one_cycle[-2]


def test_averaged_weights_are_validated():
    """The decays of three steps: 0, then 2 / 11, then 0.2, which is less than 3 / 12."""
    session, task = start(replace(AVERAGED, epochs=1, train_size=150, ema_decay=0.2))
    bias = session.network.classifier[-1].bias
    expected = torch.zeros_like(bias)
    for event in fit(session, task):
        if event.split == "train":
            decay = (0, 2 / 11, 0.2)[event.step - 1]
            expected = decay * expected + (1 - decay) * bias.detach()
    average = session.average.module
    assert average.classifier[-1].bias.detach().numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    images, labels = task.validation
    predictions = predict_logits(average, images).argmax(1)
    assert event.accuracy == pytest.approx((predictions == labels).float().mean().item())


def test_slow_network_reports_more_often(monkeypatch):
    monkeypatch.setattr(loop, "EVENT_SECONDS", 0.0)
    events = fit(*start(replace(ADAMW, epochs=1, batch_size=10)))
    assert [e.step for e in events if e.split == "train"] == list(range(1, 51))  # not 20 events


def test_loss_of_nan_stops_training():
    session, task = start(ADAMW)
    with torch.no_grad():
        next(session.network.parameters()).fill_(math.nan)
    with pytest.raises(DivergedError, match="learning rate"):
        list(fit(session, task))
