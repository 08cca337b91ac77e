"""Look inside as a whole: which digit it explains, its first screen, and its views."""

import re
from concurrent.futures import Future

import numpy as np
import pytest
import torch

import atelier
from atelier import MODELS, checkpoint, paths
from atelier.data import mnist
from atelier.explain import attribution
from atelier.models.cnn import CNN, CNNConfig
from atelier.runs.folder import Run
from atelier.studies import results
from pages.ui import digit_choice, networks
from pages.views.inside.attribution_cards import summary
from tests.support.inside_page import choose, run

IMAGES, LABELS = mnist.load("test")


@pytest.fixture
def inside(app):
    app.switch_page("pages/inside.py")
    app.session_state["digit"] = IMAGES[0]
    app.query_params["view"] = "transformer"  # the quickest
    return app


@pytest.fixture
def answers(text):
    """`answers(app)`: the answer on each network's card; None if it has none."""

    def read(app) -> dict[str, int | None]:
        found = {name: re.search(r"(\d), [\d.]+% sure", text(app, f"evidence_{name}")) for name in MODELS}
        return {name: match and int(match[1]) for name, match in found.items()}

    return read


def predictions(digit: np.ndarray) -> dict[str, int]:
    return {name: int(atelier.load(name, "cpu").predict(digit[None])[0]) for name in MODELS}


def answers_of(*digits: int, confidence: float = 1.0) -> list[networks.Answer]:
    return [networks.Answer(MODELS["cnn"], np.eye(10, dtype=np.float32)[digit] * confidence) for digit in digits]


@pytest.mark.parametrize("digit", [None, np.zeros((28, 28), np.uint8)], ids=["none", "blank"])
def test_first_screen_explains_a_test_digit_before_anything_is_drawn(inside, answers, digit):
    del inside.query_params["view"]
    inside.session_state["digit"] = digit
    run(inside)
    assert answers(inside) == predictions(IMAGES[digit_choice.FIRST])
    assert np.array_equal(inside.session_state["digit"], digit)  # Draw still has a blank canvas


def test_each_network_explains_its_own_answer_to_the_digit_from_draw(inside, answers, monkeypatch):
    targets, attribute = {}, attribution.attribute

    def record(network, digit, target):
        targets[network.spec.name] = target
        return attribute(network, digit, target)

    monkeypatch.setattr(attribution, "attribute", record)
    inside.session_state["digit"] = IMAGES[digit_choice.FIRST + 1]
    assert answers(run(inside)) == targets == predictions(IMAGES[digit_choice.FIRST + 1])


@pytest.mark.parametrize(
    ("truth", "confidence", "noted"), [(3, 1.0, True), (7, 1.0, False), (None, 0.4, True), (None, 0.6, False)]
)
def test_summary_notes_a_digit_that_no_network_recognises(truth, confidence, noted):
    answers = answers_of(7, 7, 1, confidence=confidence)
    assert (summary(answers, truth) != networks.agreement(answers)) == noted


def test_link_carries_keys_of_views_and_parts(inside):
    run(inside)
    assert inside.segmented_control(key="view").value == "transformer"
    choose(inside, "view", "all")
    choose(inside, "ask", "architecture")
    assert inside.query_params == {"ask": "architecture"}
    inside.query_params["ask"] = "adversarial"  # the browser's back button
    assert run(inside).segmented_control(key="ask").value == "adversarial"
    inside.query_params["view"] = "unknown"
    assert run(inside).segmented_control(key="view").value == "all"


def test_views_follow_the_registry(inside):
    del MODELS["faster_rcnn"]
    inside.query_params["view"] = "detector"
    run(inside)
    assert len(inside.segmented_control(key="view").options) == 3
    assert inside.segmented_control(key="view").value == "all"


def test_run_with_other_sizes_is_explained(inside, answers, text, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    torch.manual_seed(0)
    network, trained = CNN(CNNConfig(channels=(4, 4, 8, 8))), Run.create(tmp_path, {"model": "cnn"})
    card = {"model": "cnn", "config": {"channels": [4, 4, 8, 8], "hidden": 128}}
    checkpoint.save(trained.path("best.safetensors"), network.state_dict(), card)
    trained.set_status("done")
    inside.session_state["chosen_runs"] = {"cnn": trained.id}
    run(inside)
    assert answers(inside)["cnn"] is not None
    assert "channels [4, 4, 8, 8]" in text(inside, "inside_notes")


def test_any_test_digit_can_be_chosen_by_number_and_by_class(inside):
    run(inside).number_input(key="digit_number").set_value(3)
    run(inside)
    assert np.array_equal(inside.session_state["digit"], IMAGES[3])
    assert choose(inside, "digit_class", 8).session_state["truth"] == 8


def test_hardest_digits_of_a_shipped_network_are_known(inside):
    recorded = np.load(results.SHIPPED / "leaderboard.npz")
    mistake = np.where(recorded["vit_guess"] != LABELS, recorded["vit_confidence"], 0).argmax()
    choose(run(inside), "digit_hardest_for", "vit")
    assert np.array_equal(inside.session_state["digit"], IMAGES[mistake])


def test_hardest_digits_are_measured_where_nothing_is_recorded(inside, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "SHIPPED", tmp_path)
    monkeypatch.setattr(digit_choice, "TEST_DIGITS", 1_000)
    probabilities = atelier.load("cnn", "cpu").predict_proba(IMAGES[:1_000])
    hardest, second = np.argsort(probabilities[np.arange(1_000), LABELS[:1_000]])[:2]
    choose(run(inside), "digit_hardest_for", "cnn")
    for widget, value, expected in (
        ("digit_rank", 2, second),
        ("digit_number", 3, 3),  # the last choice counts
        ("digit_rank", 1, hardest),
    ):
        inside.number_input(key=widget).set_value(value)
        assert np.array_equal(run(inside).session_state["digit"], IMAGES[expected])


def test_network_that_cannot_be_loaded_gives_the_reason_and_the_others_answer(inside, answers):
    inside.session_state["chosen_runs"] = {"vgg16": "no-such-run"}
    run(inside)
    assert [name for name, answer in answers(inside).items() if answer is None] == ["vgg16"]
    assert len(inside.warning) == 1


def test_page_does_not_wait_for_a_network(inside, answers, monkeypatch):
    load, slow = networks.load, Future()
    monkeypatch.setattr(networks, "load", lambda name: slow if name == "vit" else load(name))
    for name in MODELS:
        if name != "vit":
            load(name).result(timeout=60)
    inside.context = {"url": "http://localhost:8501/inside"}
    run(inside)  # ends: clicks would have no response before
    assert [name for name, answer in answers(inside).items() if answer is None] == ["vit"]
    slow.set_result(load("vit").result(timeout=60))
    assert None not in answers(run(inside)).values()


def test_damaged_test_digits_give_a_message_and_the_digit_stays(inside, monkeypatch):
    def damaged(split):
        raise mnist.DamagedDataError("damaged")

    run(inside)
    monkeypatch.setattr(mnist, "load", damaged)
    choose(inside, "digit_class", 8)
    assert inside.warning[0].value == "damaged"
    assert np.array_equal(inside.session_state["digit"], IMAGES[0])
    inside.session_state["digit"] = None
    assert run(inside).warning[0].value == "damaged"
