"""Runs in processes of their own, and everything that can go wrong with them: real processes, real signals."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from atelier import checkpoint
from atelier.__main__ import main
from atelier.data import mnist
from atelier.training import jobs, loop, tasks, train
from atelier.training.recipe import Recipe
from atelier.training.runs import Run, RunError

ROOT = Path(__file__).parent.parent.parent
RECIPE = Recipe(epochs=3, batch_size=100, train_size=2000, optimizer="sgd", learning_rate=0.1, validation_size=200)
# A worker that keeps its state at every event, so that it can be killed in the middle of an epoch, and speaks at fixed
# steps, so that curves can be compared.
WORKER = """
import sys
from atelier.training import loop, train
train.SAVE_EVERY, loop.EVENT_SECONDS = 0.0, 1e9
from atelier.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(jobs, "not_for_workers", set())
    whole = mnist.load  # runs in this process are tested on fewer digits, which is quicker
    monkeypatch.setattr(mnist, "load", lambda split: tuple(p[:500] if split == "test" else p for p in whole(split)))


def new_run(runs, **changes):
    return Run.create(runs, train.new_config("cnn", Recipe(**{**vars(RECIPE), **changes}), "cpu"))


def resume(run):
    return main(["train", "cnn", "--resume", run.id, "--runs", str(run.folder.parent)])


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


def state(run):
    return run.status()[0]


