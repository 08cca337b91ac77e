"""Robustness: the same pixels for all, and findings that follow the numbers."""

import json

import numpy as np
import pandas as pd

from atelier.data import hands, mnist
from atelier.evaluation import corruptions as changes
from atelier.studies import robustness, trial
from atelier.studies.robustness import CORRUPTIONS, PEN, STUDY, UNCHANGED
from atelier.zoo import MODELS


def table(**accuracies):
    """By network its accuracies: unchanged, pen strokes, shift at two severities, inversion at two."""
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


def test_every_change_can_be_made_and_grows():
    assert CORRUPTIONS.keys() == changes.CORRUPTIONS.keys()
    for corruption in CORRUPTIONS.values():
        assert len(corruption.amounts) == 5
        assert list(corruption.amounts) == sorted(corruption.amounts)
        assert corruption.amounts[0] > 0


def test_points_cover_all_networks_and_changes():
    whole, quick = (pd.DataFrame(STUDY.points(quick)) for quick in (False, True))
    assert len(whole) == 5 * (2 + 10 * 5)
    assert len(quick) == 5 * (2 + 10 * 3)
    assert set(quick.network) == set(MODELS)
    assert set(quick.corruption) > {"smaller", "larger", "thinner", "thicker"}


def test_every_network_is_shown_the_same_pixels(monkeypatch):
    shown, labels = {}, mnist.load("test")[1]
    ones = np.mean(labels[trial.stratified(labels, 20)] == 1)

    class Network:
        def __init__(self, name):
            self.name = name

        def predict(self, images):
            shown[self.name] = images.copy()
            return np.full(len(images), 1)

    monkeypatch.setattr(trial, "shipped", lambda name, device: Network(name))
    for name in ("cnn", "vit"):
        robustness.digits.cache_clear()
        point = {"network": name, "corruption": "noise", "severity": 5, "digits": 20}
        *signs, row = STUDY.measure(point, "cpu")
        assert set(signs) == {None}
        assert row == point | {"amount": 1, "unit": "share", "accuracy": ones}
    assert np.array_equal(shown["cnn"], shown["vit"])
    assert len({digit.tobytes() for digit in shown["cnn"]}) == 20


def test_a_digit_is_changed_in_the_same_way_whatever_others_are(monkeypatch):
    monkeypatch.setattr(trial, "stratified", lambda labels, count: np.arange(10 - count, 10))
    few, many = (robustness.digits("rotation", 30, count)[0] for count in (2, 5))
    assert np.array_equal(few, many[-2:])


def test_pen_strokes_and_unchanged_digits_are_as_they_are(monkeypatch):
    pen, labels = np.ones((240, 28, 28), np.uint8), np.arange(240) % 10
    monkeypatch.setattr(hands, "pen_strokes", lambda: (pen, labels, ["a hand"] * 240))
    assert robustness.digits(PEN, 0, 240) == (pen, labels)
    robustness.digits.cache_clear()
    numbers = trial.stratified(mnist.load("test")[1], 30)
    assert np.array_equal(robustness.digits(UNCHANGED, 0, 30)[0], mnist.load("test")[0][numbers])


def test_swapped_numbers_reverse_the_sentences():
    found = STUDY.findings(TABLE)
    swapped = STUDY.findings(TABLE.replace({"network": {"cnn": "vit", "vit": "cnn"}}))
    assert STUDY.answers[found.right] == "CNN"
    assert STUDY.answers[swapped.right] == "ViT"
    assert found.sentences[0] == (
        "The CNN copes best: it reads 55.0% of the changed digits right, the ViT, the worst, 40.0%."
    )
    assert swapped.sentences[0].startswith("The ViT copes best")
    assert "most harm does “inversion” (17.5% read right on average), least “shift” (77.5%)" in found.sentences[1]
    assert "Of the digits written with a pen, 96.0% to 98.0% are read right" in found.sentences[1]
    other = STUDY.findings(TABLE.replace({"corruption": {"shift": "inversion", "inversion": "shift"}}))
    assert "most harm does “shift”" in other.sentences[1]


def test_with_too_little_there_is_no_answer():
    first = TABLE[(TABLE.network == "cnn") | ~TABLE.corruption.isin(CORRUPTIONS)]  # as a study begins
    assert STUDY.findings(first).right is None
    alone = STUDY.findings(TABLE[TABLE.network == "cnn"])
    assert alone.right is None
    assert alone.sentences[0] == "The CNN, alone here, reads 55.0% of the changed digits right."


def test_the_pen_strokes_are_as_many_as_the_study_says():
    assert len(hands.pen_strokes()[0]) == robustness.STROKES


def test_networks_are_compared_on_what_all_were_shown():
    only_easy = TABLE[(TABLE.network == "cnn") | (TABLE.corruption == "shift")]
    assert "85.0% of the changed digits right, the ViT, the worst, 70.0%" in STUDY.findings(only_easy).sentences[0]


def test_any_part_of_a_table_has_findings_and_a_figure():
    parts = [TABLE.iloc[rows] for rows in ([0], [1], [2], [0, 1, 2], [1, 2, 8], [2, -1])]  # the last: nothing in common
    for part in parts:
        found = STUDY.findings(part)
        assert found.right in (None, *range(len(STUDY.answers)))
        assert all(sentence.endswith(".") for sentence in found.sentences)
        json.loads(STUDY.figure(part).to_json())


def test_the_figure_begins_with_the_digits_as_they_are():
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
