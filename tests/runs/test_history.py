"""What a run has told: its curve, how far it is, and what is left out because it is damaged."""

import json

import numpy as np
import pytest

from atelier.runs import history
from tests.support.made_runs import COUNTS, DEMO, event, stopped


@pytest.fixture
def run(tmp_path):
    return stopped(tmp_path)


def test_progress_goes_by_the_pace_of_the_last_epoch(run):
    at = history.progress(history.read(run).events, DEMO)
    assert (at.share, at.step, at.steps, at.epoch, at.seconds) == (0.5, 440, 4 * 220, 2.0, 44.0)
    assert at.left == 2 * 22
    run.append(event(550, seconds=88.0))  # slower now: 66 s for the epoch since step 330
    assert history.progress(history.read(run).events, DEMO).left == pytest.approx(1.5 * (88 - 33))
    at = history.progress(history.read(run).events.head(0), DEMO)
    assert (at.share, at.step, at.left) == (0, 0, None)


def test_history_follows_the_file_and_keeps_the_last_confusion(run):
    before = history.read(run)
    assert list(before.events.split) == ["train", "train", "val", "train", "train", "val"]
    assert before.confusion.sum() == 10 * 490 + 100
    assert history.read(run) is before  # nothing new
    run.append(event(450))
    assert len(history.read(run).events) == 7
    assert history.read(run).confusion.sum() == 10 * 490 + 100


def test_curves_as_csv_hold_every_event(run):
    header, first, *others = history.to_csv(run).splitlines()
    assert header == "split,step,epoch,seconds,loss,accuracy,learning_rate,images_per_second"
    assert first == "train,110.0,0.5,11.0,0.5,0.8,0.1,2500.0"
    assert len(others) == 5


BAD_LINES = {
    "not JSON": "loss 0.5",
    "a number": "7",
    "null": "null",
    "nothing": "{}",
    "no loss": json.dumps({"step": 441, "split": "train"}),
    "loss a word": json.dumps(event(441, loss="low")),
    "loss not a number": json.dumps(event(441, loss=float("nan"))),
    "loss endless": json.dumps(event(441, loss=10**400)),
    "accuracy above 1": json.dumps(event(441, accuracy=99.2)),
    "true": json.dumps(event(441, accuracy=True)),
    "another split": json.dumps(event(441, split="holdout")),
    "split a list": json.dumps(event(441, split=["train"])),
    "negative time": json.dumps(event(441, seconds=-3)),
}
BAD_COUNTS = ([], "many", [[1, 2], [3]], [[0.5] * 10] * 10, [[-1] * 10] * 10, [[10**30] * 10] * 10, {"0": 1}, [[[]]])


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_damaged_event_is_left_out(run, line):
    with open(run.path("metrics.jsonl"), "a") as file:
        file.write(f"{line}\n")
    run.append(event(450))
    told = history.read(run)
    assert list(told.events.step) == [110, 220, 220, 330, 440, 440, 450]
    assert np.isfinite(told.events.drop(columns="split").to_numpy(float)).all()


@pytest.mark.parametrize("counts", BAD_COUNTS, ids=lambda counts: str(counts)[:12])
def test_damaged_counts_leave_the_last_whole_ones(run, counts):
    run.append(event(441, "val", confusion=counts))
    assert history.read(run).confusion.tolist() == COUNTS
