"""Deep Learning Atelier: five neural networks that learn, answer and explain themselves on the same handwritten digits.

    import atelier

    images, labels = atelier.data.mnist.load("test")
    cnn = atelier.load("cnn")
    cnn.predict(images[:10])

Importing this takes no time; PyTorch is imported when the first network is loaded.
"""

from typing import TYPE_CHECKING

from atelier import data
from atelier.zoo import MODELS

if TYPE_CHECKING:
    from atelier.classifier import Classifier

__all__ = ["MODELS", "data", "load"]


def load(source: str, device: str = "auto") -> "Classifier":
    """A trained network, ready to answer.

    Args:
        source: a name in MODELS for the shipped weights, or the path of a checkpoint, or the id of a run under `runs/`.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        atelier.checkpoint.CheckpointError: if there is no such checkpoint, or it cannot be used; says why.
        ValueError: if this machine has no such device.
    """
    from atelier.classifier import Classifier

    return Classifier.load(source, device)
