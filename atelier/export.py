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

import contextlib
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
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from atelier import checkpoint, files
from atelier.classifier import THRESHOLD, Classifier, find_checkpoint
from atelier.data import mnist, scenes
from atelier.data.mnist import SIDE
from atelier.models.faster_rcnn import OVERLAP
from atelier.models.inputs import to_unit_range
from atelier.zoo import Family

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
    outputs = {out: (trace_digits, [check_digits])}
    if classifier.spec.family is Family.DETECTOR:
        if format == "safetensors":  # one file of weights does both
            outputs[out][1].append(check_scenes)
        else:
            outputs[out.with_name(f"{out.stem}-scenes{out.suffix}")] = trace_scenes, [check_scenes]
    try:
        written = []
        with contextlib.ExitStack() as stack:  # all files get their names together
            for path, (trace, checks) in outputs.items():
                unfinished = stack.enter_context(files.replacing(path))
                write(classifier, format, unfinished, trace)
                run = read(unfinished, format)
                written += [Exported(path, *check(run, classifier)) for check in checks]
    except checkpoint.CheckpointError:
        raise
    except OSError as error:
        raise ExportError(f"{out} could not be written: {error.strerror or error}.") from None
    except Exception as error:  # those of ONNX Runtime have nothing else in common
        message = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"This network could not be exported to {format}: {message[0]}") from error
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
        network.suppress = suppress_in_graph  # only a detector uses it
        program, outputs = trace(network)
        del network.suppress
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
    example = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    # strict: PyTorch follows the Python code itself, for which `len` of a tensor need not be a fixed number
    program = torch.export.export(Digits(network), (example,), dynamic_shapes=({0: Dim("N")},), strict=True)
    return program, ["probabilities"]


def trace_scenes(network: nn.Module) -> Graph:
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


class Scenes(nn.Module):
    """`uint8[H, W]` to boxes `float[K, 4]`, labels `int64[K]` and scores `float[K]`: `FasterRCNN.detect`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, scene: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stages = self.network.forward_stages(to_unit_range(scene[None]))
        scores, labels = stages.class_logits[0].softmax(dim=1)[:, 1:].max(dim=1)  # (R,)
        boxes = stages.refined[0, torch.arange(len(labels)), 1 + labels]  # (R, 4): as refined for its digit
        scores, order = scores.where(stages.proposed[0], 0.0).topk(len(scores))  # highest first
        boxes, labels = boxes[order], labels[order]
        places, kept = suppress_in_graph(boxes[None], (scores >= THRESHOLD)[None], OVERLAP, len(scores))
        found = places[0][kept[0]]
        return boxes[found], labels[found], scores[found]


def suppress_in_graph(boxes: Tensor, candidates: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    """`faster_rcnn.suppress_overlaps` as plain arithmetic, always with `most` places.

    In an exported graph, torchvision's own must keep two boxes or more, and it takes one picture at a time.
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
