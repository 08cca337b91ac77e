"""A trained network with one interface for pages, notebooks and the command line."""

import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from atelier import checkpoint
from atelier.checkpoint import CheckpointError
from atelier.data import scenes
from atelier.data.mnist import CLASSES, SIDE
from atelier.devices import pick_device
from atelier.models.inputs import to_unit_range
from atelier.paths import RUNS
from atelier.zoo import MODELS, Family, ModelSpec

THRESHOLD = 0.05  # least score of a detection: low enough for measurements; pages show scores above about 0.5


@dataclass(frozen=True)
class Detections:
    """The detected digits of a scene."""

    boxes: np.ndarray  # float32[K, 4]: left, top, right, bottom in the scene's pixels
    labels: np.ndarray  # int64[K], 0 to 9
    scores: np.ndarray  # float32[K], the probability of each label
    probabilities: np.ndarray  # float32[K, 10]; what a row lacks to 1 is the probability of "no digit"

    def above(self, score: float) -> "Detections":
        """The detections with at least this score."""
        kept = self.scores >= score
        return Detections(self.boxes[kept], self.labels[kept], self.scores[kept], self.probabilities[kept])

    @property
    def reading(self) -> str:
        """The labels from left to right, such as "2026"."""
        return "".join(str(label) for label in self.labels[np.argsort(self.boxes[:, 0])])


class Classifier:
    """A network that classifies digits, made by `atelier.load`.

    Attributes:
        spec: the network's entry in MODELS.
        network: the `torch.nn.Module`, in evaluation mode.
        card: the model card of its checkpoint.
    """

    def __init__(self, spec: ModelSpec, network: nn.Module, card: dict[str, Any]):
        self.spec, self.card = spec, card
        # Typed as Any, because its further methods depend on its family; channels_last halves AlexNet's time per digit.
        self.network: Any = network.eval().to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, source: str | os.PathLike, device: str = "auto") -> "Classifier":
        """See `atelier.load`."""
        place, file = pick_device(device), Path(source).name
        tensors, card = checkpoint.load(find_checkpoint(source))
        name = card.get("model")
        if not isinstance(name, str) or name not in MODELS:
            raise CheckpointError(f"There is no network {reprlib.repr(name)}. The networks are {', '.join(MODELS)}.")
        try:
            network = MODELS[name].build(card.get("config"))
            checkpoint.load_weights(network, tensors)
        except CheckpointError:  # of a backbone
            raise
        except ValueError as error:  # of sizes, see the networks' configs
            raise CheckpointError(f"The network of {file} cannot be built: {error}") from None
        except (TypeError, RuntimeError):
            raise CheckpointError(f"The weights in {file} do not fit the network {name} of this version.") from None
        if not all(tensor.isfinite().all() for tensor in checkpoint.weights(network).values()):
            raise CheckpointError(f"The weights in {file} contain values that are no numbers.")
        return cls(MODELS[name], network.to(place), card)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Compute the probabilities of the ten digits.

        Args:
            images: `uint8[N, 28, 28]`, ink bright on black; any N, 0 included.

        Returns:
            `float32[N, 10]`, rows sum to 1.

        Raises:
            ValueError: for any other shape or type.
        """
        images = np.asarray(images)
        _check(images, "uint8[N, 28, 28]", images.ndim == 3 and images.shape[1:] == (28, 28))
        if len(images) == 0:
            return np.zeros((0, CLASSES), dtype=np.float32)
        logits = predict_logits(self.network, torch.tensor(images, device=self.device))
        return logits.softmax(dim=1).cpu().numpy()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most probable digit of each: `uint8[N, 28, 28]` to `int64[N]`."""
        return self.predict_proba(images).argmax(axis=1)

    def attention(self, image: np.ndarray) -> np.ndarray:
        """Attention weights of the Vision Transformer, from each token to each token.

        Token 0 is the class token; the others are the patches, row by row.

        Args:
            image: `uint8[28, 28]`.

        Returns:
            `float32[layers, heads, tokens, tokens]`, rows sum to 1.

        Raises:
            TypeError: for a network without attention.
            ValueError: for any other shape or type.
        """
        if self.spec.family is not Family.TRANSFORMER:
            raise TypeError(f"The {self.spec.title} has no attention. Use a Vision Transformer.")
        image = np.asarray(image)
        _check(image, "uint8[28, 28]", image.shape == (28, 28))
        with torch.inference_mode():
            _, attention = self.network(torch.tensor(image, device=self.device)[None], return_attention=True)
        return attention[0].float().cpu().numpy()

    def detect(self, scene: np.ndarray, threshold: float = THRESHOLD) -> Detections:
        """Find the digits in a scene, highest score first.

        Args:
            scene: `uint8[H, W]` of any size, ink bright on black; it is scaled to the size of training scenes.
            threshold: the least score.

        Raises:
            TypeError: for a network that finds no boxes.
            ValueError: for a picture of another shape or type.
        """
        if self.spec.family is not Family.DETECTOR:
            raise TypeError(f"The {self.spec.title} finds no boxes. Use a detector.")
        picture = scaled(scene)
        with torch.inference_mode():
            pixels = to_unit_range(torch.tensor(picture, device=self.device)[None])[0]
            boxes, probabilities = (part.cpu().numpy() for part in self.network.detect(pixels, threshold))
        boxes = boxes * np.divide(np.shape(scene), picture.shape)[[1, 0, 1, 0]].astype(np.float32)
        return Detections(boxes, probabilities.argmax(1), probabilities.max(1, initial=0), probabilities)

    def read_pieces(self, scene: np.ndarray) -> Detections:
        """Classify each connected piece of ink as a digit, which needs no detector as long as no digits touch.

        Args:
            scene: `uint8[H, W]`, ink bright on black.

        Raises:
            ValueError: for a picture of another shape or type.
        """
        scene = np.asarray(scene)
        _check(scene, "uint8[H, W]", scene.ndim == 2 and scene.size > 0)
        pieces = scenes.pieces(scene)
        boxes = np.array([box for box, _ in pieces], np.float32).reshape(-1, 4)
        digits = np.array([digit for _, digit in pieces], np.uint8).reshape(-1, SIDE, SIDE)
        probabilities = self.predict_proba(digits)
        return Detections(boxes, probabilities.argmax(1), probabilities.max(1, initial=0), probabilities)


