"""Attributions lie on the ink, and a network of no family has one too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain.attribution import Attribution, attribute, overlay
from atelier.explain.hooks import as_input

IMAGES, LABELS = mnist.load("val")
METHODS = {
    "cnn": "hires_cam",
    "faster_rcnn": "proposals",
    "vgg16": "hires_cam",
    "alexnet": "hires_cam",
    "vit": "gradient_rollout",
}


@pytest.mark.parametrize("name", METHODS)
def test_attribution_lies_on_and_around_the_ink(load, name):
    on_ink, off_ink = [], []
    for digit, label in zip(IMAGES[:4], LABELS[:4], strict=True):  # in a single one, empty places may count more
        attribution = attribute(load(name), digit, int(label))
        heat, near = attribution.heat, ndimage.binary_dilation(digit > 0, np.ones((9, 9)))
        assert attribution.method == METHODS[name]
        assert (heat.shape, heat.min() >= 0, heat.max()) == ((28, 28), True, pytest.approx(1))
        on_ink.append(heat[near].mean())
        off_ink.append(heat[~near].mean())
    assert np.mean(on_ink) > np.mean(off_ink)


def test_box_of_the_detector_is_that_of_the_digit(load):
    classifier = load("faster_rcnn")
    box = attribute(classifier, IMAGES[0], int(LABELS[0])).box
    rows, columns = np.flatnonzero(IMAGES[0].max(1)), np.flatnonzero(IMAGES[0].max(0))
    assert box == pytest.approx((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), abs=2)
    with torch.inference_mode():
        picture = classifier.network.enlarge(as_input(classifier, IMAGES[0]))[0]
        (detected, *_), _ = classifier.network.detect(picture, 0.5)
    assert box == pytest.approx((28 / picture.shape[-1] * detected).tolist(), abs=1e-4)


def test_network_without_a_family_falls_back_to_integrated_gradients(load):
    plain = Classifier(replace(MODELS["cnn"], family=None), load("cnn").network, {})
    attribution = attribute(plain, IMAGES[0], int(LABELS[0]))
    assert attribution.method == "integrated_gradients"
    assert attribution.heat.max() == 1
    assert not attribute(plain, np.zeros_like(IMAGES[0]), 0).heat.any()


def test_overlay_shows_ink_heat_and_box():
    digit, heat = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.float32)
    digit[0, 0], digit[27, 0], heat[27, 0], heat[27, 27] = 255, 255, 1, 1
    image = overlay(digit, Attribution(heat, "", box=(10, 10, 20, 20)), "#ff8000")
    assert image.shape == (224, 224, 3)
    assert image[4, 4].tolist() == [170, 170, 170]  # ink without support
    assert image[-4, 4].tolist() == [255, 128, 0]  # ink with full support
    assert image[-4, -4].tolist() == [127, 64, 0]  # full support without ink
    assert image[80, 120].tolist() == [255, 255, 255]  # upper side of the box
    assert image[120, 120].tolist() == [0, 0, 0]
