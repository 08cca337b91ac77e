"""Deep Learning Atelier: neural networks that learn, classify and explain the same handwritten digits.

    import atelier

    images, labels = atelier.data.mnist.load("test")
    cnn = atelier.load("cnn")
    cnn.predict(images[:10])

`import atelier` is fast: PyTorch is imported when the first network is loaded. `atelier.explain`, `atelier.export` and
`atelier.studies` are imported on first use.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from atelier import data
from atelier.zoo import MODELS

if TYPE_CHECKING:
    from atelier.classifier import Classifier

__all__ = ["MODELS", "data", "load"]


def __getattr__(name: str) -> ModuleType:
    if name in ("explain", "export", "studies"):
        return import_module(f"atelier.{name}")
    raise AttributeError(f"module 'atelier' has no attribute {name!r}")


def load(source: str, device: str = "auto") -> "Classifier":
    """Load a trained network.

    Args:
        source: a name in MODELS for the shipped weights, the path of a checkpoint, or the id of a run in `runs/`.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        atelier.checkpoint.CheckpointError: if there is no such checkpoint, or it cannot be used; with the reason.
        ValueError: if this machine has no such device.
    """
    from atelier.classifier import Classifier

    return Classifier.load(source, device)
