"""Faster R-CNN step by step: every box on its way from anchor to answer, and what a network without boxes can do.

Ren, He, Girshick and Sun 2015, "Faster R-CNN" (arXiv:1506.01497); RoIAlign from He et al. 2017 (arXiv:1703.06870).

`trace` sends a scene through the detector once, part by part, and keeps what each part hands on. `decide` is the last
step. It needs no network, so its thresholds can be moved while one watches.

    import atelier
    from atelier.explain import proposals

    trace = proposals.trace(atelier.load("faster_rcnn"), scene)
    print(trace.objectness.shape, len(trace.candidates), len(trace.proposals))
    print(proposals.decide(trace, score=0.5).found.reading)

Boxes are left, top, right, bottom. Until `decide` gives them back in pixels of the scene, they are in pixels of the
picture as scaled for the network.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torchvision.ops import batched_nms, box_iou, nms, remove_small_boxes

from atelier.classifier import Classifier, Detections, scaled
from atelier.data.mnist import SIDE
from atelier.models.faster_rcnn import ENLARGED, OVERLAP, SHORT_SIDE, STRIDE
from atelier.models.inputs import to_unit_range
from atelier.zoo import Family

SMALLEST = 1e-2  # pixels: torchvision drops refined boxes that are flatter,
MOST = 100  # and all but so many of the surest
BUDGET = 0.1  # seconds after which nothing more is measured

Result = TypeVar("Result")


# From the picture to class scores -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """What each part of the detector hands on.

    Shapes: H x W pixels, C channels, a map of M x N places, A anchors at each, K candidates, R proposals.
    """

    scene_size: tuple[int, int]  # height and width of the scene in its own pixels
    stride: int  # pixels from one place to the next; torchvision centres the first anchors on the left upper corner
    picture: np.ndarray  # uint8[H, W], the scene as scaled for the network
    features: np.ndarray  # float32[C, M, N], what the backbone finds
    anchor_sizes: tuple[float, ...]  # pixels, square roots of the anchors' areas
    anchor_shapes: tuple[float, ...]  # height to width; anchor number = shape number * sizes + size number
    anchors: np.ndarray  # float32[M, N, A, 4]
    objectness: np.ndarray  # float32[M, N, A], the probability that an anchor holds some digit
    shifted: np.ndarray  # float32[M, N, A, 4], the anchors as the first stage shifts and stretches them
    candidates: np.ndarray  # float32[K, 4], the surest of these, surest first, clipped to the picture
    candidates_objectness: np.ndarray  # float32[K]
    kept: np.ndarray  # int64[R], the candidates that non-maximum suppression leaves: these are the proposals
    crops: np.ndarray  # float32[R, C, 7, 7], the features in each proposal, cut out by RoIAlign
    probabilities: np.ndarray  # float32[R, 11], "no digit" first; rows sum to 1
    refined: np.ndarray  # float32[R, 11, 4], the proposals as the second stage corrects them for each class

    @property
    def proposals(self) -> np.ndarray:
        """`float32[R, 4]`, surest first."""
        return self.candidates[self.kept]

    @property
    def proposals_objectness(self) -> np.ndarray:
        """`float32[R]`."""
        return self.candidates_objectness[self.kept]


@torch.inference_mode()
def trace(classifier: Classifier, scene: np.ndarray) -> Trace:
    """Both stages of the detector, part by part.

    Args:
        classifier: a Faster R-CNN.
        scene: `uint8[H, W]` of any size, ink bright on black.

    Raises:
        TypeError: for a network that finds no boxes.
        ValueError: for a picture of another shape or type.
    """
    if classifier.spec.family is not Family.DETECTOR:
        raise TypeError(f"The {classifier.spec.title} finds no boxes; a detector does.")
    network = classifier.network
    picture = scaled(scene)
    stages = network.forward_stages(to_unit_range(torch.tensor(picture, device=classifier.device)[None]))
    rows, columns = stages.features.shape[2:]
    objectness = stages.objectness[0].sigmoid()  # (P,)
    proposed = stages.proposed[0]
    at_places = (rows, columns, -1)

    def array(tensor: torch.Tensor) -> np.ndarray:
        return tensor.cpu().numpy()

    return Trace(
        scene_size=np.shape(scene),
        stride=STRIDE,
        picture=picture,
        features=array(stages.features[0]),
        anchor_sizes=tuple(network.config.anchor_sizes),
        anchor_shapes=tuple(network.config.anchor_shapes),
        anchors=array(stages.anchors.view(*at_places, 4)),
        objectness=array(objectness.view(at_places)),
        shifted=array(stages.shifted[0].view(*at_places, 4)),
        candidates=array(stages.candidates[0]),
        candidates_objectness=array(objectness[stages.best[0]]),
        kept=array(stages.kept[0][proposed]),
        crops=array(stages.regions[0][proposed]),
        probabilities=array(stages.class_logits[0].softmax(dim=1)[proposed]),
        refined=array(stages.refined[0][proposed]),
    )


def as_scene(digit: np.ndarray) -> np.ndarray:
    """A digit `uint8[28, 28]` in the size in which the detector answers for it, in the middle of a scene
    `uint8[112, 112]`, which needs no further scaling."""
    enlarged = np.asarray(Image.fromarray(digit).resize((ENLARGED, ENLARGED), Image.Resampling.BILINEAR))
    return np.pad(enlarged, (SHORT_SIDE - ENLARGED) // 2)


def most_varied(maps: np.ndarray, count: int) -> np.ndarray:
    """The channels of `float32[C, h, w]` that differ most from place to place: `int64[count]`, the most varied first.

    Those with the largest mean would be worth less: many glow wherever there is no ink.
    """
    return np.argsort(-maps.std((1, 2)), kind="stable")[:count]


# The decision ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """Which boxes stay."""

    likely: Detections  # sure enough; boxes in pixels of the scene
    kept: np.ndarray  # int64[K], those that non-maximum suppression leaves, surest first

    @property
    def found(self) -> Detections:
        """The detector's answer, surest first."""
        of, kept = self.likely, self.kept
        return Detections(of.boxes[kept], of.labels[kept], of.scores[kept], of.probabilities[kept])


