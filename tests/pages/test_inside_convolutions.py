"""Look inside, convolutions: feature maps, attribution, and the distance of trained filters from pretrained ones."""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

import atelier
from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import convolutions, gradcam
from pages.ui import background, networks
from pages.views.inside import attribution
from tests.support.inside_page import choose, open_view, run

DIGIT = mnist.load("test")[0][247]
COMPARED = [name for name in MODELS if name != "faster_rcnn"]


@pytest.fixture
def page(figures):
    return open_view("convolutions", DIGIT, tuple(COMPARED))


def use(monkeypatch, name: str, **config) -> None:
    """Replace a network of the session by an untrained one."""
    untrained, load = Future(), networks.load
    untrained.set_result(Classifier(MODELS[name], MODELS[name].build(config), {}))
    monkeypatch.setattr(networks, "load", lambda other: untrained if other == name else load(other))


def maps(figures, key: str) -> np.ndarray:
    """The attribution over the digits of a figure."""
    return np.array(figures[key].data[1].z, float)


def clicked(page) -> tuple[int, int, int]:
    """Channel, row and column of the last click."""
    (point,) = page.session_state["inside_conv_clicked"].values()
    return point


def test_first_screen_explains_the_two_most_probable_classes(page, figures):
    second, first = np.argsort(atelier.load("cnn", "cpu").predict_proba(DIGIT[None])[0])[-2:]
    classes = [control.value for control in page.segmented_control if "inside_conv_first" in control.key]
    others = [control.value for control in page.segmented_control if "inside_conv_second" in control.key]
    assert (classes, others) == ([first], [second])
    assert figures.keys() >= {"inside_conv_maps", "inside_conv_arithmetic", "inside_conv_why", "inside_conv_compared"}
    assert len(figures["inside_conv_compared"].data[-1].text) == len(COMPARED)


def test_click_on_a_map_and_on_a_number_selects_them(page, figures):
    figures.click(page, "inside_conv_maps", customdata=5, point=[0, 5])
    assert clicked(page) == (5, None, None)
    cnn = atelier.load("cnn", "cpu")
    layer = convolutions.layers(cnn)[0]
    number = run(page) and convolutions.pixel_arithmetic(cnn, DIGIT, layer, 5, 7, 11).output
    figures.click(page, "inside_conv_map", customdata=None, point=[7, 11])
    assert clicked(page) == (5, 7, 11)
    run(page)
    assert figures["inside_conv_map"].data[0].z[7][11] == pytest.approx(number)


def test_each_step_shows_maps_before_and_after_it(page, figures):
    shapes = {}
    for step in ("pooling", "normalisation", "relu"):
        choose(page, "inside_conv_step", step)
        before, after = (np.array(figures["inside_conv_pair"].data[trace].z) for trace in (0, 2))
        shapes[step] = before.shape, after.shape
    assert shapes["pooling"] == ((24, 24), (12, 12))
    assert np.array_equal(after, np.maximum(before, 0))


@pytest.mark.parametrize(("name", "layers"), [("alexnet", 5), ("vgg16", 13)])
def test_frozen_layers_have_not_moved_and_the_trained_one_has(page, figures, name, layers):
    choose(page, "inside_conv_network", name)
    moved = figures["inside_conv_moved"].data[0].x
    assert len(moved) == layers
    assert not any(moved[:-1])
    assert moved[-1] > 0


def test_random_backbone_has_no_known_distance(page, figures, monkeypatch):
    use(monkeypatch, "alexnet", backbone="none")
    choose(page, "inside_conv_network", "alexnet")
    assert not any(figures["inside_conv_moved"].data[0].x)


def test_run_with_other_sizes_is_explained(page, figures, monkeypatch):
    use(monkeypatch, "cnn", channels=(1, 2, 3, 4), hidden=5)
    run(page)
    figures.click(page, "inside_conv_maps", customdata=0, point=[0, 0])
    choose(page, "inside_conv_layer", 4)
    assert len(page.select_slider(key="inside_conv_layer_cnn").options) == 4


def test_blank_grad_cam_is_replaced_by_hires_cam(page, figures, monkeypatch):
    blank = np.zeros((12, 12), np.float32)
    original = gradcam.grad_cam
    monkeypatch.setattr(
        gradcam, "grad_cam", lambda network, *rest: blank if network.spec.name == "cnn" else original(network, *rest)
    )
    page.session_state["digit"] = mnist.load("test")[0][15]  # nothing is cached for it
    run(page)
    assert len(page.info) == 1
    assert np.nanmax(maps(figures, "inside_conv_why")) > 0
    choose(page, "inside_conv_network", "vgg16")
    assert not page.info


def test_layer_and_class_of_the_attribution_can_be_chosen(page, figures):
    default = maps(figures, "inside_conv_why")
    choose(page, "inside_conv_gradcam", 1)
    first_layer = maps(figures, "inside_conv_why")
    assert not np.array_equal(first_layer, default, equal_nan=True)
    choose(page, "inside_conv_second", 7)
    assert not np.array_equal(maps(figures, "inside_conv_why"), first_layer, equal_nan=True)
    overlay = figures["inside_conv_why"].data[1]
    assert overlay.zmax == pytest.approx(np.nanmax(overlay.z))  # one scale for both classes


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_signed_methods_have_a_scale_around_zero(page, figures, method):
    choose(page, "inside_conv_method", method)
    overlay = figures["inside_conv_compared"].data[1]
    assert overlay.zmin == -overlay.zmax


def test_slowest_method_is_computed_ahead(page, figures, monkeypatch):
    for future in background._planned:
        future.result(timeout=120)
    monkeypatch.delattr(gradcam, "integrated_gradients")
    choose(page, "inside_conv_method", "integrated_gradients")


def test_only_the_last_visitor_has_results_computed_ahead():
    computed = []
    background.compute_ahead([lambda: computed.append("first")])
    background.compute_ahead([lambda: computed.append("last")])
    for future in background._planned:
        future.result(timeout=60)
    assert computed == ["last"]


def test_network_of_no_family_is_explained_by_gradients():
    cnn = atelier.load("cnn", "cpu")
    plain = Classifier(replace(cnn.spec, name="plain", family=None), cnn.network, {})
    result = attribution.attribute(attribution.Network(plain, "plain"), DIGIT, (4, 9), "grad_cam")
    assert result.method == "integrated_gradients"
    assert result.heats.shape == (2, 28, 28)
    assert result.heats.min() == 0 < result.heats.max()


def test_digit_that_no_network_recognises_is_explained(page, figures):
    figures.clear()
    page.session_state["digit"] = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    run(page)
    assert "inside_conv_why" in figures
