"""The table of layers tells what is there: golden numbers by hand, from torch's own counter and from the weights."""

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import atelier
from atelier.classifier import Classifier
from atelier.explain import architecture

OTHER_SIZES = {
    "cnn": {"channels": (4, 5, 6, 7), "hidden": 9},
    "vit": {"depth": 2, "heads": 3, "dim": 24, "patch_size": 7},
    "alexnet": {"thawed": 5, "input_size": 80},
}


@pytest.fixture(scope="module", params=atelier.MODELS)
def measured(request) -> tuple[Classifier, pd.DataFrame]:
    classifier = atelier.load(request.param, "cpu")
    return classifier, architecture.layers(classifier)


def layer(table: pd.DataFrame, name: str) -> pd.Series:
    return table.set_index("layer").loc[name]


def test_parameters_and_multiply_adds_are_complete(measured):
    classifier, table = measured
    assert table.parameters.sum() == sum(p.numel() for p in classifier.network.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        classifier.network(torch.zeros(1, 28, 28, dtype=torch.uint8))
    if classifier.spec.name != "faster_rcnn":  # whose work depends on how much it proposes
        assert table.mult_adds.sum() == counter.get_total_flops() / 2


def test_time_is_shared_out(measured):
    _, table = measured
    assert (table.milliseconds > 0).all()
    assert table.share.sum() == pytest.approx(1)


def test_the_network_itself_is_left_alone(measured):
    classifier, _ = measured
    for module in classifier.network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module.training


def test_layers_of_the_cnn_by_hand():
    table = architecture.layers(atelier.load("cnn", "cpu"))
    first = layer(table, "features.0.0")
    assert first.kind == "Convolution 5 × 5"
    assert first.output == (16, 24, 24)
    assert first.parameters == 16 * 5 * 5
    assert first.mult_adds == 16 * 24 * 24 * 5 * 5
    hidden = layer(table, "classifier.1")
    assert hidden.output == (128,)
    assert hidden.parameters == 1152 * 128 + 128
    assert hidden.mult_adds == 1152 * 128


def test_attention_counts_what_it_computes_without_weights():
    """50 tokens, 4 heads of 24 numbers: queries by keys, then attention by values."""
    table = architecture.layers(atelier.load("vit", "cpu"))
    attention = layer(table, "blocks.0.attention")
    assert attention.parameters == 0
    assert attention.mult_adds == 2 * 4 * 50 * 50 * 24
    assert layer(table, "blocks.0.attention.qkv").mult_adds == 50 * 96 * 3 * 96
    assert layer(table, "").parameters == 96 + 50 * 96  # class token and positions


def test_boxes_halve_the_maps_of_vgg16():
    boxes = architecture.boxes(architecture.layers(atelier.load("vgg16", "cpu")))
    shapes = [box.output for box in boxes]
    assert shapes[:6] == [(3, 48, 48), (64, 24, 24), (128, 12, 12), (256, 6, 6), (512, 3, 3), (512, 1, 1)]
    assert shapes[-1] == (10,)
    assert boxes[1].kinds == ("Convolution 3 × 3", "ReLU") * 2 + ("Max pooling 2 × 2",)


def test_the_same_blocks_share_a_box():
    (blocks,) = [box for box in architecture.boxes(architecture.layers(atelier.load("vit", "cpu"))) if box.repeats > 1]
    assert blocks.repeats == 6
    assert blocks.output == (50, 96)


def test_boxes_hold_all_weights(measured):
    _, table = measured
    boxes = architecture.boxes(table)
    assert sum(box.parameters for box in boxes) == table.parameters.sum()
    assert sum(box.mult_adds for box in boxes) == table.mult_adds.sum()


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_networks_of_other_sizes(name):
    spec = atelier.MODELS[name]
    network = spec.build(OTHER_SIZES[name])
    table = architecture.layers(Classifier(spec, network, {}))
    assert table.parameters.sum() == sum(p.numel() for p in network.parameters())
    assert architecture.boxes(table)[-1].output == (10,)


def test_drawings_show_the_shape():
    assert architecture.drawing((10,), 1, "#123456").count("<circle") == 10
    assert architecture.drawing((64, 12, 12), 28, "#123456").count("<rect") == 1 + 6  # a sheet for each doubling
    assert 'width="28.0" height="28.0"' in architecture.drawing((1, 14, 14), 28, "#123456")  # half of 56 pixels
