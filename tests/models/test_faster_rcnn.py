"""The detector against numbers read off torchvision's internals by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist, scenes
from atelier.models.faster_rcnn import ENLARGED, OVERLAP, FasterRCNN
from atelier.training.tasks import target


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FasterRCNN().eval()


def run_torchvision(network, picture):
    """torchvision's own forward pass on `float[1, H, W]`: the class logits and box deltas of its box head, and its
    result. Scenes have the size that torchvision scales to; others are left as they are."""
    seen, transform = {}, network.detector.transform
    watch = network.detector.roi_heads.box_predictor.register_forward_hook(
        lambda _, __, output: seen.update(scores=output[0], deltas=output[1])
    )
    transform.min_size, min_size = (min(picture.shape[1:]),), transform.min_size
    (seen["result"],) = network.detector([picture])
    transform.min_size = min_size
    watch.remove()
    return seen


@torch.inference_mode()
def test_probabilities_are_the_box_heads_for_the_proposal_most_like_a_digit(network):
    classifier = Classifier(MODELS["faster_rcnn"], network, {})
    for digit in mnist.load("test")[0][:6]:
        picture = F.interpolate(torch.tensor(digit[None, None]) / 255, (ENLARGED, ENLARGED), mode="bilinear")[0]
        scores = run_torchvision(network, picture)["scores"]  # (R, 11), background first
        surest = scores.softmax(1)[:, 0].argmin()
        expected = scores[surest, 1:].softmax(0)  # background dropped
        assert np.allclose(classifier.predict_proba(digit[None])[0], expected, atol=1e-5)


@pytest.mark.parametrize("width", [111, 110, 109])  # no whole number of the map's places
@torch.inference_mode()
def test_boxes_are_torchvisions_but_one_for_each_digit(network, width):
    scene = scenes.random_scene("test", np.random.default_rng(3), digits=4)
    picture = torch.tensor(scene.picture)[None, :, :width] / 255
    roi_heads = network.detector.roi_heads
    roi_heads.score_thresh, roi_heads.nms_thresh, roi_heads.detections_per_img = 0.0, 1.0, 10_000  # suppress nothing
    result = run_torchvision(network, picture)["result"]
    boxes, probabilities = network.detect(picture, threshold=0.0)
    assert len(boxes) > 0
    scores, labels = probabilities.max(1)
    assert (scores.diff() <= 0).all()
    for box, score, label in zip(boxes, scores, labels, strict=True):
        alike = (result["labels"] == label + 1) & ((result["scores"] - score).abs() < 1e-4)
        assert (result["boxes"][alike] - box).abs().amax(1).min() < 1e-2  # torchvision has this very box, too
    assert overlaps(boxes).max() <= OVERLAP


def overlaps(boxes):
    """Intersection over union of each two, by hand."""
    left_top = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    right_bottom = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (right_bottom - left_top).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return (shared / (area[:, None] + area[None] - shared)).fill_diagonal_(0)


def test_learns_from_scenes_and_from_an_empty_one(network):
    scene = scenes.random_scene("train", np.random.default_rng(0), digits=2)
    empty = scenes.compose(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64), 1.0, np.random.default_rng(0))
    picture = torch.tensor(scene.picture)[None] / 255
    learner = FasterRCNN().train()
    losses = learner.losses([picture, torch.zeros_like(picture)], [target(scene), target(empty)])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.parameters())


@torch.inference_mode()
def test_an_empty_picture_has_an_answer_and_boxes_of_any_number(network):
    assert network(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape == (2, 10)
    boxes, probabilities = network.detect(torch.zeros(1, 112, 300), threshold=1.0)
    assert boxes.shape == (0, 4)
    assert probabilities.shape == (0, 10)


@torch.inference_mode()
def test_weights_that_are_no_numbers_find_nothing(network):
    next(network.parameters()).fill_(float("nan"))
    assert network(torch.zeros(1, 28, 28, dtype=torch.uint8)).isnan().all()
    assert network.detect(torch.zeros(1, 112, 112), threshold=0.5)[0].shape == (0, 4)
