"""Nearest neighbours: the training digits that a network finds most similar to a digit.

The features of a digit are the input of the network's last layer, a few hundred numbers. Digits with similar features
are similar to the network, whatever their pixels are.

The features of 5,000 training digits take seconds to compute. For the shipped weights they are stored in
`checkpoints/neighbours`, written by `python -m atelier.explain.neighbours`. Principal component analysis (PCA; Pearson
1901, "On lines and planes of closest fit to systems of points in space") compresses them to a few components, and each
value is rounded. The command prints the cost: the neighbours are on average 0.4% (Faster R-CNN) to 3% (VGG16) farther
away than the exact ones.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

from atelier import files
from atelier.checkpoint import content_hash
from atelier.classifier import Classifier, inference_batch
from atelier.data import mnist
from atelier.explain.hooks import hookable_copy
from atelier.paths import CHECKPOINTS
from atelier.zoo import MODELS, Family

SHIPPED = CHECKPOINTS / "neighbours"
EVERY = 11  # every 11th of the 55,000 training digits is a reference digit: 5,000
DIMENSIONS = 48  # principal components of the features
LARGEST = 64  # the largest value after rounding; all components have the same scale, as distances require

Progress = Callable[[float], None]  # takes the share that is done, from 0 to 1


def reference_digits() -> tuple[np.ndarray, np.ndarray]:
    """The training digits among which neighbours are searched: images `uint8[5000, 28, 28]`, labels `int64[5000]`.

    Raises:
        DamagedDataError: if MNIST's files are missing.
    """
    images, labels = mnist.load("train")
    return images[::EVERY], labels[::EVERY]


def extract_features(classifier: Classifier, digits: np.ndarray, progress: Progress = lambda share: None) -> np.ndarray:
    """Compute the input of the network's last layer, by the family's function in EXTRACTORS.

    Args:
        digits: `uint8[N, 28, 28]`.

    Returns:
        `float32[N, D]`; D depends on the network.
    """
    network = hookable_copy(classifier.network)
    extract = EXTRACTORS.get(classifier.spec.family, _last_layer_features)
    parts, batch = [], inference_batch(classifier.device)
    with torch.inference_mode():
        for start in range(0, len(digits), batch):
            parts.append(extract(network, torch.tensor(digits[start : start + batch], device=classifier.device)))
            progress(min(1.0, (start + batch) / len(digits)))
    return torch.cat(parts).float().cpu().numpy()


def _last_layer_features(network: nn.Module, digits: Tensor) -> Tensor:
    """The input of the last fully connected layer, `float[N, D]`."""
    inputs: list[Tensor] = []
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with last.register_forward_pre_hook(lambda _, args: inputs.append(args[0])):
        network(digits)
    return inputs[0].flatten(1)


def _detector_features(network: nn.Module, digits: Tensor) -> Tensor:
    """The box head's features of the proposal that answers, `float[N, D]`."""
    inputs: list[Tensor] = []
    with network.detector.roi_heads.box_predictor.register_forward_pre_hook(lambda _, args: inputs.append(args[0])):
        stages = network.forward_stages(network.enlarge(digits))
    features = inputs[0].unflatten(0, stages.proposed.shape)  # (N, R, D)
    return features[torch.arange(len(features)), network.answering_proposal(stages)]


EXTRACTORS: dict[Family | None, Callable[[nn.Module, Tensor], Tensor]] = {Family.DETECTOR: _detector_features}


