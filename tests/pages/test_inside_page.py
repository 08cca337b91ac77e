"""Look inside as a whole: which digit it is about, and what its first screen shows."""

import numpy as np
import pytest

import atelier
from atelier import MODELS
from atelier.data import mnist
from pages import digit_choice

IMAGES, LABELS = mnist.load("test")


@pytest.fixture
def inside(app):
    app.switch_page("pages/inside.py")
    return app


def said(text, app) -> dict[str, str]:
    """The digit that each network's evidence is for."""
    return {name: text(app, f"evidence_{name}")[:1] for name in MODELS}


def test_the_first_screen_shows_the_evidence_of_all_five_before_anything_was_drawn(inside, text):
    inside.run()
    assert not inside.exception
    assert "Nothing has been drawn yet" in inside.markdown[0].value
    assert "digit" not in inside.session_state  # Draw still begins with nothing
    digit = IMAGES[digit_choice.FIRST]
    for name in MODELS:
        answer = atelier.load(name, "cpu").predict(digit[None])[0]
        assert text(inside, f"evidence_{name}").startswith(f"{answer}, ")


def test_the_digit_from_draw_is_looked_into(inside, text):
    (seven,) = np.flatnonzero(LABELS == 7)[:1]
    inside.session_state["digit"] = IMAGES[seven]
    inside.run()
    assert set(said(text, inside).values()) == {"7"}


def test_any_test_digit_can_be_chosen_by_number_and_by_class(inside, text):
    inside.run()
    inside.number_input(key="digit_number").set_value(3).run()
    assert np.array_equal(inside.session_state["digit"], IMAGES[3])
    assert set(said(text, inside).values()) == {str(LABELS[3])}
    inside.segmented_control(key="digit_class").set_value(8).run()
    assert inside.session_state["truth"] == 8
    assert not inside.exception


def test_the_hardest_digits_of_a_network_can_be_chosen(inside, text):
    inside.run()
    inside.selectbox(key="digit_hardest_for").set_value("cnn").run()
    inside.number_input(key="digit_rank").set_value(2).run()
    assert not inside.exception
    assert said(text, inside)["cnn"] != str(inside.session_state["truth"])  # it misreads more than two
    probabilities = atelier.load("cnn", "cpu").predict_proba(IMAGES)
    second = np.argsort(probabilities[np.arange(len(LABELS)), LABELS])[1]
    assert np.array_equal(inside.session_state["digit"], IMAGES[second])


def test_a_network_that_cannot_be_loaded_says_so_and_the_others_answer(inside, text):
    inside.session_state["digit"] = IMAGES[0]
    inside.session_state["chosen_runs"] = {"vgg16": "no-such-run"}
    inside.run()
    assert not inside.exception
    assert said(text, inside)["cnn"] == str(LABELS[0])
    assert "not on this computer" in text(inside, "evidence_vgg16")


def test_damaged_data_is_said(inside, monkeypatch):
    def damaged(split):
        raise mnist.DamagedDataError("t10k is damaged: restore it from the repository.")

    monkeypatch.setattr(mnist, "load", damaged)
    inside.run()
    assert not inside.exception
    assert "restore it from the repository" in inside.warning[0].value
