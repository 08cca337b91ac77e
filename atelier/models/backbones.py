"""Pretrained weights for the convolutions of VGG16 and AlexNet.

The architectures are torchvision's `features`. Their weights come from one of three sources:

    glyphs      letters of many scripts, no digits: pretrained by this project, and shipped with it
    imagenet    photographs: torchvision's IMAGENET1K_V1, downloaded once into PyTorch's hub cache
    none        random weights, without a file

Most of torchvision's files is the classifier for the thousand classes of ImageNet. Only the convolutions are kept, in
half precision: 29 of 528 MB for VGG16, 5 of 233 MB for AlexNet.
"""

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError
from torch import Tensor
from torchvision import models
from tqdm import tqdm

from atelier import checkpoint
from atelier.checkpoint import CheckpointError
from atelier.paths import CHECKPOINTS

BACKBONES = CHECKPOINTS / "backbones"
PATIENCE = 30.0  # seconds without a byte after which a download fails
PIECE = 1 << 20  # bytes between two reports of a download's progress

_ARCHITECTURES = {
    "alexnet": (models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1),
    "vgg16": (models.vgg16, models.VGG16_Weights.IMAGENET1K_V1),
}
_fetching = threading.Lock()  # two threads that load at the same time download once


class BackboneError(CheckpointError):
    """Pretrained weights that cannot be loaded; the message gives the reason and what to do."""


def load(architecture: str, source: str) -> dict[str, Tensor]:
    """Load the pretrained convolutions of an architecture.

    The first call for "imagenet" downloads them with a progress bar on stderr, unless `is_here`; later calls need
    neither an internet connection nor torchvision's file.

    Args:
        architecture: "vgg16" or "alexnet".
        source: "glyphs" or "imagenet"; random weights have no file.

    Returns:
        Every tensor of torchvision's `features` by its name there ("0.weight", "0.bias", "2.weight", …), float16, on
        the CPU.

    Raises:
        BackboneError: for another architecture or source, a failed download, or a missing, damaged or wrong file.
    """
    _check_architecture(architecture)
    if source == "glyphs":
        return _read(BACKBONES / f"{architecture}.safetensors", architecture, source)
    if source == "imagenet":
        with _fetching, tqdm(unit="B", unit_scale=True, disable=is_here(architecture)) as bar:
            for done, size in fetch(architecture):
                bar.total = size
                bar.update(done - bar.n)
        return _read(_kept(architecture), architecture, source)
    raise BackboneError(f"There are no weights from {source!r}. Choose glyphs or imagenet.")


