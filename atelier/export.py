"""A trained network as a file for other programs, checked before it is handed over.

Three formats:

- `onnx` (https://onnx.ai): run by ONNX Runtime in most languages, and in browsers.
- `pt2`: what `torch.export` makes of a network: PyTorch runs it without this project.
- `safetensors`: all weights in one file, also those that VGG16 and AlexNet otherwise borrow from a backbone's file.

An onnx or pt2 file holds a graph of operations: `digits uint8[N, 28, 28]`, ink bright on black, to `probabilities
float[N, 10]`, any N. The Faster R-CNN has a second file beside it, `…-scenes`: `scene uint8[H, W]`, the shorter side
112 pixels or so, none below 64, to `boxes float[K, 4]` (left, top, right, bottom in pixels), `labels int64[K]` and
`scores float[K]`, surest first.
"""

import io
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torchvision.ops import clip_boxes_to_image, roi_align

from atelier import checkpoint
from atelier.classifier import THRESHOLD, Classifier, find_checkpoint
from atelier.data import mnist, scenes
from atelier.models.faster_rcnn import ENLARGED, OVERLAP, ROI, STRIDE, FasterRCNN

FORMATS = ("onnx", "pt2", "safetensors")
DIGITS, SCENES = 256, 50  # to check with
BATCHES = (1, 31)  # where the digits are parted: into batches of different sizes
SAME = 1e-4  # probabilities that differ by less are the same
SAME_PLACE = 0.05  # pixels

Graph = tuple[ExportedProgram, list[str]]  # and the names of its outputs
Run = Callable[[np.ndarray], list[np.ndarray]]  # what a written file makes of an input


class ExportError(checkpoint.CheckpointError):
    """A checkpoint that cannot be exported, or not to this file; the message says why, in one sentence."""


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what a check of it found."""

    path: Path
    compared: str  # with what
    difference: float  # the largest of any probability or score


def export(source: str | os.PathLike, format: str, out: Path) -> list[Exported]:
    """Write a network, read the file back, and compare: it gets its name only if its answers are the network's own.

    Args:
        source: as `atelier.load` takes it.
        format: one of FORMATS.
        out: the file; for the graph of scenes, `-scenes` is added to its name.

    Raises:
        CheckpointError: if there is no such network.
        ExportError: if the file cannot be written, or does not answer as the network does.
    """
    if format not in FORMATS:
        raise ExportError(f"There is no format {format!r}; choose one of {', '.join(FORMATS)}.")
    classifier = Classifier.load(source, "cpu")
    if out.exists() and out.samefile(find_checkpoint(source)):
        raise ExportError(f"{out} is the network's own file: choose another name with --out.")
    classifier.network.requires_grad_(False)
    files = {out: (trace_digits, [check_digits])}
    if isinstance(classifier.network, FasterRCNN):
        if format == "safetensors":  # one file of weights does both
            files[out][1].append(check_scenes)
        else:
            files[out.with_name(f"{out.stem}-scenes{out.suffix}")] = trace_scenes, [check_scenes]
    unfinished = {path: path.with_name(f"{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        written = []
        for path, (trace, checks) in files.items():
            write(classifier, format, unfinished[path], trace)
            run = read(unfinished[path], format)
            written += [Exported(path, *check(run, classifier)) for check in checks]
        for path in files:
            os.replace(unfinished[path], path)
    except checkpoint.CheckpointError:
        raise
    except OSError as error:
        raise ExportError(f"{out} could not be written: {error.strerror or error}.") from None
    except Exception as error:  # those of ONNX Runtime have nothing else in common
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"This network could not be exported to {format}: {told[0]}") from error
    finally:
        for path in unfinished.values():
            path.unlink(missing_ok=True)
    return written


# Writing and reading -------------------------------------------------------------------------------------------------


def write(classifier: Classifier, format: str, path: Path, trace: Callable[[nn.Module], Graph]) -> None:
    """One file, with the network's card in it."""
    network, card = classifier.network, classifier.card
    if format == "safetensors":
        checkpoint.save(path, network.state_dict(), self_contained(card, asdict(network.config)))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what one part of PyTorch has to say about another
        program, outputs = trace(network)
        if format == "pt2":
            content = io.BytesIO()
            torch.export.save(program, content, extra_files={"card.json": json.dumps(card)})
            path.write_bytes(content.getvalue())
            return
        graph = torch.onnx.export(program, dynamo=True, output_names=outputs, verbose=False)
    graph.model.metadata_props["card"] = json.dumps(card)
    path.write_bytes(graph.model_proto.SerializeToString())


