"""Look inside as a whole: which digit it is about, and what its first screen shows."""

from concurrent.futures import Future

import numpy as np
import pytest
import torch

import atelier
from atelier import MODELS, checkpoint, paths
from atelier.data import mnist
from atelier.models.cnn import CNN, CNNConfig
from atelier.runs.folder import Run
from atelier.studies import results
from pages.ui import digit_choice, networks

IMAGES, LABELS = mnist.load("test")


@pytest.fixture
def inside(app):
    app.switch_page("pages/inside.py")
    app.query_params["view"] = "Vision Transformer"  # the quickest
    return app


def said(text, app) -> dict[str, str]:
    """The digit that each network's evidence is for."""
    return {name: text(app, f"evidence_{name}").removeprefix("0%100%")[:1] for name in MODELS}


def sentences(app) -> str:
    return " ".join(markdown.value for markdown in app.markdown)


def look(app):
    app.run()
    assert not app.exception
    return app


def test_the_first_screen_shows_the_evidence_of_all_five_before_anything_was_drawn(inside, text):
    del inside.query_params["view"]
    look(inside)
    assert "Nothing has been drawn yet" in inside.markdown[0].value
    assert "digit" not in inside.session_state  # Draw still begins with nothing
    digit = IMAGES[digit_choice.FIRST]
    for name in MODELS:
        assert said(text, inside)[name] == str(atelier.load(name, "cpu").predict(digit[None])[0])


def test_the_digit_from_draw_is_looked_into(inside, text):
    (seven,) = np.flatnonzero(LABELS == 7)[:1]
    inside.session_state["digit"] = IMAGES[seven]
    look(inside)
    assert set(said(text, inside).values()) == {"7"}
    assert "All 5 networks say 7." in sentences(inside)


def test_a_blank_picture_gives_way_to_a_test_digit(inside):
    inside.session_state["digit"] = np.zeros((28, 28), np.uint8)
    look(inside)
    assert "That picture is blank" in inside.markdown[0].value


def test_a_digit_that_no_network_recognises_is_said(inside, monkeypatch):
    inside.session_state["digit"], inside.session_state["truth"] = IMAGES[0], 3  # a 7
    look(inside)
    assert "It is a 3: no network recognises it." in sentences(inside)
    inside.session_state["truth"] = None
    unsure = np.full(10, 0.08, np.float32)
    unsure[7] = 0.28
    monkeypatch.setattr(networks, "ask_once", lambda spec, digit: networks.Answer(spec, unsure))
    look(inside)
    assert "no network is even 50% sure" in sentences(inside)


def test_a_run_that_is_built_differently_is_looked_into_and_said(inside, text, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    torch.manual_seed(0)
    network, run = CNN(CNNConfig(channels=(4, 4, 8, 8))), Run.create(tmp_path, {"model": "cnn"})
    card = {"model": "cnn", "config": {"channels": [4, 4, 8, 8], "hidden": 128}}
    checkpoint.save(run.path("best.safetensors"), network.state_dict(), card)
    run.set_status("done")
    inside.session_state["digit"], inside.session_state["chosen_runs"] = IMAGES[0], {"cnn": run.id}
    look(inside)
    assert said(text, inside)["cnn"] in "0123456789"
    (told,) = [caption.value for caption in inside.caption if "built differently" in caption.value]
    assert told == "This CNN is built differently: channels [4, 4, 8, 8] (usually [16, 32, 64, 128])."


def test_any_test_digit_can_be_chosen_by_number_and_by_class(inside, text):
    look(inside)
    inside.number_input(key="digit_number").set_value(3)
    look(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[3])
    assert set(said(text, inside).values()) == {str(LABELS[3])}
    inside.segmented_control(key="digit_class").set_value(8)
    look(inside)
    assert inside.session_state["truth"] == 8


def test_the_hardest_digits_of_a_shipped_network_are_known(inside, text):
    said = np.load(results.SHIPPED / "leaderboard.npz")
    surest_mistake = np.where(said["vit_guess"] != LABELS, said["vit_confidence"], 0).argmax()
    look(inside)
    inside.selectbox(key="digit_hardest_for").set_value("vit")
    look(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[surest_mistake])
    assert "number 1 of the hardest for ViT" in inside.markdown[0].value


def test_the_hardest_digits_of_a_network_can_be_measured(inside, text, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "SHIPPED", tmp_path)  # where nothing is recorded
    monkeypatch.setattr(digit_choice, "TEST_DIGITS", 1_000)
    probabilities = atelier.load("cnn", "cpu").predict_proba(IMAGES[:1_000])
    hardest, second = np.argsort(probabilities[np.arange(1_000), LABELS[:1_000]])[:2]
    look(inside)
    inside.selectbox(key="digit_hardest_for").set_value("cnn")
    look(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[hardest])
    assert "number 1 of the hardest for CNN" in inside.markdown[0].value
    inside.number_input(key="digit_rank").set_value(2)
    look(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[second])
    assert said(text, inside)["cnn"] == str(probabilities[second].argmax())
    inside.number_input(key="digit_number").set_value(3)
    look(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[3])  # what was chosen last counts
    inside.number_input(key="digit_rank").set_value(1)
    look(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[hardest])


def test_a_network_that_cannot_be_loaded_says_so_and_the_others_answer(inside, text):
    inside.session_state["digit"] = IMAGES[0]
    inside.session_state["chosen_runs"] = {"vgg16": "no-such-run"}
    look(inside)
    assert said(text, inside)["cnn"] == str(LABELS[0])
    assert "not on this computer" in text(inside, "evidence_vgg16")


def test_the_page_does_not_keep_a_browser_waiting_for_a_network(inside, text, monkeypatch):
    load, slow = networks.load, Future()
    monkeypatch.setattr(networks, "load", lambda name: slow if name == "vit" else load(name))
    for name in MODELS:
        if name != "vit":
            load(name).result(timeout=60)
    inside.session_state["digit"] = IMAGES[0]
    inside.context = {"url": "http://localhost:8501/inside"}
    look(inside)  # comes to an end: else nothing that is clicked would be answered before the network is there
    assert "still loading" in text(inside, "evidence_vit")
    assert said(text, inside)["cnn"] == "7"
    slow.set_result(load("vit").result(timeout=60))
    look(inside)
    assert said(text, inside)["vit"] == "7"


def test_damaged_data_is_said(inside, monkeypatch):
    def damaged(split):
        raise mnist.DamagedDataError("t10k is damaged: restore it from the repository.")

    inside.session_state["digit"] = IMAGES[0]
    look(inside)
    monkeypatch.setattr(mnist, "load", damaged)
    inside.segmented_control(key="digit_class").set_value(8)
    look(inside)
    assert "restore it from the repository" in inside.warning[0].value
    assert np.array_equal(inside.session_state["digit"], IMAGES[0])  # nothing is lost
    inside.session_state["digit"] = None
    look(inside)
    assert "restore it from the repository" in inside.warning[0].value
