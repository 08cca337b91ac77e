"""The detector step by step against torchvision's own forward pass."""

import numpy as np
import pytest
import torch

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist, scenes
from atelier.explain import proposals
from atelier.figures import boxes, strip
from atelier.models.faster_rcnn import FasterRCNN, FasterRCNNConfig

equal = np.testing.assert_array_equal


@pytest.fixture(scope="module")
def detector(load):
    return load("faster_rcnn")


@pytest.fixture(scope="module")
def reader(load):
    return load("cnn")


@pytest.fixture(scope="module")
def scene():
    return scenes.random_scene("test", np.random.default_rng(8))


@pytest.fixture(scope="module")
def trace(detector, scene):
    return proposals.trace(detector, scene.picture)


# Steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 7, 15])
@torch.inference_mode()
def test_decision_is_torchvisions_with_torchvisions_rule(detector, seed):
    """These scenes have the size that torchvision scales pictures to."""
    scene = scenes.random_scene("test", np.random.default_rng(seed))
    (expected,) = detector.network.detector.eval()([torch.tensor(scene.picture)[None] / 255])
    heads = detector.network.detector.roi_heads
    trace = proposals.trace(detector, scene.picture)
    detections = proposals.decide(trace, heads.score_thresh, heads.nms_thresh, each_class=True).detections
    assert len(detections.boxes) > 0
    equal(detections.boxes, expected["boxes"])
    equal(detections.labels, expected["labels"] - 1)  # torchvision counts digits from 1
    equal(detections.scores, expected["scores"])


@pytest.mark.parametrize("shape", [(112, 336), (260, 880), (61, 47), (28, 28)])
@pytest.mark.parametrize("score", [0.05, 0.5])
def test_decision_is_that_of_detect_for_pictures_of_any_size(detector, scene, shape, score):
    picture = np.resize(scene.picture, shape)
    expected = detector.detect(picture, score)
    detections = proposals.decide(proposals.trace(detector, picture), score).detections
    for name in ("boxes", "labels", "scores", "probabilities"):
        equal(getattr(detections, name), getattr(expected, name))


@torch.inference_mode()
def test_proposals_crops_and_logits_are_torchvisions(detector, trace, scene):
    """Recorded in torchvision's own forward pass."""
    outputs, parts = {}, detector.network.detector
    recorded = {"proposals": parts.rpn, "crops": parts.roi_heads.box_roi_pool, "logits": parts.roi_heads.box_predictor}
    hooks = [
        part.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        for name, part in recorded.items()
    ]
    parts([torch.tensor(scene.picture)[None] / 255])
    for hook in hooks:
        hook.remove()
    equal(trace.proposals, outputs["proposals"][0][0])
    equal(trace.crops, outputs["crops"])
    equal(trace.probabilities, outputs["logits"][0].softmax(1))


def test_anchors_have_their_sizes_and_shapes(trace):
    """As in the paper: the area is the size squared, the height is the width times the shape."""
    anchors = trace.anchors[5, 9]
    assert anchors.shape == (9, 4)
    width, height = (anchors[:, 2:] - anchors[:, :2]).T
    sizes, shapes = np.tile(trace.anchor_sizes, 3), np.repeat(trace.anchor_shapes, 3)
    np.testing.assert_allclose(np.sqrt(width * height), sizes, rtol=0.05)  # torchvision rounds to whole pixels
    np.testing.assert_allclose(height / width, shapes, rtol=0.15)
    np.testing.assert_allclose((anchors[:, :2] + anchors[:, 2:]) / 2, [[4 * 9, 4 * 5]] * 9)


def test_objectness_is_high_on_a_digit_and_low_beside(trace, scene):
    left, top, right, bottom = scene.boxes[-1]  # the rightmost digit; there is no ink at the right end
    assert trace.objectness[int((top + bottom) / 8), int((left + right) / 8)].max() > 0.9
    assert trace.objectness[:, -5:].max() < 0.1


def test_thresholds_change_the_decision_without_the_network(trace):
    counts = [len(proposals.decide(trace, score).detections.labels) for score in (0.01, 0.5, 1.0)]
    assert counts[0] >= counts[1] == 5 > counts[2] == 0
    decision = proposals.decide(trace, overlap=1.0)
    assert len(decision.detections.labels) == len(decision.candidates.labels) > 5


def test_trace_leaves_the_network_unchanged_and_holds_plain_values(detector, trace):
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in detector.network.modules())
    assert all(parameter.grad is None for parameter in detector.network.parameters())
    assert all(isinstance(value, (np.ndarray, tuple, int)) for value in vars(trace).values())


def test_other_networks_and_other_pictures_are_refused(detector, reader, scene):
    with pytest.raises(TypeError, match="CNN"):
        proposals.trace(reader, scene.picture)
    with pytest.raises(ValueError, match=r"Expected uint8\[H, W\]"):
        proposals.trace(detector, scene.picture / 255)


