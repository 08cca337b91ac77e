import json
import secrets
import shutil
import subprocess
import sys
import time

import pytest

from atelier.runs.folder import Run, RunError
from tests.support.made_runs import event


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, {"model": "cnn", "recipe": {}})


def steps(run):
    return [(e["step"], e["split"]) for e in run.metrics()]


def test_new_run_is_queued_and_opens_again(run):
    again = Run.open(run.folder.parent, run.id)
    assert again.status() == ("queued", "")
    assert again.read("config.json")["model"] == "cnn"
    assert again.metrics() == []


def test_runs_created_at_the_same_instant_have_different_ids(tmp_path, monkeypatch):
    letters = iter(["abcd", "abcd", "ef01"])
    monkeypatch.setattr(secrets, "token_hex", lambda count: next(letters))
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-120000")
    ids = [Run.create(tmp_path, {"model": "cnn"}).id for _ in range(2)]
    assert ids == ["20260101-120000-cnn-abcd", "20260101-120000-cnn-ef01"]


@pytest.mark.parametrize("id", ["nothing", "../runs", "", "."])
def test_unknown_run_is_refused(run, id):
    with pytest.raises(RunError):
        Run.open(run.folder.parent, id)


def test_torn_last_line_is_left_out_and_later_events_are_kept(run):
    run.append(event(1))
    with open(run.path("metrics.jsonl"), "a") as file:
        file.write('{"step": 2, "spl')
    assert steps(run) == [(1, "train")]
    run.append(event(3))
    assert steps(run) == [(1, "train"), (3, "train")]


def test_points_that_a_resume_supersedes_are_left_out(run):
    for step, split in ((10, "train"), (10, "val"), (15, "train"), (20, "train"), (15, "train"), (20, "train")):
        run.append(event(step, split))
    assert steps(run) == [(10, "train"), (10, "val"), (15, "train"), (20, "train")]


def test_time_does_not_run_backwards_after_a_resume(run):
    for step, seconds in ((10, 1.0), (15, 1.5), (16, 1.6), (18, 1.8), (20, 1.7)):  # killed after 18, resumed from 15
        run.append(event(step, seconds=seconds))
    assert [step for step, _ in steps(run)] == [10, 15, 16, 20]


DAMAGED_LINES = [
    *("loss 0.5", "7", "null", "{}", "[1]", json.dumps({"step": 441, "split": "train"})),
    *(json.dumps(event(441) | change) for change in (
        {"loss": "low"}, {"loss": float("nan")}, {"loss": 10**400}, {"accuracy": 99.2}, {"split": "holdout"},
        {"split": ["train"]}, {"seconds": -3}, {"step": "x"}, {"step": float("inf")}, {"step": None}, {"step": [1]},
    )),
]  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED_LINES, ids=range(len(DAMAGED_LINES)))
def test_damaged_line_is_left_out(run, line):
    run.append(event(1))
    with open(run.path("metrics.jsonl"), "a") as file:
        file.write(f"{line}\n")
    run.append(event(2))
    assert steps(run) == [(1, "train"), (2, "train")]


def test_deleted_run_stays_deleted(run):
    shutil.rmtree(run.folder)
    assert not run.is_locked()
    with pytest.raises(RunError), run.lock():
        pass
    assert not run.folder.exists()


def test_runs_are_listed_newest_first_with_damaged_ones(run):
    runs = run.folder.parent
    (runs / "20000101-000000-cnn-abcd").mkdir()
    (runs / "notes.txt").write_text("not a run")
    assert [found.id for found in Run.all(runs)] == [run.id, "20000101-000000-cnn-abcd"]
    assert Run.all(runs / "nowhere") == []


def test_run_can_be_renamed(run):
    assert run.name == run.id
    run.rename("  my first one  ")
    assert Run.open(run.folder.parent, run.id).name == "my first one"
    run.rename("")
    assert run.name == run.id


def test_run_is_running_while_its_process_lives_and_interrupted_after(run):
    run.set_status("running")
    code = "import sys; from pathlib import Path; from atelier.runs.folder import Run\n"
    code += "with Run(Path(sys.argv[1])).lock(): print('locked', flush=True); input()"
    command = [sys.executable, "-c", code, str(run.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert run.status()[0] == "running"
        with pytest.raises(RunError), run.lock():
            pass
        process.kill()
    assert run.status()[0] == "interrupted"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"state": "flying"}', "[" * 100_000], ids=range(5))
def test_damaged_json_is_reported_or_ignored(run, content):
    for name in ("config.json", "status.json", "request.json", "name.json"):
        run.path(name).write_text(content)
    if not content.startswith('{"'):
        with pytest.raises(RunError, match=r"config\.json"):
            run.read("config.json")
    assert run.status()[0] == "failed"
    assert run.requested() == ""
    assert run.name == run.id


@pytest.mark.parametrize("request_", [["stop"], 7, "fly"], ids=str)
def test_unknown_request_is_ignored(run, request_):
    run.write("request.json", {"request": request_})
    assert run.requested() == ""


def test_request_is_read_and_cleared(run):
    run.request("pause")
    assert run.requested() == "pause"
    run.clear_request()
    assert run.requested() == ""


def test_write_leaves_no_temporary_file(run):
    run.write("result.json", {"accuracy": 1.0})
    assert json.loads(run.path("result.json").read_text()) == {"accuracy": 1.0}
    assert not list(run.folder.glob("*tmp*"))
