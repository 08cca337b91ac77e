"""Uploaded checkpoints, which become runs like any other.

The file comes from a stranger. Its card is checked here, once, and nothing stays of a refused file.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from atelier import checkpoint
from atelier.checkpoint import TRAINING_STATE, CheckpointError
from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.models.backbones import BackboneError
from atelier.runs.folder import Run, RunError, read_recipe
from atelier.training.setup import must_download

LARGEST_UPLOAD = 64 << 20  # bytes, as maxUploadSize in .streamlit/config.toml
LARGEST_RESULT = {"accuracy": 1.0, "macro_f1": 1.0, "loss": 1e3, "seconds": 1e8, "validation_accuracy": 1.0}


def receive(content: bytes | BinaryIO, runs: Path) -> Run:
    """Keep a checkpoint of this project, a run's best or its last, as a new run in state "done".

    Its `config.json` also says `"uploaded": true`; `recipe` is empty if this version cannot read it. Without a test
    accuracy in the model card there is no `result.json`. There is no curve, and nothing to resume.

    Args:
        content: the file; a stream is read from where it stands.
        runs: where the run's folder is made.

    Raises:
        CheckpointError: if it cannot be used or kept, with the reason; nothing is left behind.
    """
    if not isinstance(content, bytes):
        content = content.read(LARGEST_UPLOAD + 1)
    if len(content) > LARGEST_UPLOAD:
        raise CheckpointError(
            f"The file is larger than {LARGEST_UPLOAD >> 20} MB. Choose a run's best.safetensors, its smallest file."
        )
    try:
        runs = Path(runs)
        runs.mkdir(parents=True, exist_ok=True)
        # It lies in a hidden folder until it is complete, where no page finds half a run.
        with tempfile.TemporaryDirectory(dir=runs, prefix=".upload-") as folder:
            file = Path(folder) / "upload.safetensors"
            file.write_bytes(content)
            run = _new_run(Path(folder), _checked(file), checkpoint.load(file)[0])
            return Run(run.folder.rename(runs / run.id))
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk with its own type
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"The upload cannot be saved in {runs} ({reason}). Free some space there.") from None


def _checked(file: Path) -> Classifier:
    """Load the network in a file.

    Raises:
        CheckpointError: if it cannot be used.
    """
    card = checkpoint.read_card(file)
    if must_download(name := card.get("model"), card.get("config")):  # a stranger's file starts no download of 500 MB
        raise BackboneError(
            f"This checkpoint needs the ImageNet weights of {name}, which are not on this machine. Train {name} once "
            "with the backbone imagenet to download them."
        )
    classifier = Classifier.load(file, "cpu")
    if not np.isfinite(classifier.predict_proba(np.zeros((1, SIDE, SIDE), np.uint8))).all():
        raise CheckpointError(f"The weights in {file.name} give answers that are not finite. Choose another file.")
    return classifier


def _new_run(runs: Path, classifier: Classifier, tensors: dict[str, Tensor]) -> Run:
    config, result = _config(classifier), _result(classifier.card)
    card = {key: config[key] for key in ("model", "recipe", "device_name", "precision", "data", "versions")}
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_STATE)}
    run = Run.create(runs, config)
    checkpoint.save(run.path("best.safetensors"), weights, card | {"config": config["network"]} | result)
    if "accuracy" in result:
        run.write("result.json", result)
    run.set_status("done", "Uploaded.")
    return run


def _config(classifier: Classifier) -> dict[str, Any]:
    """The `config.json` of an uploaded run, from its model card."""
    card = classifier.card
    texts = {key: card.get(key) for key in ("device_name", "precision", "data")}
    versions = card.get("versions") if isinstance(card.get("versions"), dict) else {}
    try:
        recipe = read_recipe(card)
    except RunError:  # damaged, or from another version
        recipe = None
    return {
        "model": classifier.spec.name,
        "network": asdict(classifier.network.config),
        "recipe": asdict(recipe) if recipe else {},
        "device": "cpu",
        **{key: text[:80] if isinstance(text, str) else "unknown" for key, text in texts.items()},
        "versions": {name[:80]: text[:80] for name, text in versions.items() if isinstance(text, str)},
        "uploaded": True,
    }


def _result(card: dict[str, Any]) -> dict[str, float]:
    """The results in the model card that lie within their limits."""
    return {
        name: float(card[name])
        for name, largest in LARGEST_RESULT.items()
        if type(card.get(name)) in (int, float) and 0 <= card[name] <= largest
    }
