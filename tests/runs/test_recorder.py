"""What can go wrong while a run trains: each failure leaves a reason and a run that can be resumed."""

import os
import pickle
import resource

import pytest
import torch

from atelier import checkpoint
from atelier.__main__ import main
from atelier.data import mnist
from atelier.runs import recorder
from atelier.runs.folder import Run
from atelier.training import loop, tasks
from atelier.training.session import Session
from tests.support.made_runs import new_run, resume, state


@pytest.fixture(autouse=True)
def _fewer_test_digits(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    whole = mnist.load
    monkeypatch.setattr(mnist, "load", lambda split: tuple(p[:500] if split == "test" else p for p in whole(split)))


def raising(error):
    def function(*_, **__):
        raise error

    return function


def test_only_the_first_of_several_processes_makes_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(recorder, "train", lambda config, run, writes: iter([]))
    assert main(["train", "cnn", "--device", "cpu", "--tensorboard", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


def test_earlier_request_does_not_stop_a_resumed_run(tmp_path):
    run = new_run(tmp_path, epochs=1)
    run.request("stop")
    assert resume(run) == 0
    assert state(run) == "done"


@pytest.mark.parametrize("size", [5_000, 200_000])  # bytes that a file may have: too few for a snapshot, for weights
def test_run_on_a_full_disk_fails_and_continues_when_there_is_room(tmp_path, size):
    run = new_run(tmp_path, epochs=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        assert resume(run) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state(run) == "failed"
    assert "File too large" in run.status()[1]  # the operating system's own words
    assert not list(run.folder.glob("*tmp*"))
    assert resume(run) == 0
    assert state(run) == "done"


def test_status_can_be_written_on_a_full_disk(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    monkeypatch.setattr(Run, "write", raising(OSError(28, "No space left on device")))
    run.set_status("failed", "The disk is full.")
    assert run.status() == ("failed", "The disk is full.")


def test_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    real = tasks.loss_and_accuracy
    monkeypatch.setattr(tasks, "loss_and_accuracy", lambda *a: (real(*a)[0] * float("nan"), real(*a)[1]))
    assert resume(run) == 1
    assert state(run) == "failed"
    assert "0.1" in run.status()[1]  # the learning rate to lower


OUT_OF_MEMORY = {
    "NVIDIA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "Apple": RuntimeError("MPS backend out of memory (MPS allocated: 8.94 GB, max allowed: 9.07 GB)."),
    "CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 20 bytes."),
}


@pytest.mark.parametrize("place", [(loop, "train_epoch"), (Session, "restore")], ids=["a step", "resuming"])
@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_run_without_enough_memory_names_a_smaller_batch(tmp_path, monkeypatch, place, error):
    run = new_run(tmp_path)
    if place == (Session, "restore"):
        write_last(run)
    monkeypatch.setattr(*place, raising(error))
    assert resume(run) == 1
    assert state(run) == "failed"
    assert "batch size of 50 instead of 100" in run.status()[1]


def test_unexpected_error_leaves_its_name(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    monkeypatch.setattr(loop, "train_epoch", raising(KeyError("no such thing")))
    with pytest.raises(KeyError):
        resume(run)
    assert state(run) == "failed"
    assert "KeyError" in run.status()[1]


def write_last(run, **changes):
    """A last checkpoint that fits the run's config, but whose tensors are of no network."""
    config = run.read("config.json")
    card = {"recipe": config["recipe"], "config": config["network"], "progress": {"best": 0.5}}
    checkpoint.save(run.path("last.safetensors"), {"weight": torch.zeros(1000)}, card | changes)


UNUSABLE = {
    "of another network": ({}, None),
    "without progress": ({"progress": None}, None),
    "of a newer version": ({"version": 99}, None),
    "pickled": ({}, lambda file: file.write_bytes(pickle.dumps([1.0] * 99))),
    "cut off": ({}, lambda file: os.truncate(file, file.stat().st_size // 2)),
    "too large": ({}, lambda file: os.truncate(file, checkpoint.LARGEST_FILE + 1)),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_checkpoint_is_refused_with_a_reason(tmp_path, capsys, what):
    changes, damage = UNUSABLE[what]
    run = new_run(tmp_path)
    write_last(run, **changes)
    if damage:
        damage(run.path("last.safetensors"))
    assert resume(run) == 2
    printed = capsys.readouterr().err.strip()
    assert run.status() == ("failed", printed)
    assert printed
    assert "\n" not in printed


@pytest.mark.parametrize("changes", [{"recipe": {"seed": 7}}, {"network": {"dropout": 0.5}}], ids=["recipe", "network"])
def test_checkpoint_of_another_config_is_refused(tmp_path, changes):
    run = new_run(tmp_path, epochs=1, train_size=200)
    assert resume(run) == 0
    config = run.read("config.json")
    run.write("config.json", config | {key: config[key] | change for key, change in changes.items()})
    run.set_status("stopped")
    assert resume(run) == 2
    assert state(run) == "failed"


@pytest.mark.parametrize("content", ["{", '{"model": "cnn"}', '{"model": "cnn", "recipe": [1]}'])
def test_run_with_a_damaged_config_is_not_resumed(tmp_path, capsys, content):
    run = new_run(tmp_path)
    run.path("config.json").write_text(content)
    assert resume(run) == 2
    assert "config.json" in capsys.readouterr().err


def test_run_ends_when_its_folder_is_deleted(tmp_path, capsys, monkeypatch):
    run = new_run(tmp_path, epochs=500)
    real = loop.train_epoch

    def delete_in_step_30(session, task):
        for results in real(session, task):
            if session.step == 30:
                os.rename(run.folder, tmp_path / "deleted")
            yield results

    monkeypatch.setattr(loop, "train_epoch", delete_in_step_30)
    assert resume(run) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
