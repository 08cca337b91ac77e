"""Feature maps and the arithmetic of a single number, checked against the networks and by hand."""

import functools

import numpy as np
import pytest
import torch

import atelier
from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import convolutions
from atelier.explain.hooks import as_input
from atelier.figures import feature_maps
from atelier.models.finetuned import FineTuned, to_pictures

load = functools.cache(lambda name: atelier.load(name, "cpu"))
DIGIT = mnist.load("test")[0][247]


@pytest.fixture(scope="module", params=["cnn", "vgg16", "alexnet"])
def classifier(request):
    return load(request.param)


def untrained(name, **config):
    return Classifier(MODELS[name], MODELS[name].build(config), {})


def sizes(classifier):
    return [layer.convolution.size for layer in convolutions.layers(classifier)]


# Layers --------------------------------------------------------------------------------------------------------------


def test_layers_have_the_papers_shapes():
    assert sizes(load("cnn")) == ["16 × 24 × 24", "32 × 12 × 12", "64 × 12 × 12", "128 × 6 × 6"]
    assert sizes(untrained("cnn", channels=(2, 3, 4, 5))) == ["2 × 24 × 24", "3 × 12 × 12", "4 × 12 × 12", "5 × 6 × 6"]
    deep = untrained("alexnet", backbone="none", input_size=224)  # as published: table 1 of arXiv:1404.5997
    assert sizes(deep) == ["64 × 55 × 55", "192 × 27 × 27", "384 × 13 × 13", "256 × 13 × 13", "256 × 13 × 13"]


def test_steps_are_in_the_networks_own_order():
    assert [step.kind for step in convolutions.layers(load("cnn"))[0].steps] == [
        "convolution",
        "pooling",
        "normalisation",
        "relu",
    ]
    layers = convolutions.layers(load("alexnet"))
    assert [step.kind for step in layers[1].steps] == ["convolution", "relu", "pooling"]
    assert [step.kind for step in layers[2].steps] == ["convolution", "relu"]


@pytest.mark.parametrize(
    ("name", "fields"),  # of Araujo et al. 2019, "Computing receptive fields" (Distill), and of the VGG paper's stacks
    [
        ("alexnet", [11, 51, 99, 131, 163]),
        ("vgg16", [3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196]),
        ("cnn", [5, 10, 14, 24]),
    ],
)
def test_receptive_fields_are_the_published_ones(name, fields):
    classifier = load(name)
    enlarged = getattr(classifier.network.config, "input_size", 28) / 28
    assert [layer.convolution.field * enlarged for layer in convolutions.layers(classifier)] == pytest.approx(fields)


def test_maps_lie_where_they_see():
    """In VGG16 the maps always tile the picture; the CNN's first filter has its first centre at 2.5, as it does not
    reach beyond the border."""
    for layer in convolutions.layers(load("vgg16")):
        assert layer.convolution.start == pytest.approx(layer.convolution.stride / 2)
        assert layer.convolution.stride * layer.convolution.shape[1] == pytest.approx(28)
    places = [(layer.convolution.start, layer.convolution.stride) for layer in convolutions.layers(load("cnn"))]
    assert places == [(2.5, 1), (3, 2), (3, 2), (4, 4)]


def test_a_number_sees_its_window_and_nothing_beyond_the_digit():
    """The CNN's first filter covers 5 × 5 pixels from its own place on; its second layer, of 3 × 3 maps pooled by two,
    10 × 10, and what would lie beyond the border is not there."""
    first, second = (layer.convolution for layer in convolutions.layers(load("cnn"))[:2])
    assert first.sees(10, 12) == (12, 10, 17, 15)
    assert first.sees(23, 23) == (23, 23, 28, 28)
    assert second.sees(0, 5) == (8, 0, 18, 8)


def test_frozen_and_trained_layers_are_told_apart():
    assert [layer.trained for layer in convolutions.layers(untrained("alexnet", thawed=2))] == [False] * 3 + [True] * 2
    assert all(layer.trained for layer in convolutions.layers(untrained("cnn")))