@dataclass(frozen=True)
class NeighbourIndex:
    """Compressed features of the reference digits for one set of weights, see `get_index`."""

    points: np.ndarray  # int8[5000, K], in units of `scale`
    scale: np.ndarray  # float32[]
    mean: np.ndarray  # float32[D], of the features
    components: np.ndarray  # float16[K, D], principal components of the features
    spread: np.ndarray  # float32[K], the share of the variance along each component
    fingerprint: np.ndarray  # str, of the weights

    @classmethod
    def compute(cls, classifier: Classifier, progress: Progress = lambda share: None) -> "NeighbourIndex":
        """Compute the features of the reference digits, which takes seconds, and compress them."""
        from sklearn.decomposition import PCA  # here, because the import takes half a second

        features = extract_features(classifier, reference_digits()[0], progress)
        pca = PCA(min(DIMENSIONS, *features.shape), random_state=0).fit(features)
        components, mean = pca.components_.astype(np.float16), pca.mean_.astype(np.float32)
        exact = (features - mean) @ components.T.astype(np.float32)
        scale = np.array(np.abs(exact).max() / LARGEST or 1.0, np.float32)
        points = np.asfortranarray((exact / scale).round(), np.int8)  # component by component: the file is smaller
        spread = pca.explained_variance_ratio_.astype(np.float32)
        return cls(points, scale, mean, components, spread, np.array(weights_hash(classifier)))

    @classmethod
    def load(cls, path: Path) -> "NeighbourIndex | None":
        """Load a file of `save`; None if it is missing or damaged."""
        arrays = files.read_npz(path)
        return cls(**arrays) if arrays.keys() == {field.name for field in fields(cls)} else None

    def save(self, path: Path) -> None:
        """Write a file; a reader never sees a part of it.

        Raises:
            OSError: if it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_npz(path, {field.name: getattr(self, field.name) for field in fields(self)})

    def nearest(
        self, classifier: Classifier, digit: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the reference digits that are nearest to a digit `uint8[28, 28]`.

        Args:
            classifier: the one that the index was computed for.

        Returns:
            indices in `reference_digits` `int64[count]`, nearest first; their distances `float32[count]`; the digit's
            own point `float32[K]`.
        """
        (features,) = extract_features(classifier, digit[None])
        point = self.components.astype(np.float32) @ (features - self.mean)
        distances = np.linalg.norm(self.points * self.scale - point, axis=1)
        nearest = np.argsort(distances, kind="stable")[:count]
        return nearest, distances[nearest], point

    def map_2d(self) -> np.ndarray:
        """The reference digits along the first two principal components: `float32[5000, 2]`."""
        return self.points[:, :2] * self.scale


def get_index(classifier: Classifier, progress: Progress = lambda share: None) -> NeighbourIndex:
    """The index for a network's weights: shipped, else from the user's cache folder, else computed and cached there.

    All callers share the result: do not change it.
    """
    if classifier not in _indices:
        _indices[classifier] = _load_or_compute(classifier, progress)
    return _indices[classifier]


_indices: WeakKeyDictionary[Classifier, NeighbourIndex] = WeakKeyDictionary()


def _load_or_compute(classifier: Classifier, progress: Progress) -> NeighbourIndex:
    fingerprint = weights_hash(classifier)
    cached = user_cache_path("deep-learning-atelier") / "neighbours" / f"{fingerprint}.npz"
    for path in (SHIPPED / f"{classifier.spec.name}.npz", cached):
        index = NeighbourIndex.load(path)
        if index and str(index.fingerprint) == fingerprint:
            return index
    index = NeighbourIndex.compute(classifier, progress)
    with contextlib.suppress(OSError):  # a full disk: it is computed again next time
        index.save(cached)
    return index


def weights_hash(classifier: Classifier) -> str:
    """32 hexadecimal digits that identify a network's weights."""
    return content_hash(classifier.network.state_dict().values())[:32]


def excess_distance(index: NeighbourIndex, classifier: Classifier, digits: np.ndarray, count: int) -> float:
    """The share by which the neighbours of digits `uint8[N, 28, 28]` are farther away than the exact ones.

    It is the cost of compression. Distances are those of the uncompressed features.
    """
    reference = extract_features(classifier, reference_digits()[0])
    approximate, exact = [], []
    for digit, features in zip(digits, extract_features(classifier, digits), strict=True):
        distances = np.linalg.norm(reference - features, axis=1)
        approximate.append(distances[index.nearest(classifier, digit, count)[0]])
        exact.append(np.sort(distances)[:count])
    return float(np.mean(approximate) / np.mean(exact) - 1)


def write_shipped() -> None:
    """Compute and write the indices of the shipped weights; needed after each change of these."""
    digits = mnist.load("val")[0][::25]
    for name in MODELS:
        path, classifier = SHIPPED / f"{name}.npz", Classifier.load(name)
        index = NeighbourIndex.compute(classifier)
        index.save(path)
        excess = excess_distance(index, classifier, digits, 6)
        print(f"{path}: {path.stat().st_size:,} bytes; the six neighbours are {excess:.1%} farther than the exact six.")


if __name__ == "__main__":
    write_shipped()
