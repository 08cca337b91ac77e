"""The detector step by step, against torchvision's own whole."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

import atelier
from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist, scenes
from atelier.explain import proposals
from atelier.figures import boxes, strip
from atelier.models.faster_rcnn import FasterRCNN, FasterRCNNConfig

ALIKE = np.testing.assert_array_equal


@pytest.fixture(scope="module")
def detector():
    return atelier.load("faster_rcnn", "cpu")


@pytest.fixture(scope="module")
def reader():
    return atelier.load("cnn", "cpu")


@pytest.fixture(scope="module")
def scene():
    return scenes.random_scene("test", np.random.default_rng(8))


@pytest.fixture(scope="module")
def walk(detector, scene):
    return proposals.trace(detector, scene.picture)


@pytest.mark.parametrize("seed", [0, 1, 7, 15])
@torch.inference_mode()
def test_the_steps_end_in_exactly_torchvisions_boxes(detector, seed):
    """Scenes have the size that torchvision scales to, so that it does not scale them."""
    scene = scenes.random_scene("test", np.random.default_rng(seed))
    (expected,) = detector.network.detector.eval()([torch.tensor(scene.picture)[None] / 255])
    roi_heads = detector.network.detector.roi_heads
    walk = proposals.trace(detector, scene.picture)
    found = proposals.decide(walk, roi_heads.score_thresh, roi_heads.nms_thresh, each_class=True).found
    assert len(found.boxes) > 0
    ALIKE(found.boxes, expected["boxes"])
    ALIKE(found.labels, expected["labels"] - 1)  # torchvision counts digits from 1
    ALIKE(found.scores, expected["scores"])


@pytest.mark.parametrize("shape", [(112, 336), (260, 880), (61, 47), (900, 100), (28, 28)])
@pytest.mark.parametrize("score", [0.05, 0.5])
def test_the_steps_end_in_exactly_the_projects_boxes(detector, scene, shape, score):
    picture = np.resize(scene.picture, shape)  # any size, also where the map's places do not end with the picture
    expected = detector.detect(picture, score)
    found = proposals.decide(proposals.trace(detector, picture), score).found
    for name in ("boxes", "labels", "scores", "probabilities"):
        ALIKE(getattr(found, name), getattr(expected, name))


@torch.inference_mode()
def test_what_goes_on_from_step_to_step_is_what_torchvision_hands_on(detector, walk, scene):
    """Proposals, crops and class logits, caught on their way through torchvision's own forward pass."""
    seen, parts = {}, detector.network.detector
    caught = {"proposals": parts.rpn, "crops": parts.roi_heads.box_roi_pool, "logits": parts.roi_heads.box_predictor}
    hooks = [
        part.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
        for name, part in caught.items()
    ]
    parts([torch.tensor(scene.picture)[None] / 255])
    for hook in hooks:
        hook.remove()
    ALIKE(walk.proposals, seen["proposals"][0][0])
    ALIKE(walk.crops, seen["crops"])
    ALIKE(walk.probabilities, seen["logits"][0].softmax(1))


def test_anchors_have_their_sizes_and_shapes_around_their_place(walk):
    """As the paper says: areas of the sizes squared, heights of the shapes times widths."""
    boxes = walk.anchors[5, 9]
    assert boxes.shape == (9, 4)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    sizes, shapes = np.tile(walk.anchor_sizes, 3), np.repeat(walk.anchor_shapes, 3)
    np.testing.assert_allclose(np.sqrt(width * height), sizes, rtol=0.05)  # torchvision rounds to whole pixels
    np.testing.assert_allclose(height / width, shapes, rtol=0.15)
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [[4 * 9, 4 * 5]] * 9)


def test_an_anchor_on_a_digit_is_surer_than_one_on_paper(walk, scene):
    left, top, right, bottom = scene.boxes[-1]  # the rightmost digit; the scene's right end is empty
    on_digit = walk.objectness[int((top + bottom) / 8), int((left + right) / 8)].max()
    assert on_digit > 0.9
    assert walk.objectness[:, -5:].max() < 0.1


def test_thresholds_move_without_the_network(walk):
    counts = [len(proposals.decide(walk, score).found.labels) for score in (0.01, 0.5, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] == 5
    assert counts[2] == 0
    everything = proposals.decide(walk, overlap=1.0)
    assert len(everything.found.labels) == len(everything.likely.labels) > 5


def test_the_walk_leaves_nothing_behind(detector, scene):
    before = detector.detect(scene.picture).boxes
    walk = proposals.trace(detector, scene.picture)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in detector.network.modules())
    assert all(parameter.grad is None for parameter in detector.network.parameters())
    ALIKE(detector.detect(scene.picture).boxes, before)
    assert all(isinstance(value, (np.ndarray, tuple, int)) for value in vars(walk).values())


def test_other_networks_and_other_pictures_are_refused(detector, reader, scene):
    with pytest.raises(TypeError, match="The CNN finds no boxes"):
        proposals.trace(reader, scene.picture)
    with pytest.raises(ValueError, match=r"Expected uint8\[H, W\]"):
        proposals.trace(detector, scene.picture / 255)