def self_contained(card: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The card of a file that borrows no weights; it still tells from which backbone they came."""
    if config.get("backbone", "none") == "none":
        return card
    origin = {name: config[name] for name in ("backbone", "fingerprint")}
    return {**card, "config": {**config, "backbone": "none", "fingerprint": ""}, "backbone": origin}


def read(path: Path, format: str) -> Run:
    """A file as whoever gets it would run it."""
    if format == "safetensors":
        classifier = Classifier.load(path, "cpu")

        def answer(pixels: np.ndarray) -> list[np.ndarray]:
            if pixels.ndim == 3:
                return [classifier.predict_proba(pixels)]
            found = classifier.detect(pixels)
            return [found.boxes, found.labels, found.scores]

        return answer
    if format == "pt2":
        network = torch.export.load(io.BytesIO(path.read_bytes())).module()

        def run(pixels: np.ndarray) -> list[np.ndarray]:
            found = network(torch.tensor(pixels))
            return [tensor.numpy() for tensor in (found if isinstance(found, tuple) else (found,))]

        return run
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return lambda pixels: session.run(None, {taken.name: pixels})


# Checking ------------------------------------------------------------------------------------------------------------


def check_digits(run: Run, classifier: Classifier) -> tuple[str, float]:
    """The largest difference of a probability, on digits of the test set.

    Raises:
        ExportError: if it is not small.
    """
    digits = mnist.load("test")[0][:DIGITS]
    given = np.concatenate([run(batch)[0] for batch in np.split(digits, BATCHES)])
    difference = float(np.abs(given - classifier.predict_proba(digits)).max())
    if not difference < SAME:
        raise ExportError(f"The exported network differs by {difference:.2g} in a probability: nothing was written.")
    return f"probabilities of {DIGITS} digits", difference


def check_scenes(run: Run, detector: Classifier) -> tuple[str, float]:
    """The largest difference of a score, in scenes of test digits.

    Raises:
        ExportError: if it is not small, or boxes or labels differ.
    """
    differences = [0.0]
    for scene in scenes.measuring_scenes()[:SCENES]:
        (boxes, labels, scores), found = run(scene.picture), detector.detect(scene.picture)
        if not np.array_equal(labels, found.labels) or not np.allclose(boxes, found.boxes, rtol=0, atol=SAME_PLACE):
            raise ExportError("The exported network finds other boxes than the network itself: nothing was written.")
        differences.extend(np.abs(scores - found.scores))
    difference = float(max(differences))
    if not difference < SAME:
        raise ExportError(f"The exported network differs by {difference:.2g} in a score: nothing was written.")
    return f"boxes and scores in {SCENES} scenes", difference


# Graphs --------------------------------------------------------------------------------------------------------------


def trace_digits(network: nn.Module) -> Graph:
    graph = DetectorDigits(network) if isinstance(network, FasterRCNN) else Digits(network)
    example = torch.zeros(3, 28, 28, dtype=torch.uint8)
    # strict: PyTorch follows the Python code itself, for which `len` of a tensor need not be a fixed number
    program = torch.export.export(graph, (example,), dynamic_shapes=({0: Dim("N")},), strict=True)
    return program, ["probabilities"]


def trace_scenes(network: FasterRCNN) -> Graph:
    example = torch.zeros(112, 168, dtype=torch.uint8)
    sides = {0: Dim("H", min=64), 1: Dim("W", min=64)}  # smaller ones might have too few anchors
    program = torch.export.export(Scenes(network), (example,), dynamic_shapes=(sides,), strict=True)
    return program, ["boxes", "labels", "scores"]


class Digits(nn.Module):
    """`uint8[N, 28, 28]` to probabilities `float[N, 10]`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, digits: Tensor) -> Tensor:
        return self.network(digits).softmax(dim=1)


class DetectorDigits(nn.Module):
    """`uint8[N, 28, 28]` to probabilities `float[N, 10]`: `FasterRCNN.forward` for many digits at once."""

    def __init__(self, network: FasterRCNN):
        super().__init__()
        self.network = network

    def forward(self, digits: Tensor) -> Tensor:
        pictures = F.interpolate(digits.unsqueeze(1).float() / 255, size=(ENLARGED, ENLARGED), mode="bilinear")
        class_logits, _, proposed = look(self.network, pictures)  # (N, R, 11), (N, R)
        background = class_logits.softmax(dim=2)[:, :, 0].where(proposed, 2.0)  # (N, R)
        best = background.argmin(dim=1).view(-1, 1, 1).expand(-1, 1, 11)
        return class_logits.gather(1, best)[:, 0, 1:].softmax(dim=1)


