"""A trained network as a file for other programs, checked before it gets its name.

Three formats:

- `onnx` (https://onnx.ai): run by ONNX Runtime in most languages, and in browsers.
- `pt2`: the output of `torch.export`. PyTorch runs it without this project.
- `safetensors`: all weights in one file, including those that VGG16 and AlexNet otherwise share with a backbone's file.

An onnx or pt2 file holds a graph of operations: `digits uint8[N, 28, 28]`, ink bright on black, to `probabilities
float[N, 10]`, any N. A detector has a second file beside it, `…-scenes`: `scene uint8[H, W]`, the shorter side about
112 pixels, both at least 64, to `boxes float[K, 4]` (left, top, right, bottom in pixels), `labels int64[K]` and
`scores float[K]`, highest first.
"""

import contextlib
import copy
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
from atelier.models.inputs import to_unit_range
from atelier.zoo import Family

FORMATS = ("onnx", "pt2", "safetensors")
DIGITS, SCENES = 256, 50  # of the test set, for the check
BATCHES = (1, 31)  # where the digits are split, to check batches of different sizes
SAME = 1e-4  # probabilities that differ by less count as equal
SAME_PLACE = 0.05  # pixels

Graph = tuple[ExportedProgram, list[str]]  # and the names of its outputs
Run = Callable[[np.ndarray], list[np.ndarray]]  # computes a written file's outputs for an input
Check = Callable[[Run, Classifier], tuple[str, float]]  # returns what was compared, and the largest difference


class ExportError(checkpoint.CheckpointError):
    """A checkpoint that cannot be exported, or not to this file; the message gives the reason in one sentence."""


@dataclass(frozen=True)
class Exported:
    """A written file and the result of its check."""

    path: Path
    compared: str  # what was compared
    difference: float  # the largest of any probability or score


def export(source: str | os.PathLike, format: str, out: Path) -> list[Exported]:
    """Write a network, read the file back, and keep it only if it gives the same answers.

    Args:
        source: as `atelier.load` takes it.
        format: one of FORMATS.
        out: the file; the graph for scenes has `-scenes` added to its name.

    Raises:
        CheckpointError: if there is no such network.
        ExportError: if the file cannot be written, or gives other answers than the network.
    """
    if format not in FORMATS:
        raise ExportError(f"There is no format {format!r}. Choose one of {', '.join(FORMATS)}.")
    classifier = Classifier.load(source, "cpu")
    if out.exists() and out.samefile(find_checkpoint(source)):
        raise ExportError(f"{out} is the network's own file. Choose another name with --out.")
    classifier.network.requires_grad_(False)
    outputs: dict[Path, tuple[Callable[[nn.Module], Graph], list[Check]]] = {out: (trace_digits, [check_digits])}
    if classifier.spec.family is Family.DETECTOR:
        if format == "safetensors":  # one file of weights serves both
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
    except Exception as error:  # ONNX Runtime's errors have no other common class
        message = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"This network could not be exported to {format}: {message[0]}") from error
    return written


# Writing and reading -------------------------------------------------------------------------------------------------


