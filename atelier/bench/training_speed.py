"""How long training takes on this machine: `python -m atelier bench train`.

Two clocks:

- Seconds to 99.0%: from the data in memory to the first validation at or above 99.0% of the 5,000 validation digits,
  validations included. Our CNN and PyTorch's example (`baseline.py`) take turns on the same 55,000
  digits, and are validated after every epoch.
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
    """Measure the demo and the full recipe of these networks; with the CNN among them, also the seconds to 99.0%.

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
        RunError: if `repeats` is below 1, or a training failed.
    """
    if repeats < 1:
        raise RunError("There is nothing to measure. Choose --repeats 1 or more.")
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
    digits, validation_digits = (DigitDataset(images, labels) for images, labels in data)
    training, validation = (
        (torch.tensor(images, device=device), torch.tensor(labels, device=device)) for images, labels in data
    )
    for seed in range(repeats):
        yield race("baseline", "example", seed, train_baseline(digits, validation_digits, seed, device))
        yield race(SPRINTER, "sprint", seed, train_sprint(training, validation, seed, device))


def race(network: str, preset: str, seed: int, validations: Iterable[tuple[float, int, float]]) -> dict[str, Any]:
    """One measurement from `validations` as `train_baseline` yields them; it stops at the target."""
    reached = float("inf")
    for seconds, epoch, share in validations:
        accuracy = round(share, 6)
        log(f"{network}, seed {seed}: {accuracy:.2%} of the validation digits after epoch {epoch}, {seconds:.1f} s")
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
    """Measure every preset of each network from the command line.

    The runs lie in `folder` meanwhile: features are large, and the system's temporary folder may be in memory.
    """
    for network in networks:
        for preset in MODELS[network].presets:
            for seed in range(repeats):
                log(f"{network} {preset}, seed {seed}:")
                with TemporaryDirectory(dir=folder.resolve()) as place:
                    measured = whole_run(network, preset, seed, device.type, Path(place))
                yield measured


def whole_run(network: str, preset: str, seed: int, device: str, folder: Path) -> dict[str, Any]:
    """One measurement; the process prints its progress to standard error.

    Args:
        folder: an empty one, for the run and for its cache, which then holds no features of an earlier run.

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
        raise RunError(f"Training {network} ({preset}, seed {seed}) failed; the reason is above.")
    result = Run.open(folder / "runs", done.stdout.split()[0]).read("result.json")
    measured = {"what": TO_RESULT, "network": network, "preset": preset, "seed": seed}
    return measured | {"seconds": seconds, "accuracy": result["accuracy"]}


# Output ---------------------------------------------------------------------------------------------------------


def table(measurements: pd.DataFrame) -> str:
    """The medians of measurements of `bench_training`, and the speed-up over the baseline."""
    groups = measurements.groupby(["what", "network", "preset"], sort=False)
    medians = groups.agg(runs=("seed", "size"), seconds=("seconds", "median"), accuracy=("accuracy", "median"))
    medians = medians.reset_index()
    baseline = medians.loc[medians["network"] == "baseline", "seconds"].max()
    medians["speed"] = [
        f"{baseline / row.seconds:.1f} x baseline" if row.what == TO_TARGET else "" for row in medians.itertuples()
    ]
    return medians.to_string(index=False, formatters={"seconds": "{:.1f}".format, "accuracy": "{:.2%}".format})


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
