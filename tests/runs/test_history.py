import numpy as np
import pytest

from atelier.runs import history
from tests.support.made_runs import COUNTS, DEMO, event, stopped


@pytest.fixture
def run(tmp_path):
    return stopped(tmp_path)


def test_time_left_follows_the_pace_of_the_last_epoch(run):
    at = history.progress(history.read(run).events, DEMO)
    assert (at.share, at.step, at.steps, at.epoch, at.seconds) == (0.5, 440, 4 * 220, 2.0, 44.0)
    assert at.left == 2 * 22
    run.append(event(550, seconds=88.0))  # slower now: 66 s for the epoch since step 330
    assert history.progress(history.read(run).events, DEMO).left == pytest.approx(1.5 * (88 - 33))
    at = history.progress(history.read(run).events.head(0), DEMO)
    assert (at.share, at.step, at.left) == (0, 0, None)


def test_history_follows_the_file(run):
    before = history.read(run)
    assert list(before.events.split) == ["train", "train", "val", "train", "train", "val"]
    assert history.read(run) is before  # nothing new
    run.append(event(450))
    assert len(history.read(run).events) == 7
    assert history.read(run).confusion.tolist() == COUNTS


def test_csv_holds_every_event(run):
    header, first, *others = history.to_csv(run).splitlines()
    assert header.split(",") == list(history.COLUMNS)
    assert first == "train,110,0.5,11.0,0.5,0.8,0.1,2500.0"
    assert len(others) == 5


def test_optional_numbers_may_be_missing_or_damaged(run):
    run.append(event(450, learning_rate="fast", images_per_second=[1]))
    assert history.read(run).events.iloc[-1][["learning_rate", "images_per_second"]].isna().all()


DAMAGED_COUNTS = (
    [],
    "many",
    [[1, 2], [3]],
    [[0.5] * 10] * 10,
    [[-1] * 10] * 10,
    [[10**30] * 10] * 10,
    {"0": 1},
    [[[]]],
)


def test_damaged_confusions_leave_the_last_whole_one(run):
    for step, counts in enumerate(DAMAGED_COUNTS, start=441):
        run.append(event(step, "val", confusion=counts))
    assert history.read(run).confusion.tolist() == COUNTS
    assert np.array(COUNTS).sum() == 5_000
