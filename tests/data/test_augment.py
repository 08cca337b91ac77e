"""Random variations of digits: their limits, and that each picture gets its own."""

from dataclasses import fields, replace

import pytest
import torch

from atelier.data import mnist
from atelier.data.augment import augment, spread, vary_stroke
from atelier.models.inputs import to_unit_range
from atelier.recipe import NO_AUGMENTATION, Augmentation


@pytest.fixture
def digits():
    torch.manual_seed(0)
    return to_unit_range(torch.tensor(mnist.load("train")[0][:64]))


def test_without_variation_nothing_changes(digits):
    assert torch.allclose(augment(digits, NO_AUGMENTATION), digits, atol=0.02)  # the brightest pixel becomes 1


@pytest.mark.parametrize("limit", [field.name for field in fields(Augmentation)])
def test_each_variation_differs_between_pictures(limit, digits):
    same = digits[:1].expand(64, -1, -1, -1)
    varied = augment(same, replace(NO_AUGMENTATION, **{limit: getattr(Augmentation(), limit)}))
    assert varied.shape == same.shape
    assert (varied - same).abs().amax(dim=(1, 2, 3)).median() > 0.05
    assert varied.flatten(1).unique(dim=0).shape[0] > 32


def test_pixels_stay_in_range(digits):
    varied = augment(digits, Augmentation())
    assert 0 <= varied.min() <= varied.max() <= 1


def test_a_shift_moves_by_at_most_its_limit():
    torch.manual_seed(0)
    dot = torch.zeros(200, 1, 28, 28)
    dot[:, :, 14, 14] = 1
    moved = augment(dot, replace(NO_AUGMENTATION, shift=2.0))
    columns = (moved.sum(dim=2).squeeze(1) @ torch.arange(28.0)) / moved.sum(dim=(1, 2, 3))
    assert (columns - 14).abs().max() <= 2.05
    assert (columns - 14).abs().max() > 1.5


def test_spread_equals_max_pooling(digits):
    assert torch.equal(spread(digits), torch.nn.functional.max_pool2d(digits, 3, stride=1, padding=1))


def test_strokes_become_thicker_and_thinner(digits):
    torch.manual_seed(0)
    same = digits[:1].expand(200, -1, -1, -1)
    ink = vary_stroke(same, 1.0).mean(dim=(1, 2, 3)) / digits[0].mean()
    assert ink.max() > 1.5
    assert ink.min() < 0.7