def test_a_worker_killed_within_an_epoch_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch, request):
    monkeypatch.setattr(loop, "EVENT_SECONDS", 1e9)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the worker: sums in another order are other sums
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    whole, killed = new_run(tmp_path), new_run(tmp_path)
    assert resume(whole) == 0
    command = [sys.executable, "-c", WORKER, "train", "cnn", "--resume", killed.id, "--runs", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        wait_for(lambda: len(killed.metrics()) > 25)  # in the second of three epochs
        worker.send_signal(signal.SIGKILL)
    assert state(killed) == "interrupted"
    stood = checkpoint.read_card(killed.path("last.safetensors"))["progress"]["step"]
    assert stood > 20
    assert stood % 20 != 0  # within an epoch of 20 steps
    assert killed.metrics()[-1]["step"] <= stood + 1  # nothing more was lost

    assert resume(killed) == 0
    assert killed.status() == ("done", "")
    assert [e["loss"] for e in killed.metrics()] == [e["loss"] for e in whole.metrics()]
    tensors, _ = checkpoint.load(killed.path("last.safetensors"))
    for name, tensor in checkpoint.load(whole.path("last.safetensors"))[0].items():
        assert torch.equal(tensor, tensors[name]), name


def test_a_run_goes_on_when_the_process_that_started_it_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from atelier.training import jobs; "
        "from atelier.training.recipe import Recipe; "
        f"run = jobs.start('cnn', Recipe(**{RECIPE_ARGUMENTS}), device='cpu', runs=Path(sys.argv[1])); "
        "print(run.id, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        run = Run.open(tmp_path, server.stdout.readline().strip())
        server.kill()
    wait_for(lambda: state(run) not in ("queued", "running"))
    assert run.status() == ("done", "")
    assert run.read("result.json")["accuracy"] > 0.5


RECIPE_ARGUMENTS = (
    "dict(epochs=2, batch_size=100, train_size=2000, optimizer='sgd', learning_rate=0.1, validation_size=200)"
)


def test_two_runs_started_at_once_train_one_after_the_other_and_obey(tmp_path):
    recipe = Recipe(**{**vars(RECIPE), "epochs": 500})
    first, second = (jobs.start("cnn", recipe, device="cpu", runs=tmp_path) for _ in range(2))
    wait_for(lambda: second.status() == ("queued", "Waits for 1 other run on this device."))
    assert second.is_locked()
    with pytest.raises(RunError, match="still being trained"):
        jobs.delete(second)
    wait_for(lambda: len(first.metrics()) > 3)

    jobs.ask(first, "pause")  # the second one's turn
    wait_for(lambda: state(first) == "paused" and state(second) == "running")
    wait_for(lambda: second.metrics())
    jobs.ask(second, "stop")
    wait_for(lambda: state(second) == "stopped")
    with pytest.raises(RunError, match="nothing to pause"):
        jobs.ask(second, "pause")

    seen = len(first.metrics())
    wait_for(lambda: not first.is_locked())
    jobs.resume(first)
    with pytest.raises(RunError, match="nothing to resume"):
        jobs.resume(first)
    wait_for(lambda: len(first.metrics()) > seen)
    epochs = [event["epoch"] for event in first.metrics()]
    assert epochs == sorted(epochs)  # it went on from where it stood
    jobs.ask(first, "stop")
    wait_for(lambda: state(first) == "stopped" and not first.is_locked())
    jobs.delete(first)
    assert not first.folder.exists()
    assert "Traceback" not in second.path(jobs.LOG).read_text()


IMPOSSIBLE = {
    "Muon": ("cnn", Recipe(epochs=1, optimizer="muon"), {}),
    "do not tile": ("vit", Recipe(epochs=1), {"patch_size": 5}),
    "full precision": ("faster_rcnn", Recipe(epochs=1, precision="bf16-mixed"), {}),
    "62 GB of memory": ("vgg16", Recipe(epochs=6, variations=6), {"input_size": 224, "backbone": "none"}),
    "trained as a whole": ("alexnet", Recipe(epochs=1, averaging=0.9), {"backbone": "none"}),
}


@pytest.mark.parametrize("sentence", IMPOSSIBLE)
def test_what_cannot_work_is_refused_before_anything_is_made(sentence, tmp_path):
    model, recipe, network = IMPOSSIBLE[sentence]
    with pytest.raises(ValueError, match=sentence):
        jobs.start(model, recipe, network, device="cpu", runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_was_asked_of_a_run_earlier_does_not_stop_it_now(tmp_path):
    run = new_run(tmp_path, epochs=1)
    run.request("stop")
    assert resume(run) == 0
    assert state(run) == "done"


def test_whatever_goes_wrong_leaves_a_reason(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    monkeypatch.setattr(loop, "take_step", lambda *_: {}["no such thing"])
    with pytest.raises(KeyError):
        resume(run)
    assert state(run) == "failed"
    assert "unexpected happened (KeyError" in run.status()[1]


def test_a_checkpoint_of_another_recipe_is_not_resumed(tmp_path, capsys):
    run, other = new_run(tmp_path, epochs=1), new_run(tmp_path, epochs=1, optimizer="adamw", learning_rate=0.01)
    assert resume(other) == 0
    run.path("last.safetensors").write_bytes(other.path("last.safetensors").read_bytes())
    assert resume(run) == 2
    assert "does not fit the run's config.json" in capsys.readouterr().err


def test_a_full_disk_stops_the_run_with_the_reason_and_room_lets_it_go_on(tmp_path):
    run = new_run(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # bytes a file may grow to: weights do not fit
    try:
        assert resume(run) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state(run) == "failed"
    assert "Make room, then resume" in run.status()[1]
    assert not list(run.folder.glob("*tmp*"))
    assert resume(run) == 0
    assert state(run) == "done"


def test_a_status_can_be_written_on_a_full_disk(tmp_path, monkeypatch):
    run = new_run(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "write", full)
    run.set_status("failed", "The disk is full.")
    assert run.status() == ("failed", "The disk is full.")


def test_a_loss_that_is_no_number_stops_the_run_with_a_suggestion(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    real = tasks.loss_and_accuracy
    monkeypatch.setattr(tasks, "loss_and_accuracy", lambda *a: (real(*a)[0] * float("nan"), real(*a)[1]))
    assert resume(run) == 1
    assert state(run) == "failed"
    assert "learning rate well below 0.1" in run.status()[1]


def test_too_little_memory_stops_the_run_and_names_a_smaller_batch(tmp_path, monkeypatch):
    run = new_run(tmp_path)

    def out_of_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(loop, "take_step", out_of_memory)
    assert resume(run) == 1
    assert state(run) == "failed"
    assert "batch size of 50 instead of 100" in run.status()[1]


DAMAGES = {
    "config.json": (b"{", "config.json"),
    "last.safetensors": (b"truncated", "last.safetensors is not a safetensors file"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_not_resumed_but_says_why(name, tmp_path, capsys):
    run = new_run(tmp_path)
    content, sentence = DAMAGES[name]
    run.path(name).write_bytes(content)
    assert resume(run) == 2
    assert sentence in capsys.readouterr().err


def test_a_truncated_checkpoint_is_not_resumed_but_says_why(tmp_path, capsys):
    run = new_run(tmp_path, epochs=1)
    assert resume(run) == 0
    whole = run.path("last.safetensors").read_bytes()
    run.path("last.safetensors").write_bytes(whole[: len(whole) // 2])
    assert resume(run) == 2
    assert "cut off" in capsys.readouterr().err
    assert run.status() == ("failed", "last.safetensors is cut off: copy it again.")


def test_a_run_whose_folder_is_deleted_ends(tmp_path, capsys, monkeypatch):
    run = new_run(tmp_path, epochs=500)
    real = loop.take_step

    def delete_in_step_30(session, loss):
        real(session, loss)
        if session.step == 30:
            os.rename(run.folder, tmp_path / "thrown away")

    monkeypatch.setattr(loop, "take_step", delete_in_step_30)
    assert resume(run) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