def decide(trace: Trace, score: float = 0.5, overlap: float = OVERLAP, each_class: bool = False) -> Decision:
    """The last step: leave out unsure boxes, and of boxes that overlap keep the surest.

    Args:
        trace: the steps before.
        score: the least probability of a box's digit.
        overlap: intersection over union from which two boxes are taken for the same digit.
        each_class: torchvision's rule. Every class of every proposal is a box of its own, and suppresses only boxes of
            its class: one digit may be read twice, once as a 4 and once as a 9. This project's rule is one box a digit.
    """
    boxes, chances = torch.from_numpy(trace.refined)[:, 1:], torch.from_numpy(trace.probabilities)[:, 1:]
    if each_class:
        proposals, labels = torch.nonzero(chances > score, as_tuple=True)
        large = remove_small_boxes(boxes[proposals, labels], SMALLEST)
        proposals, labels = proposals[large], labels[large]
        boxes, scores = boxes[proposals, labels], chances[proposals, labels]
        kept = batched_nms(boxes, scores, labels, overlap)[:MOST]
    else:
        scores, labels = chances.max(dim=1)
        proposals = torch.nonzero(scores >= score).flatten()
        scores, labels = scores[proposals], labels[proposals]
        boxes = boxes[proposals, labels]
        kept = nms(boxes, scores, overlap)
    (height, width), (rows, columns) = trace.scene_size, trace.picture.shape
    in_scene = boxes.numpy() * np.array([width / columns, height / rows] * 2, np.float32)
    likely = Detections(in_scene, labels.numpy(), scores.numpy(), chances[proposals].numpy())
    return Decision(likely, kept.numpy())


# How good it is -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """Boxes that were found beside the true ones: T true boxes, K found."""

    iou: np.ndarray  # float32[T, K], intersection over union
    found_by: np.ndarray  # int64[T], which box found each; -1 for a digit that was missed
    precision: float | None  # share of the found boxes that are right; None if nothing was found
    recall: float | None  # share of the true boxes that were found; None if there is none


def read_true_boxes(
    true: np.ndarray, found: np.ndarray, threshold: float = 0.5, alike: np.ndarray | None = None
) -> Reading:
    """Precision and recall of found boxes. The surest box chooses first, as in Lin et al. 2014 (arXiv:1405.0312): of
    the true boxes that nobody has chosen, the one that it overlaps most.

    Args:
        true: `float[T, 4]`.
        found: `float[K, 4]`, surest first.
        threshold: a box is right if its intersection over union with the true one is at least this,
        alike: `bool[T, K]`, and if both have the same digit; None if only the place counts.
    """
    boxes = (torch.from_numpy(np.asarray(part, np.float32).reshape(-1, 4)) for part in (true, found))
    iou = box_iou(*boxes).nan_to_num().numpy()  # boxes without area overlap nothing
    fits = iou if alike is None else np.where(alike, iou, -1)
    found_by = np.full(len(true), -1)
    for number, overlaps in enumerate(fits.T):
        free = np.where(found_by < 0, overlaps, -1)
        if len(free) and free.max() >= threshold:
            found_by[free.argmax()] = number
    right = int((found_by >= 0).sum())
    return Reading(
        iou=iou,
        found_by=found_by,
        precision=right / len(found) if len(found) else None,
        recall=right / len(true) if len(true) else None,
    )


# Without boxes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slide:
    """What a network for single digits says at M x N places of a picture."""

    confidence: np.ndarray  # float32[M, N]
    labels: np.ndarray  # int64[M, N], 0 to 9
    window: int  # pixels, height and width of what it sees at a place
    stride: int  # pixels from one place to the next; the first lies on the picture's left upper corner


def slide(classifier: Classifier, picture: np.ndarray, window: int, stride: int) -> Slide:
    """Slide a network for single digits over a picture, in one batch.

    The picture is scaled once, so that a window has the 28 pixels that the network knows from MNIST. A window is not
    centred any further: it slides over each digit anyway. Beyond the picture all is black.

    Args:
        classifier: any of the five.
        picture: `uint8[H, W]`, ink bright on black.
        window: pixels. Digits in MNIST are 20 of 28 pixels high: a window fits digits of 0.7 times its height.
        stride: pixels.
    """
    height, width = picture.shape
    scale, half = SIDE / window, SIDE // 2
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    views = np.lib.stride_tricks.sliding_window_view(np.pad(shrunk, half), (SIDE, SIDE))  # one for each pixel, and 1
    rows, columns = (
        np.minimum(np.rint(np.arange(0, length + 1, stride) * scale), last - 1).astype(int)
        for length, last in zip(picture.shape, views.shape, strict=False)
    )
    windows = views[np.ix_(rows, columns)]  # (M, N, 28, 28)
    probabilities = classifier.predict_proba(windows.reshape(-1, SIDE, SIDE)).reshape(*windows.shape[:2], 10)
    return Slide(probabilities.max(-1), probabilities.argmax(-1), window, stride)


def median_time(call: Callable[[], Result], most: int = 7) -> tuple[Result, float]:
    """What a call returns, and the median of its milliseconds over up to `most` repeats within BUDGET. A call that is
    slower is made once."""
    taken: list[float] = []
    while len(taken) < most and sum(taken) < BUDGET:
        started = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - started)
    return result, 1000 * statistics.median(taken)
