"""Grad-CAM, integrated gradients and occlusion: Captum's answers, arithmetic by hand, and nobody else notices."""

import functools
import threading

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

import atelier
from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import gradcam
from atelier.explain.convolutions import Layer, Step
from atelier.explain.hooks import as_input, hookable_copy

load = functools.cache(lambda name: atelier.load(name, "cpu"))
DIGIT = mnist.load("test")[0][247]  # a 4
TILES = np.kron(np.array([[255, 0], [51, 102]], np.uint8), np.ones((14, 14), np.uint8))  # 1, 0, 0.2 and 0.4
WHOLE = Layer(1, (Step("convolution", "features.0", (2, 2, 2), start=7, stride=14, field=14),), trained=True)


class Linear(nn.Module):
    """Maps A (the mean of each quarter of the digit) and B = 2 A; logit 0 is 3 times the quarters of A and -1 times
    those of B, from the top left 3, 1, 0, 0 and -1, -1, -1, -1."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 14, stride=14, bias=False))
        self.head = nn.Linear(8, 10, bias=False)
        with torch.no_grad():
            self.features[0].weight[0] = 1 / 196
            self.features[0].weight[1] = 2 / 196
            self.head.weight.zero_()
            self.head.weight[0] = torch.tensor([12.0, 4.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0])

    def forward(self, digits):
        return self.head(self.features(digits).flatten(1))


@pytest.fixture(scope="module")
def linear():
    return Classifier(MODELS["cnn"], Linear(), {})


@pytest.fixture(scope="module", params=["cnn", "vgg16", "alexnet"])
def classifier(request):
    return load(request.param)


@pytest.fixture(scope="module")
def cnn():
    return load("cnn")


# Arithmetic by hand --------------------------------------------------------------------------------------------------


def test_grad_cam_of_a_linear_network(linear):
    """The mean weight of A is (12 + 4) / 4 = 4, that of B -1: the heat is 4 A - 1 (2 A) = 2 A."""
    heat = gradcam.grad_cam(linear, TILES, 0, WHOLE)
    assert heat == pytest.approx(np.array([[2.0, 0.0], [0.4, 0.8]]), abs=1e-5)
    assert not gradcam.grad_cam(linear, TILES, 1, WHOLE).any()


def test_hires_cam_of_a_linear_network(linear):
    """Each place by itself: (12 - 2) times 1, (4 - 2) times 0, and -2 times 0.2 and 0.4, of which nothing is left."""
    assert gradcam.hires_cam(linear, TILES, 0, WHOLE) == pytest.approx(np.array([[10.0, 0.0], [0.0, 0.0]]), abs=1e-5)


def test_integrated_gradients_of_a_linear_network_are_weight_times_pixel(linear):
    """A pixel of the top left quarter counts (12 - 2) / 196; of the top right (4 - 2) / 196; below -2 / 196."""
    expected = np.kron(np.array([[10 * 1.0, 2 * 0.0], [-2 * 0.2, -2 * 0.4]]), np.ones((14, 14))) / 196
    assert gradcam.integrated_gradients(linear, TILES, 0) == pytest.approx(expected, abs=1e-6)
    assert gradcam.logit_gain(linear, TILES, 0) == pytest.approx(expected.sum(), abs=1e-4)


def test_occlusion_of_quarters(linear):
    """The logit of 0 is 10 - 0.4 - 0.8 = 8.8 against nine of 0; without a quarter it is less what that had brought.
    What 0 loses the others share."""
    lost = gradcam.occlusion(linear, TILES, window=14, stride=14)
    probability = [1 / (1 + 9 * np.exp(-logit)) for logit in (8.8, 8.8 - 10, 8.8, 8.8 + 0.4, 8.8 + 0.8)]
    expected = np.kron(probability[0] - np.array(probability[1:]).reshape(2, 2), np.ones((14, 14)))
    assert lost[0] == pytest.approx(expected, abs=1e-6)
    assert lost[1:] == pytest.approx(np.stack([-expected / 9] * 9), abs=1e-6)


def test_enlarging_puts_numbers_where_their_receptive_fields_are():
    """Centres at 7 and 21: pixel 13, at 13.5, lies 6.5 / 14 of the way from the first to the second."""
    heat = gradcam.upsample(np.array([[1, 0], [0, 0]], np.float32), WHOLE)
    assert heat.shape == (28, 28)
    assert (heat[:6, :6] == 1).all()
    assert heat[13, 0] == pytest.approx(1 - 6.5 / 14)
    assert heat[13, 13] == pytest.approx((1 - 6.5 / 14) ** 2)
    assert not heat[22:].any()


# The networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "size"),
    [("cnn", 3, "64 × 12 × 12"), ("vgg16", 7, "256 × 12 × 12"), ("alexnet", 2, "192 × 7 × 7")],
)
def test_the_default_layer_is_the_deepest_with_maps_of_at_least_7_by_7(name, number, size):
    layer = gradcam.default_layer(load(name))
    assert (layer.number, layer.convolution.size) == (number, size)


def test_grad_cam_is_captums(classifier):
    for layer in gradcam.layers(classifier)[::3]:
        network = hookable_copy(classifier.network)
        captum = LayerGradCam(network, network.get_submodule(layer.convolution.name))
        expected = captum.attribute(as_input(classifier, DIGIT), target=4).clamp(min=0)[0, 0]
        heat = gradcam.grad_cam(classifier, DIGIT, 4, layer)
        assert heat.shape == layer.convolution.shape[1:]
        assert heat.dtype == np.float32
        assert heat == pytest.approx(expected.detach().numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "off"), [("cnn", 0.05), ("alexnet", 0.05), ("vit", 0.05), ("vgg16", 0.55), ("faster_rcnn", 0.35)]
)
def test_integrated_gradients_add_up_to_the_logit(name, off):
    classifier, errors = load(name), []
    for digit, label in zip(*(part[:7] for part in mnist.load("test")), strict=True):
        shares = gradcam.integrated_gradients(classifier, digit, int(label))
        assert not shares[digit == 0].any()
        errors.append(abs(shares.sum() / gradcam.logit_gain(classifier, digit, int(label)) - 1))
    assert np.median(errors) < off


def test_what_hides_the_digit_costs_its_probability(cnn):
    lost = gradcam.occlusion(cnn, DIGIT, window=28, stride=28)
    shares, of_black = cnn.predict_proba(np.stack([DIGIT, np.zeros_like(DIGIT)]))
    assert lost == pytest.approx(np.tile((shares - of_black)[:, None, None], (1, 28, 28)), abs=1e-5)
    with pytest.raises(ValueError, match="do not cover"):
        gradcam.occlusion(cnn, DIGIT, window=4, stride=5)


def test_occlusion_asks_about_few_pictures():
    """VGG16 takes 11 ms for each of them, and a click is answered within half a second."""
    network, asked = load("vgg16").network, []
    watch = network.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    gradcam.occlusion(load("vgg16"), DIGIT)
    watch.remove()
    assert sum(asked) < 30


def test_a_blank_digit_has_no_evidence(cnn):
    blank = np.zeros((28, 28), np.uint8)
    assert not gradcam.integrated_gradients(cnn, blank, 4).any()
    assert gradcam.occlusion(cnn, blank) == pytest.approx(np.zeros((10, 28, 28)), abs=1e-6)


def test_other_networks_are_explained_by_pixels_too():
    detector = load("faster_rcnn")
    for shares in (gradcam.integrated_gradients(detector, DIGIT, 4), gradcam.occlusion(detector, DIGIT)[4]):
        assert shares.shape == (28, 28)
        assert np.isfinite(shares).all()
        assert shares.any()


@pytest.mark.parametrize("name", ["vit", "faster_rcnn"])
def test_networks_without_convolutional_layers_say_so(name):
    with pytest.raises(TypeError, match="CNN, VGG16 and AlexNet"):
        gradcam.default_layer(load(name))


@pytest.mark.parametrize("wrong", [np.zeros((28, 28)), np.zeros((1, 28, 28), np.uint8)])
def test_other_shapes_and_types_are_refused(cnn, wrong):
    with pytest.raises(ValueError, match="uint8"):
        gradcam.integrated_gradients(cnn, wrong, 4)


# Nobody else notices -------------------------------------------------------------------------------------------------


def traces(network):
    """What explaining could leave behind."""
    hooks = [len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules()]
    return hooks, [(parameter.requires_grad, parameter.grad) for parameter in network.parameters()]


def test_explaining_leaves_the_shared_network_as_it_was(classifier):
    before, probabilities = traces(classifier.network), classifier.predict_proba(DIGIT[None])
    weights = {name: tensor.clone() for name, tensor in classifier.network.state_dict().items()}
    gradcam.grad_cam(classifier, DIGIT, 4, gradcam.default_layer(classifier))
    gradcam.integrated_gradients(classifier, DIGIT, 4)
    assert traces(classifier.network) == before
    assert all(torch.equal(weights[name], tensor) for name, tensor in classifier.network.state_dict().items())
    assert np.array_equal(classifier.predict_proba(DIGIT[None]), probabilities)


def test_a_copy_shares_the_weights_but_not_the_hooks(classifier):
    copy, seen = hookable_copy(classifier.network), []
    for ours, theirs in zip(classifier.network.state_dict().values(), copy.state_dict().values(), strict=True):
        assert ours.data_ptr() == theirs.data_ptr()
    convolution = next(module for module in copy.modules() if isinstance(module, nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output))
    classifier.predict_proba(DIGIT[None])
    assert not seen
    with torch.inference_mode():
        logits = copy(as_input(classifier, DIGIT))
        assert torch.equal(logits, classifier.network(as_input(classifier, DIGIT)))
    assert (seen[0] < 0).any()  # no ReLU has overwritten it


def test_another_thread_goes_on_answering(cnn):
    expected, answers, done = cnn.predict_proba(DIGIT[None]), [], threading.Event()

    def answer():
        while not done.is_set():
            answers.append(cnn.predict_proba(DIGIT[None]))

    thread = threading.Thread(target=answer)
    thread.start()
    for target in range(5):
        gradcam.integrated_gradients(cnn, DIGIT, target)
        gradcam.grad_cam(cnn, DIGIT, target, gradcam.default_layer(cnn))
    done.set()
    thread.join()
    assert answers
    assert all(np.array_equal(one, expected) for one in answers)
