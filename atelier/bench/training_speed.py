"""How long training takes on this machine: `python -m atelier bench train`.

Two clocks:

- Seconds to 99.0%: from the data in memory to the first validation at or above 99.0% of the 5,000 validation digits,
  validations included. Our CNN and PyTorch's example (`baseline.py`) in turns, both on the same 55,000 digits, both
  validated after every epoch.
- Start to result: from the start of the process `python -m atelier train` to its end, when `result.json` is written.
  Importing PyTorch, reading the data and the test at the end count; features of frozen layers are computed again.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from atelier.bench.baseline import DigitDataset, train_baseline
from atelier.data import mnist
from atelier.devices import describe_device, pick_device
from atelier.paths import ROOT
from atelier.runs.folder import Run, RunError
from atelier.training.events import Event
from atelier.training.loop import fit
from atelier.training.setup import new_session, new_task
from atelier.training.tasks import Digits
from atelier.zoo import MODELS, Family, of_family

TARGET = 0.99
(SPRINTER, *_) = of_family(Family.CONVOLUTIONAL)
SPRINT = replace(MODELS[SPRINTER].presets["demo"], epochs=3)  # the recipe for the seconds to 99.0%
TO_TARGET, TO_RESULT = "seconds to 99.0%", "start to result"


def bench_training(networks: list[str], device: str, repeats: int, file: Path) -> pd.DataFrame:
    """Measure the demo and the full recipe of these networks; where the CNN is among them, the seconds to 99.0% first.

    Args:
        networks: names in MODELS.
        device: "auto", "cpu", "cuda" or "mps".
        repeats: how often to measure each, with the seeds 0, 1, …
        file: a CSV to which each measurement is appended as soon as it is made.

    Returns:
        one row a measurement: `what` (TO_TARGET or TO_RESULT), `network`, `preset`, `seed`, `seconds` (infinite if
        99.0% was never reached), `accuracy` in 0..1 (TO_TARGET: on validation digits, TO_RESULT: on test digits),
        `device`, `threads`, `torch` (its version), `date`.

    Raises:
        ValueError: if this machine does not have the device.
        RunError: if there is nothing to do, or a training failed.
    """
    if repeats < 1:
        raise RunError("Measure at least once: --repeats 1.")
    place = pick_device(device)
    machine = {
        "device": describe_device(place),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    races = seconds_to_target(place, repeats) if SPRINTER in networks else []
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for measured in chain(races, start_to_result(networks, place, repeats, file.parent)):
        rows.append(measured | machine | {"date": time.strftime("%Y-%m-%d %H:%M:%S")})
        pd.DataFrame(rows[-1:]).to_csv(file, mode="a", header=not file.exists(), index=False)
    return pd.DataFrame(rows)


# Seconds to 99.0% ------------------------------------------------------------------------------------------------


def seconds_to_target(device: torch.device, repeats: int) -> Iterator[dict[str, Any]]:
    """The baseline and our CNN in turns."""
    data = [mnist.load(split) for split in ("train", "val")]
    datasets = [DigitDataset(images, labels) for images, labels in data]
    tensors = [(torch.tensor(images, device=device), torch.tensor(labels, device=device)) for images, labels in data]
    for seed in range(repeats):
        yield race("baseline", "example", seed, train_baseline(*datasets, seed, device))
        yield race(SPRINTER, "sprint", seed, train_sprint(*tensors, seed, device))


def race(network: str, preset: str, seed: int, validations: Iterable[tuple[float, int, float]]) -> dict[str, Any]:
    """One measurement from `validations` as `train_baseline` yields them; it stops at the target."""
    reached = float("inf")
    for seconds, epoch, share in validations:
        accuracy = round(share, 6)
        say(f"{network}, seed {seed}: {accuracy:.2%} of the validation digits after epoch {epoch}, {seconds:.1f} s")
        if accuracy >= TARGET:
            reached = round(seconds, 3)
            break
    measured = {"what": TO_TARGET, "network": network, "preset": preset, "seed": seed}
    return measured | {"seconds": reached, "accuracy": accuracy}


def train_sprint(
    training: Digits, validation: Digits, seed: int, device: torch.device
) -> Iterator[tuple[float, int, float]]:
    """Train our CNN by the recipe SPRINT; yields what `train_baseline` yields."""
    clock = time.perf_counter()
    session = new_session(SPRINTER, replace(SPRINT, seed=seed), device)
    for event in fit(session, new_task(SPRINTER, session, training, validation)):
        if isinstance(event, Event) and event.split == "val":
            yield time.perf_counter() - clock, round(event.epoch), event.accuracy


# Start to result -------------------------------------------------------------------------------------------------


def start_to_result(networks: list[str], device: torch.device, repeats: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Every preset of each network, as a person would start it; what it writes lies in `folder` meanwhile, for the
    folder of temporary files may be memory, and features are large."""
    for network in networks:
        for preset in MODELS[network].presets:
            for seed in range(repeats):
                say(f"{network} {preset}, seed {seed}:")
                with TemporaryDirectory(dir=folder.resolve()) as place:
                    measured = whole_run(network, preset, seed, device.type, Path(place))
                yield measured


def whole_run(network: str, preset: str, seed: int, device: str, folder: Path) -> dict[str, Any]:
    """One measurement; the process shows its progress on the standard error.

    Args:
        folder: an empty one, for the run and for a cache of its own, so that no earlier run's features are found.

    Raises:
        RunError: if the training failed.
    """
    command = [sys.executable, "-m", "atelier", "train", network, "--preset", preset, "--seed", str(seed)]
    command += ["--device", device, "--runs", str(folder / "runs")]
    clock = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = round(time.perf_counter() - clock, 2)
    if done.returncode:
        raise RunError(f"Training {network} ({preset}, seed {seed}) failed; the reason stands above.")
    result = Run.open(folder / "runs", done.stdout.split()[0]).read("result.json")
    measured = {"what": TO_RESULT, "network": network, "preset": preset, "seed": seed}
    return measured | {"seconds": seconds, "accuracy": result["accuracy"]}


# What a person reads ---------------------------------------------------------------------------------------------


def table(measurements: pd.DataFrame) -> str:
    """Medians of what `bench_training` measured, and how many times as fast as the baseline the race was."""
    groups = measurements.groupby(["what", "network", "preset"], sort=False)
    medians = groups.agg(runs=("seed", "size"), seconds=("seconds", "median"), accuracy=("accuracy", "median"))
    medians = medians.reset_index()
    baseline = medians.loc[medians["network"] == "baseline", "seconds"].max()
    medians["speed"] = [
        f"{baseline / row.seconds:.1f} x baseline" if row.what == TO_TARGET else "" for row in medians.itertuples()
    ]
    return medians.to_string(index=False, formatters={"seconds": "{:.1f}".format, "accuracy": "{:.2%}".format})


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
