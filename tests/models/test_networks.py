"""What holds for every registered network."""

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
    assert (logits.shape, logits.dtype) == ((5, 10), torch.float32)
    assert torch.allclose(logits, network(digits.unsqueeze(1) / 255), atol=1e-5)
    assert torch.allclose(logits[2:3], network(digits[2:3]), atol=1e-5)  # independent of the rest of the batch


@pytest.mark.parametrize(("name", "most"), [("cnn", 500_000), ("vit", 1_500_000)])
def test_small_networks_stay_small(name, most):
    assert sum(p.numel() for p in MODELS[name].build().parameters()) < most


WRONG = ["3", None, True, -1, 10**9, 2.5, math.nan, [], ["3"] * 4, [10**9] * 4, {}]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_each_size_is_checked(name, wrong):
    config = getattr(importlib.import_module(MODELS[name].network.split(":")[0]), MODELS[name].config)()
    for field in dataclasses.fields(config):
        with pytest.raises(ValueError, match=rf"{field.name}.*\.$"):
            dataclasses.replace(config, **{field.name: wrong})


@pytest.mark.parametrize(
    ("name", "config", "size"),
    [
        ("vit", {"patch_size": 5}, "patch_size"),
        ("vit", {"patch_size": 4.0}, "patch_size"),
        ("vit", {"dim": 10, "heads": 1}, "dim"),
        ("vit", {"dim": 96, "heads": 5}, "heads"),
        ("vgg16", {"input_size": 31}, "input_size"),
        ("alexnet", {"input_size": 62}, "input_size"),
        ("alexnet", {"thawed": 6}, "thawed"),
        ("alexnet", {"backbone": "web"}, "backbone"),
        ("cnn", {"channels": (1, 2, 3)}, "channels"),
        ("faster_rcnn", {"anchor_sizes": ()}, "anchor_sizes"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_together_are_refused(name, config, size):
    with pytest.raises(ValueError, match=size):
        MODELS[name].build(config)
