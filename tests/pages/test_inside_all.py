"""Look inside, all networks: perturbations, adversarial examples, nearest neighbours, architecture."""

import re
from concurrent.futures import Future

import numpy as np
import pytest

import atelier
from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import neighbours, perturbations
from atelier.runs.pool import Pool
from pages.ui import background, networks
from pages.views.inside.all_networks import PARTS
from tests.support.inside_page import choose, open_view, press, run

SIX = mnist.load("test")[0][11]


@pytest.fixture
def inside(figures):
    return open_view("all_networks", SIX)


def answers(app) -> dict[str, int]:
    """The answers to the changed digit."""
    cards = [html.value for html in app.html if 'class="confidence"' in html.value]
    return dict(zip(MODELS, (int(re.search(r'class="digit">([^<]*)<', card)[1]) for card in cards), strict=True))


def predictions(digit: np.ndarray) -> dict[str, int]:
    return {name: int(atelier.load(name, "cpu").predict(digit[None])[0]) for name in MODELS}


def tables(app, column: str):
    return [frame.value for frame in app.dataframe if column in frame.value]


def test_all_networks_answer_a_changed_digit_until_it_is_reset(inside):
    turned = predictions(perturbations.perturb(SIX, rotation=180.0))
    choose(inside, "inside_rotation", 180.0)
    assert answers(inside) == turned != predictions(SIX)
    choose(inside, "ask", "adversarial")
    choose(inside, "ask", "perturbations")
    assert answers(inside) == turned  # the sliders keep their values
    press(inside, "inside_reset")
    assert answers(inside) == predictions(SIX)
    assert inside.slider(key="inside_rotation").value == 0


def test_step_against_each_network_can_be_larger(inside, figures):
    choose(inside, "ask", "adversarial")
    before = figures["inside_fooled"].data[0].source
    choose(inside, "inside_epsilon", 0.25)
    assert figures["inside_fooled"].data[0].source != before


def test_search_finds_a_change_for_each_network(inside):
    press(inside, "inside_search_gradient")
    (table,) = tables(inside, "Smallest")
    assert list(table.Network) == [spec.title for spec in MODELS.values()]
    assert all(int(new) != old for new, old in zip(table["New answer"], predictions(SIX).values(), strict=True))
    inside.session_state["digit"] = np.ascontiguousarray(SIX.T)  # results belong to one digit
    assert not tables(run(inside), "Smallest")


@pytest.mark.parametrize("name", MODELS)
def test_architecture_of_each_network_is_shown(inside, name):
    choose(inside, "ask", "architecture")
    choose(inside, "inside_architecture", name)
    (table,) = tables(inside, "mult_adds")
    parameters = sum(weights.numel() for weights in atelier.load(name, "cpu").network.parameters())
    assert table.parameters.sum() == parameters


def test_map_of_neighbours_can_show_another_network(inside, figures):
    choose(inside, "ask", "neighbours")
    choose(inside, "inside_map", "vit")
    assert figures["inside_neighbour_map"].layout.uirevision == "vit"


def test_architecture_of_a_run_with_other_sizes_is_shown(inside, monkeypatch):
    other, load, spec = Future(), networks.load, MODELS["vit"]
    sizes = {"depth": 2, "heads": 3, "dim": 24, "patch_size": 7}
    other.set_result(Classifier(spec, spec.build(sizes), {}))
    monkeypatch.setattr(networks, "load", lambda name: other if name == "vit" else load(name))
    choose(inside, "ask", "architecture")
    choose(inside, "inside_architecture", "vit")
    assert "17 × 24" in set(tables(inside, "mult_adds")[0].output)  # 16 patches and the class token


def test_results_of_the_next_click_are_computed_ahead(inside, monkeypatch):
    inside.session_state["digit"] = mnist.load("test")[0][4321]
    run(inside)
    for future in background._planned:
        future.result(timeout=60)
    monkeypatch.delattr(perturbations, "gradient_sign")
    monkeypatch.delattr(neighbours.NeighbourIndex, "nearest")
    for part in ("adversarial", "neighbours"):
        choose(inside, "ask", part)


def test_blank_picture_is_no_problem(inside):
    inside.session_state["digit"] = np.zeros((28, 28), np.uint8)
    for part in PARTS:
        choose(inside, "ask", part)


def test_without_a_loaded_network_the_view_gives_the_reason(monkeypatch):
    monkeypatch.setattr(networks, "POOL", Pool(delay=60))
    app = open_view("all_networks", SIX, wait_for=())
    assert app.info
    assert not app.segmented_control