@torch.inference_mode()
def predict_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """`uint8[N, 28, 28]` to `logits float[N, 10]`, batch by batch, in evaluation mode."""
    model.eval()
    return torch.cat([model(batch).float() for batch in images.split(inference_batch(images.device))])


def inference_batch(device: torch.device) -> int:
    """Digits per batch: many on a GPU; on a CPU few, because it is up to twice as fast if they fit its caches."""
    return 100 if device.type == "cpu" else 1000


def scaled(scene: np.ndarray) -> np.ndarray:
    """Scale a scene `uint8[H, W]` for a detector: the shorter side becomes SHORT_SIDE pixels, unless it is long.

    Raises:
        ValueError: for a picture of another shape or type.
    """
    scene = np.asarray(scene)
    _check(scene, "uint8[H, W]", scene.ndim == 2 and scene.size > 0)
    height, width = scene.shape
    scale = min(scenes.SHORT_SIDE / min(height, width), scenes.LONG_SIDE / max(height, width))
    size = (max(round(width * scale), 8), max(round(height * scale), 8))
    return np.asarray(Image.fromarray(scene).resize(size, Image.Resampling.BILINEAR))  # averages when it shrinks


def _check(pixels: np.ndarray, expected: str, fits: bool) -> None:
    if not fits or pixels.dtype != np.uint8:
        raise ValueError(f"Expected {expected}, not {pixels.dtype}{list(pixels.shape)}.")


def find_checkpoint(source: str | os.PathLike) -> Path:
    """The checkpoint for a network's name, a path or a run's id."""
    if source in MODELS:
        return MODELS[source].checkpoint
    path = Path(source)
    if path.is_file():
        return path
    for folder in (path, RUNS / path):
        if (folder / "best.safetensors").is_file():
            return folder / "best.safetensors"
    raise CheckpointError(
        f"There is no network, checkpoint file or run {str(source)!r}. The networks are {', '.join(MODELS)}."
    )
