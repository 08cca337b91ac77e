"""Perturbations by hand, and searches with known results."""

import numpy as np
import pytest
import torch
from torch import nn

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain.perturbations import PERTURBATIONS, fgsm_step, gradient_sign, perturb, smallest_flip

SEVEN = mnist.load("test")[0][0]


def spot(*places: tuple[int, int], brightness: int = 255) -> np.ndarray:
    digit = np.zeros((28, 28), np.uint8)
    for place in places:
        digit[place] = brightness
    return digit


class Linear(nn.Module):
    """Answers 1 if the weighted sum of the pixels exceeds `bias`, else 0."""

    def __init__(self, weights: torch.Tensor, bias: float):
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights), bias

    def forward(self, digits: torch.Tensor) -> torch.Tensor:
        pixels = digits.flatten(1).float() / (255 if digits.dtype == torch.uint8 else 1)
        one = (pixels * self.weights.flatten()).sum(1, keepdim=True) - self.bias
        return torch.cat([torch.zeros_like(one), one, torch.full((len(one), 8), -1e3)], 1)


def linear(weights: dict[tuple[int, int], float], bias: float) -> Classifier:
    pixels = torch.zeros(28, 28)
    for place, weight in weights.items():
        pixels[place] = weight
    return Classifier(MODELS["cnn"], Linear(pixels, bias), {})


# Changing a digit ----------------------------------------------------------------------------------------------------


def test_default_amounts_change_nothing():
    assert np.array_equal(perturb(SEVEN), SEVEN)


def test_shift_goes_right_and_down_and_in_fractions():
    assert np.array_equal(perturb(spot((10, 10)), shift=(3, 5)), spot((15, 13)))
    assert np.array_equal(perturb(spot((10, 10), brightness=200), shift=(0.5, 0))[10, 10:12], [100, 100])
    assert not perturb(spot((10, 10)), shift=(-11, 0)).any()


def test_rotation_is_clockwise_about_the_centre():
    assert np.array_equal(perturb(SEVEN, rotation=90), np.rot90(SEVEN, -1))
    assert np.array_equal(perturb(SEVEN, rotation=180), SEVEN[::-1, ::-1])


def test_thickness_adds_and_removes_on_each_side():
    cross = spot((10, 10), (9, 10), (11, 10), (10, 9), (10, 11))
    assert np.array_equal(perturb(spot((10, 10)), thickness=1), cross)
    assert np.array_equal(perturb(cross, thickness=-1), spot((10, 10)))
    half = perturb(spot((10, 10), brightness=200), thickness=0.5)
    assert (half[10, 10], half[10, 11]) == (200, 100)


def test_noise_is_a_pattern_that_grows():
    grey = np.full((28, 28), 128, np.uint8)
    faint, strong = (perturb(grey, noise=amount).astype(int) - 128 for amount in (0.05, 0.1))
    assert faint.std() == pytest.approx(0.05 * 255, rel=0.1)
    assert np.abs(strong - 2 * faint).max() <= 1
    assert not np.array_equal(perturb(grey, noise=0.1, seed=1), perturb(grey, noise=0.1))


@pytest.mark.parametrize("wrong", [SEVEN / 255, SEVEN[None], SEVEN[:20]])
def test_other_shapes_and_types_are_refused(wrong):
    for function in (perturb, lambda digit: gradient_sign(linear({}, 1.0), digit)):
        with pytest.raises(ValueError, match="uint8"):
            function(wrong)


# Fast gradient sign method -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [1.0, 900.0])  # with 900, cross-entropy and its gradient are 0 in float32
def test_gradient_of_a_linear_network_by_hand(bias):
    """The answer is 0: a pixel that supports 1 becomes brighter, one that opposes it darker."""
    sign = gradient_sign(linear({(3, 4): 0.7, (5, 6): -0.2}, bias), SEVEN)
    expected = np.zeros((28, 28))
    expected[3, 4], expected[5, 6] = 1, -1
    assert np.array_equal(sign, expected)


