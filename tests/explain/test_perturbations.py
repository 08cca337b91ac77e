"""Changes of a digit by hand, and searches that find what they should."""

import numpy as np
import pytest
import torch
from torch import nn

import atelier
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain.perturbations import PERTURBATIONS, gradient_sign, perturb, smallest_flip, fgsm_step

SEVEN = mnist.load("test")[0][0]


def spot(*places: tuple[int, int], brightness: int = 255) -> np.ndarray:
    digit = np.zeros((28, 28), np.uint8)
    for place in places:
        digit[place] = brightness
    return digit


class Linear(nn.Module):
    """Says 0 until `weights` (of the pixels as 28 × 28) outweigh `bias`, then 1; never anything else."""

    def __init__(self, weights: torch.Tensor, bias: float):
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights), bias

    def forward(self, digits: torch.Tensor) -> torch.Tensor:
        pixels = digits.flatten(1).float() / (255 if digits.dtype == torch.uint8 else 1)
        one = (pixels * self.weights.flatten()).sum(1, keepdim=True) - self.bias
        return torch.cat([torch.zeros_like(one), one, torch.full((len(one), 8), -1e3)], 1)


def says_one_if(weights: dict[tuple[int, int], float], bias: float) -> Classifier:
    pixels = torch.zeros(28, 28)
    for place, weight in weights.items():
        pixels[place] = weight
    return Classifier(atelier.MODELS["cnn"], Linear(pixels, bias), {})


# Changing a digit ----------------------------------------------------------------------------------------------------


def test_nothing_asked_nothing_changed():
    assert np.array_equal(perturb(SEVEN), SEVEN)


def test_shifts_go_right_and_down_and_in_between():
    assert np.array_equal(perturb(spot((10, 10)), shift=(3, 5)), spot((15, 13)))
    assert np.array_equal(perturb(spot((10, 10), brightness=200), shift=(0.5, 0))[10, 10:12], [100, 100])
    assert not perturb(spot((10, 10)), shift=(-11, 0)).any()


def test_rotation_is_clockwise_about_the_middle():
    assert np.array_equal(perturb(SEVEN, rotation=90), np.rot90(SEVEN, -1))
    assert np.array_equal(perturb(SEVEN, rotation=180), SEVEN[::-1, ::-1])


def test_thickness_adds_and_takes_away_on_each_side():
    cross = spot((10, 10), (9, 10), (11, 10), (10, 9), (10, 11))
    assert np.array_equal(perturb(spot((10, 10)), thickness=1), cross)
    assert np.array_equal(perturb(cross, thickness=-1), spot((10, 10)))
    half = perturb(spot((10, 10), brightness=200), thickness=0.5)
    assert half[10, 10] == 200
    assert half[10, 11] == 100


def test_noise_is_a_pattern_that_grows():
    grey = np.full((28, 28), 128, np.uint8)
    faint, strong = (perturb(grey, noise=amount).astype(int) - 128 for amount in (0.05, 0.1))
    assert faint.std() == pytest.approx(0.05 * 255, rel=0.1)
    assert np.abs(strong - 2 * faint).max() <= 1
    assert not np.array_equal(perturb(grey, noise=0.1, seed=1), perturb(grey, noise=0.1))


@pytest.mark.parametrize("wrong", [SEVEN / 255, SEVEN[None], SEVEN[:20]])
def test_other_shapes_and_types_are_refused(wrong):
    with pytest.raises(ValueError, match="uint8"):
        perturb(wrong)
    with pytest.raises(ValueError, match="uint8"):
        gradient_sign(says_one_if({}, 1.0), wrong)


# A step against the network ------------------------------------------------------------------------------------------


def test_the_gradient_of_a_linear_network_by_hand():
    """It says 0: what speaks for 1 has to become brighter, what speaks against darker."""
    sign = gradient_sign(says_one_if({(3, 4): 0.7, (5, 6): -0.2}, 1.0), SEVEN)
    expected = np.zeros((28, 28))
    expected[3, 4], expected[5, 6] = 1, -1
    assert np.array_equal(sign, expected)


