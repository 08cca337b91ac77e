"""Look inside, detector: the eight steps, the true boxes, and the CNN on the same scene."""

import dataclasses
import importlib
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

import atelier
from atelier.checkpoint import CheckpointError
from atelier.data import mnist, scenes
from atelier.models import faster_rcnn
from pages.ui import networks
from tests.support.inside_page import Figures, choose, open_view, press, run

DIGIT = mnist.load("test")[0][0]
FIGURES = {  # of each step
    "picture": {"inside_picture"},
    "features": {"inside_features"},
    "anchors": {"inside_anchors", "inside_anchor_scores"},
    "objectness": {"inside_objectness", "inside_by_anchor"},
    "proposals": {"inside_candidates", "inside_survivors"},
    "roi_align": {"inside_crops", "inside_crop"},
    "classes": {"inside_classes", "inside_refined"},
    "boxes": {"inside_final"},
}
ALWAYS = {"inside_strip", "inside_sliding"}


@pytest.fixture(scope="module", autouse=True)
def views():
    """The modules under test: their canvas can be imported only where an app runs."""
    AppTest.from_string("from pages.views.inside import detector", default_timeout=60).run()
    for name in ("cnn", "faster_rcnn"):
        networks.load(name).result(timeout=120)


def module(name: str):
    return importlib.import_module(f"pages.views.inside.{name}")


@pytest.fixture
def figures(views, monkeypatch):
    return Figures(monkeypatch)


@pytest.fixture
def page(figures):
    return open_view("detector", DIGIT, ())


@pytest.fixture(scope="module")
def scene(views):
    """The first test scene."""
    return scenes.random_scene("test", np.random.default_rng(module("detector").FIRST_SCENE))


@pytest.fixture(scope="module")
def trace(scene):
    from atelier.explain import proposals

    return proposals.trace(atelier.load("faster_rcnn", "cpu"), scene.picture)


def reading(text, page) -> str:
    return text(page, "inside_reading").split("**")[1]


def read(picture: np.ndarray, score: float = 0.5) -> str:
    """What the detector itself reads in a scene."""
    return atelier.load("faster_rcnn", "cpu").detect(picture, score).reading or "–"


def metrics(page) -> list[str]:
    """Precision and recall, if the last step shows them."""
    return [metric.value for metric in page.metric][:-3]


def test_first_screen_shows_all_steps_and_what_each_way_costs(page, figures, scene):
    assert figures.keys() == {"inside_picture"} | ALWAYS
    detector, *others = page.metric
    assert detector.value == read(scene.picture)
    assert len(others) == 2
    assert all(metric.delta.endswith(" ms") for metric in page.metric)
    assert np.shape(figures["inside_sliding"].data[1].z) == (15, 43)  # one answer each 8 of 336 x 112 pixels


def test_next_and_back_lead_through_all_steps(page, figures):
    assert page.button(key="inside_back").disabled
    for step, keys in FIGURES.items():
        assert page.session_state["inside_step"] == step
        assert figures.keys() == keys | ALWAYS
        if step != "boxes":
            figures.clear()
            figures["inside_sliding"] = None  # a change of step leaves it as it is
            press(page, "inside_next")
    assert page.button(key="inside_next").disabled
    assert page.query_params["inside_step"] == "boxes"
    assert press(page, "inside_back").session_state["inside_step"] == "classes"


def test_link_leads_to_a_step_and_a_click_on_the_strip_to_another(page, figures):
    page.query_params["inside_step"] = "anchors"
    assert "inside_anchors" in (run(page) and figures)
    figures.click(page, "inside_strip", customdata=6)
    assert page.session_state["inside_step"] == "classes"


def test_chosen_proposal_stays_chosen_in_the_next_step(page, figures, trace):
    choose(page, "inside_step", "roi_align")
    figures.click(page, "inside_crops", customdata=2)
    assert page.session_state["inside_proposal"] == 2
    choose(page, "inside_step", "classes")
    figures.click(page, "inside_classes", y=1)
    assert page.session_state["inside_proposal"] == 1


def test_clicked_place_is_shown_in_scenes_of_any_size(page, figures, monkeypatch):
    choose(page, "inside_step", "anchors")
    figures.click(page, "inside_anchors", point=[27, 83])
    choose(page, "inside_source", "digit")
    steps = module("detector_steps")
    monkeypatch.setattr(steps, "state", AttributeDictionary())
    for size in range(28, 130):
        trace = SimpleNamespace(objectness=np.zeros((size, size, 1)))
        for place in range(size):
            steps.place_clicked(trace)({"point": [place, place]})
            assert steps.place(trace) == (place, place)


