"""The detector's stages against torchvision's own detector."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, clip_boxes_to_image, nms

import atelier
from atelier import export
from atelier.data import mnist, scenes
from atelier.models.faster_rcnn import ENLARGED, OVERLAP, STRIDE, FasterRCNN, Propose
from atelier.training.tasks import target


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FasterRCNN().eval()


@pytest.fixture
def shipped():
    return atelier.load("faster_rcnn", "cpu").network


def pictures(counts, width=168):
    """Scenes with this many digits, `float[N, 1, 112, width]`."""
    images, labels = mnist.load("test")
    rng = np.random.default_rng(0)
    return torch.stack(
        [torch.tensor(scenes.compose(images[:count], labels[:count], 1.5, rng).picture)[None] for count in counts]
    )[..., :width] / 255  # fmt: skip


def torchvisions_stages(network, batch):
    """Proposals, class logits and refined boxes for each picture, by torchvision's own modules."""
    detector, size = network.detector, batch.shape[2:]
    padded = torch.nn.functional.pad(detector.transform.normalize(batch), (0, -size[1] % STRIDE, 0, -size[0] % STRIDE))
    images = ImageList(padded, [tuple(size)] * len(batch))
    features = {"0": detector.backbone(padded)}
    proposals, _ = detector.rpn(images, features)
    heads = detector.roi_heads
    logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, images.image_sizes)))
    counts = [len(part) for part in proposals]
    boxes = clip_boxes_to_image(heads.box_coder.decode(deltas, proposals), size)
    return proposals, logits.split(counts), boxes.split(counts)


@pytest.mark.parametrize("width", [168, 167, 166, 165])  # the last three are no multiple of the stride
@torch.inference_mode()
def test_stages_equal_torchvisions_for_pictures_with_different_numbers_of_proposals(shipped, width):
    batch = pictures([0, 1, 5], width)
    stages = shipped.forward_stages(batch)
    counts = stages.proposed.sum(dim=1).tolist()
    assert len(set(counts)) > 1
    for index, (proposals, logits, boxes) in enumerate(zip(*torchvisions_stages(shipped, batch), strict=True)):
        real = stages.proposed[index]
        assert len(proposals) == counts[index]
        assert torch.allclose(stages.proposals[index][real], proposals, atol=1e-3)
        assert torch.allclose(stages.class_logits[index][real], logits, atol=1e-3)
        assert torch.allclose(stages.refined[index][real], boxes, atol=1e-2)
        assert not stages.proposals[index][~real].any()


@torch.inference_mode()
def test_digit_logits_are_those_of_the_proposal_least_like_background(shipped):
    digits = torch.tensor(mnist.load("test")[0][:6])
    enlarged = torch.nn.functional.interpolate(digits[:, None] / 255, (ENLARGED, ENLARGED), mode="bilinear")
    _, logits, _ = torchvisions_stages(shipped, enlarged)
    expected = torch.stack([part[part.softmax(1)[:, 0].argmin(), 1:] for part in logits])
    assert torch.allclose(shipped(digits), expected, atol=1e-3)


@torch.inference_mode()
def test_detected_boxes_are_torchvisions_but_one_for_each_digit(shipped):
    (picture,) = pictures([4])
    heads = shipped.detector.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.0, 1.0, 10_000  # torchvision suppresses nothing
    (result,) = shipped.detector([picture])
    boxes, probabilities = shipped.detect(picture, threshold=0.0)
    scores, labels = probabilities.max(1)
    assert len(boxes) > 1
    assert (scores.diff() <= 0).all()
    for box, score, label in zip(boxes, scores, labels, strict=True):
        same = (result["labels"] == label + 1) & ((result["scores"] - score).abs() < 1e-4)
        assert (result["boxes"][same] - box).abs().amax(1).min() < 1e-2
    assert box_iou(boxes, boxes).fill_diagonal_(0).max() <= OVERLAP
    sure, _ = shipped.detect(picture, threshold=0.5)
    assert torch.equal(sure, boxes[scores >= 0.5])


@pytest.mark.parametrize("suppress", [Propose.suppress, export.suppress_in_graph])
def test_suppression_equals_torchvisions(suppress):
    rng = np.random.default_rng(0)
    corners = torch.tensor(rng.integers(0, 30, (3, 50, 2)), dtype=torch.float32)
    sizes = torch.tensor(rng.integers(0, 20, (3, 50, 2)), dtype=torch.float32)  # some boxes have no area
    boxes, scores = torch.cat([corners, corners + sizes], 2), torch.arange(50, 0, -1.0)
    eligible = torch.tensor(rng.random((3, 50)) < 0.8)
    eligible[1] = False
    kept, found = suppress(boxes, eligible, overlap=0.3, most=20)
    for picture in range(3):
        indices = torch.nonzero(eligible[picture]).flatten()
        expected = indices[nms(boxes[picture, indices], scores[indices], 0.3)][:20]
        assert kept[picture, found[picture]].tolist() == expected.tolist()


@torch.inference_mode()
def test_picture_without_proposals_has_logits_of_nan_and_changes_no_other(network):
    digits = torch.tensor(mnist.load("test")[0][:3])
    expected, suppress = network(digits), network.propose.suppress

    def drop_second(boxes, eligible, overlap, most):
        eligible[1] = False
        return suppress(boxes, eligible, overlap, most)

    network.propose.suppress = drop_second
    logits = network(digits)
    assert logits[1].isnan().all()
    assert torch.equal(logits[[0, 2]], expected[[0, 2]])


@torch.inference_mode()
def test_padding_never_answers(network):
    stages = network.forward_stages(pictures([3]))
    least_likely = stages.class_logits[0].softmax(1)[:, 1:].amax(1).argmin()
    only = torch.zeros_like(stages.proposed)
    only[0, least_likely] = True
    network.forward_stages = lambda _: stages._replace(proposed=only)
    assert torch.equal(network(torch.zeros(1, 28, 28, dtype=torch.uint8))[0], stages.class_logits[0, least_likely, 1:])
    _, probabilities = network.detect(pictures([3])[0], threshold=0.0)
    assert torch.equal(probabilities, stages.class_logits[0, least_likely].softmax(0)[None, 1:])


@torch.inference_mode()
def test_weights_of_nan_give_no_boxes_and_logits_of_nan(network):
    next(network.parameters()).fill_(float("nan"))
    assert network(torch.zeros(2, 28, 28, dtype=torch.uint8)).isnan().all()
    boxes, probabilities = network.detect(torch.zeros(1, 112, 300), threshold=0.5)
    assert (boxes.shape, probabilities.shape) == ((0, 4), (0, 10))


@torch.inference_mode()
def test_empty_picture_has_an_answer(network):
    assert network(torch.zeros(2, 28, 28, dtype=torch.uint8)).isfinite().all()
    assert network.detect(torch.zeros(1, 112, 300), threshold=1.0)[0].shape == (0, 4)


def test_scene_with_digits_and_empty_scene_give_finite_gradients(network):
    scene = scenes.random_scene("train", np.random.default_rng(0), digits=2)
    empty = scenes.compose(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64), 1.0, np.random.default_rng(0))
    picture = torch.tensor(scene.picture)[None] / 255
    losses = network.train().losses([picture, torch.zeros_like(picture)], [target(scene), target(empty)])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
