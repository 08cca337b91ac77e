from concurrent.futures import Future

import numpy as np
import pytest

from atelier import MODELS, paths
from atelier.checkpoint import CheckpointError
from pages.ui import cards, networks
from pages.ui.camera import camera_allowed
from pages.ui.networks import Answer, agreement


def say(*digits):
    """Answers of several networks; None for one that does not answer."""
    rows = [None if digit is None else np.eye(10, dtype=np.float32)[digit] for digit in digits]
    return [Answer(MODELS["cnn"], row) for row in rows]


def test_agreement_is_counted_over_the_networks_that_answer():
    assert agreement(say(4, 4, 4, 9, 4)) == "4 of 5 networks say 4."
    assert agreement(say(7, 7, None)) == "All 2 networks say 7."
    assert agreement(say(7)) == ""
    assert agreement(say(7, 1, 7, 1, 2)) == "The networks disagree: 1 or 2 or 7."
    assert agreement(say(None, None)) == ""


@pytest.mark.parametrize(
    "address", ["http://localhost:8501/draw", "http://127.0.0.1:8501", "https://school.example/draw"]
)
def test_the_camera_works_here_and_over_https(address):
    assert camera_allowed(address)


@pytest.mark.parametrize("address", ["http://192.168.0.7:8501/draw", "http://school.example", "", None])
def test_the_camera_does_not_work_elsewhere(address):
    assert not camera_allowed(address)


def test_a_card_tells_all_probabilities_also_to_a_screen_reader():
    (answer,) = say(3)
    card = cards.details(answer, hidden=False)
    assert "100.0% sure" in card
    assert "3: 100.0%" in card
    assert "3: 100.0%" not in cards.details(answer, hidden=True)


def test_a_network_answers_as_soon_as_it_is_loaded(monkeypatch):
    spec, digit, promise = MODELS["cnn"], np.zeros((28, 28), np.uint8), Future()
    loaded = networks.load("cnn").result(timeout=60)
    monkeypatch.setattr(networks, "load", lambda name: promise)
    waiting = networks.answer(spec, digit)
    assert waiting.loading
    assert "loading" in cards.details(waiting, hidden=False)
    promise.set_result(loaded)
    assert networks.answer(spec, digit).probabilities.shape == (10,)


def test_a_checkpoint_that_appears_later_is_loaded(monkeypatch, tmp_path):
    shipped = MODELS["cnn"].checkpoint
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    assert isinstance(networks.load("cnn").exception(timeout=60), CheckpointError)
    assert networks.load("cnn") is networks.load("cnn")  # is not tried again and again
    (tmp_path / "cnn.safetensors").write_bytes(shipped.read_bytes())
    assert networks.load("cnn").result(timeout=60).spec.name == "cnn"
