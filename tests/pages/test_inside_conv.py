"""The view of the convolutional networks."""

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from atelier.data import mnist

DIGIT = mnist.load("test")[0][247]
SHOWN = {}  # the figures of the last run, by key
CLICKS = {}  # what is clicked in the next one, by the figure's key: AppTest cannot click on figures


def view():
    import streamlit as st

    from pages.ui import networks
    from pages.views.inside import conv, conv_why

    for name in conv_why.COMPARED:
        networks.load(name).result()
    conv.show(st.session_state["digit"])


@pytest.fixture
def page(monkeypatch):
    from pages.ui import live
    from pages.views.inside import conv

    def keep(figure, key, height, alt, on_click=None, narrowest=0):
        SHOWN[key] = figure
        if key in CLICKS:
            on_click(CLICKS.pop(key))

    for module in (conv, live):
        monkeypatch.setattr(module, "live_figure", keep)
    SHOWN.clear()
    CLICKS.clear()
    app = AppTest.from_function(view, default_timeout=60)
    app.session_state["digit"] = DIGIT
    return run(app)


def run(app):
    app.run()
    assert not app.exception
    return app


def choose(app, key, value):
    (found,) = [control for control in (*app.button_group, *app.select_slider) if (control.key or "").startswith(key)]
    found.set_value(value)
    return run(app)


def click(app, key, point):
    CLICKS[key] = point
    run(app)
    return run(app)


def titles(app):
    return [heading.value for heading in app.subheader]


def text(key):
    return SHOWN[key].layout.title.text


def test_the_first_look_already_explains(page):
    assert titles(page) == ["What does each layer find?", "Why a 4? Why a 2?"]
    assert "16 × 24 × 24" in text("inside_conv_maps")
    assert "layer 3, 12 × 12" in text("inside_conv_why")
    assert page.segmented_control(key="inside_conv_method").value == "Grad-CAM"
    assert {"inside_conv_arithmetic", "inside_conv_compared"} <= SHOWN.keys()
    assert any("as the layer itself gives" in markdown.value for markdown in page.markdown)


def test_a_click_on_a_map_and_then_on_a_number_spells_that_number_out(page):
    click(page, "inside_conv_maps", {"customdata": 5, "point": [0, 5]})
    assert "map 6" in text("inside_conv_map")
    click(page, "inside_conv_map", {"customdata": None, "point": [7, 11]})
    assert any(markdown.value.startswith("Row 8, column 12:") for markdown in page.markdown)


def test_steps_are_told_in_words(page):
    for step, words in (("Pooling", "24 × 24 to 12 × 12"), ("Normalisation", "shifts"), ("ReLU", "above zero")):
        choose(page, "inside_conv_step", step)
        assert step in text("inside_conv_maps")
        assert any(words in markdown.value for markdown in page.markdown)


@pytest.mark.parametrize(("name", "layers"), [("alexnet", 5), ("vgg16", 13)])
def test_frozen_and_retrained_layers_are_marked(page, name, layers):
    choose(page, "inside_conv_network", name)
    assert "Which layers learnt digits?" in titles(page)
    large = name == "alexnet"  # filters of 11 × 11, whose numbers are too many to be printed
    assert ("Full colour: window" in text("inside_conv_arithmetic")) == large
    told = SHOWN["inside_conv_moved"].data[0].text
    assert told[:-1] == ("❄ frozen",) * (layers - 1)
    assert told[-1].startswith("retrained: ")
    choose(page, f"inside_conv_layer_{name}", layers)
    assert "retrained" in next(slider for slider in page.select_slider).options[-1]


