"""Which training digits a network finds most like a given one.

The last layer of a network only weighs what lies before it: its last features, a few hundred numbers a digit. Digits
with similar features are the same to the network, whatever their pixels say.

Features of 5,000 training digits take a network seconds, so those of the shipped weights are in
`checkpoints/neighbours`, written by `python -m atelier.explain.neighbours`. They are kept short: principal component
analysis (PCA; Pearson 1901, "On lines and planes of closest fit to systems of points in space") turns the features so
that the first few numbers tell most, and each is rounded to a whole number of steps. The same command says how much
farther than the true ones the neighbours are that are found so: on average 0.4% (Faster R-CNN) to 3% (VGG16).
"""

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from weakref import WeakKeyDictionary
from zipfile import BadZipFile

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
DAMAGED = (ValueError, KeyError, EOFError, BadZipFile, zlib.error)  # what reading a damaged file raises
EVERY = 11  # of the 55,000 training digits: 5,000 are compared
DIMENSIONS = 48  # numbers kept of a digit's features,
LARGEST = 64  # of which the largest becomes this many steps; all dimensions have the same step, as distances need it


def compared() -> tuple[np.ndarray, np.ndarray]:
    """The training digits that neighbours are searched among: images `uint8[5000, 28, 28]`, labels `int64[5000]`.

    Raises:
        DamagedDataError: if MNIST's files are not there.
    """
    images, labels = mnist.load("train")
    return images[::EVERY], labels[::EVERY]


def features(
    classifier: Classifier, digits: np.ndarray, progress: Callable[[float], None] = lambda share: None
) -> np.ndarray:
    """What the network's last layer is given: of the Vision Transformer the class token after its norm, of Faster
    R-CNN what its box head makes of the proposal that answers.

    Args:
        digits: `uint8[N, 28, 28]`.
        progress: is told how much is done, from 0 to 1.

    Returns:
        `float32[N, D]`; D depends on the network.
    """
    network = hookable_copy(classifier.network)
    extract = _detector_features if classifier.spec.family is Family.DETECTOR else _last_layer_features
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
    return inputs[0]


def _detector_features(network: nn.Module, digits: Tensor) -> Tensor:
    """The box head's features of the proposal that gives the answer, `float[N, D]`."""
    inputs: list[Tensor] = []
    with network.detector.roi_heads.box_predictor.register_forward_pre_hook(lambda _, args: inputs.append(args[0])):
        stages = network.forward_stages(network.enlarge(digits))
    features = inputs[0].unflatten(0, stages.proposed.shape)  # (N, R, D)
    return features[torch.arange(len(features)), network.answering_proposal(stages)]


