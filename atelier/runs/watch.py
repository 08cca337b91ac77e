"""What a class watches while a network learns: its guesses on a dozen digits, and what it has learnt to see so far."""

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atelier.data import mnist, scenes
from atelier.explain import attention
from atelier.models.cnn import CNN
from atelier.models.faster_rcnn import FasterRCNN
from atelier.models.finetuned import Transfer
from atelier.models.vit import ViT
from atelier.runs.folder import Run
from atelier.training.tasks import predict_logits

DOZEN = 12  # the first of the validation digits
KERNELS = 24  # filters shown of a convolution that has hundreds
SHOWN_FROM = 0.3  # score of a box


class Watch:
    """Looks at a network now and then, and leaves what it sees in a run's `watch.npz`:

    digits `uint8[12, 28, 28]`, labels `int64[12]`, probabilities `float32[12, 10]`, step, and

    - CNN: filters `float32[K, h, w]` of its first convolution; VGG16 and AlexNet: how far kernels of the first trained
      convolution have moved from where they came from, those that moved furthest;
    - ViT: positions `float32[P, P]`, the cosine similarity of all pairs of positional embeddings; attention
      `float32[12, g, g]`, where the class token looks in the last block, mean over heads;
    - Faster R-CNN: scene `uint8[H, W]`, boxes `float32[K, 4]` (left, top, right, bottom in pixels), box_labels
      `int64[K]`, scores `float32[K]`.
    """

    def __init__(self, network: nn.Module):
        """`network` as it is before training begins or is resumed."""
        self.network = network
        images, labels = mnist.load("val")
        self.digits, self.labels = images[:DOZEN], labels[:DOZEN]
        self.scene = scenes.random_scene("val", np.random.default_rng(7), digits=5).picture
        kernels = trained_kernels(network)
        self.origin = None if kernels is None else kernels.detach().cpu().clone()

    def look(self, run: Run, step: int) -> None:
        """Write `watch.npz`. The network's mode, and torch's random state, stay as they are."""
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            seen = {
                "digits": self.digits,
                "labels": self.labels,
                "probabilities": self._probabilities(),
                "step": step,
                **self._learnt(),
            }
        self.network.train(training)
        unfinished = run.path(f"watch.{os.getpid()}.tmp")
        try:
            with open(unfinished, "wb") as file:
                np.savez(file, **seen)
            os.replace(unfinished, run.path("watch.npz"))
        finally:
            unfinished.unlink(missing_ok=True)

    def _probabilities(self) -> np.ndarray:
        return predict_logits(self.network, self._on_device(self.digits)).softmax(dim=1).cpu().numpy()

    def _learnt(self) -> dict[str, Any]:
        network = self.network
        if isinstance(network, ViT):
            places = network.positions[0, 1:].float().cpu().numpy()  # (P, D), without the class token
            _, looks = network(self._on_device(self.digits), return_attention=True)  # (12, L, H, T, T)
            of_class_token = looks[:, -1, :, 0].float().mean(1).cpu().numpy()  # in the last block, mean over heads
            return {"positions": attention.cosines(places), "attention": attention.patch_map(of_class_token)}
        if isinstance(network, FasterRCNN):
            boxes, chances = network.detect(self._on_device(self.scene)[None].float() / 255, SHOWN_FROM)
            found = {"boxes": boxes, "box_labels": chances.argmax(1), "scores": chances.amax(1)}
            return {"scene": self.scene} | {name: tensor.float().cpu().numpy() for name, tensor in found.items()}
        kernels = trained_kernels(network)
        if kernels is None:
            return {}
        kernels = kernels.detach().float().cpu()
        if isinstance(network, CNN):
            return {"filters": kernels.flatten(0, 1).numpy()}
        moved = (kernels - self.origin).flatten(0, 1)  # (pairs of channels, h, w)
        return {"filters": moved[moved.square().sum((1, 2)).topk(KERNELS).indices].numpy()}

    def _on_device(self, pixels: np.ndarray) -> Tensor:
        return torch.tensor(pixels, device=next(self.network.parameters()).device)


def trained_kernels(network: nn.Module) -> Tensor | None:
    """`float[filters, channels, h, w]` of the first convolution that is trained; None if there is none."""
    if not isinstance(network, CNN | Transfer):
        return None
    convolutions = (layer for layer in network.features.modules() if isinstance(layer, nn.Conv2d))
    return next((layer.weight for layer in convolutions if layer.weight.requires_grad), None)
