"""Runs in processes of their own, and everything that can go wrong with them: real processes, real signals."""

import os
import pickle
import platform
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from atelier import checkpoint, devices
from atelier.__main__ import main
from atelier.data import mnist
from atelier.recipe import Recipe
from atelier.runs import jobs, recorder
from atelier.runs.folder import LOG, Run, RunError
from atelier.training import loop, tasks
from atelier.training.session import Session
from atelier.training.setup import describe_environment, new_config

ROOT = Path(__file__).parent.parent.parent
RECIPE = Recipe(epochs=3, batch_size=100, train_size=2000, optimizer="sgd", learning_rate=0.1, validation_size=200)
# A worker that keeps its state at every event, so that it can be killed in the middle of an epoch, and speaks at fixed
# steps, so that curves can be compared.
WORKER = """
import sys
from atelier.runs import recorder
from atelier.training import loop
recorder.SAVE_EVERY, loop.EVENT_SECONDS = 0.0, 1e9
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
    return Run.create(runs, new_config("cnn", Recipe(**{**vars(RECIPE), **changes}), "cpu"))


def resume(run):
    return main(["train", "cnn", "--resume", run.id, "--runs", str(run.folder.parent)])


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


def state(run):
    return run.status()[0]


@pytest.mark.parametrize(
    ("told", "model"),
    [
        (
            "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz\n",
            "Intel Xeon Gold 6230 CPU @ 2.10GHz",
        ),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "aarch64"),  # not every Linux tells the model
        (None, "aarch64"),
    ],
    ids=["Linux", "Linux on ARM", "another system"],
)
def test_a_cpu_goes_by_its_cores_and_its_model(told, model, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    if told is not None:
        devices.CPUINFO.write_text(told)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert describe_environment(RECIPE, "cpu")["device_name"] == f"2 CPU cores ({model})"


@pytest.mark.slow
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
    killed.path("best.safetensors").unlink()  # by hand: the next one takes its place

    assert resume(killed) == 0
    assert killed.status() == ("done", "")
    assert [e["loss"] for e in killed.metrics()] == [e["loss"] for e in whole.metrics()]
    tensors, _ = checkpoint.load(killed.path("last.safetensors"))
    for name, tensor in checkpoint.load(whole.path("last.safetensors"))[0].items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.slow
def test_a_run_goes_on_when_the_process_that_started_it_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from atelier.runs import jobs; "
        "from atelier.recipe import Recipe; "
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


@pytest.mark.slow
def test_two_runs_started_at_once_train_one_after_the_other_and_obey(tmp_path):
    recipe = Recipe(**{**vars(RECIPE), "epochs": 500})
    first, second = (jobs.start("cnn", recipe, device="cpu", runs=tmp_path) for _ in range(2))
    wait_for(lambda: second.status() == ("queued", "Waits for 1 other run on this device."))
    assert second.is_locked()
    with pytest.raises(RunError, match="still being trained"):
        jobs.delete(second)
    wait_for(lambda: len(first.metrics()) > 3)

    jobs.request(first, "pause")  # the second one's turn
    wait_for(lambda: state(first) == "paused" and state(second) == "running")
    wait_for(lambda: second.metrics())
    jobs.request(second, "stop")
    wait_for(lambda: state(second) == "stopped")
    with pytest.raises(RunError, match="nothing to pause"):
        jobs.request(second, "pause")

    seen = len(first.metrics())
    wait_for(lambda: not first.is_locked())
    jobs.resume(first)
    with pytest.raises(RunError, match="nothing to resume"):
        jobs.resume(first)
    wait_for(lambda: len(first.metrics()) > seen)
    epochs = [event["epoch"] for event in first.metrics()]
    assert epochs == sorted(epochs)  # it went on from where it stood
    jobs.request(first, "stop")
    wait_for(lambda: state(first) == "stopped" and not first.is_locked())
    jobs.delete(first)
    assert not first.folder.exists()
    assert "Traceback" not in second.path(LOG).read_text()


def test_a_run_is_not_trained_twice_at_once(tmp_path, capsys):
    run = new_run(tmp_path)
    with run.lock():
        run.set_status("running")
        assert resume(run) == 2
        assert run.status() == ("running", "")
    assert "is being trained by another process" in capsys.readouterr().err


def test_of_several_processes_only_the_first_makes_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(recorder, "train", lambda config, run, writes: iter([]))
    assert main(["train", "cnn", "--device", "cpu", "--tensorboard", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


IMPOSSIBLE = {
    "Muon": ("cnn", Recipe(epochs=1, optimizer="muon"), {}),
    "patch_size must be": ("vit", Recipe(epochs=1), {"patch_size": 5}),
    "full precision": ("faster_rcnn", Recipe(epochs=1, precision="bf16-mixed"), {}),
    "62 GB of memory": ("vgg16", Recipe(epochs=6, variations=6), {"input_size": 224, "backbone": "none"}),
    "trained as a whole": ("alexnet", Recipe(epochs=1, ema_decay=0.9), {"backbone": "none"}),
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
    monkeypatch.setattr(loop, "train_epoch", lambda *_: {}["no such thing"])
    with pytest.raises(KeyError):
        resume(run)
    assert state(run) == "failed"
    assert "unexpected happened (KeyError" in run.status()[1]


FILE_SIZES = [5_000, 200_000]  # bytes a file may grow to: of what is watched, and of weights, not all fits


@pytest.mark.parametrize("size", FILE_SIZES)
def test_a_full_disk_stops_the_run_with_the_reason_and_room_lets_it_go_on(tmp_path, size):
    run = new_run(tmp_path, epochs=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
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


OUT_OF_MEMORY = {
    "NVIDIA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "Apple": RuntimeError("MPS backend out of memory (MPS allocated: 8.94 GB, max allowed: 9.07 GB)."),
    "CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 20 bytes."),
}


@pytest.mark.parametrize("place", [(loop, "train_epoch"), (Session, "restore")], ids=["a step", "resuming"])
@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_too_little_memory_stops_the_run_and_names_a_smaller_batch(tmp_path, monkeypatch, place, error):
    run = new_run(tmp_path)
    if place == (Session, "restore"):
        write_last(run)

    def raise_error(*_):
        raise error

    monkeypatch.setattr(*place, raise_error)
    assert resume(run) == 1
    assert state(run) == "failed"
    assert "batch size of 50 instead of 100" in run.status()[1]


def write_last(run, **changed):
    """A last checkpoint that fits the run's config, until its tensors are looked at."""
    config = run.read("config.json")
    card = {"recipe": config["recipe"], "config": config["network"], "progress": {"best": 0.5}}
    checkpoint.save(run.path("last.safetensors"), {"weight": torch.zeros(1000)}, card | changed)


