"""Robustness: the same pixels for all networks, and findings that follow the numbers."""

import numpy as np
import pandas as pd
import pytest

from atelier.data import hands, mnist
from atelier.evaluation import corruptions as changes
from atelier.studies import robustness, trial
from atelier.studies.robustness import CORRUPTIONS, PEN, STUDY, UNCHANGED
from atelier.zoo import MODELS


def table(**accuracies):
    """Accuracies by network: unchanged, pen strokes, shift at two severities, inversion at two."""
    places = [(UNCHANGED, 0), (PEN, 0), ("shift", 1), ("shift", 2), ("inversion", 1), ("inversion", 2)]
    return pd.DataFrame(
        {
            "network": network,
            "corruption": corruption,
            "severity": severity,
            "amount": CORRUPTIONS[corruption].amounts[severity - 1] if severity else 0,
            "unit": CORRUPTIONS[corruption].unit if severity else "unchanged",
            "accuracy": accuracy,
        }
        for network, read in accuracies.items()
        for (corruption, severity), accuracy in zip(places, read, strict=True)
    )


TABLE = table(cnn=(0.99, 0.98, 0.9, 0.8, 0.4, 0.1), vit=(0.99, 0.96, 0.8, 0.6, 0.2, 0.0))


def test_every_corruption_exists_and_grows():
    assert CORRUPTIONS.keys() == changes.CORRUPTIONS.keys()
    for corruption in CORRUPTIONS.values():
        assert len(corruption.amounts) == 5
        assert list(corruption.amounts) == sorted(corruption.amounts)
        assert corruption.amounts[0] > 0


def test_points_cover_all_networks_and_corruptions():
    whole, quick = (pd.DataFrame(STUDY.points(quick)) for quick in (False, True))
    assert len(whole) == len(MODELS) * (2 + 10 * 5)
    assert len(quick) == len(MODELS) * (2 + 10 * 3)
    assert set(quick.network) == set(MODELS)
    assert set(quick.corruption) == {UNCHANGED, PEN, *CORRUPTIONS}
    assert len(hands.pen_strokes()[0]) == robustness.STROKES


def test_every_network_reads_the_same_pixels(monkeypatch):
    pixels, labels = {}, mnist.load("test")[1]
    ones = np.mean(labels[trial.stratified(labels, 20)] == 1)

    class Network:
        def __init__(self, name):
            self.name = name

        def predict(self, images):
            pixels[self.name] = images.copy()
            return np.full(len(images), 1)

    monkeypatch.setattr(trial, "shipped", lambda name, device: Network(name))
    for name in ("cnn", "vit"):
        robustness.digits.cache_clear()
        point = {"network": name, "corruption": "noise", "severity": 5, "digits": 20}
        *signs, row = STUDY.measure(point, "cpu")
        assert set(signs) == {None}
        assert row == point | {"amount": 1, "unit": "share", "accuracy": ones}
    assert np.array_equal(pixels["cnn"], pixels["vit"])
    assert len({digit.tobytes() for digit in pixels["cnn"]}) == 20


def test_corruption_of_a_digit_does_not_depend_on_other_digits(monkeypatch):
    monkeypatch.setattr(trial, "stratified", lambda labels, count: np.arange(10 - count, 10))
    few, many = (robustness.digits("rotation", 30, count)[0] for count in (2, 5))
    assert np.array_equal(few, many[-2:])


def test_pen_strokes_and_unchanged_digits_are_not_corrupted(monkeypatch):
    pen, labels = np.ones((240, 28, 28), np.uint8), np.arange(240) % 10
    monkeypatch.setattr(hands, "pen_strokes", lambda: (pen, labels, ["a hand"] * 240))
    assert robustness.digits(PEN, 0, 240) == (pen, labels)
    robustness.digits.cache_clear()
    numbers = trial.stratified(mnist.load("test")[1], 30)
    assert np.array_equal(robustness.digits(UNCHANGED, 0, 30)[0], mnist.load("test")[0][numbers])


@pytest.mark.parametrize(
    ("numbers", "means", "answer"),
    [
        (TABLE, {"cnn": 0.55, "vit": 0.4}, "cnn"),
        (TABLE.replace({"network": {"cnn": "vit", "vit": "cnn"}}), {"cnn": 0.4, "vit": 0.55}, "vit"),
        (TABLE[(TABLE.network == "cnn") | (TABLE.corruption == "shift")], {"cnn": 0.85, "vit": 0.7}, "cnn"),
        (TABLE[(TABLE.network == "cnn") | ~TABLE.corruption.isin(CORRUPTIONS)], {}, None),
        (TABLE[TABLE.network == "cnn"], {"cnn": 0.55}, None),
    ],
)
def test_networks_are_compared_on_what_all_have_read(numbers, means, answer):
    assert robustness.compared(numbers).mean().dropna().to_dict() == pytest.approx(means)
    assert STUDY.findings(numbers).answer == answer


def test_figure_begins_with_unchanged_digits():
    figure = STUDY.figure(TABLE)
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles == ["<b>shift</b>", "<b>inversion</b>", f"<b>{PEN}</b>"]
    shift, inversion, pen = (trace for trace in figure.data if trace.legendgroup == "vit")
    assert list(shift.x) == [0, 1, 2]
    assert list(shift.y) == [0.99, 0.8, 0.6]
    assert list(shift.customdata) == ["unchanged", "2 px", "4 px"]
    assert list(inversion.customdata) == ["unchanged", "20%", "40%"]
    assert list(pen.y) == [0.96]
    assert pen.marker.color == MODELS["vit"].colour
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["CNN", "ViT"]
