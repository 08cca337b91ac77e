"""Train a run from its start or last checkpoint to its result, and record it in its folder."""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from atelier import checkpoint
from atelier.checkpoint import MismatchError, halve, load_weights, weights
from atelier.classifier import predict_logits
from atelier.evaluation.metrics import classification_metrics
from atelier.explain.snapshots import Observer
from atelier.models import backbones
from atelier.runs import snapshots
from atelier.runs.folder import REQUESTS, Run, RunError, read_recipe
from atelier.runs.worker import StopRequested, check_request, requested
from atelier.training.events import Event, Preparation
from atelier.training.loop import confusion, fit
from atelier.training.session import Session
from atelier.training.setup import describe_environment, must_download, new_task, to_device
from atelier.training.tasks import Digits
from atelier.zoo import MODELS

SAVE_EVERY = 20.0  # seconds: a killed process loses little more than this
SNAPSHOT_EVERY = 2.0  # seconds


def train(config: dict[str, Any], run: Run | None, writes: bool = True) -> Iterator[Event | Preparation]:
    """Train by a config (see `new_config`), from the last checkpoint of `run` to the end.

    Args:
        config: the run's `config.json`.
        run: its folder; None where there is nothing to resume and nothing to write.
        writes: whether this process keeps the folder; of the processes of a `torchrun` launch only the first does.

    Yields:
        Preparations while a backbone is downloaded, the events of `fit`, and one of split "test" at the end.

    Raises:
        RunError: if the config is damaged.
        StopRequested: if a person wants the run to pause or to stop, after its state has been saved.
        DivergedError, MemoryError, OSError, BackboneError: with the reason.
    """
    recipe = read_recipe(config)
    if must_download(config.get("model"), config.get("network")) and os.environ.get("LOCAL_RANK", "0") == "0":
        yield from _download(config["model"], run if writes else None)
    environment = describe_environment(recipe, config["device"])
    config = config | {key: environment[key] for key in ("device_name", "versions")}
    processes, here = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=config["device"],
        devices=here,
        num_nodes=processes // here,
        precision=config["precision"],
        # The first process may wait for the device before it joins the others.
        strategy=DDPStrategy(timeout=timedelta(days=7)) if processes > 1 else "auto",
    )
    fabric.launch()
    torch.manual_seed(recipe.seed)
    try:
        network = _build(config)
        if "fingerprint" in config["network"]:  # of a backbone that was not here when the config was written
            config["network"] = config["network"] | {"fingerprint": network.config.fingerprint}
        session = Session(network, recipe, fabric)
        training, validation = (
            to_device("train", fabric.device),
            to_device("val", fabric.device, recipe.validation_size),
        )
        yield from record(session, config, run, writes, training, validation)
        if run and writes:
            yield _test(session, run)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(
            f"The device has too little memory. Start again with a batch size of {max(2, recipe.batch_size // 2)} "
            f"instead of {recipe.batch_size}, or less; or with a smaller network, or fewer varied copies."
        ) from None
    if processes > 1:  # they end together: one that ends while others still communicate would take them down
        fabric.barrier()
        torch.distributed.destroy_process_group()


def record(
    session: Session, config: dict[str, Any], run: Run | None, writes: bool, training: Digits, validation: Digits
) -> Iterator[Event | Preparation]:
    """Record the events of `fit` in the run's folder, with weights and snapshots; continue from its checkpoint.

    Raises:
        StopRequested: if a person wants the run to pause or to stop, after its state has been saved.
    """
    spec = MODELS.get(config["model"])
    observer = Observer(session.answering, spec.family) if spec else None  # before the weights are restored
    best = _restore(session, config, run) if run is not None and run.path("last.safetensors").is_file() else 0.0
    card = {key: config[key] for key in ("model", "recipe", "device_name", "precision", "data", "versions")}
    card["config"] = config["network"]
    folder = run if writes else None  # in the one process that writes

    def save() -> None:
        if folder:
            progress = session.counters() | {"best": best}
            checkpoint.save(folder.path("last.safetensors"), session.tensors(), card | {"progress": progress})

    def snapshot() -> None:
        if folder and observer:
            snapshots.write(folder, observer.take(session.step))

    last_save = last_snapshot = time.monotonic()
    if folder:
        folder.write("config.json", config)
        snapshot()
    for event in fit(session, new_task(config["model"], session, training, validation)):
        if folder and isinstance(event, Preparation):
            _report(folder, event)
        elif folder and isinstance(event, Event):
            folder.append({name: value for name, value in asdict(event).items() if value is not None})
            if event.split == "val" and event.accuracy >= best:
                best = event.accuracy
                result = {"validation_accuracy": best, "seconds": event.seconds}
                checkpoint.save(folder.path("best.safetensors"), halve(weights(session.answering)), card | result)
            if event.split == "val" or time.monotonic() - last_snapshot > SNAPSHOT_EVERY:
                snapshot()
                last_snapshot = time.monotonic()
            if event.split == "val" or time.monotonic() - last_save > SAVE_EVERY:
                save()
                last_save = time.monotonic()
        yield event
        request = session.fabric.broadcast(requested(folder) if folder else "")  # all processes stop together
        if request in REQUESTS:
            if isinstance(event, Event):
                save()
            raise StopRequested(request)


