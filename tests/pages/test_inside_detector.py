"""The view of Faster R-CNN. AppTest cannot draw or click: the session's state says what was drawn or clicked."""

import dataclasses
import importlib
from concurrent.futures import Future
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import AttributeDictionary

import atelier
from atelier.checkpoint import CheckpointError
from atelier.data import mnist, scenes
from atelier.models import faster_rcnn
from pages.ui import live, networks


def view():
    from atelier.data import mnist
    from pages.views.inside import detector

    detector.show(mnist.load("test")[0][0])


@pytest.fixture(scope="module")
def inside_detector():
    """The module under test. Its canvas can be imported only where an app runs."""
    for name in ("cnn", "faster_rcnn"):
        networks.load(name).result(timeout=120)
    AppTest.from_string("from pages.views.inside import detector", default_timeout=60).run()
    return importlib.import_module("pages.views.inside.detector")


def detector_steps():
    return importlib.import_module("pages.views.inside.detector_steps")


@pytest.fixture
def drawn(inside_detector, monkeypatch):
    """The titles of the figures of the last look at the page, by key."""
    titles = {}
    for module in (detector_steps(), live):
        monkeypatch.setattr(
            module, "live_figure", lambda figure, key, *_: titles.update({key: figure.layout.title.text or ""})
        )
    return titles


@pytest.fixture
def page(drawn):
    return AppTest.from_function(view, default_timeout=60)


@pytest.fixture(scope="module")
def scene(inside_detector):
    """What everybody sees first."""
    return scenes.random_scene("test", np.random.default_rng(inside_detector.FIRST_SCENE))


@pytest.fixture(scope="module")
def walk(scene):
    from atelier.explain import proposals

    return proposals.trace(atelier.load("faster_rcnn", "cpu"), scene.picture)


def look(page):
    page.run()
    assert not page.exception
    return page


def go(page, step):
    page.select_slider(key="inside_step").set_value(step)
    return look(page)


def told(page):
    return " ".join(markdown.value for markdown in page.markdown)


def metrics(page):
    return {metric.label: metric.value for metric in page.metric}


def headings(page):
    return " ".join(heading.value for heading in page.subheader)


def test_the_first_look_shows_the_whole_way_and_what_it_costs(page, drawn, scene):
    look(page)
    assert {"inside_strip", "inside_picture", "inside_sliding"} <= drawn.keys()
    assert "336 × 112 pixels" in drawn["inside_picture"]
    assert "645 answers" in drawn["inside_sliding"]  # 15 rows and 43 columns, one each 8 pixels
    assert metrics(page)["Faster R-CNN: digits and their boxes"] == scene.reading
    assert [metric.delta.endswith(" ms") for metric in page.metric] == [True] * 3


@pytest.mark.parametrize("number", range(8))
def test_each_step_asks_and_answers(inside_detector, page, drawn, number):
    figures = [
        *({"inside_picture"}, {"inside_features"}, {"inside_anchors", "inside_anchor_scores"}),
        *({"inside_objectness", "inside_by_anchor"}, {"inside_candidates", "inside_survivors"}),
        *({"inside_crops", "inside_crop"}, {"inside_classes", "inside_refined"}, {"inside_final"}),
    ]
    page.query_params["inside_step"] = list(inside_detector.STEPS)[number]  # a link leads to a step
    look(page)
    assert headings(page).startswith(f"{number + 1}. ")
    assert drawn.keys() == figures[number] | {"inside_strip", "inside_sliding"}


def test_next_and_back(page):
    back, following = (next(b for b in look(page).button if b.label == label) for label in ("Back", "Next"))
    assert back.disabled
    following.click().run()
    assert headings(page).startswith("2. ")
    next(b for b in page.button if b.label == "Back").click().run()
    assert headings(page).startswith("1. ")
    go(page, "Boxes")
    assert next(b for b in page.button if b.label == "Next").disabled


def test_a_chosen_proposal_stays_chosen_in_the_next_step(page, drawn, walk):
    page.session_state["inside_proposal"] = 2
    go(look(page), "RoIAlign")
    assert "Proposal 3: " in drawn["inside_crop"]
    go(page, "Classes")
    digit = walk.probabilities[2].argmax() - 1
    assert ("No digit" if digit < 0 else f"A {digit}, ") in drawn["inside_refined"]


def test_a_clicked_place_is_kept_for_scenes_of_another_size(page, drawn):
    page.session_state["inside_place"] = (0.99, 0.99)
    go(look(page), "Anchors")
    assert "surest: 0." in drawn["inside_anchor_scores"]  # the scene's right end is empty
    page.segmented_control(key="inside_source").set_value("digit")
    look(page)


def test_the_clicked_place_is_the_one_that_is_shown(page, monkeypatch):
    steps = detector_steps()
    monkeypatch.setattr(steps, "state", AttributeDictionary())
    for columns in range(28, 130):
        walk = SimpleNamespace(objectness=np.zeros((28, columns, 1)))
        for column in range(columns):
            steps.at_place(walk)({"point": [3, column]})
            assert steps.place(walk) == (3, column)


