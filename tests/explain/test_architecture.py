"""Tables of layers against arithmetic by hand, torch's own counter and the weights."""

import functools

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.explain import architecture

OTHER_SIZES = {
    "cnn": {"channels": (4, 5, 6, 7), "hidden": 9},
    "vit": {"depth": 2, "heads": 3, "dim": 24, "patch_size": 7},
    "alexnet": {"thawed": 5, "input_size": 80},
}


@pytest.fixture(scope="module")
def table(load):
    """The table of a shipped network, measured once."""
    return functools.cache(lambda name: architecture.layers(load(name)))


def layer(table: pd.DataFrame, name: str) -> pd.Series:
    return table.set_index("layer").loc[name]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_multiply_adds_and_time_are_complete(load, table, name):
    network, layers = load(name).network, table(name)
    boxes = architecture.boxes(layers)
    assert layers.parameters.sum() == sum(p.numel() for p in network.parameters()) == sum(b.parameters for b in boxes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 28, 28, dtype=torch.uint8))
    if name != "faster_rcnn":  # its work depends on the number of proposals
        assert layers.mult_adds.sum() == counter.get_total_flops() / 2 == sum(b.mult_adds for b in boxes)
    assert (layers.milliseconds > 0).all()
    assert layers.share.sum() == pytest.approx(1)
    for module in network.modules():  # the shared network itself has no hooks
        assert not any((module._forward_hooks, module._forward_pre_hooks, module.training))


def test_layers_of_the_cnn_by_hand(table):
    first, hidden = (layer(table("cnn"), name) for name in ("features.0.0", "classifier.1"))
    assert first.kind == "Convolution 5 × 5"
    assert (first.output, first.parameters) == ((16, 24, 24), 16 * 5 * 5)
    assert first.mult_adds == 16 * 24 * 24 * 5 * 5
    assert (hidden.output, hidden.parameters) == ((128,), 1152 * 128 + 128)
    assert hidden.mult_adds == 1152 * 128


def test_attention_has_multiply_adds_but_no_parameters(table):
    """50 tokens, 4 heads of 24 numbers: queries by keys, then attention by values."""
    attention = layer(table("vit"), "blocks.0.attention")
    assert (attention.parameters, attention.mult_adds) == (0, 2 * 4 * 50 * 50 * 24)
    assert layer(table("vit"), "blocks.0.attention.qkv").mult_adds == 50 * 96 * 3 * 96
    assert layer(table("vit"), "").parameters == 96 + 50 * 96  # class token and positional embeddings


def test_boxes_end_at_poolings(table):
    boxes = architecture.boxes(table("vgg16"))
    shapes = [box.output for box in boxes]
    assert shapes[:6] == [(3, 48, 48), (64, 24, 24), (128, 12, 12), (256, 6, 6), (512, 3, 3), (512, 1, 1)]
    assert shapes[-1] == (10,)
    assert boxes[1].kinds == ("Convolution 3 × 3", "ReLU") * 2 + ("Max pooling 2 × 2",)


def test_equal_blocks_share_a_box(table):
    (blocks,) = [box for box in architecture.boxes(table("vit")) if box.repeats > 1]
    assert (blocks.repeats, blocks.output) == (6, (50, 96))


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_networks_of_other_sizes_have_a_table(name):
    network = MODELS[name].build(OTHER_SIZES[name])
    layers = architecture.layers(Classifier(MODELS[name], network, {}))
    assert layers.parameters.sum() == sum(p.numel() for p in network.parameters())
    assert architecture.boxes(layers)[-1].output == (10,)


def test_any_module_has_a_table():
    class Perceptron(nn.Sequential):
        def forward(self, digits):
            return super().forward(digits.float() / 255)

    network = Perceptron(nn.Flatten(), nn.Linear(784, 12), nn.GELU(), nn.Linear(12, 10))
    layers = architecture.layers(Classifier(MODELS["cnn"], network, {}))
    assert layers.mult_adds.sum() == 784 * 12 + 12 * 10
    assert [box.output for box in architecture.boxes(layers)][-2:] == [(12,), (10,)]


def test_drawings_show_the_shape():
    assert architecture.drawing((10,), 1, "#123456").count("<circle") == 10
    assert architecture.drawing((64, 12, 12), 28, "#123456").count("<rect") == 1 + 6  # a sheet for each doubling
    assert 'width="28.0" height="28.0"' in architecture.drawing((1, 14, 14), 28, "#123456")  # half of 56 pixels