def test_a_network_that_is_quite_sure_has_a_gradient():
    """Cross-entropy is 0 there in float32, and so is its gradient."""
    assert gradient_sign(says_one_if({(3, 4): 0.7}, 900.0), SEVEN)[3, 4] == 1


def test_a_step_changes_each_pixel_by_epsilon():
    sign = np.zeros((28, 28), np.int8)
    sign[0, :3] = 1, -1, 0
    assert list(fgsm_step(np.full((28, 28), 100, np.uint8), sign, 0.2)[0, :3]) == [151, 49, 100]
    assert list(fgsm_step(spot((0, 0)), sign, 0.2)[0, :3]) == [255, 0, 0]


@pytest.mark.parametrize("name", atelier.MODELS)
def test_every_network_has_a_gradient_and_keeps_nothing_of_it(name):
    classifier = atelier.load(name, "cpu")
    classifier.predict(SEVEN[None])  # in inference mode, of which the gradient must not be disturbed
    before = [p.requires_grad for p in classifier.network.parameters()]
    sign = gradient_sign(classifier, SEVEN)
    assert set(np.unique(sign)) >= {-1, 1}
    assert all(p.grad is None for p in classifier.network.parameters())
    assert [p.requires_grad for p in classifier.network.parameters()] == before
    sure = classifier.predict_proba(np.array([SEVEN, fgsm_step(SEVEN, sign, 0.1)]))[:, 7]
    assert sure[1] < sure[0]


# Searching -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "amount", "direction"),
    [
        ([(14, 20)], 6, "6 to the right"),
        ([(8, 8)], 72**0.5, "6 to the left, 6 up"),
        ([(10, 10), (14, 19)], 5, "5 to the right"),  # 4 up and 4 to the left is longer
        ([(15, 20), (18, 18), (14, 7)], 32**0.5, "4 to the right, 4 down"),
    ],
)
def test_the_smallest_shift_by_hand(places, amount, direction):
    """A spot in the middle has to come to any of these places, in whole pixels, the shortest way."""
    flip = smallest_flip(says_one_if(dict.fromkeys(places, 1.0), 0.499), spot((14, 14)), "shift")
    assert (flip.amount, flip.direction, flip.answer) == (pytest.approx(amount), direction, 1)
    assert flip.size == f"{amount:.3g} px"


def test_the_smallest_step_by_hand():
    """0.1 is missing; two pixels each bring epsilon."""
    grey = np.full((28, 28), 128, np.uint8)
    flip = smallest_flip(says_one_if({(3, 4): 1.0, (5, 6): -1.0}, 0.1), grey, "gradient")
    assert flip.amount == pytest.approx(0.05, abs=0.5 / 255 + 0.001)  # pixels are whole numbers


def test_a_blank_picture_is_no_flip():
    """Moved out of the picture, the spot no longer speaks for 0; any other way it does."""

    everywhere = {(row, column): -1.0 for row in range(28) for column in range(28)}
    assert smallest_flip(says_one_if(everywhere, -0.5), spot((0, 14)), "shift") is None


def test_nothing_found_is_none():
    assert smallest_flip(says_one_if({}, 1.0), SEVEN, "rotation") is None


@pytest.mark.parametrize(("name", "kind"), [("cnn", "shift"), ("vit", "rotation"), ("faster_rcnn", "gradient")])
def test_what_is_found_flips_the_answer_and_a_little_less_does_not(name, kind):
    classifier, way = atelier.load(name, "cpu"), PERTURBATIONS[kind]
    flip = smallest_flip(classifier, SEVEN, kind)
    assert classifier.predict(flip.digit[None])[0] == flip.answer != 7
    directions = way.directions or {flip.direction: gradient_sign(classifier, SEVEN)}
    assert np.array_equal(way.change(SEVEN, directions[flip.direction], flip.amount), flip.digit)
    if kind == "shift":
        shorter = [
            way.change(SEVEN, directions[way_], amount) for amount, way_ in way.tries if amount < flip.amount - 1e-9
        ]
        assert (classifier.predict(np.array(shorter)) == 7).all()
    else:
        less = flip.amount - way.tries[0][0] / 8 ** (way.rounds - 1)  # each more round divides a step by 8
        assert classifier.predict(way.change(SEVEN, directions[flip.direction], less)[None])[0] == 7