def _download(architecture: str, run: Run | None) -> Iterator[Preparation]:
    """Download a backbone; yield the progress, and write it into the status of `run`.

    Raises:
        BackboneError: if the download fails.
        StopRequested: if a person wants the run to pause or to stop; nothing of the download is kept.
    """
    for done, of in backbones.fetch(architecture):
        event = Preparation("Downloads the ImageNet weights", round(done / 2**20), round(of / 2**20), "MB")
        if run is not None:
            _report(run, event)
            check_request(run)
        yield event


def _report(run: Run, event: Preparation) -> None:
    """Write a preparation into the run's status; remove it when it is complete."""
    if event.done < event.of:
        run.set_status("running", str(event), event.done / event.of)
    else:
        run.set_status("running")


def _restore(session: Session, config: dict[str, Any], run: Run) -> float:
    """Restore a session from the run's last checkpoint.

    Returns:
        the validation accuracy of its best checkpoint; 0 if that file is missing.

    Raises:
        CheckpointError: if its last checkpoint is damaged.
        RunError: if that is of another network or recipe.
    """
    tensors, last = checkpoint.load(run.path("last.safetensors"))
    try:
        if (last["recipe"], last["config"]) != (config["recipe"], config["network"]):
            raise ValueError
        session.restore(tensors, last["progress"])
        return last["progress"]["best"] if run.path("best.safetensors").is_file() else 0.0
    except (KeyError, IndexError, TypeError, ValueError, MismatchError):
        raise RunError("last.safetensors does not fit the run's config.json. Start a new run.") from None


def _test(session: Session, run: Run) -> Event:
    """Measure the best weights on the test digits, once; write the result into the run and the model card."""
    tensors, card = checkpoint.load(run.path("best.safetensors"))
    load_weights(session.network, tensors)
    images, labels = to_device("test", session.fabric.device)
    started = time.perf_counter()
    with session.fabric.autocast():
        logits = predict_logits(session.network, images).float()
    probabilities = logits.softmax(dim=1).cpu().numpy()
    speed = len(images) / (time.perf_counter() - started)
    result = classification_metrics(probabilities, labels.cpu().numpy())
    result |= {"seconds": round(session.seconds, 2), "validation_accuracy": card["validation_accuracy"]}
    checkpoint.save(run.path("best.safetensors"), tensors, card | result)
    run.write("result.json", result)
    event = Event(
        split="test",
        step=session.step,
        epoch=session.recipe.epochs,
        seconds=session.seconds,
        loss=result["loss"],
        accuracy=result["accuracy"],
        learning_rate=0.0,
        images_per_second=speed,
        confusion=confusion(logits, labels),
    )
    run.append(asdict(event))
    return event


def _build(config: dict[str, Any]) -> nn.Module:
    try:
        return MODELS[config["model"]].build(config["network"])
    except (KeyError, TypeError):
        raise RunError("The run's config.json is damaged. Start a new run.") from None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the memory is used up; PyTorch has an error type for this on NVIDIA's GPUs only."""
    messages = ("out of memory", "can't allocate memory")  # of Apple's GPUs, and of CPUs
    return isinstance(error, torch.OutOfMemoryError) or any(message in str(error) for message in messages)
