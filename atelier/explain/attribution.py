"""Attribution: which parts of a digit support a class, by the method that suits the network's family."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain import attention, gradcam
from atelier.explain.hooks import as_input
from atelier.zoo import Family

SCALE = 8  # screen pixels for each pixel of a digit
GREY = 170  # of 255: ink without support, so that colour stands out


@dataclass(frozen=True)
class Attribution:
    """Where a digit supports a class."""

    heat: np.ndarray  # float32[28, 28], 0 to 1; all 0 where nothing supports the class
    method: str  # "hires_cam", "integrated_gradients", "gradient_rollout" or "proposals"
    box: tuple[float, float, float, float] | None = None  # of a detector: left, top, right, bottom in pixels


def attribute(classifier: Classifier, digit: np.ndarray, target: int) -> Attribution:
    """Attribute a class to the pixels of a digit, by the family's method in METHODS, else by integrated gradients.

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    return METHODS.get(classifier.spec.family, integrated_gradients)(classifier, digit, target)


def integrated_gradients(classifier: Classifier, digit: np.ndarray, target: int) -> Attribution:
    """The positive part of the integrated gradients; works for every network."""
    heat = gradcam.integrated_gradients(classifier, digit, target)
    return Attribution(_normalised(heat), "integrated_gradients")


def hires_cam(classifier: Classifier, digit: np.ndarray, target: int) -> Attribution:
    """HiResCAM of the default layer; integrated gradients where it is blank."""
    layer = gradcam.default_layer(classifier)
    heat = gradcam.hires_cam(classifier, digit, target, layer)
    if not heat.any():
        return integrated_gradients(classifier, digit, target)
    return Attribution(_normalised(gradcam.upsample(heat, layer)), "hires_cam")


def gradient_rollout(classifier: Classifier, digit: np.ndarray, target: int) -> Attribution:
    """Attention rollout, weighted by gradients."""
    rollout = attention.gradient_rollout(classifier, digit, target)  # (g, g)
    patch = SIDE // len(rollout)
    return Attribution(_normalised(np.kron(rollout, np.ones((patch, patch)))), "gradient_rollout")


def proposals(classifier: Classifier, digit: np.ndarray, target: int) -> Attribution:
    """Sum of a detector's proposals, each weighted by its probability of the class."""
    network = classifier.network
    with torch.inference_mode():
        picture = network.enlarge(as_input(classifier, digit))
        stages = network.forward_stages(picture)
        answering = int(network.answering_proposal(stages))
    proposed, scale = stages.proposed[0], SIDE / picture.shape[-1]
    if not proposed.any():
        return Attribution(np.zeros((SIDE, SIDE), np.float32), "proposals")
    weights = stages.class_logits[0][proposed].softmax(dim=1)[:, 1 + target].cpu().numpy()
    centres = np.arange(SIDE) + 0.5
    left, top, right, bottom = (scale * stages.proposals[0][proposed]).cpu().numpy().T[:, :, None]
    across, down = (left <= centres) & (centres < right), (top <= centres) & (centres < bottom)  # (R, 28) each
    heat = np.einsum("r,ry,rx->yx", weights, down, across)
    box = tuple((scale * stages.refined[0, answering, 1 + target]).tolist())
    return Attribution(_normalised(heat), "proposals", box)


METHODS: dict[Family | None, Callable[[Classifier, np.ndarray, int], Attribution]] = {
    Family.CONVOLUTIONAL: hires_cam,
    Family.FINE_TUNED: hires_cam,
    Family.TRANSFORMER: gradient_rollout,
    Family.DETECTOR: proposals,
}


def overlay(digit: np.ndarray, attribution: Attribution, colour: str) -> np.ndarray:
    """Draw a digit in grey with its attribution in `colour`, half as bright without ink: `uint8[224, 224, 3]`."""
    ink, heat = digit[:, :, None] / 255, attribution.heat[:, :, None]
    paint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    mixed = (1 - heat) * GREY * ink + heat * paint * (1 + ink) / 2
    image = Image.fromarray(mixed.astype(np.uint8)).resize((SIDE * SCALE, SIDE * SCALE), Image.Resampling.NEAREST)
    if attribution.box:
        ImageDraw.Draw(image).rectangle([SCALE * side for side in attribution.box], outline="white", width=3)
    return np.asarray(image)


def _normalised(heat: np.ndarray) -> np.ndarray:
    """The positive part, scaled to a maximum of 1."""
    heat = np.maximum(heat, 0).astype(np.float32)
    return heat / heat.max() if heat.max() > 0 else heat
