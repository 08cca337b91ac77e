"""Look inside, Vision Transformer. AppTest sees no figures: a click is a button in place of the figure."""

import numpy as np
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

import atelier
from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.models.vit import ViT, ViTConfig
from pages.ui import networks
from pages.views.inside import vit_view


def page():
    from atelier.data import mnist
    from pages.views.inside import vit_view

    vit_view.show(mnist.load("test")[0][0])  # a 7


@pytest.fixture(scope="module")
def shipped():
    return atelier.load("vit", "cpu")


@pytest.fixture
def use(monkeypatch):
    """`use(classifier)`: the network of the session."""

    def choose(classifier):
        monkeypatch.setattr(networks, "network", lambda name: classifier)
        monkeypatch.setattr(networks, "identity", lambda name: str(id(classifier)))

    return choose


@pytest.fixture
def drawn(monkeypatch):
    """The figures of the last look at the page, by key. `drawn.points[key]` is what a click on it tells."""

    class Drawn(dict):
        points: dict = {}  # noqa: RUF012

    figures = Drawn()

    def live_figure(figure, key, height, alt, on_click=None):
        assert alt
        assert height > 0
        figure.to_json()
        figures[key] = figure
        if on_click:
            st.button(key, key=f"click_{key}", on_click=lambda: on_click(figures.points[key]))

    monkeypatch.setattr(vit_view, "live_figure", live_figure)
    return figures


def look(app=None):
    app = (app or AppTest.from_function(page, default_timeout=60)).run()
    assert not app.exception
    return app


def click(app, drawn, key, **point):
    drawn.points[key] = point
    app.button(key=f"click_{key}").click()
    return look(app)


def title(figure):
    return figure.layout.title.text


def test_it_begins_with_the_last_layer_and_the_class_token(use, drawn, shipped):
    use(shipped)
    look()
    digit = mnist.load("test")[0][0]
    attention = shipped.attention(digit)
    assert "layer 6, head 1" in title(drawn["inside_looks"])
    assert drawn["inside_looks"].data[1].z == pytest.approx(100 * attention[5, 0, 0, 1:].reshape(7, 7), abs=1e-4)
    assert [title(drawn[f"inside_station_{number}"])[3] for number in range(1, 7)] == list("123456")
    assert "the answer is 7" in title(drawn["inside_station_6"])
    assert "Why 7?" in title(drawn["inside_gradient_rollout"])
    assert drawn["inside_lens"].data[7].y[-1] == pytest.approx(shipped.predict_proba(digit[None])[0, 7], abs=1e-5)


def test_a_click_enlarges_a_head_and_another_looks_from_a_patch(use, drawn, shipped):
    use(shipped)
    app = click(look(), drawn, "inside_heads", customdata=[2, 4, 1, 1])
    assert "layer 2, head 4" in title(drawn["inside_looks"])
    assert (app.selectbox(key="inside_layer").value, app.selectbox(key="inside_head").value) == (2, 4)
    click(app, drawn, "inside_looks", customdata=24)
    row = shipped.attention(mnist.load("test")[0][0])[1, 3, 24]
    assert drawn["inside_looks"].data[1].z == pytest.approx(100 * row[1:].reshape(7, 7), abs=1e-4)
    assert "patch 24" in title(drawn["inside_heads"])
    click(app, drawn, "inside_looks", customdata=0)
    assert "class token" in title(drawn["inside_heads"])


def test_all_can_be_chosen_without_a_mouse(use, drawn, shipped):
    use(shipped)
    app = look()
    app.selectbox(key="inside_layer").set_value(1)
    app.selectbox(key="inside_head").set_value(3)
    app.selectbox(key="inside_token").set_value(30)
    look(app)
    assert "layer 1, head 3" in title(drawn["inside_looks"])
    assert "patch 30" in title(drawn["inside_heads"])


def test_rollouts_follow_their_controls(use, drawn, shipped):
    use(shipped)
    app = look()
    before = [np.array(drawn[key].data[1].z) for key in ("inside_rollout", "inside_gradient_rollout")]
    (asked,) = [control for control in app.segmented_control if control.label == "Why this digit?"]
    assert asked.value == 7
    asked.set_value(2)
    look(app)
    assert "Why 2?" in title(drawn["inside_gradient_rollout"])
    assert np.array_equal(drawn["inside_rollout"].data[1].z, before[0])  # knows nothing of classes
    assert not np.array_equal(drawn["inside_gradient_rollout"].data[1].z, before[1])
    app.segmented_control(key="inside_fusion").set_value("max")
    app.slider(key="inside_discard").set_value(90)
    look(app)
    assert not np.array_equal(drawn["inside_rollout"].data[1].z, before[0])


def test_distances_are_measured_when_asked_for(use, drawn, shipped, monkeypatch):
    use(shipped)
    monkeypatch.setattr(vit_view, "MEASURED", 4)
    monkeypatch.setattr(vit_view, "PART", 2)
    app = look()
    assert "inside_distances" not in drawn
    next(button for button in app.button if button.label == "Measure").click()
    look(app)
    from atelier.explain.attention import mean_attention_distance

    expected = mean_attention_distance(shipped, mnist.load("test")[0][::2500])
    assert drawn["inside_distances"].data[1].y == pytest.approx(expected.ravel())


def test_damaged_data_are_said_and_the_rest_stays(use, drawn, shipped, monkeypatch):
    use(shipped)
    app = look()

    def damaged(*_):
        raise mnist.DamagedDataError("A file is damaged.")

    monkeypatch.setattr(vit_view, "_part", damaged)
    next(button for button in app.button if button.label == "Measure").click()
    assert "A file is damaged." in look(app).warning[0].value


@pytest.mark.parametrize(
    "config", [{"patch_size": 2, "depth": 1, "heads": 1}, {"patch_size": 14, "depth": 2, "dim": 24, "heads": 6}]
)
def test_a_run_of_another_architecture_takes_over_what_it_has(use, drawn, shipped, config):
    use(shipped)
    app = click(look(), drawn, "inside_heads", customdata=[6, 4, 1, 1])
    click(app, drawn, "inside_looks", customdata=49)
    torch.manual_seed(0)
    use(Classifier(MODELS["vit"], ViT(ViTConfig(**config)), {}))
    look(app)
    side, depth = 28 // config["patch_size"], config["depth"]
    assert drawn["inside_looks"].data[1].z.shape == drawn["inside_rollout"].data[1].z.shape == (side, side)
    assert f"layer {depth}, head {4 if config['heads'] > 3 else 1}" in title(drawn["inside_looks"])
    assert ("patch 49" if side == 14 else "class token") in title(drawn["inside_heads"])


def test_while_the_network_loads_nothing_is_drawn(use, drawn):
    use(None)
    look()
    assert not drawn
