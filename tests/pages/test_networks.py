"""Answers of a visitor's networks, and their cards."""

import re
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from atelier import MODELS, paths
from atelier.checkpoint import CheckpointError
from pages.ui import cards, networks
from pages.ui.networks import Answer, agreement

CNN = MODELS["cnn"]


def answers(*digits):
    """Answers of several networks; None for one without an answer."""
    rows = [None if digit is None else np.eye(10, dtype=np.float32)[digit] for digit in digits]
    return [Answer(CNN, row) for row in rows]


@pytest.mark.parametrize(
    ("digits", "numbers"),
    [
        ((4, 4, 4, 9, 4), [4, 5, 4]),  # 4 of 5 networks answer 4
        ((7, 7, None), [2, 7]),  # both answer 7
        ((7, 1, 7, 1, 2), [1, 2, 7]),  # no majority
        ((7,), []),
        ((None, None), []),
    ],
)
def test_agreement_counts_the_networks_that_answer(digits, numbers):
    assert [int(number) for number in re.findall(r"\d+", agreement(answers(*digits)))] == numbers


def test_card_gives_all_probabilities_to_a_screen_reader_unless_hidden():
    (answer,) = answers(3)
    assert "3: 100.0%" in cards.details(answer, hidden=False)
    assert "3: 100.0%" not in cards.details(answer, hidden=True)


def test_network_without_a_drawing_gets_a_general_thumbnail():
    other = replace(CNN, name="other", colour="#123456")
    assert cards.thumbnail(other).count("#123456") == 2
    assert cards.thumbnail(other) != cards.thumbnail(CNN)


def test_network_answers_as_soon_as_it_is_loaded(monkeypatch):
    digit, future = np.zeros((28, 28), np.uint8), Future()
    loaded = networks.load("cnn").result(timeout=60)
    monkeypatch.setattr(networks, "load", lambda name: future)
    waiting = networks.answer(CNN, digit)
    assert waiting.loading
    assert waiting.digit is None
    future.set_result(loaded)
    assert networks.answer(CNN, digit).probabilities.shape == (10,)


def test_checkpoint_that_appears_later_is_loaded(monkeypatch, tmp_path):
    shipped = CNN.checkpoint
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    assert isinstance(networks.load("cnn").exception(timeout=60), CheckpointError)
    assert networks.load("cnn") is networks.load("cnn")  # a failed load is not repeated
    (tmp_path / "cnn.safetensors").write_bytes(shipped.read_bytes())
    assert networks.load("cnn").result(timeout=60).spec.name == "cnn"