class Scenes(nn.Module):
    """`uint8[H, W]` to boxes `float[K, 4]`, labels `int64[K]` and scores `float[K]`: `FasterRCNN.detect`."""

    def __init__(self, network: FasterRCNN):
        super().__init__()
        self.network = network

    def forward(self, scene: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        class_logits, boxes, proposed = look(self.network, scene[None, None].float() / 255)
        scores, labels = class_logits[0].softmax(dim=1)[:, 1:].max(dim=1)  # (R,)
        boxes = boxes[0, torch.arange(len(labels)), 1 + labels]  # (R, 4): as refined for its digit
        scores, order = scores.where(proposed[0], 0.0).topk(len(scores))  # surest first
        boxes, labels = boxes[order], labels[order]
        places, kept = surest(boxes[None], (scores >= THRESHOLD)[None], OVERLAP, len(scores))
        found = places[0][kept[0]]
        return boxes[found], labels[found], scores[found]


def look(network: FasterRCNN, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`FasterRCNN.look` once more, without loops over pictures and without shapes that depend on what is in them, both
    of which a graph of operations would not have.

    Args:
        pictures: `float[N, 1, H, W]` in [0, 1].

    Returns:
        class logits `float[N, R, 11]` and refined boxes `float[N, R, 11, 4]` of R proposals in each picture; which of
        the R are real, `bool[N, R]`: there may be fewer.
    """
    rpn, roi_heads = network.detector.rpn, network.detector.roi_heads
    count, _, height, width = pictures.shape
    padded = F.pad(network.detector.transform.normalize(pictures), (0, -width % STRIDE, 0, -height % STRIDE))
    features = network.detector.backbone(padded)  # (N, C, H / 4, W / 4)
    (anchors,) = rpn.anchor_generator.grid_anchors([features.shape[2:]], [[STRIDE, STRIDE]])  # (A, 4)
    (objectness,), (deltas,) = rpn.head([features])
    objectness = objectness.permute(0, 2, 3, 1).flatten(1)  # (N, A)
    deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)  # (N, A, 4)
    best = objectness.topk(rpn.pre_nms_top_n()).indices  # (N, B)
    deltas = deltas.gather(1, best.unsqueeze(2).expand(-1, -1, 4))
    boxes = rpn.box_coder.decode_single(deltas.flatten(0, 1), anchors[best].flatten(0, 1))
    boxes = clip_boxes_to_image(boxes, (height, width)).unflatten(0, (count, -1))  # (N, B, 4)
    large = (boxes[:, :, 2:] - boxes[:, :, :2] >= rpn.min_size).all(dim=2)
    places, proposed = surest(boxes, large, rpn.nms_thresh, rpn.post_nms_top_n())  # (N, R)
    proposals = boxes.gather(1, places.unsqueeze(2).expand(-1, -1, 4)).flatten(0, 1)  # (N * R, 4)
    picture = torch.arange(count, dtype=boxes.dtype).view(-1, 1, 1).expand(-1, places.shape[1], -1).flatten(0, 1)
    regions = roi_align(features, torch.cat([picture, proposals], 1), ROI, 1 / STRIDE, sampling_ratio=2)
    class_logits, deltas = roi_heads.box_predictor(roi_heads.box_head(regions))
    refined = clip_boxes_to_image(roi_heads.box_coder.decode_single(deltas, proposals), (height, width))
    return class_logits.unflatten(0, (count, -1)), refined.view(count, places.shape[1], -1, 4), proposed


def surest(boxes: Tensor, candidates: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression: take the first box, drop those that overlap it, and so on. (In an exported graph,
    torchvision's own must keep two boxes or more, and it takes one picture at a time.)

    Args:
        boxes: `float[N, B, 4]`, surest first.
        candidates: `bool[N, B]`: those that may be taken.
        overlap: intersection over union above which two boxes are the same.
        most: how many are taken at most.

    Returns:
        places of those taken, `int64[N, most]`, and `bool[N, most]`: False where none was left.
    """
    count = boxes.shape[1]
    corner = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])  # (N, B, B, 2)
    shared = (torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:]) - corner).clamp(min=0).prod(dim=3)
    area = (boxes[:, :, 2:] - boxes[:, :, :2]).prod(dim=2)
    same = shared / (area[:, :, None] + area[:, None] - shared) > overlap  # (N, B, B)
    others = (~same & ~torch.eye(count, dtype=torch.bool)).long()
    left = (candidates * torch.arange(count, 0, -1)).unsqueeze(1)  # (N, 1, B): the larger the surer, 0 if dropped
    places, found = [], []
    for _ in range(most):
        most_sure, place = left.max(dim=2, keepdim=True)  # (N, 1, 1)
        places.append(place)
        found.append(most_sure)
        left = left * others.gather(1, place.expand(-1, -1, count))
    return torch.cat(places, 1).squeeze(2), torch.cat(found, 1).squeeze(2) > 0
