"""A detector step by step, from anchors to detections, and a sliding window for networks without boxes.

Ren, He, Girshick and Sun 2015, "Faster R-CNN" (arXiv:1506.01497); RoIAlign from He et al. 2017 (arXiv:1703.06870).

`trace` runs the detector once and keeps the output of each step. `decide` is the last step. It needs no network, so a
page can change its thresholds at any time.

    import atelier
    from atelier.explain import proposals

    trace = proposals.trace(atelier.load("faster_rcnn"), scene)
    print(trace.objectness.shape, len(trace.candidates), len(trace.proposals))
    print(proposals.decide(trace, score=0.5).detections.reading)

Boxes are left, top, right, bottom, in pixels of the picture as scaled for the network; those of `decide` are in pixels
of the scene.
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
from atelier.data.scenes import SHORT_SIDE
from atelier.models.faster_rcnn import ENLARGED, OVERLAP, STRIDE
from atelier.models.inputs import to_unit_range
from atelier.zoo import Family

SMALLEST = 1e-2  # pixels: torchvision drops smaller refined boxes
MAX_DETECTIONS = 100  # the default of torchvision
BUDGET = 0.1  # seconds of measuring time

Result = TypeVar("Result")


# Steps before the decision --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """The output of each step of the detector.

    Shapes: H x W pixels, C channels, a map of M x N places, A anchors at each, K candidates, R proposals.
    """

    scene_size: tuple[int, int]  # height and width of the scene in its own pixels
    stride: int  # pixels from one place to the next; the first anchors are centred on the upper left corner
    picture: np.ndarray  # uint8[H, W], the scene as scaled for the network
    features: np.ndarray  # float32[C, M, N], from the backbone
    anchor_sizes: tuple[float, ...]  # pixels, square roots of the anchors' areas
    anchor_shapes: tuple[float, ...]  # height to width; anchor number = shape number * sizes + size number
    anchors: np.ndarray  # float32[M, N, A, 4]
    objectness: np.ndarray  # float32[M, N, A], the probability that an anchor holds some digit
    shifted: np.ndarray  # float32[M, N, A, 4], the anchors as the first stage corrects them
    candidates: np.ndarray  # float32[K, 4], these by objectness, highest first, clipped to the picture
    candidates_objectness: np.ndarray  # float32[K]
    kept: np.ndarray  # int64[R], the candidates that non-maximum suppression keeps: the proposals
    crops: np.ndarray  # float32[R, C, 7, 7], the features in each proposal, by RoIAlign
    probabilities: np.ndarray  # float32[R, 11], "no digit" first; rows sum to 1
    refined: np.ndarray  # float32[R, 11, 4], the proposals as the second stage corrects them for each class

    @property
    def proposals(self) -> np.ndarray:
        """`float32[R, 4]`, highest objectness first."""
        return self.candidates[self.kept]

    @property
    def proposals_objectness(self) -> np.ndarray:
        """`float32[R]`."""
        return self.candidates_objectness[self.kept]


@torch.inference_mode()
def trace(classifier: Classifier, scene: np.ndarray) -> Trace:
    """Run both stages of the detector and record each step.

    Args:
        classifier: a detector.
        scene: `uint8[H, W]` of any size, ink bright on black.

    Raises:
        TypeError: for a network that is not a detector.
        ValueError: for a picture of another shape or type.
    """
    if classifier.spec.family is not Family.DETECTOR:
        raise TypeError(f"The {classifier.spec.title} finds no boxes. Choose a detector.")
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
    """Put a digit `uint8[28, 28]` into a scene `uint8[112, 112]`, as large as the detector enlarges a single digit."""
    enlarged = np.asarray(Image.fromarray(digit).resize((ENLARGED, ENLARGED), Image.Resampling.BILINEAR))
    return np.pad(enlarged, (SHORT_SIDE - ENLARGED) // 2)


def most_varied(maps: np.ndarray, count: int) -> np.ndarray:
    """The channels of `float32[C, h, w]` with the highest standard deviation: `int64[count]`, highest first.

    The mean is a worse criterion: many channels are bright where there is no ink.
    """
    return np.argsort(-maps.std((1, 2)), kind="stable")[:count]


# The decision ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """The last step: the boxes above the threshold, and those that are kept."""

    candidates: Detections  # with a sufficient score; boxes in pixels of the scene
    kept: np.ndarray  # int64[K], those that non-maximum suppression keeps, highest score first

    @property
    def detections(self) -> Detections:
        """The detector's answer, highest score first."""
        all_, kept = self.candidates, self.kept
        return Detections(all_.boxes[kept], all_.labels[kept], all_.scores[kept], all_.probabilities[kept])