def test_thresholds_move_what_is_found(page, scene, walk):
    go(look(page), "Boxes")
    detector = atelier.load("faster_rcnn", "cpu")
    assert detector_steps().OVERLAP == faster_rcnn.OVERLAP
    for score in (0.5, 0.997, 1.0):
        page.slider(key="inside_score").set_value(score)
        look(page)
        found = detector.detect(scene.picture, score)
        assert f"reads **{found.reading or 'nothing'}**" in told(page)
    page.slider(key="inside_score").set_value(0.5)
    page.slider(key="inside_overlap").set_value(1.0)
    look(page)
    sure = int((walk.probabilities[:, 1:].max(1) >= 0.5).sum())
    assert sure > len(scene.labels)  # nothing is dropped now
    assert f"**{sure}** boxes are sure enough; **{sure}** stay" in told(page)
    go(page, "Picture")
    go(page, "Boxes")
    assert page.slider(key="inside_overlap").value == 1.0  # nothing is lost on the way


def test_the_truth_tells_precision_and_recall(page):
    go(look(page), "Boxes")
    page.segmented_control(key="inside_truth").set_value("told")
    look(page)
    assert (metrics(page)["Precision"], metrics(page)["Recall"]) == ("100%", "100%")
    assert page.dataframe[0].value["found as"].tolist() == ["1", "9", "6", "6", "3"]
    page.slider(key="inside_score").set_value(1.0)
    look(page)
    assert (metrics(page)["Precision"], metrics(page)["Recall"]) == ("–", "0%")


def test_a_scene_whose_truth_is_unknown_cannot_be_told(page):
    go(look(page), "Boxes")
    page.segmented_control(key="inside_truth").set_value("told")
    look(page).segmented_control(key="inside_source").set_value("digit")
    look(page)
    assert page.segmented_control(key="inside_truth").value == "hidden"
    assert "Precision" not in metrics(page)


def test_boxes_that_the_student_draws_are_compared(page, scene):
    """A line around the first digit, one across a place where there is nothing, and a slip of the pen."""
    name = sha256(scene.picture.tobytes() + str(scene.picture.shape).encode()).hexdigest()
    zoom = 760 / 336
    (left, top, right, bottom), *_ = zoom * scene.boxes
    around = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    page.session_state["inside_true_boxes"] = {name: [around, [[700, top], [740, bottom]], [[5, 5], [6, 6]]]}
    go(look(page), "Boxes")
    page.segmented_control(key="inside_truth").set_value("drawn")
    look(page)
    assert (metrics(page)["Precision"], metrics(page)["Recall"]) == ("20%", "50%")  # 1 of 5 boxes, 1 of 2 digits
    assert page.dataframe[0].value["found as"].tolist() == ["1", "missed"]


def test_a_new_number_from_the_draw_page_comes_first(page):
    look(page)
    page.session_state["scene"] = scenes.random_scene("test", np.random.default_rng(3)).picture
    go(look(page), "Boxes")
    assert "reads **50488**" in told(page)
    assert "Tell me" not in page.segmented_control(key="inside_truth").options


def test_without_a_number_it_asks_for_one(page, drawn):
    look(page).segmented_control(key="inside_source").set_value("drawn")
    look(page)
    assert "Write a number" in page.info[0].value
    assert not drawn.keys() - {"inside_strip", "inside_picture", "inside_sliding"}  # those of the look before
    page.segmented_control(key="inside_source").set_value("digit")
    go(look(page), "Boxes")
    assert f"reads **{mnist.load('test')[1][0]}**" in told(page)


def test_another_test_scene_is_another(page):
    before = look(page).session_state["inside_scene"]
    next(b for b in page.button if b.label == "Another test scene").click().run()
    assert not page.exception
    assert page.session_state["inside_scene"] is not before


def test_a_scene_without_digits_is_walked_too(inside_detector, page):
    page.session_state["scene"] = np.full((9, 30), 255, np.uint8)
    look(page)
    for step in inside_detector.STEPS:
        go(page, step)


def test_no_proposal_is_said(inside_detector, page, drawn, monkeypatch, walk):
    monkeypatch.setattr(inside_detector, "walked", lambda *_: dataclasses.replace(walk, kept=walk.kept[:0]))
    look(page)
    assert "proposes no box" in page.info[0].value
    assert "inside_sliding" in drawn


@pytest.mark.parametrize("missing", ["cnn", "faster_rcnn"])
def test_a_network_that_cannot_be_loaded_says_why_and_the_other_answers(page, drawn, monkeypatch, missing):
    failed, load = Future(), networks.load
    failed.set_exception(CheckpointError("It is damaged."))
    monkeypatch.setattr(networks, "load", lambda name: failed if name == missing else load(name))
    look(page)
    assert "It is damaged." in page.warning[0].value
    assert drawn.keys() == ({"inside_sliding"} if missing == "faster_rcnn" else {"inside_strip", "inside_picture"})


@pytest.mark.parametrize("later", [False, True])
def test_damaged_digits_are_said(page, monkeypatch, later):
    def damaged(*_):
        raise mnist.DamagedDataError("The digits are damaged.")

    if later:  # when another scene is wanted
        look(page)
        (another,) = [button for button in page.button if button.label == "Another test scene"]
        another.click()
    monkeypatch.setattr(scenes, "random_scene", damaged)
    look(page)
    assert page.warning[0].value == "The digits are damaged."