def test_step_changes_each_pixel_by_epsilon_within_the_range():
    sign = np.zeros((28, 28), np.int8)
    sign[0, :3] = 1, -1, 0
    assert list(fgsm_step(np.full((28, 28), 100, np.uint8), sign, 0.2)[0, :3]) == [151, 49, 100]
    assert list(fgsm_step(spot((0, 0)), sign, 0.2)[0, :3]) == [255, 0, 0]


@pytest.mark.parametrize("name", MODELS)
def test_gradient_of_every_network_lowers_its_confidence_and_leaves_no_trace(load, name):
    classifier = load(name)
    (answer,) = classifier.predict(SEVEN[None])  # in inference mode, which must not disturb the gradient
    before = [p.requires_grad for p in classifier.network.parameters()]
    sign = gradient_sign(classifier, SEVEN)
    assert set(np.unique(sign)) >= {-1, 1}
    assert all(p.grad is None for p in classifier.network.parameters())
    assert [p.requires_grad for p in classifier.network.parameters()] == before
    confidence = classifier.predict_proba(np.array([SEVEN, fgsm_step(SEVEN, sign, 0.1)]))[:, answer]
    assert confidence[1] < confidence[0]


# The smallest change -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "amount", "direction"),
    [
        ([(14, 20)], 6, "6 to the right"),
        ([(8, 8)], 72**0.5, "6 to the left, 6 up"),
        ([(10, 10), (14, 19)], 5, "5 to the right"),  # 4 up and 4 to the left is longer
        ([(15, 20), (18, 18), (14, 7)], 32**0.5, "4 to the right, 4 down"),
    ],
)
def test_smallest_shift_by_hand(places, amount, direction):
    """The network answers 1 once a spot at the centre reaches one of these places."""
    flip = smallest_flip(linear(dict.fromkeys(places, 1.0), 0.499), spot((14, 14)), "shift")
    assert (flip.amount, flip.direction, flip.answer) == (pytest.approx(amount), direction, 1)
    assert flip.size == f"{amount:.3g} px"


def test_smallest_step_by_hand():
    """The sum is 0.1 too small, and two pixels add epsilon each."""
    grey = np.full((28, 28), 128, np.uint8)
    flip = smallest_flip(linear({(3, 4): 1.0, (5, 6): -1.0}, 0.1), grey, "gradient")
    assert flip.amount == pytest.approx(0.05, abs=0.5 / 255 + 0.001)  # pixels are whole numbers


def test_blank_image_is_no_flip():
    """The answer changes only when the spot has left the image."""
    everywhere = {(row, column): -1.0 for row in range(28) for column in range(28)}
    assert smallest_flip(linear(everywhere, -0.5), spot((0, 14)), "shift") is None


def test_constant_answer_has_no_flip():
    assert smallest_flip(linear({}, 1.0), SEVEN, "rotation") is None


@pytest.mark.parametrize("kind", ["rotation", "thickness", "noise", "gradient"])
def test_flip_changes_the_answer_and_a_slightly_smaller_change_does_not(load, kind):
    classifier, perturbation = load("cnn"), PERTURBATIONS[kind]
    flip, (answer,) = smallest_flip(classifier, SEVEN, kind), classifier.predict(SEVEN[None])
    directions = {perturbation.describe(direction): direction for _, direction in perturbation.candidates}
    direction = gradient_sign(classifier, SEVEN) if kind == "gradient" else directions[flip.direction]
    smaller = flip.amount - perturbation.candidates[0][0] / 8 ** (perturbation.rounds - 1)  # each round divides by 8
    digits = np.array([perturbation.apply(SEVEN, direction, amount) for amount in (flip.amount, smaller)])
    assert np.array_equal(digits[0], flip.digit)
    assert list(classifier.predict(digits)) == [flip.answer, answer]
    assert flip.answer != answer
