"""What spoke for an answer, one picture a network: the first thing that Look inside shows."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain import attention, gradcam
from atelier.explain.hooks import as_input
from atelier.models.faster_rcnn import ENLARGED
from atelier.zoo import Family

SCALE = 8  # screen pixels for each pixel of a digit
GREY = 170  # of 255: ink that says nothing, so that colour stands out


@dataclass(frozen=True)
class Evidence:
    """Where in a digit a network found what speaks for a class."""

    heat: np.ndarray  # float32[28, 28], 0 to 1; all 0 where nothing speaks for the class
    method: str  # "hires_cam", "integrated_gradients", "gradient_rollout" or "proposals"
    box: tuple[float, float, float, float] | None = None  # of a detector: left, top, right, bottom in pixels


def evidence(classifier: Classifier, digit: np.ndarray, target: int) -> Evidence:
    """What in a digit `uint8[28, 28]` speaks for the class `target` (0 to 9), by the method that suits the network.

    Convolutional networks: HiResCAM of the deepest layer that is fine enough; where it finds nothing, integrated
    gradients. Vision Transformer: gradient-weighted attention rollout. Faster R-CNN: the proposals, by how much each
    looks like the class.
    """
    match classifier.spec.family:
        case Family.DETECTOR:
            return _proposals(classifier, digit, target)
        case Family.TRANSFORMER:
            rolled = attention.gradient_rollout(classifier, digit, target)
            patch = SIDE // len(rolled)
            return Evidence(_normalised(np.kron(rolled, np.ones((patch, patch)))), "gradient_rollout")
        case Family.CONVOLUTIONAL | Family.FINE_TUNED:
            layer = gradcam.default_layer(classifier)
            if (heat := gradcam.hires_cam(classifier, digit, target, layer)).any():
                return Evidence(_normalised(gradcam.enlarged(heat, layer)), "hires_cam")
    return Evidence(_normalised(gradcam.integrated_gradients(classifier, digit, target)), "integrated_gradients")


def _proposals(classifier: Classifier, digit: np.ndarray, target: int) -> Evidence:
    """Each proposal votes, for the pixels in its box, with the probability that it gives the class."""
    enlarged = torch.nn.functional.interpolate(as_input(classifier, digit), size=(ENLARGED, ENLARGED), mode="bilinear")
    with torch.inference_mode():
        stages = classifier.network.forward_stages(enlarged)
    proposed = stages.proposed[0]
    proposals, class_logits, boxes = (
        part[0][proposed] for part in (stages.proposals, stages.class_logits, stages.refined)
    )
    if not len(proposals):
        return Evidence(np.zeros((SIDE, SIDE), np.float32), "proposals")
    scale = SIDE / ENLARGED
    votes = class_logits.softmax(dim=1)[:, 1 + target].cpu().numpy()
    best = int(class_logits.softmax(dim=1)[:, 0].argmin())  # the proposal whose logits are the network's answer
    centres = np.arange(SIDE) + 0.5
    left, top, right, bottom = (scale * proposals).cpu().numpy().T[:, :, None]
    across, down = (left <= centres) & (centres < right), (top <= centres) & (centres < bottom)  # (R, 28) each
    heat = np.einsum("r,ry,rx->yx", votes, down, across)
    box = tuple((scale * boxes[best, 1 + target]).tolist())
    return Evidence(_normalised(heat), "proposals", box)


def _normalised(heat: np.ndarray) -> np.ndarray:
    heat = np.maximum(heat, 0).astype(np.float32)
    return heat / heat.max() if heat.max() > 0 else heat


def picture(digit: np.ndarray, seen: Evidence, colour: str) -> np.ndarray:
    """The digit in grey, its evidence in a network's colour, half as bright where there is no ink:
    `uint8[224, 224, 3]`."""
    ink, heat = digit[:, :, None] / 255, seen.heat[:, :, None]
    paint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    mixed = (1 - heat) * GREY * ink + heat * paint * (1 + ink) / 2
    sheet = Image.fromarray(mixed.astype(np.uint8)).resize((SIDE * SCALE, SIDE * SCALE), Image.Resampling.NEAREST)
    if seen.box:
        ImageDraw.Draw(sheet).rectangle([SCALE * side for side in seen.box], outline="white", width=3)
    return np.asarray(sheet)
