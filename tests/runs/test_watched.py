"""What is left of what a class watches when the file is damaged."""

import numpy as np
import pytest

from atelier.runs import watched
from atelier.runs.folder import Run

GUESSES = {
    "digits": np.zeros((12, 28, 28), np.uint8),
    "labels": np.arange(12) % 10,
    "probabilities": np.full((12, 10), 0.1, np.float32),
}
FILTERS = {"filters": np.ones((16, 5, 5), np.float32)}
SCENE = {
    "scene": np.zeros((96, 288), np.uint8),
    "boxes": np.zeros((0, 4), np.float32),
    "box_labels": np.zeros(0, np.int64),
    "scores": np.zeros(0, np.float32),
}


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, {"model": "cnn"})


def watch(run, arrays):
    with open(run.path("watch.npz"), "wb") as file:
        np.savez(file, **arrays)
    return watched.read(run)


@pytest.mark.parametrize("learnt", [FILTERS, SCENE, {"positions": np.eye(49, dtype=np.float32)}], ids=str)
def test_what_is_watched_is_read(run, learnt):
    seen = watch(run, GUESSES | learnt | {"step": 7})
    assert seen.keys() == GUESSES.keys() | learnt.keys()
    assert all(np.array_equal(seen[name], array) for name, array in (GUESSES | learnt).items())


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": np.arange(5)},
        {"probabilities": np.full((12, 10), np.nan, np.float32)},
        {"probabilities": np.array(["x"] * 12)},
        {"digits": np.zeros((12, 28, 30), np.uint8)},
        {"digits": np.zeros((0, 28, 28), np.uint8), "labels": np.zeros(0, int), "probabilities": np.zeros((0, 10))},
        {"digits": np.zeros((12, 28, 28), bool)},
    ],
    ids=str,
)
def test_damaged_guesses_are_left_out_and_the_filters_stay(run, damage):
    assert watch(run, GUESSES | FILTERS | damage).keys() == {"filters"}


@pytest.mark.parametrize("damage", [{"boxes": np.zeros((2, 4))}, {"scene": np.zeros((2001, 8), np.uint8)}], ids=str)
def test_damaged_scenes_are_left_out(run, damage):
    assert watch(run, GUESSES | SCENE | damage).keys() == GUESSES.keys()


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_an_archive_that_is_cut_off_shows_nothing(run, share):
    watch(run, GUESSES | FILTERS)
    content = run.path("watch.npz").read_bytes()
    run.path("watch.npz").write_bytes(content[: int(len(content) * share)])
    assert watched.read(run) == {}


@pytest.mark.parametrize("at", range(0, 900, 37))
def test_an_archive_with_a_wrong_byte_raises_nothing(run, at):
    watch(run, FILTERS)
    content = bytearray(run.path("watch.npz").read_bytes())
    content[at % len(content)] ^= 0xFF
    run.path("watch.npz").write_bytes(content)
    watched.read(run)