def is_here(architecture: str) -> bool:
    """Whether "imagenet" weights load without a download."""
    return _kept(architecture).exists() or (_cache() / _original_name(architecture)).exists()


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names, types, shapes and bytes, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def import_imagenet(architecture: str, file: Path) -> None:
    """Keep the convolutions of a copy of torchvision's ImageNet file; the copy is not needed afterwards.

    Args:
        architecture: "vgg16" or "alexnet".
        file: a copy of torchvision's .pth, under any name.

    Raises:
        BackboneError: if it cannot be read, is not torchvision's, or its convolutions cannot be written.
    """
    _check_architecture(architecture)
    file, original = Path(file), _original_name(architecture)
    try:
        with open(file, "rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise BackboneError(f"{file} cannot be read ({error.strerror}). Copy {original} again.") from None
    # torch.hub checks its downloads, but not files that are already in its cache. This check covers every file.
    if not sha256.startswith(_hash_prefix(original)):
        raise BackboneError(f"{file} is not torchvision's {original}, or is damaged. Delete it and copy it again.")
    try:
        # The hash in the name has only eight digits and can be forged, so no code in the file may run.
        content = torch.load(file, map_location="cpu", weights_only=True)
        tensors = {
            name.removeprefix("features."): tensor.detach().half()
            for name, tensor in content.items()
            if name.startswith("features.")
        }
    except Exception as error:  # foreign bytes can raise any error
        raise BackboneError(f"{file} contains more than weights and may be harmful. Delete it.") from error
    if not _fits(architecture, tensors):
        raise BackboneError(f"{file} does not contain the convolutions of {architecture}. Copy {original}.")
    card = {"model": architecture, "kind": "backbone", "source": "imagenet", "original": original, "sha256": sha256}
    try:
        _cache().mkdir(parents=True, exist_ok=True)
        checkpoint.save(_kept(architecture), tensors, card)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk with its own type
        raise BackboneError(
            f"The convolutions of {architecture} could not be written to {_cache()} ({error}). Free some space, or set "
            "TORCH_HOME to another folder."
        ) from None


def fetch(architecture: str) -> Iterator[tuple[int, int]]:
    """Keep the convolutions of torchvision's ImageNet file from the hub cache, or else from a download.

    Yields:
        during a download, after each PIECE, the number of bytes so far and in all.

    Raises:
        BackboneError: if the download fails, or as `import_imagenet`.
    """
    if _kept(architecture).exists():
        return
    original = _original_name(architecture)
    cached = _cache() / original
    if cached.exists():  # it may belong to another project, so it is not deleted afterwards
        import_imagenet(architecture, cached)
        return
    try:
        _cache().mkdir(parents=True, exist_ok=True)
        # The download, up to half a gigabyte, is deleted with its folder in any case.
        with tempfile.TemporaryDirectory(dir=_cache(), prefix="atelier-") as folder:
            file = Path(folder) / original
            yield from _download(_url(architecture), file)
            import_imagenet(architecture, file)
    except (OSError, HTTPException) as error:
        raise BackboneError(
            f"The ImageNet weights of {architecture} could not be downloaded ({getattr(error, 'reason', error)}). "
            f"Choose the glyphs backbone, which needs no download, or copy {original} into {_cache()}."
        ) from error


def _download(url: str, file: Path) -> Iterator[tuple[int, int]]:
    """Download a file; yields as `fetch`.

    Raises:
        OSError, HTTPException: if it fails, or the content does not match the hash in the file's name.
    """
    done, digest = 0, hashlib.sha256()
    request = Request(url, headers={"User-Agent": "torch.hub"})  # PyTorch's server accepts this one
    with urlopen(request, timeout=PATIENCE) as answer, open(file, "wb") as content:
        size = answer.length or 0
        while piece := answer.read(PIECE):
            content.write(piece)
            digest.update(piece)
            done += len(piece)
            yield done, max(done, size)
    if not digest.hexdigest().startswith(_hash_prefix(file.name)):
        raise OSError("the download is incomplete or not torchvision's file")


def _read(path: Path, architecture: str, source: str) -> dict[str, Tensor]:
    """The convolutions in one of our own files."""
    remedy = "Copy it again from the repository." if source == "glyphs" else "Delete it and load it again."
    try:
        tensors, card = checkpoint.load(path)
    except CheckpointError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        raise BackboneError(f"The {source} backbone {path} cannot be used: {reason}. {remedy}") from None
    about = (card.get("model"), card.get("kind"), card.get("source"))
    if about != (architecture, "backbone", source) or not _fits(architecture, tensors):
        raise BackboneError(f"{path} does not contain the convolutions of {architecture} from {source}. {remedy}")
    return tensors


def _fits(architecture: str, tensors: dict[str, Tensor]) -> bool:
    """Whether these are the tensors of torchvision's `features`, in half precision."""
    build, _ = _ARCHITECTURES[architecture]
    with torch.device("meta"):  # shapes without numbers: VGG16 in full would take half a gigabyte
        expected = build(weights=None).features.half().state_dict()
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    return shapes == {name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()}


def _check_architecture(architecture: str) -> None:
    if architecture not in _ARCHITECTURES:
        raise BackboneError(f"There is no backbone {architecture!r}. Choose {' or '.join(_ARCHITECTURES)}.")


def _url(architecture: str) -> str:
    return _ARCHITECTURES[architecture][1].url


def _original_name(architecture: str) -> str:
    return _url(architecture).rsplit("/", 1)[-1]


def _hash_prefix(original: str) -> str:
    """torchvision's file names end in the first digits of their SHA-256: 397923af of vgg16-397923af.pth."""
    return Path(original).stem.rsplit("-", 1)[-1]


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _kept(architecture: str) -> Path:
    return _cache() / f"atelier-{architecture}-imagenet.safetensors"
