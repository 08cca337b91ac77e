"""The convolutions of VGG16 and AlexNet, trained before they ever see a digit.

The architectures are torchvision's `features`. Their weights come from one of three sources:

    glyphs      letters of many scripts, no digits: pretrained by this project, shipped, needs no network
    imagenet    photographs: torchvision's IMAGENET1K_V1, downloaded once into PyTorch's hub cache
    none        random: no file, the network begins with new weights

Of torchvision's files, most is the classifier for the thousand classes of ImageNet. Only the convolutions are kept, in
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
PATIENCE = 30.0  # seconds without a byte until a download is given up
PIECE = 1 << 20  # bytes that are downloaded between two looks at how far it is

_ARCHITECTURES = {
    "alexnet": (models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1),
    "vgg16": (models.vgg16, models.VGG16_Weights.IMAGENET1K_V1),
}
_fetching = threading.Lock()  # two pages that ask at once download once


class BackboneError(CheckpointError):
    """Pretrained weights that cannot be had; the message says why and what to do, in one sentence."""


def load(architecture: str, source: str) -> dict[str, Tensor]:
    """The pretrained convolutions of an architecture. From ImageNet, the first call downloads, with a progress bar on
    stderr, unless `is_here`; later calls need neither network nor torchvision's file.

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
            for done, of in fetch(architecture):
                bar.total = of
                bar.update(done - bar.n)
        return _read(_kept(architecture), architecture, source)
    raise BackboneError(f"There are no weights from {source!r} to load: choose glyphs or imagenet.")


def is_here(architecture: str) -> bool:
    """Whether "imagenet" weights load without a download."""
    return _kept(architecture).exists() or (_cache() / _original_name(architecture)).exists()


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """Sixteen hexadecimal digits that name these weights: SHA-256 over names, types, shapes and bytes, in any order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def import_imagenet(architecture: str, file: Path) -> None:
    """Keep the convolutions of torchvision's ImageNet file, wherever it came from. The file itself stays untouched and
    is not needed again.

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
        raise BackboneError(f"{file} cannot be read ({error.strerror}): bring {original} again.") from None
    # torch.hub checks what it downloads, but never what already lies in its cache: hence here, for every file.
    if not sha256.startswith(_hash_prefix(original)):
        raise BackboneError(
            f"{file} is not torchvision's {original}, or it was cut off or changed, for its SHA-256 begins with "
            f"{sha256[:8]}: delete this copy and bring or download it again."
        )
    try:
        # The hash in the name is eight digits long, which somebody patient can forge. So nothing in it may run either.
        content = torch.load(file, map_location="cpu", weights_only=True)
        tensors = {
            name.removeprefix("features."): tensor.detach().half()
            for name, tensor in content.items()
            if name.startswith("features.")
        }
    except Exception as error:  # whatever unpickling other people's bytes brings up
        raise BackboneError(f"{file} holds something else than weights: delete it, it may be harmful.") from error
    if not _fits(architecture, tensors):
        raise BackboneError(f"{file} does not hold the convolutions of {architecture}: bring {original}.")
    card = {"model": architecture, "kind": "backbone", "source": "imagenet", "original": original, "sha256": sha256}
    try:
        _cache().mkdir(parents=True, exist_ok=True)
        checkpoint.save(_kept(architecture), tensors, card)
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk with its own type
        raise BackboneError(
            f"The convolutions of {architecture} could not be written to {_cache()} ({error}): make room there, or set "
            "TORCH_HOME to another folder."
        ) from None


def fetch(architecture: str) -> Iterator[tuple[int, int]]:
    """Keep the convolutions of torchvision's ImageNet file, unless they are kept already: of the one in the hub cache,
    or else of a download. Tells after each PIECE how many bytes have arrived, and of how many.

    Raises:
        BackboneError: if the download fails, or as `import_imagenet`.
    """
    if _kept(architecture).exists():
        return
    original = _original_name(architecture)
    cached = _cache() / original
    if cached.exists():  # of another project, or brought by hand: not ours to delete, though no longer needed here
        import_imagenet(architecture, cached)
        return
    try:
        _cache().mkdir(parents=True, exist_ok=True)
        # A folder of its own goes with all that is in it, whatever happens; and half a gigabyte that nobody asked to
        # keep goes too.
        with tempfile.TemporaryDirectory(dir=_cache(), prefix="atelier-") as folder:
            file = Path(folder) / original
            yield from _download(_url(architecture), file)
            import_imagenet(architecture, file)
    except (OSError, HTTPException) as error:
        raise BackboneError(
            f"The ImageNet weights of {architecture} could not be downloaded ({getattr(error, 'reason', error)}): "
            f"choose the glyphs backbone, which needs no network, or bring {original} into {_cache()}."
        ) from error


def _download(url: str, file: Path) -> Iterator[tuple[int, int]]:
    """Tells how far it is, as `fetch`.

    Raises:
        OSError, HTTPException: if it fails, or what arrives is not what the file's name promises.
    """
    done, digest = 0, hashlib.sha256()
    request = Request(url, headers={"User-Agent": "torch.hub"})  # its server knows this one
    with urlopen(request, timeout=PATIENCE) as answer, open(file, "wb") as content:
        size = answer.length or 0
        while piece := answer.read(PIECE):
            content.write(piece)
            digest.update(piece)
            done += len(piece)
            yield done, max(done, size)
    if done < size or not digest.hexdigest().startswith(_hash_prefix(file.name)):
        raise OSError("what arrived is incomplete or not torchvision's file")


def _read(path: Path, architecture: str, source: str) -> dict[str, Tensor]:
    """The convolutions in one of our own files."""
    remedy = "copy it again from the repository" if source == "glyphs" else "delete it and load it again"
    try:
        tensors, card = checkpoint.load(path)
    except CheckpointError as error:
        reason = str(error).rstrip(".")
        raise BackboneError(f"The {source} backbone {path} cannot be used ({reason}): {remedy}.") from None
    about = (card.get("model"), card.get("kind"), card.get("source"))
    if about != (architecture, "backbone", source) or not _fits(architecture, tensors):
        raise BackboneError(f"{path} does not hold the convolutions of {architecture} from {source}: {remedy}.")
    return tensors


def _fits(architecture: str, tensors: dict[str, Tensor]) -> bool:
    """Whether these are the tensors of torchvision's `features`, in half precision."""
    build, _ = _ARCHITECTURES[architecture]
    with torch.device("meta"):  # shapes without numbers: VGG16 in full would take half a gigabyte to compare with
        expected = build(weights=None).features.half().state_dict()
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    return found == {name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()}


def _check_architecture(architecture: str) -> None:
    if architecture not in _ARCHITECTURES:
        raise BackboneError(f"There is no backbone {architecture!r}: choose {' or '.join(_ARCHITECTURES)}.")


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
