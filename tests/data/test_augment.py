from dataclasses import fields, replace

import pytest
import torch

from atelier.data import mnist
from atelier.data.augment import augment, spread, vary_stroke
from atelier.recipe import Augmentation

STILL = Augmentation(**{limit.name: 0.0 for limit in fields(Augmentation)})


@pytest.fixture
def digits():
    torch.manual_seed(0)
    return torch.tensor(mnist.load("train")[0][:64]).unsqueeze(1).float() / 255


def test_without_variation_nothing_changes(digits):
    assert torch.allclose(augment(digits, STILL), digits, atol=0.02)  # the brightest pixel becomes 1


@pytest.mark.parametrize("limit", [field.name for field in fields(Augmentation)])
def test_every_variation_changes_each_digit_by_its_own_amount(limit, digits):
    same = digits[:1].expand(64, -1, -1, -1)
    varied = augment(same, replace(STILL, **{limit: getattr(Augmentation(), limit)}))
    assert varied.shape == same.shape
    assert (varied - same).abs().amax(dim=(1, 2, 3)).median() > 0.05
    assert varied.flatten(1).unique(dim=0).shape[0] > 32


def test_ink_stays_between_black_and_white(digits):
    varied = augment(digits, Augmentation())
    assert varied.min() >= 0
    assert varied.max() <= 1


def test_a_shift_moves_by_at_most_its_limit():
    torch.manual_seed(0)
    dot = torch.zeros(200, 1, 28, 28)
    dot[:, :, 14, 14] = 1
    moved = augment(dot, replace(STILL, shift=2.0))
    columns = (moved.sum(dim=2).squeeze(1) @ torch.arange(28.0)) / moved.sum(dim=(1, 2, 3))
    assert (columns - 14).abs().max() <= 2.05
    assert (columns - 14).abs().max() > 1.5


def test_spread_is_the_maximum_of_the_neighbours(digits):
    assert torch.equal(spread(digits), torch.nn.functional.max_pool2d(digits, 3, stride=1, padding=1))


def test_pens_become_thicker_and_thinner(digits):
    torch.manual_seed(0)
    same = digits[:1].expand(200, -1, -1, -1)
    ink = vary_stroke(same, 1.0).mean(dim=(1, 2, 3)) / digits[0].mean()
    assert ink.max() > 1.5
    assert ink.min() < 0.7