def test_a_blank_grad_cam_gives_way_to_hires_cam_and_says_so(page):
    """The CNN's Grad-CAM finds nothing for this 4 in its default layer."""
    assert any("Grad-CAM is blank for 4" in info.value for info in page.info)
    assert "HiResCAM" in text("inside_conv_why")
    assert np.nanmax(SHOWN["inside_conv_why"].data[1].z) > 0
    titles_of = SHOWN["inside_conv_compared"].data[-1].text
    assert [title.split("<br>") for title in titles_of] == [
        ["<b>CNN</b>", "HiResCAM", "layer 3, 12 × 12"],
        ["<b>VGG16</b>", "layer 7, 12 × 12"],
        ["<b>AlexNet</b>", "layer 2, 7 × 7"],
        ["<b>ViT</b>", "rollout", "7 × 7 patches"],
    ]
    choose(page, "inside_conv_network", "vgg16")  # whose is not blank
    assert not page.info
    assert "Grad-CAM" in text("inside_conv_why")


def test_the_layer_of_grad_cam_can_be_chosen_and_its_size_is_told(page):
    choose(page, "inside_conv_gradcam", 1)
    assert "layer 1, 24 × 24" in text("inside_conv_why")


def test_a_run_of_other_sizes_is_looked_into(page, monkeypatch):
    from concurrent.futures import Future

    from atelier import MODELS
    from atelier.classifier import Classifier
    from pages.ui import networks

    small, load = Future(), networks.load
    small.set_result(Classifier(MODELS["cnn"], MODELS["cnn"].build({"channels": (1, 2, 3, 4), "hidden": 5}), {}))
    monkeypatch.setattr(networks, "load", lambda name: small if name == "cnn" else load(name))
    click(page, "inside_conv_maps", {"customdata": 0, "point": [0, 0]})
    assert "1 × 24 × 24" in text("inside_conv_maps")
    choose(page, "inside_conv_layer", 4)
    assert "4 × 6 × 6" in text("inside_conv_maps")


def test_two_classes_stand_side_by_side_on_one_scale(page):
    choose(page, "inside_conv_second", 7)
    assert titles(page)[-1] == "Why a 4? Why a 7?"
    overlay = SHOWN["inside_conv_why"].data[1]
    assert overlay.zmax == pytest.approx(np.nanmax(overlay.z))


@pytest.mark.parametrize("method", ["Integrated gradients", "Occlusion"])
def test_other_methods_show_for_and_against(page, method):
    choose(page, "inside_conv_method", method)
    overlay = SHOWN["inside_conv_compared"].data[1]
    assert overlay.zmin == -overlay.zmax


def test_the_slowest_method_is_ready_before_it_is_asked_for(page, monkeypatch):
    from atelier.explain import gradcam
    from pages.ui import background

    for found in background._ahead:
        found.result(timeout=120)

    def asked_again(*question):
        raise AssertionError("This was known already.")

    monkeypatch.setattr(gradcam, "integrated_gradients", asked_again)
    choose(page, "inside_conv_method", "Integrated gradients")
    assert "Integrated gradients" in text("inside_conv_why")
    (sums,) = [caption.value for caption in page.caption if caption.value.startswith("Together, the pixels add")]
    together, whole = (float(number) for number in re.findall(r"[+-]\d+\.\d", sums))
    assert whole > 0
    assert together == pytest.approx(whole, abs=0.1 * whole)


def test_frozen_filters_that_nobody_taught_are_called_random(page, monkeypatch):
    from concurrent.futures import Future

    from atelier import MODELS
    from atelier.classifier import Classifier
    from pages.ui import networks

    untaught, load = Future(), networks.load
    untaught.set_result(Classifier(MODELS["alexnet"], MODELS["alexnet"].build({"backbone": "none"}), {}))
    monkeypatch.setattr(networks, "load", lambda name: untaught if name == "alexnet" else load(name))
    for name, told in (("alexnet", "keep the random filters"), ("vgg16", "see as they were taught elsewhere")):
        choose(page, "inside_conv_network", name)
        assert any(told in markdown.value for markdown in page.markdown)


def test_only_for_the_last_visitor_it_is_looked_ahead():
    from pages.ui import background

    seen = []
    background.look_ahead([lambda: seen.append("first")])
    background.look_ahead([lambda: seen.append("last")])
    for found in background._ahead:
        found.result(timeout=60)
    assert seen == ["last"]


def test_a_digit_nobody_recognises_is_explained_all_the_same(page):
    page.session_state["digit"] = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    run(page)
    assert "inside_conv_why" in SHOWN
