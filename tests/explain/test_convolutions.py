"""Feature maps and the arithmetic of a single value against the networks and by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.explain import convolutions
from atelier.explain.hooks import as_input
from atelier.models.finetuned import FineTuned, to_pictures


@pytest.fixture(scope="module", params=["cnn", "vgg16", "alexnet"])
def classifier(request, load):
    return load(request.param)


def untrained(name, **config):
    return Classifier(MODELS[name], MODELS[name].build(config), {})


def sizes(classifier):
    return [layer.convolution.size for layer in convolutions.layers(classifier)]


# Layers --------------------------------------------------------------------------------------------------------------


def test_layers_have_the_published_shapes(load):
    assert sizes(load("cnn")) == ["16 × 24 × 24", "32 × 12 × 12", "64 × 12 × 12", "128 × 6 × 6"]
    assert sizes(untrained("cnn", channels=(2, 3, 4, 5))) == ["2 × 24 × 24", "3 × 12 × 12", "4 × 12 × 12", "5 × 6 × 6"]
    deep = untrained("alexnet", backbone="none", input_size=224)  # table 1 of arXiv:1404.5997
    assert sizes(deep) == ["64 × 55 × 55", "192 × 27 × 27", "384 × 13 × 13", "256 × 13 × 13", "256 × 13 × 13"]


@pytest.mark.parametrize(
    ("name", "number", "kinds"),
    [
        ("cnn", 1, ["convolution", "pooling", "normalisation", "relu"]),
        ("alexnet", 2, ["convolution", "relu", "pooling"]),
        ("alexnet", 3, ["convolution", "relu"]),
    ],
)
def test_steps_are_in_the_order_of_the_network(load, name, number, kinds):
    assert [step.kind for step in convolutions.layers(load(name))[number - 1].steps] == kinds


@pytest.mark.parametrize(
    ("name", "fields"),  # Araujo et al. 2019, "Computing receptive fields" (Distill), and the stacks of the VGG paper
    [
        ("alexnet", [11, 51, 99, 131, 163]),
        ("vgg16", [3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196]),
        ("cnn", [5, 10, 14, 24]),
    ],
)
def test_receptive_fields_are_the_published_ones(load, name, fields):
    classifier = load(name)
    scale = getattr(classifier.network.config, "input_size", 28) / 28
    assert [layer.convolution.field * scale for layer in convolutions.layers(classifier)] == pytest.approx(fields)


def test_maps_lie_at_the_centres_of_their_receptive_fields(load):
    """The maps of VGG16 tile the image. The first centre of the CNN is at 2.5, because it has no padding there."""
    for layer in convolutions.layers(load("vgg16")):
        assert layer.convolution.start == pytest.approx(layer.convolution.stride / 2)
        assert layer.convolution.stride * layer.convolution.shape[1] == pytest.approx(28)
    first, second, *_ = (layer.convolution for layer in convolutions.layers(load("cnn")))
    assert [(step.start, step.stride) for step in (first, second)] == [(2.5, 1), (3, 2)]
    assert first.receptive_field(10, 12) == (12, 10, 17, 15)  # 5 × 5 pixels
    assert first.receptive_field(23, 23) == (23, 23, 28, 28)
    assert second.receptive_field(0, 5) == (8, 0, 18, 8)  # 10 × 10, cut at the border


def test_frozen_layers_are_marked():
    assert [layer.trained for layer in convolutions.layers(untrained("alexnet", thawed=2))] == [False] * 3 + [True] * 2
    assert all(layer.trained for layer in convolutions.layers(untrained("cnn")))


# Activations ---------------------------------------------------------------------------------------------------------


def test_last_activations_are_the_input_of_the_head(classifier, four):
    layer = convolutions.layers(classifier)[-1]
    activations = convolutions.activations(classifier, four, layer)
    with torch.inference_mode():
        digit = as_input(classifier, four)
        if isinstance(classifier.network, FineTuned):
            digit = to_pictures(digit, classifier.network.config.input_size)
        expected = classifier.network.features(digit)[0].numpy()
    output = activations.maps[layer.steps[-1].kind]
    assert output == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert [maps.shape for maps in activations.maps.values()] == [step.shape for step in layer.steps]
    assert sorted(activations.order) == list(range(len(output)))
    assert all(output[first].std() >= output[second].std() for first, second in pairwise(activations.order))


def test_relu_and_pooling_by_hand(load, four):
    alexnet, cnn = load("alexnet"), load("cnn")
    maps = convolutions.activations(alexnet, four, convolutions.layers(alexnet)[0]).maps
    assert (maps["convolution"] < 0).any()  # recorded before the network's in-place ReLU
    assert np.array_equal(maps["relu"], np.maximum(maps["convolution"], 0))
    maps = convolutions.activations(cnn, four, convolutions.layers(cnn)[0]).maps
    assert np.array_equal(maps["pooling"], maps["convolution"].reshape(16, 12, 2, 12, 2).max((2, 4)))


# Arithmetic ----------------------------------------------------------------------------------------------------------


def test_arithmetic_gives_the_output_of_the_layer(classifier, four):
    for layer in convolutions.layers(classifier)[::2]:
        maps = convolutions.activations(classifier, four, layer).maps["convolution"]
        channels, height, width = maps.shape
        for channel, row, column in ((0, 0, 0), (1, height // 2, width // 3), (channels - 1, height - 1, width - 1)):
            value = convolutions.pixel_arithmetic(classifier, four, layer, channel, row, column)
            total = value.products.sum() + value.rest + value.bias
            assert total == pytest.approx(maps[channel, row, column], rel=1e-3, abs=1e-4)
            assert value.output == maps[channel, row, column]
            sums = np.abs(value.products.sum((1, 2)))
            assert (np.diff(sums) <= 0).all()


def test_first_window_is_a_part_of_the_digit(load, four):
    cnn = load("cnn")
    layer = convolutions.layers(cnn)[0]
    value = convolutions.pixel_arithmetic(cnn, four, layer, channel=3, row=10, column=12)
    assert value.windows[0] == pytest.approx(four[10:15, 12:17] / 255)
    assert value.filters[0] == pytest.approx(convolutions.filters(cnn, layer)[3, 0])
    assert (value.rest, value.others, value.bias) == (0, 0, 0)


def test_window_is_zero_beyond_the_border(load, four):
    cnn = load("cnn")
    layer = convolutions.layers(cnn)[1]
    value = convolutions.pixel_arithmetic(cnn, four, layer, channel=0, row=0, column=11)
    assert value.windows.shape == (3, 3, 3)
    assert not value.windows[:, 0].any()
    assert not value.windows[:, :, 2].any()
    assert value.others == 13
    with pytest.raises(IndexError, match="32 × 12 × 12"):
        convolutions.pixel_arithmetic(cnn, four, layer, channel=0, row=0, column=12)


# Fine-tuning ---------------------------------------------------------------------------------------------------------


def test_filters_that_grow_by_half_have_moved_by_half():
    alexnet = untrained("alexnet", thawed=2)
    assert convolutions.distance_from_pretrained(alexnet) == {4: 0, 5: 0}
    with torch.no_grad():
        alexnet.network.features[10].weight *= 1.5
    assert convolutions.distance_from_pretrained(alexnet) == pytest.approx({4: 0, 5: 0.5}, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "config"), [("alexnet", {"backbone": "none"}), ("alexnet", {"thawed": 0}), ("cnn", {})]
)
def test_layers_without_pretrained_filters_have_no_distance(name, config):
    assert convolutions.distance_from_pretrained(untrained(name, **config)) == {}


def test_filters_are_a_copy():
    cnn = untrained("cnn")
    convolutions.filters(cnn, convolutions.layers(cnn)[0])[:] = 0
    assert cnn.network.features[0][0].weight.any()
