"""The form that asks for a training, the upper part of the Train page."""

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from atelier import MODELS, paths
from atelier.bench.estimate import estimate, load_throughput
from atelier.data.mnist import DamagedDataError
from atelier.recipe import Recipe
from atelier.runs import jobs
from atelier.runs.overview import ACTIVE, Summary, duration, signs
from pages.ui import networks, parts
from pages.views.train import recipe_controls

PRESETS = {
    "demo": "Short, and already good.",
    "full": "The recipe of the shipped weights: slow, and as good as it gets.",
}
PATIENCE = 300  # seconds for measuring this machine
DOUBLE_CLICK = 1.0  # seconds in which a second click on Start belongs to the first

state = st.session_state


class Plan(NamedTuple):
    """A training that can be started."""

    model: str
    recipe: Recipe
    network: dict[str, Any]  # what differs from the network's default config
    device: str


@dataclass
class Starting:
    """What came of pressing Start. One object a session, changed in place: after any click, Streamlit begins another
    script at once, and ends the one before at its next access to the session or to the screen. Meanwhile that one may
    be starting runs."""

    asked: bool = False  # Start has been pressed
    busy: bool = False  # runs are being started
    ended: float = -DOUBLE_CLICK  # when that was done, by the monotonic clock
    started: list[str] = field(default_factory=list)  # ids of runs that the page has not yet moved to
    refused: tuple[list[Plan], str] = ([], "")  # what could not be started, and why


# What the controls do ------------------------------------------------------------------------------------------------


def chosen() -> list[str]:
    return [model for model in MODELS if model in state.train_networks]


def fill_from_preset() -> None:
    """Set every control to what the presets of the chosen networks share."""
    state.train_preset = state.train_preset or "demo"
    recipes = [MODELS[model].presets[state.train_preset] for model in chosen() or MODELS]
    recipe_controls.fill(
        recipes, {size: value for model in chosen() for size, value in MODELS[model].default_sizes.items()}
    )


def duplicate(run: Summary) -> None:
    """Set every control to what a run was asked to do."""
    state.update(train_networks=[run.model], train_preset=None, train_recipe=True, train_device=run.place)
    recipe_controls.fill([run.recipe], run.sizes)
    state.toast = f"The form on top now holds recipe and device of {run.name}. Change what you like, then press Start."


def plans() -> list[Plan]:
    """What the form asks for.

    Raises:
        RecipeError: if that cannot work.
    """
    asked, alone, preset = [], len(chosen()) == 1, state.train_preset or "demo"
    for model in chosen():
        recipe = recipe_controls.read_recipe(model, MODELS[model].presets[preset], alone)
        network = recipe_controls.read_network(model) if alone else {}
        asked.append(Plan(model, recipe, network, state.train_device))
    return asked


def ask_to_start() -> None:
    """For the button. The second half of a double click asks for nothing."""
    starting = state.starting
    starting.asked = not starting.busy and time.monotonic() - starting.ended >= DOUBLE_CLICK


def start(plans: list[Plan], starting: Starting) -> None:
    """Start the first and queue the others. Calls nothing of Streamlit's, so that it is not ended half way."""
    starting.busy, starting.asked = True, False
    refusals = []
    try:
        for plan in plans:
            try:
                run = jobs.start(plan.model, plan.recipe, plan.network, plan.device, paths.RUNS)
            except (ValueError, DamagedDataError) as error:
                refusals.append(str(error) if len(plans) == 1 else f"{MODELS[plan.model].title}: {error}")
            except OSError as error:
                why = error.strerror or error
                refusals.append(f"The run's folder could not be made ({why}). Make room, then start again.")
            else:
                starting.started.append(run.id)
        starting.refused = plans, " ".join(refusals)
    finally:
        starting.busy, starting.ended = False, time.monotonic()


def move_to_started() -> None:
    """Look at the first run that has been started, and at the curves of the others beside it."""
    if started := state.starting.started:
        state.update(run=started[0], compare=[*state.get("compare", ()), *started[1:]])
        started.clear()


# What is shown -------------------------------------------------------------------------------------------------------


