import json
import secrets
import shutil
import subprocess
import sys
import time

import pytest

from atelier.runs.folder import Run, RunError


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, {"model": "cnn", "recipe": {}})


def event(step, split="train"):
    return {"step": step, "split": split, "loss": 0.1}


def steps(run):
    return [(e["step"], e["split"]) for e in run.metrics()]


def test_a_new_run_is_queued_and_opens_again(run):
    again = Run.open(run.folder.parent, run.id)
    assert again.status() == ("queued", "")
    assert again.read("config.json")["model"] == "cnn"
    assert again.metrics() == []


def test_runs_that_are_created_at_the_same_instant_never_meet(tmp_path, monkeypatch):
    letters = iter(["abcd", "abcd", "ef01"])
    monkeypatch.setattr(secrets, "token_hex", lambda count: next(letters))
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-120000")
    ids = [Run.create(tmp_path, {"model": "cnn"}).id for _ in range(2)]
    assert ids == ["20260101-120000-cnn-abcd", "20260101-120000-cnn-ef01"]


@pytest.mark.parametrize("wrong", ["nothing", "../runs", "", "."])
def test_a_run_that_is_not_there_is_named(run, wrong):
    with pytest.raises(RunError, match="no run"):
        Run.open(run.folder.parent, wrong)


def test_a_torn_last_line_is_left_out_and_later_events_are_not_lost(run):
    run.append(event(1))
    with open(run.path("metrics.jsonl"), "a") as file:
        file.write('{"step": 2, "spl')
    assert steps(run) == [(1, "train")]
    run.append(event(3))
    assert steps(run) == [(1, "train"), (3, "train")]


def test_points_that_a_resume_supersedes_are_left_out(run):
    for e in (event(10), event(10, "val"), event(15), event(20), event(15), event(20), event(20, "val")):
        run.append(e)
    assert steps(run) == [(10, "train"), (10, "val"), (15, "train"), (20, "train"), (20, "val")]


def test_time_does_not_run_backwards_after_a_resume(run):
    for step, seconds in ((10, 1.0), (15, 1.5), (16, 1.6), (18, 1.8), (20, 1.7)):  # killed after 18, resumed from 15
        run.append(event(step) | {"seconds": seconds})
    assert steps(run) == [(10, "train"), (15, "train"), (16, "train"), (20, "train")]


@pytest.mark.parametrize("line", ['{"step": "x", "split": "val"}', '{"step": Infinity, "split": "val"}', "[1]", "3"])
def test_a_hand_edited_line_is_left_out(run, line):
    run.append(event(1))
    with open(run.path("metrics.jsonl"), "a") as file:
        file.write(line + "\n")
    run.append(event(2))
    assert steps(run) == [(1, "train"), (2, "train")]


def test_a_deleted_run_stays_deleted(run):
    shutil.rmtree(run.folder)
    assert not run.is_locked()
    with pytest.raises(RunError, match="deleted"), run.lock():
        pass
    assert not run.folder.exists()


def test_all_runs_are_listed_newest_first_and_damaged_ones_too(run):
    runs = run.folder.parent
    (runs / "20000101-000000-cnn-abcd").mkdir()
    (runs / "notes.txt").write_text("not a run")
    assert [found.id for found in Run.all(runs)] == [run.id, "20000101-000000-cnn-abcd"]
    assert Run.all(runs / "nowhere") == []


def test_a_run_can_be_named(run):
    assert run.name == run.id
    run.rename("  my first one  ")
    assert Run.open(run.folder.parent, run.id).name == "my first one"
    run.rename("")
    assert run.name == run.id


def test_a_run_is_running_while_its_process_lives_and_interrupted_after(run):
    run.set_status("running")
    code = f"from pathlib import Path; from atelier.runs.folder import Run\n" \
           f"with Run(Path({str(run.folder)!r})).lock(): print('locked', flush=True); input()"  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert run.status()[0] == "running"
        with pytest.raises(RunError, match="another process"), run.lock():
            pass
        process.kill()
    assert run.status()[0] == "interrupted"


@pytest.mark.parametrize("content", ["", "[]", '{"state": "flying"}'])
def test_a_damaged_status_is_said_not_raised(run, content):
    run.path("status.json").write_text(content)
    assert run.status() == ("failed", "The run's status is missing or damaged.")


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000], ids=lambda content: content[:3])
def test_a_damaged_file_of_a_run_is_named(run, content):
    run.path("config.json").write_text(content)
    with pytest.raises(RunError, match="config"):
        run.read("config.json")


BAD_REQUESTS = ['{"request": ["stop"]}', '{"request": 7}', '{"request": "fly"}', "{", "[" * 100_000]


@pytest.mark.parametrize("content", BAD_REQUESTS, ids=lambda content: content[:20])
def test_a_damaged_request_asks_nothing(run, content):
    run.path("request.json").write_text(content)
    assert run.requested() == ""
    run.path("request.json").unlink()
    run.path("request.json").mkdir()
    assert run.requested() == ""


def test_writing_leaves_nothing_half_written(run):
    run.write("result.json", {"accuracy": 1.0})
    assert json.loads(run.path("result.json").read_text()) == {"accuracy": 1.0}
    assert not list(run.folder.glob("*.tmp"))