def decide(trace: Trace, score: float = 0.5, overlap: float = OVERLAP, each_class: bool = False) -> Decision:
    """Drop boxes with a low score, and keep the best of boxes that overlap.

    Args:
        trace: the steps before.
        score: minimum probability of a box's digit.
        overlap: intersection over union above which two boxes count as the same digit.
        each_class: torchvision's rule. Each class of each proposal is a box of its own, and suppresses only boxes of
            its class, so a digit may be read twice, as a 4 and as a 9. This project's rule is one box for each digit.
    """
    boxes, probabilities = torch.from_numpy(trace.refined)[:, 1:], torch.from_numpy(trace.probabilities)[:, 1:]
    if each_class:
        proposals, labels = torch.nonzero(probabilities > score, as_tuple=True)
        large = remove_small_boxes(boxes[proposals, labels], SMALLEST)
        proposals, labels = proposals[large], labels[large]
        boxes, scores = boxes[proposals, labels], probabilities[proposals, labels]
        kept = batched_nms(boxes, scores, labels, overlap)[:MAX_DETECTIONS]
    else:
        scores, labels = probabilities.max(dim=1)
        proposals = torch.nonzero(scores >= score).flatten()
        scores, labels = scores[proposals], labels[proposals]
        boxes = boxes[proposals, labels]
        kept = nms(boxes, scores, overlap)
    (height, width), (rows, columns) = trace.scene_size, trace.picture.shape
    in_scene = boxes.numpy() * np.array([width / columns, height / rows] * 2, np.float32)
    candidates = Detections(in_scene, labels.numpy(), scores.numpy(), probabilities[proposals].numpy())
    return Decision(candidates, kept.numpy())


# Precision and recall -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matches:
    """K detected boxes compared with T true boxes."""

    iou: np.ndarray  # float32[T, K], intersection over union
    matched_by: np.ndarray  # int64[T], the detected box that matches each; -1 for none
    precision: float | None  # share of the detected boxes that match; None without detected boxes
    recall: float | None  # share of the true boxes that are matched; None without true boxes


def match_boxes(
    true: np.ndarray, detected: np.ndarray, threshold: float = 0.5, same_digit: np.ndarray | None = None
) -> Matches:
    """Match detected with true boxes, and compute precision and recall.

    Each box, in the order of scores, takes the free true box that it overlaps most (Lin et al. 2014, arXiv:1405.0312).

    Args:
        true: `float[T, 4]`.
        detected: `float[K, 4]`, highest score first.
        threshold: minimum intersection over union of a match.
        same_digit: `bool[T, K]`, whether both boxes have the same digit, as a match requires; None to ignore digits.
    """
    boxes = (torch.from_numpy(np.asarray(part, np.float32).reshape(-1, 4)) for part in (true, detected))
    iou = box_iou(*boxes).nan_to_num().numpy()  # 0 / 0 for boxes without area
    overlaps = iou if same_digit is None else np.where(same_digit, iou, -1)
    matched_by = np.full(len(true), -1)
    for number, overlap in enumerate(overlaps.T):
        free = np.where(matched_by < 0, overlap, -1)
        if len(free) and free.max() >= threshold:
            matched_by[free.argmax()] = number
    matches = int((matched_by >= 0).sum())
    return Matches(
        iou=iou,
        matched_by=matched_by,
        precision=matches / len(detected) if len(detected) else None,
        recall=matches / len(true) if len(true) else None,
    )


# Sliding window -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SlidingWindow:
    """Answers of a network for single digits at M x N places of a picture."""

    confidence: np.ndarray  # float32[M, N]
    labels: np.ndarray  # int64[M, N], 0 to 9
    window: int  # height and width in pixels
    stride: int  # pixels from one place to the next; the first is centred on the upper left corner


def slide_window(classifier: Classifier, picture: np.ndarray, window: int, stride: int) -> SlidingWindow:
    """Apply a network for single digits at regular places of a picture, in one batch.

    The picture is scaled once, so that a window has the 28 pixels of an MNIST digit. Outside the picture, all is black.

    Args:
        picture: `uint8[H, W]`, ink bright on black.
        window: pixels. MNIST's digits are 20 of 28 pixels high, so a window fits digits of 0.7 times its height.
        stride: pixels.
    """
    height, width = picture.shape
    scale, half = SIDE / window, SIDE // 2
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    views = np.lib.stride_tricks.sliding_window_view(np.pad(shrunk, half), (SIDE, SIDE))  # (h + 1, w + 1, 28, 28)
    rows, columns = (
        np.minimum(np.rint(np.arange(0, length + 1, stride) * scale), last - 1).astype(int)
        for length, last in zip(picture.shape, views.shape, strict=False)
    )
    windows = views[np.ix_(rows, columns)]  # (M, N, 28, 28)
    probabilities = classifier.predict_proba(windows.reshape(-1, SIDE, SIDE)).reshape(*windows.shape[:2], 10)
    return SlidingWindow(probabilities.max(-1), probabilities.argmax(-1), window, stride)


def median_time(call: Callable[[], Result], repeats: int = 7) -> tuple[Result, float]:
    """The result of a call, and its median time in milliseconds over up to `repeats` calls within BUDGET."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < BUDGET:
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
    return result, 1000 * statistics.median(seconds)
