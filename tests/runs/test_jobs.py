"""Runs in processes of their own: real processes, real signals."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atelier import checkpoint
from atelier.recipe import Recipe
from atelier.runs import jobs
from atelier.runs.folder import LOG, Run, RunError
from atelier.training import loop
from tests.support.made_runs import TINY, new_run, resume, state

ROOT = Path(__file__).parent.parent.parent
# This worker saves at every event, and its events come at fixed steps: it can be killed in the middle of an epoch, and
# its curve can be compared.
WORKER = """
import sys
from atelier.runs import recorder
from atelier.training import loop
recorder.SAVE_EVERY, loop.EVENT_SECONDS = 0.0, 1e9
from atelier.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
SERVER = f"""
import sys, time
from pathlib import Path
from atelier.recipe import Augmentation, Recipe
from atelier.runs import jobs
run = jobs.start("cnn", {TINY!r}, device="cpu", runs=Path(sys.argv[1]))
print(run.id, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _queue_of_its_own(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(jobs, "not_for_workers", set())


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the test waited in vain"
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch, request):
    monkeypatch.setattr(loop, "EVENT_SECONDS", 1e9)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the worker: the order of a sum changes its rounding
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    whole, killed = new_run(tmp_path), new_run(tmp_path)
    assert resume(whole) == 0
    command = [sys.executable, "-c", WORKER, "train", "cnn", "--resume", killed.id, "--runs", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        wait_for(lambda: len(killed.metrics()) > 25)  # in the second of three epochs
        worker.send_signal(signal.SIGKILL)
    assert state(killed) == "interrupted"
    saved = checkpoint.read_card(killed.path("last.safetensors"))["progress"]["step"]
    assert saved > 20
    assert saved % 20 != 0  # within an epoch of 20 steps
    assert killed.metrics()[-1]["step"] <= saved + 1  # nothing more was lost
    killed.path("best.safetensors").unlink()  # by hand: the next best weights replace it

    assert resume(killed) == 0
    assert killed.status() == ("done", "")
    assert [e["loss"] for e in killed.metrics()] == [e["loss"] for e in whole.metrics()]
    tensors, _ = checkpoint.load(killed.path("last.safetensors"))
    for name, tensor in checkpoint.load(whole.path("last.safetensors"))[0].items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.slow
def test_run_continues_when_the_process_that_started_it_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        run = Run.open(tmp_path, server.stdout.readline().strip())
        server.kill()
    wait_for(lambda: state(run) not in ("queued", "running"))
    assert run.status() == ("done", "")
    assert run.read("result.json")["accuracy"] > 0.5


@pytest.mark.slow
def test_two_runs_train_one_after_the_other_and_follow_requests(tmp_path):
    recipe = replace(TINY, epochs=500)
    first, second = (jobs.start("cnn", recipe, device="cpu", runs=tmp_path) for _ in range(2))
    wait_for(lambda: state(second) == "queued" and second.status()[1])  # the reason: another run trains
    assert second.is_locked()
    with pytest.raises(RunError):
        jobs.delete(second)
    wait_for(lambda: len(first.metrics()) > 3)

    jobs.request(first, "pause")
    wait_for(lambda: state(first) == "paused" and state(second) == "running")
    wait_for(lambda: second.metrics())
    jobs.request(second, "stop")
    wait_for(lambda: state(second) == "stopped")
    with pytest.raises(RunError):
        jobs.request(second, "pause")

    before = len(first.metrics())
    wait_for(lambda: not first.is_locked())
    jobs.resume(first)
    with pytest.raises(RunError):
        jobs.resume(first)
    wait_for(lambda: len(first.metrics()) > before)
    epochs = [event["epoch"] for event in first.metrics()]
    assert epochs == sorted(epochs)  # it continued from its checkpoint
    jobs.request(first, "stop")
    wait_for(lambda: state(first) == "stopped" and not first.is_locked())
    jobs.delete(first)
    assert not first.folder.exists()
    assert "Traceback" not in second.path(LOG).read_text()


def test_run_is_not_trained_by_two_processes(tmp_path):
    run = new_run(tmp_path)
    with run.lock():
        run.set_status("running")
        assert resume(run) == 2
        assert run.status() == ("running", "")


IMPOSSIBLE = {
    "Muon": ("cnn", Recipe(epochs=1, optimizer="muon"), {}),
    "patch_size": ("vit", Recipe(epochs=1), {"patch_size": 5}),
    "precision": ("faster_rcnn", Recipe(epochs=1, precision="bf16-mixed"), {}),
    "62 GB": ("vgg16", Recipe(epochs=6, variations=6), {"input_size": 224, "backbone": "none"}),
    "Averaged": ("alexnet", Recipe(epochs=1, ema_decay=0.9), {"backbone": "none"}),
}


@pytest.mark.parametrize("cause", IMPOSSIBLE)
def test_impossible_training_is_refused_before_its_folder_exists(cause, tmp_path):
    model, recipe, network = IMPOSSIBLE[cause]
    with pytest.raises(ValueError, match=cause):
        jobs.start(model, recipe, network, device="cpu", runs=tmp_path)
    assert not list(tmp_path.iterdir())
