"""Grad-CAM, HiResCAM, integrated gradients and occlusion: arithmetic by hand, and a shared network stays unchanged."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import gradcam
from atelier.explain.convolutions import Layer, Step
from atelier.explain.hooks import as_input, hookable_copy

TILES = np.kron(np.array([[255, 0], [51, 102]], np.uint8), np.ones((14, 14), np.uint8))  # 1, 0, 0.2 and 0.4
WHOLE = Layer(1, (Step("convolution", "features.0", (2, 2, 2), start=7, stride=14, field=14),), trained=True)


class Linear(nn.Module):
    """Feature maps A, the mean of each quarter of the digit, and B = 2 A.

    Logit 0 weights the quarters of A with 12, 4, 0, 0 and those of B with -1, the other logits are 0.
    """

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


# Arithmetic by hand --------------------------------------------------------------------------------------------------


def test_grad_cam_of_a_linear_network(linear):
    """The mean weight of A is (12 + 4) / 4 = 4, that of B -1: the heat is 4 A - 1 (2 A) = 2 A."""
    heat = gradcam.grad_cam(linear, TILES, 0, WHOLE)
    assert heat == pytest.approx(np.array([[2.0, 0.0], [0.4, 0.8]]), abs=1e-5)
    negative = Linear()
    negative.head.weight.data.neg_()
    assert not gradcam.grad_cam(Classifier(MODELS["cnn"], negative, {}), TILES, 0, WHOLE).any()


def test_hires_cam_of_a_linear_network(linear):
    """Each place alone: (12 - 2) times 1, (4 - 2) times 0, and -2 times 0.2 and 0.4, which are below zero."""
    assert gradcam.hires_cam(linear, TILES, 0, WHOLE) == pytest.approx(np.array([[10.0, 0.0], [0.0, 0.0]]), abs=1e-5)


def test_integrated_gradients_of_a_linear_network_are_weight_times_pixel(linear):
    """A pixel of the top left quarter has the weight (12 - 2) / 196, top right (4 - 2) / 196, below -2 / 196."""
    expected = np.kron(np.array([[10 * 1.0, 2 * 0.0], [-2 * 0.2, -2 * 0.4]]), np.ones((14, 14))) / 196
    assert gradcam.integrated_gradients(linear, TILES, 0) == pytest.approx(expected, abs=1e-6)
    assert gradcam.logit_gain(linear, TILES, 0) == pytest.approx(expected.sum(), abs=1e-4)


def test_occlusion_of_quarters(linear):
    """Logit 0 is 10 - 0.4 - 0.8 = 8.8, nine others are 0. Without a quarter it loses what that quarter added.

    The nine other classes share the probability that class 0 loses.
    """
    lost = gradcam.occlusion(linear, TILES, window=14, stride=14)
    probability = [1 / (1 + 9 * np.exp(-logit)) for logit in (8.8, 8.8 - 10, 8.8, 8.8 + 0.4, 8.8 + 0.8)]
    expected = np.kron(probability[0] - np.array(probability[1:]).reshape(2, 2), np.ones((14, 14)))
    assert lost[0] == pytest.approx(expected, abs=1e-6)
    assert lost[1:] == pytest.approx(np.stack([-expected / 9] * 9), abs=1e-6)


def test_upsampling_puts_values_at_the_centres_of_their_receptive_fields():
    """The centres are at 7 and 21. The centre of pixel 13, at 13.5, is 6.5 / 14 of the way between them."""
    heat = gradcam.upsample(np.array([[1, 0], [0, 0]], np.float32), WHOLE)
    assert heat.shape == (28, 28)
    assert (heat[:6, :6] == 1).all()
    assert heat[13, 0] == pytest.approx(1 - 6.5 / 14)
    assert heat[13, 13] == pytest.approx((1 - 6.5 / 14) ** 2)
    assert not heat[22:].any()


# Shipped networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "size"),
    [("cnn", 3, "64 × 12 × 12"), ("vgg16", 7, "256 × 12 × 12"), ("alexnet", 2, "192 × 7 × 7")],
)
def test_default_layer_is_the_deepest_with_maps_of_at_least_7_by_7(load, four, name, number, size):
    classifier = load(name)
    layer = gradcam.default_layer(classifier)
    assert (layer.number, layer.convolution.size) == (number, size)
    for method in (gradcam.grad_cam, gradcam.hires_cam):
        heat = method(classifier, four, 4, layer)
        assert (heat.shape, heat.dtype) == (layer.convolution.shape[1:], np.float32)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("cnn", 0.05),
        ("alexnet", 0.05),
        pytest.param("vit", 0.05, marks=pytest.mark.slow),
        pytest.param("vgg16", 0.55, marks=pytest.mark.slow),
        pytest.param("faster_rcnn", 0.35, marks=pytest.mark.slow),
    ],
)
def test_integrated_gradients_add_up_to_the_gain_in_the_logit(load, name, error):
    classifier, errors = load(name), []
    for digit, label in zip(*(part[:7] for part in mnist.load("test")), strict=True):
        contributions = gradcam.integrated_gradients(classifier, digit, int(label))
        assert not contributions[digit == 0].any()
        errors.append(abs(contributions.sum() / gradcam.logit_gain(classifier, digit, int(label)) - 1))
    assert np.median(errors) < error


def test_covering_the_whole_digit_costs_its_probability(load, four):
    cnn, blank = load("cnn"), np.zeros_like(four)
    of_digit, of_blank = cnn.predict_proba(np.stack([four, blank]))
    lost = gradcam.occlusion(cnn, four, window=28, stride=28)
    assert lost == pytest.approx(np.tile((of_digit - of_blank)[:, None, None], (1, 28, 28)), abs=1e-5)
    assert gradcam.occlusion(cnn, blank) == pytest.approx(np.zeros((10, 28, 28)), abs=1e-6)
    with pytest.raises(ValueError, match="do not cover"):
        gradcam.occlusion(cnn, four, window=4, stride=5)


def test_occlusion_computes_few_images(load, four):
    """VGG16 takes 11 ms for each, and a click needs an answer within half a second."""
    classifier, images = load("vgg16"), []
    hook = classifier.network.register_forward_pre_hook(lambda _, inputs: images.append(len(inputs[0])))
    gradcam.occlusion(classifier, four)
    hook.remove()
    assert sum(images) < 30


@pytest.mark.parametrize("name", ["vit", "faster_rcnn"])
def test_networks_without_convolutional_layers_are_refused(load, name):
    with pytest.raises(TypeError, match="convolutional layers"):
        gradcam.default_layer(load(name))


@pytest.mark.parametrize("wrong", [np.zeros((28, 28)), np.zeros((1, 28, 28), np.uint8)])
def test_other_shapes_and_types_are_refused(load, wrong):
    with pytest.raises(ValueError, match="uint8"):
        gradcam.integrated_gradients(load("cnn"), wrong, 4)


# The shared network --------------------------------------------------------------------------------------------------


def state(network):
    """Everything that an explanation could change by accident."""
    hooks = [len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules()]
    return hooks, [(parameter.requires_grad, parameter.grad) for parameter in network.parameters()]


@pytest.mark.parametrize("name", ["cnn", "vgg16"])
def test_explanations_leave_the_shared_network_unchanged(load, four, name):
    classifier = load(name)
    before, probabilities = state(classifier.network), classifier.predict_proba(four[None])
    weights = {name: tensor.clone() for name, tensor in classifier.network.state_dict().items()}
    gradcam.grad_cam(classifier, four, 4, gradcam.default_layer(classifier))
    gradcam.integrated_gradients(classifier, four, 4)
    assert state(classifier.network) == before
    assert all(torch.equal(weights[name], tensor) for name, tensor in classifier.network.state_dict().items())
    assert np.array_equal(classifier.predict_proba(four[None]), probabilities)


@pytest.mark.parametrize("name", ["cnn", "vgg16"])
def test_copy_shares_the_weights_but_not_the_hooks(load, four, name):
    classifier, outputs = load(name), []
    copy = hookable_copy(classifier.network)
    for own, copied in zip(classifier.network.state_dict().values(), copy.state_dict().values(), strict=True):
        assert own.data_ptr() == copied.data_ptr()
    convolution = next(module for module in copy.modules() if isinstance(module, nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    classifier.predict_proba(four[None])
    assert not outputs
    with torch.inference_mode():
        logits = copy(as_input(classifier, four))
        assert torch.equal(logits, classifier.network(as_input(classifier, four)))
    assert (outputs[0] < 0).any()  # no ReLU has overwritten them


def test_another_thread_gets_correct_answers_meanwhile(load, four):
    cnn, answers, done = load("cnn"), [], threading.Event()
    expected = cnn.predict_proba(four[None])

    def answer():
        while not done.is_set():
            answers.append(cnn.predict_proba(four[None]))

    thread = threading.Thread(target=answer)
    thread.start()
    for target in range(5):
        gradcam.integrated_gradients(cnn, four, target)
        gradcam.grad_cam(cnn, four, target, gradcam.default_layer(cnn))
    done.set()
    thread.join()
    assert answers
    assert all(np.array_equal(one, expected) for one in answers)