# Maps ----------------------------------------------------------------------------------------------------------------


def test_maps_are_what_the_network_computes_strongest_first(classifier):
    for layer in convolutions.layers(classifier)[1::3]:
        seen = convolutions.activations(classifier, DIGIT, layer)
        assert [maps.shape for maps in seen.maps.values()] == [step.shape for step in layer.steps]
        handed_on = list(seen.maps.values())[-1]
        strengths = handed_on.std((1, 2))[seen.order]
        assert (np.diff(strengths) <= 0).all()
        assert sorted(seen.order) == list(range(len(handed_on)))


def test_the_last_maps_are_what_the_head_is_given(classifier):
    seen = convolutions.activations(classifier, DIGIT, convolutions.layers(classifier)[-1])
    with torch.inference_mode():
        digit = as_input(classifier, DIGIT)
        if isinstance(classifier.network, FineTuned):
            digit = to_pictures(digit, classifier.network.config.input_size)
        expected = classifier.network.features(digit)[0].numpy()
    assert list(seen.maps.values())[-1] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_relu_and_pooling_do_what_they_say():
    alexnet, cnn = load("alexnet"), load("cnn")
    maps = convolutions.activations(alexnet, DIGIT, convolutions.layers(alexnet)[0]).maps
    assert (maps["convolution"] < 0).any()  # kept although the network rectifies in place
    assert np.array_equal(maps["relu"], np.maximum(maps["convolution"], 0))
    maps = convolutions.activations(cnn, DIGIT, convolutions.layers(cnn)[0]).maps
    assert np.array_equal(maps["pooling"], maps["convolution"].reshape(16, 12, 2, 12, 2).max((2, 4)))


# Arithmetic ----------------------------------------------------------------------------------------------------------