def write(classifier: Classifier, format: str, path: Path, trace: Callable[[nn.Module], Graph]) -> None:
    """Write one file with the network's model card."""
    network, card = classifier.network, classifier.card
    if format == "safetensors":
        checkpoint.save(path, network.state_dict(), self_contained(card, asdict(network.config)))
        return
    if classifier.spec.family is Family.DETECTOR:
        network = with_suppression_in_graph(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of one part of PyTorch about another
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
    """The card of a file with all weights; it still names the backbone that they come from."""
    if config.get("backbone", "none") == "none":
        return card
    origin = {name: config[name] for name in ("backbone", "fingerprint")}
    return {**card, "config": {**config, "backbone": "none", "fingerprint": ""}, "backbone": origin}


def read(path: Path, format: str) -> Run:
    """Open a file with the program that a user of this format would use."""
    if format == "safetensors":
        classifier = Classifier.load(path, "cpu")

        def answer(pixels: np.ndarray) -> list[np.ndarray]:
            if pixels.ndim == 3:
                return [classifier.predict_proba(pixels)]
            detections = classifier.detect(pixels)
            return [detections.boxes, detections.labels, detections.scores]

        return answer
    if format == "pt2":
        network = torch.export.load(io.BytesIO(path.read_bytes())).module()

        def run(pixels: np.ndarray) -> list[np.ndarray]:
            outputs = network(torch.tensor(pixels))
            return [tensor.numpy() for tensor in (outputs if isinstance(outputs, tuple) else (outputs,))]

        return run
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (graph_input,) = session.get_inputs()
    return lambda pixels: session.run(None, {graph_input.name: pixels})


# Checking ------------------------------------------------------------------------------------------------------------


def check_digits(run: Run, classifier: Classifier) -> tuple[str, float]:
    """Compare probabilities on digits of the test set; returns what was compared, and the largest difference.

    Raises:
        ExportError: if the difference is not small.
    """
    digits = mnist.load("test")[0][:DIGITS]
    probabilities = np.concatenate([run(batch)[0] for batch in np.split(digits, BATCHES)])
    difference = float(np.abs(probabilities - classifier.predict_proba(digits)).max())
    if not difference < SAME:
        raise ExportError(f"A probability of the exported network differs by {difference:.2g}. Nothing was written.")
    return f"probabilities of {DIGITS} digits", difference


def check_scenes(run: Run, detector: Classifier) -> tuple[str, float]:
    """Compare boxes, labels and scores in scenes of test digits; returns as `check_digits`.

    Raises:
        ExportError: if boxes or labels differ, or the difference of a score is not small.
    """
    differences = [0.0]
    for scene in scenes.measuring_scenes()[:SCENES]:
        (boxes, labels, scores), expected = run(scene.picture), detector.detect(scene.picture)
        same_labels = np.array_equal(labels, expected.labels)
        if not same_labels or not np.allclose(boxes, expected.boxes, rtol=0, atol=SAME_PLACE):
            raise ExportError("The exported network finds other boxes than the network itself. Nothing was written.")
        differences.extend(np.abs(scores - expected.scores))
    difference = float(max(differences))
    if not difference < SAME:
        raise ExportError(f"A score of the exported network differs by {difference:.2g}. Nothing was written.")
    return f"boxes and scores in {SCENES} scenes", difference


# Graphs --------------------------------------------------------------------------------------------------------------


def trace_digits(network: nn.Module) -> Graph:
    example = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    # strict: PyTorch analyses the Python code itself; only then may `len` of a tensor vary
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
    """`uint8[H, W]` to boxes `float[K, 4]`, labels `int64[K]` and scores `float[K]`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, scene: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, probabilities = self.network.detect(to_unit_range(scene[None])[0], THRESHOLD)
        scores, labels = probabilities.max(dim=1)
        return boxes, labels, scores


def with_suppression_in_graph(network: nn.Module) -> nn.Module:
    """A copy of a detector that a graph of operations can hold, see `suppress_in_graph`."""
    network = copy.deepcopy(network)
    network.propose.suppress = suppress_in_graph
    return network


def suppress_in_graph(boxes: Tensor, eligible: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    """`faster_rcnn.Propose.suppress` as plain arithmetic on whole batches.

    torchvision's `nms` in an exported graph must keep two boxes or more, and it takes one picture at a time.
    """
    count = boxes.shape[1]
    corner = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])  # (N, B, B, 2)
    shared = (torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:]) - corner).clamp(min=0).prod(dim=3)
    area = (boxes[:, :, 2:] - boxes[:, :, :2]).prod(dim=2)  # (N, B)
    same = shared / (area[:, :, None] + area[:, None] - shared) > overlap  # (N, B, B)
    others = (~same & ~torch.eye(count, dtype=torch.bool)).long()
    remaining = (eligible * torch.arange(count, 0, -1)).unsqueeze(1)  # (N, 1, B): the best box highest, 0 if dropped
    kept, found = [], []
    for _ in range(most):
        rank, best = remaining.max(dim=2, keepdim=True)  # (N, 1, 1)
        kept.append(best)
        found.append(rank)
        remaining = remaining * others.gather(1, best.expand(-1, -1, count))
    return torch.cat(kept, 1).squeeze(2), torch.cat(found, 1).squeeze(2) > 0  # (N, most)
