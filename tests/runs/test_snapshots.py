import numpy as np
import pytest

from atelier.runs import snapshots
from atelier.runs.folder import Run

ARRAYS = {"step": np.array(7), "filters": np.ones((16, 5, 5), np.float32), "labels": np.arange(12)}


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path, {"model": "cnn"})
    snapshots.write(run, ARRAYS)
    return run


def test_snapshot_is_read_as_it_was_written(run):
    snapshot = snapshots.read(run)
    assert snapshot.keys() == ARRAYS.keys()
    assert all(np.array_equal(snapshot[name], array) for name, array in ARRAYS.items())


def test_newer_snapshot_replaces_the_older(run):
    snapshots.read(run)
    snapshots.write(run, {"step": np.array(8)})
    assert snapshots.read(run)["step"] == 8
    assert not list(run.folder.glob("*.tmp*"))


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_truncated_snapshot_is_empty(run, share):
    content = run.path(snapshots.SNAPSHOT).read_bytes()
    run.path(snapshots.SNAPSHOT).write_bytes(content[: int(len(content) * share)])
    assert snapshots.read(run) == {}


def test_wrong_byte_raises_nothing(run):
    content = run.path(snapshots.SNAPSHOT).read_bytes()
    for at in range(0, len(content), 37):
        run.path(snapshots.SNAPSHOT).write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        snapshots.read(run)


def test_run_without_a_snapshot_is_empty(tmp_path):
    assert snapshots.read(Run.create(tmp_path, {"model": "cnn"})) == {}