def form() -> None:
    """Asks for a training, and starts it."""
    if "train_networks" not in state:
        state.update(train_networks=[*MODELS][:1], train_preset="demo", train_device="auto", starting=Starting())
        fill_from_preset()
    move_to_started()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.pills(
            "Networks",
            list(MODELS),
            selection_mode="multi",
            key="train_networks",
            format_func=lambda model: MODELS[model].title,
            help="Choose one, or several: they learn one after another.",
            on_change=fill_from_preset,
            persist_state="session",
            wrap=True,
        )
        st.segmented_control(
            "Recipe",
            list(PRESETS),
            key="train_preset",
            format_func=str.capitalize,
            help="  \n".join(f"**{preset.capitalize()}**: {told}" for preset, told in PRESETS.items()),
            on_change=fill_from_preset,
            persist_state="session",
        )
        st.button(
            "Start",
            key="train_start",
            type="primary",
            icon=":material/play_arrow:",
            width=160,
            on_click=ask_to_start,
            disabled=state.starting.asked or state.starting.busy or not state.train_networks,
        )
        beside = st.container(gap=None, width=290)
    below = st.container()
    with st.expander("Change the recipe", key="train_recipe", icon=":material/tune:", on_change="rerun"):
        recipe_controls.show(chosen())
    with below:
        answer(beside)


def answer(beside: DeltaGenerator) -> None:
    """How long it will take, or why it cannot be; and the start, once it was asked for."""
    asked, seconds, refusal = [], [], ""
    try:
        asked = plans()
        place = place_of(state.train_device)
        throughput = throughput_of(place, chosen())
        seconds = [seconds_of(plan, throughput) for plan in asked] if throughput else []
    except ValueError as error:
        refusal = str(error)
    starting = state.starting
    if starting.asked or starting.busy or starting.started:
        with st.spinner("Checks the recipe …"):
            if starting.asked:
                start([] if refusal else asked, starting)
            while starting.busy:  # in a script that has been overtaken by this one
                time.sleep(0.1)
        st.rerun()
    refused, reason = starting.refused
    if refusal or (reason and refused == asked):
        st.error(parts.escape_markdown(refusal or reason), icon=":material/block:")
    elif asked:
        with beside:
            with st.container(key="train_estimate"):
                if seconds:
                    st.markdown(f":material/timer: {time_told(asked, seconds)}")
                else:
                    st.fragment(wait_for_speed, run_every=1)(state.train_device, chosen())
            if is_preset(asked):
                st.caption(PRESETS[state.train_preset])


def is_preset(asked: list[Plan]) -> bool:
    """Whether one network is to be trained by a preset as it is: only of that is known how good it becomes."""
    if len(asked) != 1 or not state.train_preset:
        return False
    return asked[0].recipe == MODELS[asked[0].model].presets[state.train_preset] and not asked[0].network


# How long it will take -----------------------------------------------------------------------------------------------


def time_told(plans: list[Plan], seconds: list[float]) -> str:
    each = [f"{MODELS[plan.model].title} {duration(taken)}" for plan, taken in zip(plans, seconds, strict=True)]
    return f"About **{duration(sum(seconds))}** on this machine" + (f": {', '.join(each)}" if len(each) > 1 else "")


def wait_for_speed(device: str, models: list[str]) -> None:
    """A fragment that looks again and again until it is known how fast these networks are on this machine."""
    place = place_of(device)
    if place is None:
        st.markdown(":material/timer: How long? One moment …")
    elif throughput_of(place, models):
        st.rerun()
    elif any(now in ACTIVE for now, *_ in signs(paths.RUNS).values()):
        st.markdown(":material/timer: How long it takes will be measured when no network is trained.")
    elif time.monotonic() - measuring(place) < PATIENCE:
        st.markdown(":material/timer: Measuring this machine for a minute, to say how long it will take …")
    else:
        st.markdown(":material/timer: How long it will take is not known: this machine could not be measured.")


def place_of(device: str) -> str | None:
    """The device that "auto" is on this machine. None as long as PyTorch, which knows, is not there: it is imported in
    the background, after the first screen.

    Raises:
        ValueError: if this machine does not have the device.
    """
    if not networks.load(next(iter(MODELS))).done():
        return None
    from atelier.devices import pick_device

    return pick_device(device).type


def throughput_of(place: str | None, models: list[str]) -> dict[str, Any] | None:
    """What `python -m atelier bench throughput` has measured on a device; None if it has not yet for all of these."""
    throughput = load_throughput(place) if place else None
    return throughput if throughput and throughput["networks"].keys() >= set(models) else None


def seconds_of(plan: Plan, throughput: dict[str, Any]) -> float:
    """How long a training will take. ValueError for sizes that cannot work."""
    sizes = {size: value for size, value in plan.network.items() if size != "backbone"}  # costs the same, from anywhere
    return estimate(plan.model, sizes, plan.recipe, throughput)


@st.cache_resource(show_spinner=False)
def measuring(place: str) -> float:
    """Have a device measured in the background, once. Returns when that began, by the monotonic clock."""
    jobs.measure(place)
    return time.monotonic()
