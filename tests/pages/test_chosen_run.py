"""A person's own run in place of a shipped network: in the session, in its link, on the Draw page."""

import gc
import json
import os
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from atelier import MODELS, checkpoint, paths
from atelier.data import hands
from atelier.runs import pool
from atelier.runs.folder import Run
from pages.ui import networks

ROOT = Path(__file__).parent.parent.parent
DRAWINGS = json.loads(hands.STROKES.read_text())
SEVEN = next(d for d in DRAWINGS if d["hand"] == "a1" and d["label"] == 7)
LAST_LAYER = {"vit": "head", "alexnet": "head.5", "faster_rcnn": "detector.roi_heads.box_predictor.cls_score"}


@pytest.fixture
def new_run(monkeypatch, tmp_path):
    """`new_run(model)`: a finished run of a network that takes each digit for the next one, a 7 for an 8."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")

    def make(model):
        run = Run.create(paths.RUNS, {"model": model})
        tensors, card = checkpoint.load(MODELS[model].checkpoint)
        for name in (f"{LAST_LAYER[model]}.weight", f"{LAST_LAYER[model]}.bias"):
            tensors[name] = tensors[name].clone()
            tensors[name][-10:] = tensors[name][-10:].roll(1, dims=0)
        checkpoint.save(run.path("best.safetensors"), tensors, card)
        run.set_status("done")
        return run

    return make


# Keeping loaded runs --------------------------------------------------------------------------------------------------


@pytest.fixture
def answers_of(new_run, monkeypatch):
    """`answers_of(run)`: the Future of a run, as a session that has chosen it gets it."""
    monkeypatch.setattr(pool, "DELAY", 0.0)

    def load(run, model="vit"):
        monkeypatch.setattr(networks, "chosen", {model: run.id}.get)
        return networks.load(model)

    return load


def test_runs_that_nobody_used_for_longest_make_room(new_run, answers_of, monkeypatch):
    nine = [new_run("vit") for _ in range(9)]
    monkeypatch.setattr(pool, "MEMORY", 8 * 2 * nine[0].path("best.safetensors").stat().st_size)
    shipped = networks.load("vit")
    kept = [answers_of(run) for run in nine[:8]]
    for promise in kept:
        promise.result(timeout=60)
    assert answers_of(nine[0]) is kept[0]  # used again: now the second is the oldest
    answers_of(nine[8]).result(timeout=60)
    assert answers_of(nine[0]) is kept[0]
    assert answers_of(nine[2]) is kept[2]
    assert kept[1].result().predict_proba(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)  # who has it can use it
    forgotten = weakref.ref(kept.pop(1).result().network)
    gc.collect()
    assert forgotten() is None
    monkeypatch.setattr(networks, "chosen", {}.get)
    assert networks.load("vit") is shipped


def test_a_run_larger_than_the_room_is_still_used(new_run, answers_of, monkeypatch):
    monkeypatch.setattr(pool, "MEMORY", 1)
    run = new_run("vit")
    promise = answers_of(run)
    promise.result(timeout=60)
    assert answers_of(run) is promise


def test_while_a_run_trains_on_its_last_weights_answer_until_the_new_ones_are_loaded(new_run, answers_of, monkeypatch):
    run = new_run("vit")
    old = answers_of(run)
    old.result(timeout=60)
    gate, load = threading.Event(), pool.atelier.load
    monkeypatch.setattr(pool.atelier, "load", lambda source: gate.wait(60) and load(source))
    os.utime(run.path("best.safetensors"), (1, 1))
    assert answers_of(run) is old
    gate.set()
    (new,) = [promise for promise in pool._pool.values() if not promise.done()]
    new.result(timeout=60)
    assert answers_of(run) is new
    assert old not in pool._pool.values()
