"""One run from its start, or from where it was interrupted, to its result."""

import contextlib
import os
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn

from atelier import checkpoint
from atelier.data import mnist
from atelier.devices import pick_device, pick_precision
from atelier.evaluation.metrics import classification_metrics
from atelier.models import backbones
from atelier.recipe import Recipe, RecipeError
from atelier.runs.folder import REQUESTS, Run, RunError, read_recipe
from atelier.runs.watch import Watch
from atelier.runs.worker import Asked, obey, requested
from atelier.training.events import Event, Preparation
from atelier.training.loop import MisfitError, Session, confusion, fit, load_weights, new_optimizers, weights
from atelier.training.tasks import Detection, Digits, FineTuning, predict_logits, task_of
from atelier.zoo import MODELS

SAVE_EVERY = 20.0  # seconds: little more work than this is lost when the process is killed
LARGEST_FEATURES = 8 << 30  # bytes of memory for what frozen layers make of all digits
WATCH_EVERY = 2.0  # seconds
CPUINFO = Path("/proc/cpuinfo")  # only Linux has it


def new_config(model: str, recipe: Recipe, device: str, network: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `config.json` of a new run says; `device` is resolved to one that this machine has, and what `network` does
    not name of the network's config is as it is by default.

    Raises:
        ValueError: if this machine does not have the device, or the network cannot be built or trained so.
        CheckpointError: if the backbone it builds on is damaged or missing; `train` downloads one that can be.
    """
    network = network or {}
    later = {"backbone": network["backbone"]} if must_download(model, network) else {}
    try:
        built = MODELS[model].build(network | dict.fromkeys(later, "none"))
    except TypeError:
        raise RecipeError(f"{MODELS[model].title} cannot be changed in {', '.join(network)}.") from None
    now = circumstances(recipe, device)
    check(built, recipe, now["precision"])
    return {"model": model, "network": asdict(built.config) | later, "data": mnist.fingerprint()} | now


def must_download(model: object, network: object) -> bool:
    """Whether a network of this config builds on weights that are not here yet."""
    match model, network:
        case "vgg16" | "alexnet", {"backbone": "imagenet"}:
            return not backbones.is_here(model)
    return False


def check(network: nn.Module, recipe: Recipe, precision: str) -> None:
    """Refuse what cannot work before it starts.

    Raises:
        RecipeError: with the reason.
    """
    new_optimizers(network, recipe)
    task = task_of(network)
    if task is Detection and precision != "32-true":
        raise RecipeError("Faster R-CNN computes its boxes in full precision: choose 32-true.")
    if task is FineTuning:
        if recipe.averaging:
            raise RecipeError("Averaging is for networks that are trained as a whole: set it to 0.")
        with torch.no_grad():
            values = network.see(torch.zeros(1, 28, 28, dtype=torch.uint8)).numel()
        copies = min(recipe.epochs, recipe.variations) * recipe.train_size + recipe.validation_size
        if (size := 2 * values * copies) > LARGEST_FEATURES:  # two bytes each
            raise RecipeError(
                f"What the frozen layers make of the digits would take {size >> 30} GB of memory: choose fewer varied "
                "copies or training digits, a smaller input, or fewer convolutions that learn."
            )


def circumstances(recipe: Recipe, device: str) -> dict[str, Any]:
    """What a run's config says of the recipe, the device and the versions.

    Raises:
        ValueError: if this machine does not have the device.
    """
    place = pick_device(device)
    return {
        "recipe": asdict(recipe),
        "device": place.type,
        "device_name": {"cuda": torch.cuda.get_device_name, "mps": lambda: "Apple GPU", "cpu": _cores}[place.type](),
        "precision": pick_precision(recipe.precision, place),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "lightning-fabric")},
    }


def _cores() -> str:
    """As "2 CPU cores (AMD EPYC 7763)": others compute at another pace."""
    count = torch.get_num_threads()
    return f"{count} CPU core{'s' if count > 1 else ''} ({_processor()})"


def _processor() -> str:
    """The CPU's model; where the system does not tell it, at least its kind, such as "arm64"."""
    told = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        if model := re.search(r"^model name\s*:(.+)$", CPUINFO.read_text(), re.MULTILINE):
            told = model[1]
    return " ".join(re.sub(r"\((R|TM)\)", " ", told, flags=re.IGNORECASE).split())


def train(config: dict[str, Any], run: Run | None, writes: bool = True) -> Iterator[Event | Preparation]:
    """Train as `config` says (see `new_config`), from where `run` stands to its end.

    Args:
        config: the run's `config.json`.
        run: its folder; None where there is nothing to resume and nothing to write.
        writes: whether this process keeps the folder; of the processes of a `torchrun` launch only the first does.

    Yields:
        Preparations while a backbone is downloaded, the events of `fit`, and one of split "test" at the end.

    Raises:
        RunError: if the config is damaged.
        Asked: if a person has asked the run to pause or to stop, after its state has been saved.
        DivergedError, MemoryError, OSError, BackboneError: with a sentence.
    """
    recipe = read_recipe(config)
    if must_download(config.get("model"), config.get("network")) and os.environ.get("LOCAL_RANK", "0") == "0":
        yield from _download(config["model"], run if writes else None)
    now = circumstances(recipe, config["device"])
    config = config | {"device_name": now["device_name"], "versions": now["versions"]}
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
        data = _on(fabric.device, "train"), _on(fabric.device, "val", recipe.validation_size)
        yield from follow(session, config, run, writes, *data)
        if writes:
            yield _test(session, run)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(
            f"The device has too little memory. Start again with a batch size of {max(2, recipe.batch_size // 2)} "
            f"instead of {recipe.batch_size}, or less; or with a smaller network, or fewer varied copies."
        ) from None
    if processes > 1:  # all leave together: one that is gone while others still talk to it would take them along
        fabric.barrier()
        torch.distributed.destroy_process_group()


def follow(
    session: Session, config: dict[str, Any], run: Run | None, writes: bool, training: Digits, validation: Digits
) -> Iterator[Event | Preparation]:
    """The events of `fit`, written into the run's folder with the weights; continues where the folder stands.

    Raises:
        Asked: if a person has asked the run to pause or to stop, after its state has been saved.
    """
    watch = Watch(session.answering) if config["model"] in MODELS else None  # sees where weights start from
    best = _restore(session, config, run) if run is not None and run.path("last.safetensors").is_file() else 0.0
    card = {key: config[key] for key in ("model", "recipe", "device_name", "precision", "data", "versions")}
    card["config"] = config["network"]

    def save() -> None:
        progress = session.counters() | {"best": best}
        checkpoint.save(run.path("last.safetensors"), session.tensors(), card | {"progress": progress})

    saved = watched = time.monotonic()
    if writes:
        run.write("config.json", config)
        if watch:
            watch.look(run, session.step)
    for event in fit(session, training, validation):
        if writes and isinstance(event, Preparation):
            _tell(run, event)
        elif writes:
            run.append({name: value for name, value in asdict(event).items() if value is not None})
            if event.split == "val" and event.accuracy >= best:
                best = event.accuracy
                result = {"validation_accuracy": best, "seconds": event.seconds}
                checkpoint.save(run.path("best.safetensors"), halved(weights(session.answering)), card | result)
            if watch and (event.split == "val" or time.monotonic() - watched > WATCH_EVERY):
                watch.look(run, session.step)
                watched = time.monotonic()
            if event.split == "val" or time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        yield event
        request = session.fabric.broadcast(requested(run) if writes else "")  # all processes leave together
        if request in REQUESTS:
            if writes and isinstance(event, Event):
                save()
            raise Asked(request)


def _download(architecture: str, run: Run | None) -> Iterator[Preparation]:
    """Fetch a backbone, and tell how far that is; `run` is told, too, and may have been asked to pause or to stop.

    Raises:
        BackboneError: if it cannot be had.
        Asked: if a person has asked for it; nothing of the download is kept.
    """
    for done, of in backbones.fetch(architecture):
        event = Preparation("Downloads the ImageNet weights", round(done / 2**20), round(of / 2**20), "MB")
        if run is not None:
            _tell(run, event)
            obey(run)
        yield event


def _tell(run: Run, event: Preparation) -> None:
    """Say in a run's status what it prepares, until that is done."""
    if event.done < event.of:
        run.set_status("running", str(event), event.done / event.of)
    else:
        run.set_status("running")


def _restore(session: Session, config: dict[str, Any], run: Run) -> float:
    """Continue where a run's folder stands.

    Returns:
        the validation accuracy of its best checkpoint; 0 if that is gone.

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
    except (KeyError, IndexError, TypeError, ValueError, MisfitError):
        raise RunError("last.safetensors does not fit the run's config.json; start a new run.") from None


def _test(session: Session, run: Run) -> Event:
    """Touch the test digits, once, with the weights that validated best; write what they do into run and card."""
    tensors, card = checkpoint.load(run.path("best.safetensors"))
    load_weights(session.network, tensors)
    images, labels = _on(session.fabric.device, "test")
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
        raise RunError("The run's config.json is damaged; start a new run.") from None


def is_out_of_memory(error: RuntimeError) -> bool:
    """PyTorch has a type of its own for this on NVIDIA's GPUs alone."""
    told = ("out of memory", "can't allocate memory")  # of Apple's GPUs, and of CPUs
    return isinstance(error, torch.OutOfMemoryError) or any(sentence in str(error) for sentence in told)


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision: half the file, and the same answers."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _on(device: torch.device, split: str, count: int | None = None) -> Digits:
    images, labels = (part[:count] for part in mnist.load(split))
    return torch.tensor(images, device=device), torch.tensor(labels, device=device)