def test_thresholds_change_which_boxes_stay(page, text, scene, trace):
    assert module("detector_boxes").OVERLAP == faster_rcnn.OVERLAP
    choose(page, "inside_step", "boxes")
    for score in (0.5, 0.997, 1.0):
        choose(page, "inside_score", score)
        assert reading(text, page) == read(scene.picture, score)
    choose(page, "inside_score", 0.5)
    choose(page, "inside_overlap", 1.0)
    probable = int((trace.probabilities[:, 1:].max(1) >= 0.5).sum())
    assert len(reading(text, page)) == probable > len(scene.labels)  # no box is dropped
    choose(page, "inside_step", "picture")
    choose(page, "inside_step", "boxes")
    assert page.slider(key="inside_overlap").value == 1.0


def test_known_boxes_give_precision_and_recall(page, scene):
    choose(page, "inside_step", "boxes")
    choose(page, "inside_truth", "known")
    assert len(page.dataframe[0].value) == len(scene.labels)
    choose(page, "inside_score", 1.0)  # finds nothing
    assert metrics(page) == ["–", "0%"]
    assert set(page.dataframe[0].value["found"]) == {"missed"}
    choose(page, "inside_source", "digit")  # its truth is unknown
    assert page.segmented_control(key="inside_truth").value == "hidden"
    assert metrics(page) == []


def test_drawn_boxes_are_compared(page, scene, trace):
    """A line around the first digit, one where there is nothing, and a slip of the pen."""
    from atelier.explain import proposals

    boxes = module("detector_boxes")
    zoom = boxes.CANVAS[0] / scene.picture.shape[1]
    (left, top, right, bottom), *_ = zoom * scene.boxes
    around = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    lines = [around, [[700, top], [740, bottom]], [[5, 5], [6, 6]]]
    page.session_state["inside_true_boxes"] = {boxes.scene_id(scene.picture): lines}
    choose(page, "inside_step", "boxes")
    choose(page, "inside_truth", "drawn")
    found = len(proposals.decide(trace).kept)
    assert metrics(page) == [f"{1 / found:.0%}", "50%"]
    assert page.dataframe[0].value["found"].tolist() == [str(scene.labels[0]), "missed"]


def test_number_drawn_on_another_page_comes_first(page, text):
    drawn = scenes.random_scene("test", np.random.default_rng(3)).picture
    page.session_state["scene"] = drawn
    choose(run(page), "inside_step", "boxes")
    assert reading(text, page) == read(drawn)
    assert len(page.segmented_control(key="inside_truth").options) == 2  # its truth is unknown


def test_without_a_drawn_number_the_page_asks_for_one(page, figures):
    figures.clear()
    choose(page, "inside_source", "drawn")
    assert page.info
    assert not figures


def test_another_test_scene_is_another(page):
    before = page.session_state["inside_scene"]
    assert press(page, "inside_another_scene").session_state["inside_scene"] is not before


def test_scene_without_digits_has_all_steps(page):
    page.session_state["scene"] = np.full((9, 30), 255, np.uint8)
    run(page)
    for step in FIGURES:
        choose(page, "inside_step", step)


def test_scene_without_proposals_gives_a_message(page, figures, monkeypatch, trace):
    monkeypatch.setattr(module("detector"), "trace_of", lambda *_: dataclasses.replace(trace, kept=trace.kept[:0]))
    figures.clear()
    run(page)
    assert page.info
    assert figures.keys() == {"inside_sliding"}


@pytest.mark.parametrize("missing", ["cnn", "faster_rcnn"])
def test_network_that_cannot_be_loaded_gives_the_reason_and_the_other_answers(page, figures, monkeypatch, missing):
    failed, load = Future(), networks.load
    failed.set_exception(CheckpointError("damaged"))
    monkeypatch.setattr(networks, "load", lambda name: failed if name == missing else load(name))
    figures.clear()
    run(page)
    assert "damaged" in page.warning[0].value
    assert figures.keys() == ({"inside_sliding"} if missing == "faster_rcnn" else {"inside_strip", "inside_picture"})


@pytest.mark.parametrize("later", [False, True])
def test_damaged_test_digits_give_a_message(page, monkeypatch, later):
    def damaged(*_):
        raise mnist.DamagedDataError("damaged")

    monkeypatch.setattr(scenes, "random_scene", damaged)
    if later:
        press(page, "inside_another_scene")
    else:
        del page.session_state["inside_scene"]
        run(page)
    assert page.warning[0].value == "damaged"
