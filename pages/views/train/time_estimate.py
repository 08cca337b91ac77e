"""How long a training will take, beside the Start button of the Train page."""

import time
from typing import Any

import streamlit as st

from atelier import MODELS, paths
from atelier.bench.estimate import estimate, load_throughput
from atelier.runs import jobs
from atelier.runs.overview import ACTIVE, duration, signs
from pages.ui import networks
from pages.views.train.recipe_controls import Plan

PATIENCE = 300  # seconds for measuring this computer
LABELS = {  # why there is no estimate yet
    "loading": "Estimating the time …",
    "busy": "The time is estimated when no network trains.",
    "measuring": "Measuring this computer for a minute …",
    "unknown": "This computer could not be measured, so the time is unknown.",
}


def seconds(plans: list[Plan], device: str) -> list[float] | None:
    """The estimated seconds of each training; None if this device has not been measured yet.

    Raises:
        ValueError: for sizes that cannot work, or a device that this computer does not have.
    """
    throughput = measured_throughput(device_type(device), [plan.model for plan in plans])
    return throughput and [estimate(plan.model, plan.sizes, plan.recipe, throughput) for plan in plans]


def show(plans: list[Plan], seconds: list[float] | None, device: str) -> None:
    """The estimate, or why there is none yet."""
    models = [plan.model for plan in plans]
    with st.container(key="train_estimate"):
        if seconds:
            each = ", ".join(f"{MODELS[model].title} {duration(s)}" for model, s in zip(models, seconds, strict=True))
            total = f"About **{duration(sum(seconds))}** on this computer"
            st.markdown(f":material/timer: {total}{f': {each}' if len(plans) > 1 else ''}")
        else:
            st.fragment(wait_for_measurement, run_every=1)(device, models)


def wait_for_measurement(device: str, models: list[str]) -> None:
    """A fragment that reruns the page as soon as the speed of these networks is known."""
    reason = missing(device, models)
    if reason is None:
        st.rerun()
    with st.container(key=f"train_estimate_{reason}"):
        st.markdown(f":material/timer: {LABELS[reason]}")


def missing(device: str, models: list[str]) -> str | None:
    """Why there is no estimate, one of LABELS; None if there is one. Starts a measurement if nothing trains."""
    place = device_type(device)
    if place is None:
        return "loading"
    if measured_throughput(place, models):
        return None
    if any(state in ACTIVE for state, *_ in signs(paths.RUNS).values()):
        return "busy"
    return "measuring" if time.monotonic() - start_measuring(place) < PATIENCE else "unknown"


def device_type(device: str) -> str | None:
    """The type of a device, "auto" resolved; None until PyTorch has been imported in the background.

    Raises:
        ValueError: if this computer does not have the device.
    """
    if not networks.load(next(iter(MODELS))).done():
        return None
    from atelier.devices import pick_device

    return pick_device(device).type


def measured_throughput(place: str | None, models: list[str]) -> dict[str, Any] | None:
    """The measured speed of a device, see `bench.estimate`; None if one of these networks is missing in it."""
    throughput = load_throughput(place) if place else None
    return throughput if throughput and throughput["networks"].keys() >= set(models) else None


@st.cache_resource(show_spinner=False)
def start_measuring(place: str) -> float:
    """Measure a device in the background, once. Returns the start by the monotonic clock."""
    jobs.measure(place)
    return time.monotonic()