def test_a_run_of_other_sizes_and_without_any_training_is_walked_and_drawn_too(scene):
    config = FasterRCNNConfig(channels=8, hidden=16, anchor_sizes=(30.0, 50.0), anchor_shapes=(0.5, 1.0, 2.0, 3.0))
    torch.manual_seed(0)
    untrained = Classifier(MODELS["faster_rcnn"], FasterRCNN(config), {})
    walk = proposals.trace(untrained, scene.picture)
    assert walk.anchors.shape == (28, 84, 8, 4)
    assert len(walk.proposals) > 0
    decision = proposals.decide(walk)
    for draw in (boxes.anchors, boxes.anchor_scores):
        draw(walk, 0, 83)
    for draw in (boxes.crops, boxes.classes, boxes.refined):
        draw(walk, 0)
    boxes.objectness_by_anchor(walk)
    strip.strip(walk, decision, 0, 0, ["step"] * 8, 0)
    boxes.detections(scene.picture, decision, scene.boxes)


def test_a_digit_alone_is_read_as_the_network_answers_for_it(detector):
    """Of digits that it is sure of: their proposals are the same but for the border."""
    images, _ = mnist.load("test")
    for digit in images[:20]:
        scene = proposals.as_scene(digit)
        assert scene.shape == (112, 112)
        assert proposals.decide(proposals.trace(detector, scene)).found.reading == str(detector.predict(digit[None])[0])


# How good it is ------------------------------------------------------------------------------------------------------


def test_intersection_over_union_is_torchvisions():
    rng = np.random.default_rng(0)
    boxes, others = (np.sort(rng.uniform(0, 9, (count, 2, 2)), 1).reshape(-1, 4).astype(np.float32) for count in (6, 8))
    expected = box_iou(torch.tensor(boxes), torch.tensor(others))
    assert expected.max() > 0.1
    np.testing.assert_allclose(proposals.box_iou(boxes, others), expected, atol=1e-6)
    assert proposals.box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2]]) == pytest.approx(1 / 3)  # by hand: 2 of 6
    assert proposals.box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]) == 0  # a click without a drag has no area


def test_precision_and_recall_count_each_true_box_once():
    true = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    found = [[0, 0, 10, 9], [0, 0, 10, 10], [21, 0, 31, 10], [70, 0, 80, 10]]  # two on the first digit
    reading = proposals.match_boxes(true, found, threshold=0.5)
    assert reading.matched_by.tolist() == [0, 2, -1]
    assert reading.precision == 2 / 4
    assert reading.recall == 2 / 3
    strict = proposals.match_boxes(true, found, threshold=0.95)  # now only the second box is right
    assert strict.found_by.tolist() == [1, -1, -1]
    assert (strict.precision, strict.recall) == (1 / 4, 1 / 3)


def test_nothing_found_and_nothing_to_find():
    none = np.zeros((0, 4))
    some = [[0, 0, 1, 1]]
    assert proposals.match_boxes(some, none).precision is None
    assert proposals.match_boxes(some, none).recall == 0
    assert proposals.match_boxes(none, some).precision == 0
    assert proposals.match_boxes(none, some).recall is None


def test_a_box_with_another_digit_is_wrong_where_digits_count():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    reading = proposals.match_boxes(boxes, boxes, 0.5, np.array([[True, False], [True, False]]))
    assert reading.matched_by.tolist() == [0, -1]
    assert (reading.precision, reading.recall) == (0.5, 0.5)


# Without boxes -------------------------------------------------------------------------------------------------------


def test_a_window_on_the_digit_reads_as_the_digit_alone(reader):
    """A window of 28 pixels is not scaled: centred on a digit, it holds that digit's own 28 x 28 pixels."""
    images, _ = atelier.data.mnist.load("test")
    scene = np.zeros((56, 84), np.uint8)
    scene[14:42, 28:56] = images[0]
    slide = proposals.slide_window(reader, scene, window=28, stride=14)
    assert slide.labels.shape == (5, 7)  # centres at 0, 14, … 56 and 0, 14, … 84
    alone = reader.predict_proba(images[:1])[0]
    assert slide.labels[2, 3] == alone.argmax()
    assert slide.confidence[2, 3] == pytest.approx(alone.max(), abs=1e-6)


def test_a_window_on_nothing_is_named_a_digit_too(reader):
    slide = proposals.slide_window(reader, np.zeros((112, 150), np.uint8), window=72, stride=16)
    blank = reader.predict_proba(np.zeros((1, 28, 28), np.uint8))[0]
    assert slide.labels.shape == (8, 10)
    np.testing.assert_allclose(slide.confidence, blank.max(), atol=1e-6)


@pytest.mark.parametrize("size", [(112, 113), (8, 448), (112, 112)])
@pytest.mark.parametrize("window", [28, 52, 112])
def test_places_cover_pictures_of_any_size(reader, size, window):
    slide = proposals.slide_window(reader, np.zeros(size, np.uint8), window, 16)
    assert slide.confidence.shape == (size[0] // 16 + 1, size[1] // 16 + 1)


def test_a_time_is_a_median_and_a_slow_call_is_made_once(monkeypatch):
    ticks, calls = iter([0.0, 0.001, 0.001, 0.004, 0.004, 0.006]), []  # calls of 1, 3 and 2 ms
    monkeypatch.setattr(proposals.time, "perf_counter", lambda: next(ticks))
    assert proposals.median_time(lambda: calls.append(1) or "answer", most=3) == ("answer", pytest.approx(2))
    assert len(calls) == 3
    ticks = iter([0.0, 0.9])
    assert proposals.median_time(lambda: "answer") == ("answer", pytest.approx(900))