def test_untrained_detector_of_other_sizes_is_traced_and_drawn(scene):
    config = FasterRCNNConfig(channels=8, hidden=16, anchor_sizes=(30.0, 50.0), anchor_shapes=(0.5, 1.0, 2.0, 3.0))
    torch.manual_seed(0)
    trace = proposals.trace(Classifier(MODELS["faster_rcnn"], FasterRCNN(config), {}), scene.picture)
    assert trace.anchors.shape == (28, 84, 8, 4)
    assert len(trace.proposals) > 0
    decision = proposals.decide(trace)
    for draw in (boxes.anchors, boxes.anchor_scores):
        draw(trace, 0, 83)
    for draw in (boxes.crops, boxes.classes, boxes.refined):
        draw(trace, 0)
    boxes.objectness_by_anchor(trace)
    strip.strip(trace, decision, 0, 0, ["step"] * 8, 0)
    boxes.detections(scene.picture, decision, scene.boxes)


def test_single_digit_in_a_scene_has_the_answer_of_the_network(detector):
    """For confident answers: the proposals differ only at the border."""
    images, _ = mnist.load("test")
    for digit in images[:10]:
        scene = proposals.as_scene(digit)
        assert scene.shape == (112, 112)
        reading = proposals.decide(proposals.trace(detector, scene)).detections.reading
        assert reading == str(detector.predict(digit[None])[0])


# Precision and recall ------------------------------------------------------------------------------------------------


def test_each_true_box_is_matched_once():
    true = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    detected = [[0, 0, 10, 9], [0, 0, 10, 10], [21, 0, 31, 10], [70, 0, 80, 10]]  # two on the first digit
    matches = proposals.match_boxes(true, detected, threshold=0.5)
    assert matches.iou[0, 0] == pytest.approx(0.9)
    assert matches.matched_by.tolist() == [0, 2, -1]
    assert (matches.precision, matches.recall) == (2 / 4, 2 / 3)
    strict = proposals.match_boxes(true, detected, threshold=0.95)  # only the second box matches
    assert strict.matched_by.tolist() == [1, -1, -1]
    assert (strict.precision, strict.recall) == (1 / 4, 1 / 3)


def test_precision_and_recall_without_boxes():
    none, some, flat = np.zeros((0, 4)), [[0, 0, 1, 1]], [[1, 1, 1, 1]]
    cases = [
        (some, none, (None, 0)),
        (none, some, (0, None)),
        (flat, flat, (0, 0)),
    ]  # a box without area matches nothing
    for true, detected, expected in cases:
        matches = proposals.match_boxes(true, detected)
        assert (matches.precision, matches.recall) == expected
        assert not np.isnan(matches.iou).any()


def test_box_with_another_digit_does_not_match_where_digits_count():
    true = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    matches = proposals.match_boxes(true, true, 0.5, np.array([[True, False], [True, False]]))
    assert matches.matched_by.tolist() == [0, -1]
    assert (matches.precision, matches.recall) == (0.5, 0.5)


# Sliding window ------------------------------------------------------------------------------------------------------


def test_window_on_a_digit_has_the_answer_for_the_digit(reader):
    """A window of 28 pixels is not scaled. At the centre of a digit, it holds the digit's own 28 × 28 pixels."""
    images, _ = mnist.load("test")
    scene = np.zeros((56, 84), np.uint8)
    scene[14:42, 28:56] = images[0]
    window = proposals.slide_window(reader, scene, window=28, stride=14)
    assert window.labels.shape == (5, 7)  # centres at 0, 14, … 56 and 0, 14, … 84
    probabilities, of_blank = reader.predict_proba(np.stack([images[0], np.zeros_like(images[0])]))
    assert window.labels[2, 3] == probabilities.argmax()
    assert window.confidence[2, 3] == pytest.approx(probabilities.max(), abs=1e-6)
    assert window.confidence[0, 6] == pytest.approx(of_blank.max(), abs=1e-6)


@pytest.mark.parametrize("size", [(112, 113), (8, 448)])
@pytest.mark.parametrize("window", [28, 52, 112])
def test_places_cover_pictures_of_any_size(reader, size, window):
    result = proposals.slide_window(reader, np.zeros(size, np.uint8), window, 16)
    assert result.confidence.shape == (size[0] // 16 + 1, size[1] // 16 + 1)


def test_time_is_a_median_and_a_slow_call_is_made_once(monkeypatch):
    ticks, calls = iter([0.0, 0.001, 0.001, 0.004, 0.004, 0.006]), []  # calls of 1, 3 and 2 ms
    monkeypatch.setattr(proposals.time, "perf_counter", lambda: next(ticks))
    assert proposals.median_time(lambda: calls.append(1) or "answer", repeats=3) == ("answer", pytest.approx(2))
    assert len(calls) == 3
    ticks = iter([0.0, 0.9])
    assert proposals.median_time(lambda: "answer") == ("answer", pytest.approx(900))
