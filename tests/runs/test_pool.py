import gc
import os
import threading
import weakref

import numpy as np
import pytest

import atelier
from atelier import MODELS, checkpoint, paths
from atelier.checkpoint import CheckpointError, weights
from atelier.runs.folder import Run, RunError
from atelier.runs.pool import MEMORY, Pool, run_checkpoint

BLANK = np.zeros((1, 28, 28), np.uint8)


@pytest.fixture
def new_run(monkeypatch, tmp_path):
    """`new_run()`: a run with the weights of a tiny ViT."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)

    def make(trained="vit"):
        run = Run.create(tmp_path, {"model": trained})
        sizes = {"dim": 8, "depth": 1, "heads": 2}
        card = {"model": "vit", "config": sizes}
        checkpoint.save(run.path("best.safetensors"), weights(MODELS["vit"].build(sizes)), card)
        return run

    return make


def loaded(pool, run):
    """The Future of a run, as soon as it is done."""
    future = pool.request("vit", run.id)
    future.exception(timeout=60)
    return future


def test_least_recently_used_runs_make_room(new_run):
    runs = [new_run() for _ in range(4)]
    pool = Pool(delay=0, memory=3 * 2 * runs[0].path("best.safetensors").stat().st_size)
    shipped = pool.request("vit")
    shipped.result(timeout=60)
    kept = [loaded(pool, run) for run in runs[:3]]
    assert pool.request("vit", runs[0].id) is kept[0]  # now the second one is the oldest
    loaded(pool, runs[3])
    assert pool.request("vit", runs[0].id) is kept[0]
    assert pool.request("vit", runs[2].id) is kept[2]
    assert pool.request("vit") is shipped
    forgotten = kept.pop(1)
    assert forgotten.result().predict_proba(BLANK).shape == (1, 10)  # who holds it can still use it
    network = weakref.ref(forgotten.result().network)
    del forgotten
    gc.collect()
    assert network() is None


def test_run_larger_than_the_memory_is_kept(new_run):
    pool, run = Pool(delay=0, memory=1), new_run()
    future = loaded(pool, run)
    assert pool.request("vit", run.id) is future


def test_previous_weights_answer_until_changed_ones_are_loaded(new_run, monkeypatch):
    pool, run = Pool(delay=0), new_run()
    old = loaded(pool, run)
    gate, load = threading.Event(), atelier.load
    monkeypatch.setattr(atelier, "load", lambda source: gate.wait(60) and load(source))
    os.utime(run.path("best.safetensors"), (1, 1))
    assert pool.request("vit", run.id) is old
    gate.set()
    (new,) = [future for future in pool._futures.values() if future is not old]
    assert new.result(timeout=60) is not old.result()
    assert pool.request("vit", run.id) is new
    assert list(pool._futures.values()) == [new]


def test_all_shipped_networks_load_once_in_parallel():
    pool = Pool(delay=0)
    pool.load_shipped()
    futures = [pool.request(model) for model in MODELS]
    assert [future.result(timeout=60).spec.name for future in futures] == list(MODELS)
    assert [pool.request(model) for model in MODELS] == futures
    assert 2 * sum(spec.checkpoint.stat().st_size for spec in MODELS.values()) < MEMORY


def test_weights_of_another_network_are_refused(new_run):
    run = new_run(trained="cnn")  # its config was changed by hand
    with pytest.raises(CheckpointError):
        Pool(delay=0).request("cnn", run.id).result(timeout=60)


@pytest.mark.parametrize("id", ["20260101-120000-vit-abcd", "../runs", "", "x" * 5000, "ж" * 99])
def test_unknown_run_is_refused(new_run, id):
    new_run()
    with pytest.raises(RunError):
        run_checkpoint("vit", id)
    assert isinstance(Pool().request("vit", id).exception(), RunError)


def test_run_without_usable_weights_is_refused(new_run):
    run = new_run()
    with pytest.raises(RunError):
        run_checkpoint("cnn", run.id)
    run.path("best.safetensors").unlink()
    with pytest.raises(RunError):
        run_checkpoint("vit", run.id)