def test_the_arithmetic_gives_what_the_layer_gives(classifier):
    for layer in convolutions.layers(classifier)[::2]:
        maps = convolutions.activations(classifier, DIGIT, layer).maps["convolution"]
        channels, height, width = maps.shape
        for channel, row, column in ((0, 0, 0), (1, height // 2, width // 3), (channels - 1, height - 1, width - 1)):
            spelt = convolutions.pixel_arithmetic(classifier, DIGIT, layer, channel, row, column)
            total = spelt.products.sum() + spelt.rest + spelt.bias
            assert total == pytest.approx(maps[channel, row, column], rel=1e-3, abs=1e-4)
            assert spelt.output == maps[channel, row, column]
            sums = np.abs(spelt.products.sum((1, 2)))
            assert (np.diff(sums) <= 0).all()


def test_the_first_window_is_cut_from_the_digit():
    cnn = load("cnn")
    spelt = convolutions.pixel_arithmetic(cnn, DIGIT, convolutions.layers(cnn)[0], channel=3, row=10, column=12)
    assert spelt.windows[0] == pytest.approx(DIGIT[10:15, 12:17] / 255)
    assert spelt.filters[0] == pytest.approx(convolutions.filters(cnn, convolutions.layers(cnn)[0])[3, 0])
    assert (spelt.rest, spelt.others, spelt.bias) == (0, 0, 0)


def test_beyond_the_border_the_window_is_zero():
    cnn = load("cnn")
    spelt = convolutions.pixel_arithmetic(cnn, DIGIT, convolutions.layers(cnn)[1], channel=0, row=0, column=11)
    assert spelt.windows.shape == (3, 3, 3)
    assert not spelt.windows[:, 0].any()
    assert not spelt.windows[:, :, 2].any()
    assert spelt.others == 13
    with pytest.raises(IndexError, match="32 × 12 × 12"):
        convolutions.pixel_arithmetic(cnn, DIGIT, convolutions.layers(cnn)[1], channel=0, row=0, column=12)


# How far it moved ----------------------------------------------------------------------------------------------------


def test_a_layer_that_grew_by_half_has_moved_by_half():
    alexnet = untrained("alexnet", thawed=2)
    assert convolutions.distance_from_pretrained(alexnet) == {4: 0, 5: 0}
    with torch.no_grad():
        alexnet.network.features[10].weight *= 1.5
    assert convolutions.distance_from_pretrained(alexnet) == pytest.approx({4: 0, 5: 0.5}, rel=1e-5)


def test_nothing_is_said_of_layers_whose_beginning_is_unknown():
    assert convolutions.distance_from_pretrained(untrained("alexnet", backbone="none")) == {}
    assert convolutions.distance_from_pretrained(untrained("alexnet", thawed=0)) == {}
    assert convolutions.distance_from_pretrained(untrained("cnn")) == {}


def test_filters_are_a_copy():
    cnn = untrained("cnn")
    convolutions.filters(cnn, convolutions.layers(cnn)[0])[:] = 0
    assert cnn.network.features[0][0].weight.any()


@pytest.mark.parametrize("name", ["vit", "faster_rcnn"])
def test_other_networks_are_refused(name):
    with pytest.raises(TypeError, match="CNN, VGG16 and AlexNet"):
        convolutions.layers(load(name))


# Figures -------------------------------------------------------------------------------------------------------------


def test_a_sheet_tells_which_map_was_clicked():
    maps = np.arange(10 * 2 * 3, dtype=np.float32).reshape(10, 2, 3)
    figure = feature_maps.sheet(maps, np.arange(10)[::-1], 7, "Title", "", "value", "#2E86D1")
    drawn, sensor = figure.data[0], figure.data[-1]
    assert drawn.z[:2, :3] == pytest.approx(maps[0])
    assert sensor.customdata[0].tolist() == [9, 8, 7, 6, 5, 4, 3, 2]
    assert sensor.customdata[1][:2].tolist() == [1, 0]
    assert (drawn.zmin, drawn.zmax) == (-59, 59)


def test_a_sheet_of_huge_maps_leaves_out_what_nobody_sees():
    maps = np.arange(2 * 160 * 160, dtype=np.float32).reshape(2, 160, 160)
    maps[0, 1, 1] = 1e6  # which is left out, but is still the highest
    figure = feature_maps.sheet(maps, np.arange(2), None, "Title", "", "value", "#2E86D1")
    assert figure.data[0].z.shape == (55, 110)
    assert figure.data[0].z[1, 1] == maps[0, 3, 3]
    assert np.nanmax(figure.data[-1].z) == 1e6


def test_the_part_that_a_number_sees_is_framed():
    figure = feature_maps.receptive_field(DIGIT, (8.0, 0.0, 18.0, 8.0), "Title", "")
    assert np.array_equal(figure.data[0].z, DIGIT)
    assert (set(figure.data[1].x[:5]), set(figure.data[1].y[:5])) == ({8, 18}, {0, 8})


def test_the_arithmetic_is_printed():
    spelt = convolutions.PixelArithmetic(
        channels=np.array([4]),
        windows=np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32),
        filters=np.array([[[0.5, 0.5], [-1.0, 0.0]]], np.float32),
        rest=0.25,
        others=1,
        bias=0.0,
        output=-1.25,
    )
    figure = feature_maps.arithmetic(spelt, ["map 5"], "#2E86D1")
    texts = [text for trace in figure.data if trace.type == "scatter" for text in trace.text]
    assert {"map 5", "×", "=", "<b>sum -1.50</b>"} == set(texts)
    assert figure.data[2].z[:2] == pytest.approx(np.array([[0.5, 1.0], [-3.0, 0.0]]))


@pytest.mark.parametrize("colour", ["#2E86D1", None])
def test_evidence_of_nothing_can_be_drawn(colour):
    figure = feature_maps.attributions(DIGIT, np.zeros((2, 28, 28), np.float32), ["4", "9"], "", "", "evidence", colour)
    assert figure.data[1].zmax == 1
    assert figure.to_json()


def test_bars_tell_frozen_from_retrained():
    figure = feature_maps.distances_from_pretrained([False, True, True], {3: 0.125}, "#009E73")
    assert figure.data[0].text == ("❄ frozen", "retrained", "retrained: 12.5%")
    assert figure.data[0].x == (0.0, 0.0, 0.125)
