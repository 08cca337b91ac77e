"""What a network does with a batch while it learns. Networks differ in this; the loop around it is the same for all.

A task has three methods: `start_epoch(epoch)`, which tells how far it is with what it has to prepare, `loss(batch)` for
the loss and the accuracy on the digits with these indices, and `validation_logits()`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.data import scenes
from atelier.data.augment import augment
from atelier.models.faster_rcnn import FasterRCNN
from atelier.models.finetuned import Transfer
from atelier.training.feature_cache import FeatureCache, content_key

if TYPE_CHECKING:
    from atelier.training.loop import Session

CHUNK = 2_500  # digits whose features are computed and kept together
VERSION = 1  # of how that is done: another one after each change to augmentation or to what `see` does
Digits = tuple[Tensor, Tensor]  # images uint8[N, 28, 28], labels int64[N]


class Classification:
    """Digits in, ten scores out, cross-entropy."""

    def __init__(self, session: "Session", training: Digits, validation: Digits):
        self.session, self.recipe = session, session.recipe
        self.images, self.labels = training
        self.validation = validation

    def start_epoch(self, epoch: int) -> Iterable[tuple[int, int]]:
        return ()

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.session.model(self.varied(batch))
        return loss_and_accuracy(logits, self.labels[batch], self.recipe.label_smoothing)

    def varied(self, batch: Tensor) -> Tensor:
        """The training digits of these indices, each varied at random: `float[B, 1, 28, 28]` in [0, 1]."""
        return self.vary(self.images[batch])

    def vary(self, images: Tensor) -> Tensor:
        digits = augment(images.unsqueeze(1).float() / 255, self.recipe.augmentation)
        return digits.contiguous(memory_format=torch.channels_last)

    def validation_logits(self) -> Tensor:
        with self.session.fabric.autocast():
            return predict_logits(self.session.answering, self.validation[0])


class FineTuning(Classification):
    """As classification, but what the frozen part makes of a digit is computed once and kept, in memory and on disk.

    Of each training digit `recipe.variations` varied copies are kept, and shown in turn, one an epoch.
    """

    def __init__(self, session: "Session", training: Digits, validation: Digits):
        super().__init__(session, training, validation)
        self.cache = FeatureCache()
        self.frozen = fingerprint(session.network.frozen())
        self.copies: dict[int, Tensor] = {}  # features float16[N, C, H, W]
        self.seen_validation: Tensor | None = None

    def start_epoch(self, epoch: int) -> Iterator[tuple[int, int]]:
        """Compute the features of an epoch's copies, where they are not kept; tells how many digits are done, of how
        many."""
        number = epoch % self.recipe.variations
        if self.seen_validation is None:
            self.seen_validation = yield from self.see(self.validation[0], None)
        if number not in self.copies:
            self.copies[number] = yield from self.see(self.images[: self.recipe.train_size], number)
        self.copy = self.copies[number]

    def see(self, images: Tensor, number: int | None) -> Iterator[tuple[int, int]]:
        """Features of digits, unvaried or in copy `number`, chunk by chunk: a run that is killed has lost one chunk."""
        chunks, done = [], 0
        for place, chunk in enumerate(images.split(CHUNK)):
            key = content_key(
                version=VERSION,
                frozen=self.frozen,
                input_size=self.session.network.config.input_size,
                precision=self.session.fabric.strategy.precision.precision,
                device=images.device.type,
                digits=fingerprint([chunk]),
                augmentation=None if number is None else self.recipe.augmentation,
                seed=(self.recipe.seed, number, place),
            )
            features = self.cache.get(key)
            if features is None:
                features = self.see_chunk(chunk, number, place)
                self.cache.put(key, features)
            chunks.append(features.to(images.device))
            done += len(chunk)
            yield done, len(images)
        return torch.cat(chunks)

    @torch.no_grad()
    def see_chunk(self, chunk: Tensor, number: int | None, place: int) -> Tensor:
        device, seen = chunk.device, []
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(1_000_000 * self.recipe.seed + 1_000 * (number or 0) + place)  # the same after a resume
            for images in chunk.split(inference_batch(device)):
                digits = images if number is None else self.vary(images)
                with self.session.fabric.autocast():
                    seen.append(self.session.model.see(digits).half())
        return torch.cat(seen)

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        with self.session.fabric.autocast():
            logits = self.session.model.read(self.copy[batch].float())
        return loss_and_accuracy(logits.float(), self.labels[batch], self.recipe.label_smoothing)

    def validation_logits(self) -> Tensor:
        network, features = self.session.answering.eval(), self.seen_validation
        with torch.inference_mode(), self.session.fabric.autocast():
            parts = features.split(inference_batch(features.device))
            return torch.cat([network.read(part.float()).float() for part in parts])


class Detection(Classification):
    """Digits are placed in scenes; the network learns to find them there.

    While training, its loss is the sum of the detector's four, without label smoothing. Its accuracy, and all that
    validation tells, is that of single digits, as for the other networks.
    """

    READ_EVERY = 4  # steps; then every second digit is also read alone, to see how far the network is
    accuracy = torch.zeros(())

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        model, device = self.session.model, self.images.device
        digits, labels = self.varied(batch), self.labels[batch]
        if self.session.step % self.READ_EVERY == 0:
            model.eval()
            with torch.no_grad():
                self.accuracy = (model(digits[::2]).argmax(1) == labels[::2]).float().mean()
            model.train()
        pictures, targets = [], []
        images = (255 * digits[:, 0]).byte().cpu().numpy()
        for scene in place(images, labels.cpu().numpy(), self.recipe.digits_per_scene):
            pictures.append(torch.from_numpy(scene.picture).to(device).unsqueeze(0).float() / 255)
            targets.append({name: tensor.to(device) for name, tensor in target(scene).items()})
        return sum(model.losses(pictures, targets).values()), self.accuracy


def place(images: np.ndarray, labels: np.ndarray, most: int) -> list[scenes.Scene]:
    """Scenes of one shape that hold these digits, up to `most` each."""
    rng = np.random.default_rng(int(torch.randint(2**62, ())))  # so that torch's random state decides all
    aspect = rng.choice(scenes.ASPECTS, p=scenes.SHARES)
    return [
        scenes.compose(images[part], labels[part], aspect, rng) for part in scenes.share_out(len(images), rng, most)
    ]


def target(scene: scenes.Scene) -> dict[str, Tensor]:
    """What torchvision's detectors are to find: `boxes float32[K, 4]` in pixels, and `labels int64[K]`, digits counted
    from 1, for 0 is background."""
    return {"boxes": torch.from_numpy(scene.boxes), "labels": 1 + torch.from_numpy(scene.labels)}


def task_of(network: nn.Module) -> type[Classification]:
    if isinstance(network, FasterRCNN):
        return Detection
    if isinstance(network, Transfer) and any(not p.requires_grad for p in network.parameters()):
        return FineTuning
    return Classification


def loss_and_accuracy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return loss, (logits.argmax(1) == labels).float().mean()


@torch.inference_mode()
def predict_logits(model: nn.Module, images: Tensor) -> Tensor:
    """`uint8[N, 28, 28]` to `logits float[N, 10]`, batch by batch, in evaluation mode."""
    model.eval()
    return torch.cat([model(batch).float() for batch in images.split(inference_batch(images.device))])


def inference_batch(device: torch.device) -> int:
    """How many digits to read at once. A GPU wants many; on a CPU few stay in its caches, which is up to twice as
    fast."""
    return 100 if device.type == "cpu" else 1000


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A name for the content of tensors."""
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()
