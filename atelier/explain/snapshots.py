"""What a class watches while a network learns: its predictions for a dozen digits, and what it has learnt so far."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atelier.classifier import predict_logits
from atelier.data import mnist, scenes
from atelier.explain import attention
from atelier.models.inputs import to_unit_range
from atelier.zoo import Family

DOZEN = 12  # the first of the validation digits
KERNELS = 24  # filters shown of a convolution that has hundreds
LEAST_SCORE = 0.3  # of a box

Arrays = dict[str, np.ndarray]


class Observer:
    """Takes snapshots of one network.

    A snapshot has digits `uint8[12, 28, 28]`, labels `int64[12]`, probabilities `float32[12, 10]`, step, and what the
    network's family adds, see the functions in LEARNT.
    """

    def __init__(self, network: nn.Module, family: Family | None):
        """`network` as it is before training begins or is resumed."""
        self.network: Any = network  # its further methods depend on its family
        self.family = family
        images, labels = mnist.load("val")
        self.digits, self.labels = images[:DOZEN], labels[:DOZEN]
        self.scene = scenes.random_scene("val", np.random.default_rng(7), digits=5).picture
        kernels = trained_kernels(network) if family and family.has_convolutions else None
        self.first_kernels = None if kernels is None else kernels.detach().cpu().clone()

    def take(self, step: int) -> Arrays:
        """A snapshot. The network's mode, and torch's random state, stay as they are."""
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            learnt = LEARNT[self.family](self) if self.family in LEARNT else {}
            logits = predict_logits(self.network, self.on_device(self.digits))
        self.network.train(training)
        return {
            "digits": self.digits,
            "labels": self.labels,
            "probabilities": logits.softmax(dim=1).cpu().numpy(),
            "step": np.array(step),
            **learnt,
        }

    def on_device(self, pixels: np.ndarray) -> Tensor:
        return torch.tensor(pixels, device=next(self.network.parameters()).device)


def filters(observer: Observer) -> Arrays:
    """filters `float32[K, h, w]`: the kernels of the first convolution."""
    kernels = trained_kernels(observer.network)
    return {} if kernels is None else {"filters": kernels.detach().float().cpu().flatten(0, 1).numpy()}


def filter_changes(observer: Observer) -> Arrays:
    """filters `float32[K, h, w]`: how the first trained convolution has changed; the kernels that changed most."""
    kernels = trained_kernels(observer.network)
    if kernels is None:
        return {}
    changes = (kernels.detach().float().cpu() - observer.first_kernels).flatten(0, 1)  # (pairs of channels, h, w)
    return {"filters": changes[changes.square().sum((1, 2)).topk(KERNELS).indices].numpy()}


def attention_maps(observer: Observer) -> Arrays:
    """Positional embeddings and attention.

    Returns:
        positions: `float32[P, P]`, the cosine similarity of all pairs of positional embeddings.
        attention: `float32[12, g, g]`, of the class token in the last block, mean over heads.
    """
    places = observer.network.positions[0, 1:].float().cpu().numpy()  # (P, D), without the class token
    _, weights = observer.network(observer.on_device(observer.digits), return_attention=True)  # (12, L, H, T, T)
    of_class_token = weights[:, -1, :, 0].float().mean(1).cpu().numpy()
    return {"positions": attention.cosines(places), "attention": attention.patch_map(of_class_token)}


def detections(observer: Observer) -> Arrays:
    """Detections in a scene.

    Returns:
        scene `uint8[H, W]`, boxes `float32[K, 4]` (left, top, right, bottom in pixels), box_labels `int64[K]`, scores
        `float32[K]`.
    """
    picture = to_unit_range(observer.on_device(observer.scene)[None])[0]
    boxes, probabilities = observer.network.detect(picture, LEAST_SCORE)
    arrays = {"boxes": boxes, "box_labels": probabilities.argmax(1), "scores": probabilities.amax(1)}
    return {"scene": observer.scene} | {name: tensor.cpu().numpy() for name, tensor in arrays.items()}


LEARNT: dict[Family | None, Callable[[Observer], Arrays]] = {
    Family.CONVOLUTIONAL: filters,
    Family.FINE_TUNED: filter_changes,
    Family.TRANSFORMER: attention_maps,
    Family.DETECTOR: detections,
}


def trained_kernels(network: nn.Module) -> Tensor | None:
    """`float[filters, channels, h, w]` of the first convolution that is trained; None if there is none."""
    convolutions = (layer for layer in network.features.modules() if isinstance(layer, nn.Conv2d))
    return next((layer.weight for layer in convolutions if layer.weight.requires_grad), None)
