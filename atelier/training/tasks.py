"""How a network learns from a batch; each family of networks has its task, and all share one loop.

A task has three methods: `start_epoch()` prepares an epoch and yields its progress, `loss(batch)` is the forward
pass over the digits with these indices, and `validation_logits()` classifies the validation digits.
"""

from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.checkpoint import content_hash
from atelier.classifier import inference_batch, predict_logits
from atelier.data import scenes
from atelier.data.augment import augment
from atelier.models.inputs import to_unit_range
from atelier.training.events import Preparation
from atelier.training.feature_cache import FeatureCache, content_key
from atelier.training.session import Session
from atelier.zoo import Family

CHUNK = 2_500  # digits whose features are computed and cached together
VERSION = 1  # of the cached features: raise it when augmentation or `extract_features` changes
Digits = tuple[Tensor, Tensor]  # images uint8[N, 28, 28], labels int64[N]


class Classification:
    """Digits in, ten logits out, cross-entropy: the default task."""

    def __init__(self, session: Session, training: Digits, validation: Digits):
        self.session, self.recipe = session, session.recipe
        self.images, self.labels = training
        self.validation = validation

    def start_epoch(self, epoch: int) -> Iterable[Preparation]:
        return ()

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the accuracy on the training digits with these indices `int64[B]`."""
        logits = self.session.model(self.augment(self.images[batch]))
        return loss_and_accuracy(logits, self.labels[batch], self.recipe.label_smoothing)

    def augment(self, images: Tensor) -> Tensor:
        """Augment digits `uint8[B, 28, 28]` at random: `float[B, 1, 28, 28]` in [0, 1]."""
        digits = augment(to_unit_range(images), self.recipe.augmentation)
        return digits.contiguous(memory_format=torch.channels_last)

    def validation_logits(self) -> Tensor:
        """`float[N, 10]`, of the network that is saved."""
        with self.session.fabric.autocast():
            return predict_logits(self.session.answering, self.validation[0])


class FineTuning(Classification):
    """Classification with frozen layers, whose features are computed once and kept in memory and on disk.

    Each training digit has `recipe.variations` augmented copies; each epoch uses the next one.
    """

    def __init__(self, session: Session, training: Digits, validation: Digits, cache: FeatureCache | None = None):
        super().__init__(session, training, validation)
        self.cache, self.chunk = cache or FeatureCache(), CHUNK
        self.frozen = content_hash(session.network.frozen())
        self.copies: dict[int, Tensor] = {}  # features float16[N, C, H, W] by the copy's number
        self.validation_features: Tensor | None = None

    def start_epoch(self, epoch: int) -> Iterator[Preparation]:
        """Compute the features of the epoch's copy, unless they are already in memory."""
        number = epoch % self.recipe.variations
        if self.validation_features is None:
            self.validation_features = yield from self.extract(self.validation[0], None)
        if number not in self.copies:
            self.copies[number] = yield from self.extract(self.images[: self.recipe.train_size], number)
        self.features = self.copies[number]

    def extract(self, images: Tensor, number: int | None) -> Generator[Preparation, None, Tensor]:
        """Features `float16[N, C, H, W]` of the augmented copy `number`; None: of the digits themselves."""
        chunks, done = [], 0
        for index, chunk in enumerate(images.split(self.chunk)):  # each is cached: a killed run loses one at most
            key = content_key(
                version=VERSION,
                frozen=self.frozen,
                input_size=self.session.network.config.input_size,
                precision=self.session.fabric.strategy.precision.precision,
                device=images.device.type,
                digits=content_hash([chunk]),
                augmentation=None if number is None else self.recipe.augmentation,
                seed=(self.recipe.seed, number, index),
            )
            features = self.cache.get(key)
            if features is None:
                features = self.extract_chunk(chunk, number, index)
                self.cache.put(key, features)
            chunks.append(features.to(images.device))
            done += len(chunk)
            yield Preparation("Computes frozen features", done, len(images), "digits")
        return torch.cat(chunks)

    @torch.no_grad()
    def extract_chunk(self, chunk: Tensor, number: int | None, index: int) -> Tensor:
        device, features = chunk.device, []
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(1_000_000 * self.recipe.seed + 1_000 * (number or 0) + index)  # the same after a resume
            for images in chunk.split(inference_batch(device)):
                digits = images if number is None else self.augment(images)
                with self.session.fabric.autocast():
                    features.append(self.session.model.extract_features(digits).half())
        return torch.cat(features)

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        with self.session.fabric.autocast():
            logits = self.session.model.classify(self.features[batch].float())
        return loss_and_accuracy(logits.float(), self.labels[batch], self.recipe.label_smoothing)

    def validation_logits(self) -> Tensor:
        network, features = self.session.answering.eval(), self.validation_features
        with torch.inference_mode(), self.session.fabric.autocast():
            parts = features.split(inference_batch(features.device))
            return torch.cat([network.classify(part.float()).float() for part in parts])


class Detection(Classification):
    """Digits are placed in scenes, and the network learns to find them there.

    The training loss is the sum of the detector's four, without label smoothing. Training accuracy and validation use
    single digits, as for the other networks.
    """

    ACCURACY_EVERY = 4  # steps between measurements of the training accuracy, on every second digit of the batch
    accuracy = torch.zeros(())

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        model, device = self.session.model, self.images.device
        digits, labels = self.augment(self.images[batch]), self.labels[batch]
        if self.session.step % self.ACCURACY_EVERY == 0:
            model.eval()
            with torch.no_grad():
                self.accuracy = (model(digits[::2]).argmax(1) == labels[::2]).float().mean()
            model.train()
        pictures, targets = [], []
        images = (255 * digits[:, 0]).byte().cpu().numpy()
        for scene in compose_scenes(images, labels.cpu().numpy(), self.recipe.digits_per_scene):
            pictures.append(to_unit_range(torch.from_numpy(scene.picture).to(device)[None])[0])
            targets.append({name: tensor.to(device) for name, tensor in target(scene).items()})
        loss_dict = model.losses(pictures, targets)
        return sum(loss_dict.values()), self.accuracy


TASKS: dict[Family | None, type[Classification]] = {Family.DETECTOR: Detection, Family.FINE_TUNED: FineTuning}


def task_type(family: Family | None, network: Any) -> type[Classification]:
    """The task of a network of this family; a fine-tuned one without frozen layers is trained like any other."""
    task = TASKS.get(family, Classification)
    return Classification if task is FineTuning and not network.frozen() else task


def compose_scenes(images: np.ndarray, labels: np.ndarray, most: int) -> list[scenes.Scene]:
    """Scenes of one shape with these digits, at most `most` in each."""
    rng = np.random.default_rng(int(torch.randint(2**62, ())))  # torch's random state decides everything
    aspect = rng.choice(scenes.ASPECTS, p=scenes.SHARES)
    return [
        scenes.compose(images[part], labels[part], aspect, rng) for part in scenes.share_out(len(images), rng, most)
    ]


def target(scene: scenes.Scene) -> dict[str, Tensor]:
    """The scene's digits for torchvision's detectors: `boxes float32[K, 4]` in pixels, `labels int64[K]`.

    Labels count from 1, because 0 is the background.
    """
    return {"boxes": torch.from_numpy(scene.boxes), "labels": 1 + torch.from_numpy(scene.labels)}


def loss_and_accuracy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy in nats, and the share of correct predictions."""
    loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return loss, (logits.argmax(1) == labels).float().mean()
