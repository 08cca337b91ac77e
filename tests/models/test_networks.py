import dataclasses
import importlib
import math

import pytest
import torch

from atelier import MODELS


@pytest.fixture(params=MODELS)
def network(request):
    torch.manual_seed(0)
    return MODELS[request.param].build().eval()


def test_bytes_and_fractions_give_the_same_logits(network):
    digits = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    logits = network(digits)
    assert logits.shape == (5, 10)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, network(digits.unsqueeze(1) / 255), atol=1e-5)


def test_digits_of_a_batch_do_not_influence_each_other(network):
    digits = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    assert torch.allclose(network(digits)[2:3], network(digits[2:3]), atol=1e-5)


def test_the_cnn_has_under_half_a_million_parameters():
    assert sum(p.numel() for p in MODELS["cnn"].build().parameters()) < 500_000


@pytest.mark.parametrize("wrong", ["3", None, True, -1, 10**9, 2.5, math.nan, [], ["3"] * 4, [10**9] * 4, {}], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_every_size_is_checked_before_anything_is_built(name, wrong):
    config = getattr(importlib.import_module(MODELS[name].network.split(":")[0]), MODELS[name].config)()
    for field in dataclasses.fields(config):
        with pytest.raises(ValueError, match=r"\.$") as refusal:
            dataclasses.replace(config, **{field.name: wrong})
        assert field.name in str(refusal.value)