UNUSABLE = {
    "of another network": ({}, None, "does not fit the run's config.json"),
    "of other sizes": ({"config": {"dim": 8}}, None, "does not fit the run's config.json"),
    "of another recipe": ({"recipe": {"epochs": 7}}, None, "does not fit the run's config.json"),
    "without its progress": ({"progress": None}, None, "does not fit the run's config.json"),
    "of a newer version": ({"version": 99}, None, "written by a newer version"),
    "a pickle of that name": ({}, lambda file: file.write_bytes(pickle.dumps([1.0] * 99)), "damaged"),
    "cut off": ({}, lambda file: os.truncate(file, file.stat().st_size // 2), "damaged"),
    "too large": ({}, lambda file: os.truncate(file, checkpoint.LARGEST_FILE + 1), "is larger than 1 GiB"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_checkpoint_that_cannot_be_used_is_not_resumed_but_says_why(tmp_path, capsys, what):
    changed, damage, sentence = UNUSABLE[what]
    run = new_run(tmp_path)
    write_last(run, **changed)
    if damage:
        damage(run.path("last.safetensors"))
    assert resume(run) == 2
    assert sentence in capsys.readouterr().err
    assert state(run) == "failed"
    assert sentence in run.status()[1]


def test_a_damaged_config_is_not_resumed_but_says_why(tmp_path, capsys):
    run = new_run(tmp_path)
    run.path("config.json").write_text("{")
    assert resume(run) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_run_whose_folder_is_deleted_ends(tmp_path, capsys, monkeypatch):
    run = new_run(tmp_path, epochs=500)
    real = loop.train_epoch

    def delete_in_step_30(session, task):
        for results in real(session, task):
            if session.step == 30:
                os.rename(run.folder, tmp_path / "thrown away")
            yield results

    monkeypatch.setattr(loop, "train_epoch", delete_in_step_30)
    assert resume(run) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
