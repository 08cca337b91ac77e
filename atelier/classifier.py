"""A trained network behind the one interface that pages, notebooks and the command line use."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from atelier import checkpoint
from atelier.checkpoint import CheckpointError
from atelier.training.devices import pick_device
from atelier.training.loop import predict_logits, weights_only
from atelier.training.runs import RUNS
from atelier.zoo import MODELS, ModelSpec


class Classifier:
    """Reads digits. Made by `atelier.load`.

    Attributes:
        spec: the network's entry in MODELS.
        network: the `torch.nn.Module`, in evaluation mode.
        card: the model card of its checkpoint.
    """

    def __init__(self, spec: ModelSpec, network: nn.Module, card: dict[str, Any]):
        self.spec, self.network, self.card = spec, network.eval(), card

    @classmethod
    def load(cls, source: str | os.PathLike, device: str = "auto") -> "Classifier":
        """See `atelier.load`."""
        place = pick_device(device)
        tensors, card = checkpoint.load(find_checkpoint(source))
        name = card.get("model")
        if name not in MODELS:
            raise CheckpointError(f"This project has no network {name!r}; it has {', '.join(MODELS)}.")
        try:
            network = MODELS[name].build(card.get("config"))
            network.load_state_dict(weights_only(tensors))
        except (TypeError, ValueError, RuntimeError):
            raise CheckpointError(f"The weights in {source} do not fit the network {name} of this version.") from None
        return cls(MODELS[name], network.to(place), card)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of the ten digits.

        Args:
            images: `uint8[N, 28, 28]`, ink bright on black; any N, 0 included.

        Returns:
            `float32[N, 10]`, rows sum to 1.

        Raises:
            ValueError: for any other shape or type.
        """
        images = np.asarray(images)
        if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            raise ValueError(f"Expected uint8[N, 28, 28]; this is {images.dtype}{list(images.shape)}.")
        if len(images) == 0:
            return np.zeros((0, 10), dtype=np.float32)
        logits = predict_logits(self.network, torch.tensor(images, device=self.device))
        return logits.softmax(dim=1).cpu().numpy()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most probable digit of each: `uint8[N, 28, 28]` to `int64[N]`."""
        return self.predict_proba(images).argmax(axis=1)


def find_checkpoint(source: str | os.PathLike) -> Path:
    """The file meant by a network's name, a path or a run's id."""
    if source in MODELS:
        return MODELS[source].checkpoint
    path = Path(source)
    if path.is_file():
        return path
    for folder in (path, RUNS / path):
        if (folder / "best.safetensors").is_file():
            return folder / "best.safetensors"
    raise CheckpointError(
        f"There is no network, checkpoint file or run {str(source)!r}; the networks are {', '.join(MODELS)}."
    )
