"""Look inside, Vision Transformer, with a small untrained network."""

import numpy as np
import pytest
import torch

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import attention
from atelier.models.vit import ViT, ViTConfig
from pages.ui import networks
from pages.views.inside import transformer
from tests.support.inside_page import choose, open_view, press, run

DIGIT = mnist.load("test")[0][0]


def build(**config) -> Classifier:
    torch.manual_seed(0)
    return Classifier(MODELS["vit"], ViT(ViTConfig(**config)), {})


@pytest.fixture(scope="module")
def vit():
    return build(depth=3, heads=4, dim=24, patch_size=4)


@pytest.fixture
def use(monkeypatch):
    """`use(classifier)`: the network of the session; None while it loads."""

    def replace(classifier):
        monkeypatch.setattr(networks, "network", lambda name: classifier)
        monkeypatch.setattr(networks, "identity", lambda name: str(id(classifier)))

    return replace


@pytest.fixture
def page(use, figures, vit):
    use(vit)
    return open_view("transformer", DIGIT, ())


def shares(figures, key: str = "inside_looks") -> np.ndarray:
    """The map over the digit, in percent."""
    return np.array(figures[key].data[1].z, float)


def selection(page) -> tuple[int, int, int]:
    return tuple(page.selectbox(key=f"inside_{name}").value for name in ("layer", "head", "token"))


def test_first_screen_shows_the_last_layer_and_the_class_token(page, figures, vit):
    assert selection(page) == (3, 1, 0)
    row = vit.attention(DIGIT)[2, 0, 0, 1:]
    assert shares(figures) == pytest.approx(100 * row.reshape(7, 7), abs=1e-4)
    assert {f"inside_station_{number}" for number in range(1, 7)} <= figures.keys()
    final = [line.y[-1] for line in figures["inside_lens"].data]
    assert final == pytest.approx(vit.predict_proba(DIGIT[None])[0], abs=1e-5)


def test_clicks_choose_a_head_and_a_token(page, figures, vit):
    figures.click(page, "inside_heads", customdata=[2, 4, 1, 1])
    figures.click(page, "inside_looks", customdata=24)
    assert selection(page) == (2, 4, 24)
    row = vit.attention(DIGIT)[1, 3, 24, 1:]
    assert shares(figures) == pytest.approx(100 * row.reshape(7, 7), abs=1e-4)


def test_selectboxes_choose_a_head_and_a_token(page, figures, vit):
    for name, value in (("layer", 1), ("head", 3), ("token", 30)):
        choose(page, f"inside_{name}", value)
    row = vit.attention(DIGIT)[0, 2, 30, 1:]
    assert shares(figures) == pytest.approx(100 * row.reshape(7, 7), abs=1e-4)


def test_rollouts_follow_their_controls(page, figures, vit):
    answer = int(vit.predict(DIGIT[None])[0])
    (control,) = [control for control in page.segmented_control if control.key.startswith("inside_target")]
    assert control.value == answer
    choose(page, control.key, (answer + 1) % 10)
    choose(page, "inside_fusion", "max")
    choose(page, "inside_discard", 90)
    rolled = attention.rollout(vit.attention(DIGIT), "max", 0.9)
    assert shares(figures, "inside_rollout") == pytest.approx(100 * rolled, abs=1e-4)
    supporting = attention.gradient_rollout(vit, DIGIT, (answer + 1) % 10, "max", 0.9)
    expected = 100 * supporting / (supporting.sum() or 1)
    assert shares(figures, "inside_gradient_rollout") == pytest.approx(expected, abs=1e-3)


def test_distances_are_measured_on_request(page, figures, vit, monkeypatch):
    monkeypatch.setattr(transformer, "MEASURED", 4)
    monkeypatch.setattr(transformer, "PART", 2)
    assert "inside_distances" not in figures
    press(page, "inside_measure")
    expected = attention.mean_attention_distance(vit, mnist.load("test")[0][::2500])
    assert figures["inside_distances"].data[1].y == pytest.approx(expected.ravel())


def test_damaged_test_digits_give_a_message_and_the_rest_stays(page, figures, monkeypatch):
    def damaged(*_):
        raise mnist.DamagedDataError("damaged")

    monkeypatch.setattr(transformer, "distances_of_part", damaged)
    press(page, "inside_measure")
    assert [warning.value for warning in page.warning] == ["damaged"]
    assert "inside_looks" in figures


@pytest.mark.parametrize(
    ("config", "expected"),
    [({"patch_size": 2, "depth": 1, "heads": 1}, (1, 1, 49)), ({"patch_size": 14, "depth": 2, "heads": 6}, (2, 4, 0))],
)
def test_another_network_keeps_the_choices_that_it_has(page, figures, use, config, expected):
    figures.click(page, "inside_heads", customdata=[3, 4, 1, 1])
    figures.click(page, "inside_looks", customdata=49)
    use(build(dim=24, **config))
    run(page)
    assert selection(page) == expected
    side = 28 // config["patch_size"]
    assert shares(figures).shape == shares(figures, "inside_rollout").shape == (side, side)


def test_nothing_is_shown_while_the_network_loads(figures, use):
    use(None)
    open_view("transformer", DIGIT, ())
    assert not figures