@dataclass(frozen=True)
class Neighbours:
    """Where the compared training digits lie for one set of weights. Made by `find`."""

    points: np.ndarray  # int8[5000, K], in steps of `scale`
    scale: np.ndarray  # float32[]
    mean: np.ndarray  # float32[D], of the features
    components: np.ndarray  # float16[K, D]: their principal components
    spread: np.ndarray  # float32[K]: the share of all differences between digits that lies along each
    fingerprint: np.ndarray  # str: of the weights

    @classmethod
    def compute(cls, classifier: Classifier, progress: Callable[[float], None] = lambda share: None) -> "Neighbours":
        """Takes seconds; `progress` is told how much is done, from 0 to 1."""
        from sklearn.decomposition import PCA  # half a second that who only looks at kept neighbours does not need

        seen = features(classifier, compared()[0], progress)
        pca = PCA(min(DIMENSIONS, *seen.shape), random_state=0).fit(seen)
        components, mean = pca.components_.astype(np.float16), pca.mean_.astype(np.float32)
        exact = (seen - mean) @ components.T.astype(np.float32)
        scale = np.float32(np.abs(exact).max() / LARGEST)
        points = np.asfortranarray((exact / scale).round(), np.int8)  # component by component: zips smaller
        spread = pca.explained_variance_ratio_.astype(np.float32)
        return cls(points, scale, mean, components, spread, np.array(name_of(classifier)))

    @classmethod
    def load(cls, path: Path) -> "Neighbours":
        """What `save` has written.

        Raises:
            OSError: if there is no such file.
            ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error: if it is damaged.
        """
        with np.load(path, allow_pickle=False) as content:
            return cls(**{field.name: content[field.name] for field in fields(cls)})

    def save(self, path: Path) -> None:
        """Readers find the old file or the new one, never half of one.

        Raises:
            OSError: if it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as unfinished:
            np.savez_compressed(unfinished, **{field.name: getattr(self, field.name) for field in fields(self)})

    def nearest(
        self, classifier: Classifier, digit: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The compared digits nearest to a digit `uint8[28, 28]`: their indices in `compared` `int64[count]`, nearest
        first, how far they are from it by the numbers kept, `float32[count]`, and where the digit itself falls,
        `float32[K]`. The classifier is the one they were computed for.
        """
        (seen,) = features(classifier, digit[None])
        place = self.components.astype(np.float32) @ (seen - self.mean)
        apart = np.linalg.norm(self.points * self.scale - place, axis=1)
        near = np.argsort(apart, kind="stable")[:count]
        return near, apart[near], place

    def map_2d(self) -> np.ndarray:
        """All compared digits along the first two principal components: `float32[5000, 2]`."""
        return self.points[:, :2] * self.scale


def find(classifier: Classifier, progress: Callable[[float], None] = lambda share: None) -> Neighbours:
    """The neighbours for a network's weights: those shipped, else those kept in the user's cache folder, else computed,
    which takes seconds, and kept there. Not to be changed: whoever asks again is given the same."""
    if classifier not in _known:
        _known[classifier] = _find(classifier, progress)
    return _known[classifier]


_known: WeakKeyDictionary[Classifier, Neighbours] = WeakKeyDictionary()


def _find(classifier: Classifier, progress: Callable[[float], None]) -> Neighbours:
    name = name_of(classifier)
    kept = user_cache_path("deep-learning-atelier") / "neighbours" / f"{name}.npz"
    for path in (SHIPPED / f"{classifier.spec.name}.npz", kept):
        with contextlib.suppress(OSError, *DAMAGED):  # not there, or damaged
            found = Neighbours.load(path)
            if str(found.fingerprint) == name:
                return found
    found = Neighbours.compute(classifier, progress)
    with contextlib.suppress(OSError):  # a full disk: next time they are computed again
        found.save(kept)
    return found


def name_of(classifier: Classifier) -> str:
    """32 hexadecimal digits that name a network's weights."""
    return content_hash(classifier.network.state_dict().values())[:32]


def farther(found: Neighbours, classifier: Classifier, digits: np.ndarray, count: int) -> float:
    """What keeping them short costs: by which share the neighbours found are farther from digits `uint8[N, 28, 28]`
    than the true ones, in the features as they were."""
    seen, close, true = features(classifier, compared()[0]), [], []
    for digit, here in zip(digits, features(classifier, digits), strict=True):
        apart = np.linalg.norm(seen - here, axis=1)
        close.append(apart[found.nearest(classifier, digit, count)[0]])
        true.append(np.sort(apart)[:count])
    return float(np.mean(close) / np.mean(true) - 1)


def write_shipped() -> None:
    """Compute and write the neighbours of the shipped weights. To be done again whenever these change."""
    digits = mnist.load("val")[0][::25]
    for name in MODELS:
        path, classifier = SHIPPED / f"{name}.npz", Classifier.load(name)
        found = Neighbours.compute(classifier)
        found.save(path)
        more = farther(found, classifier, digits, 6)
        print(f"{path}: {path.stat().st_size:,} bytes; the six nearest are {more:.1%} farther than the true six.")


if __name__ == "__main__":
    write_shipped()
