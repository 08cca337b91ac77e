"""The form that starts a training, the upper part of the Train page."""

import time
from dataclasses import dataclass, field

import streamlit as st

from atelier import MODELS, paths
from atelier.data.mnist import DamagedDataError
from atelier.runs import jobs
from atelier.runs.overview import Summary
from pages.ui import parts
from pages.views.train import recipe_controls, time_estimate
from pages.views.train.recipe_controls import Plan

DOUBLE_CLICK = 1.0  # seconds after a start in which another click on Start is ignored

# Labels
PRESETS = {"demo": "Demo", "full": "Full"}  # a preset of another name is shown by its name
PROMISES = {
    "demo": "Quick version, good results",
    "full": "The recipe of the ready-made networks: slow, best results",
}

state = st.session_state


@dataclass
class Starting:
    """The starts of a session.

    It is one object, changed in place: each click makes Streamlit begin another script at once, and end the previous
    one at its next access to the session or the screen. That one may be starting runs meanwhile.
    """

    requested: bool = False  # Start has been pressed
    busy: bool = False  # runs are being started
    ended: float = -DOUBLE_CLICK  # when the last start ended, by the monotonic clock
    started: list[str] = field(default_factory=list)  # ids of runs that the page has not yet moved to
    refused: tuple[list[Plan], str] = ([], "")  # plans that could not be started, and why


# Actions -------------------------------------------------------------------------------------------------------------


def chosen_networks() -> list[str]:
    return [model for model in MODELS if model in state.train_networks]


def presets() -> list[str]:
    """The presets that all chosen networks have."""
    specs = [MODELS[model] for model in chosen_networks() or MODELS]
    return [preset for preset in specs[0].presets if all(preset in spec.presets for spec in specs)]


def fill_from_preset() -> None:
    """Set every control to the value that the presets of the chosen networks share."""
    if state.train_preset not in presets():
        state.train_preset = presets()[0]
    specs = [MODELS[model] for model in chosen_networks()]
    recipes = [spec.presets[state.train_preset] for spec in specs or MODELS.values()]
    recipe_controls.fill(recipes, {size: value for spec in specs for size, value in spec.default_sizes.items()})


def duplicate(run: Summary) -> None:
    """Set every control to the settings of a run."""
    state.update(train_networks=[run.model], train_preset=None, train_recipe=True, train_device=run.place)
    recipe_controls.fill([run.recipe], run.sizes)
    state.toast = f"The form now has the recipe of {run.name}. Change it, then press Start."


def chosen_plans() -> list[Plan]:
    """The trainings that the form describes.

    Raises:
        RecipeError: for settings that cannot work.
    """
    models, preset = chosen_networks(), state.train_preset or presets()[0]
    return [
        recipe_controls.chosen_plan(model, MODELS[model].presets[preset], alone=len(models) == 1) for model in models
    ]


def request_start() -> None:
    """For the button. The second half of a double click is ignored."""
    starting = state.starting
    starting.requested = not starting.busy and time.monotonic() - starting.ended >= DOUBLE_CLICK


def start(plans: list[Plan], starting: Starting) -> None:
    """Start the first training and queue the others.

    It calls no function of Streamlit, so that Streamlit cannot end it half way.
    """
    starting.busy, starting.requested = True, False
    refusals = []
    try:
        for plan in plans:
            try:
                run = jobs.start(plan.model, plan.recipe, plan.sizes, plan.device, paths.RUNS)
            except (ValueError, DamagedDataError) as error:
                refusals.append(str(error) if len(plans) == 1 else f"{MODELS[plan.model].title}: {error}")
            except OSError as error:
                reason = error.strerror or error
                refusals.append(f"The run's folder could not be made ({reason}). Free some space and start again.")
            else:
                starting.started.append(run.id)
        starting.refused = plans, " ".join(refusals)
    finally:
        starting.busy, starting.ended = False, time.monotonic()


def move_to_started() -> None:
    """Show the first started run, with the curves of the others."""
    if started := state.starting.started:
        state.update(run=started[0], compare=[*state.get("compare", ()), *started[1:]])
        started.clear()


# The form ------------------------------------------------------------------------------------------------------------


def form() -> None:
    """The form: networks, preset, Start, the estimated time, and the recipe behind an expander."""
    if "train_networks" not in state:
        state.update(train_networks=[*MODELS][:1], train_preset=None, train_device="auto", starting=Starting())
        fill_from_preset()
    move_to_started()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        choices()
        beside = st.container(gap=None, width=290)
    below = st.container()
    with st.expander("Change the recipe", key="train_recipe", icon=":material/tune:", on_change="rerun"):
        recipe_controls.show(chosen_networks())
    plans, seconds, refusal = [], None, ""
    with below:
        try:
            plans = chosen_plans()
            seconds = time_estimate.seconds(plans, state.train_device)
        except ValueError as error:
            plans, refusal = [], str(error)
        start_if_requested(plans)
        refused, reason = state.starting.refused
        if not refusal and plans == refused:
            refusal = reason
        if refusal:
            with st.container(key="train_refusal"):
                st.error(parts.escape_markdown(refusal), icon=":material/block:")
    if plans and not refusal:
        with beside:
            time_estimate.show(plans, seconds, state.train_device)
            if is_preset(plans):
                st.container(key="train_promise").caption(PROMISES.get(state.train_preset, ""))


def choices() -> None:
    """The networks, the preset and the Start button."""
    st.pills(
        "Networks",
        list(MODELS),
        selection_mode="multi",
        key="train_networks",
        format_func=lambda model: MODELS[model].title,
        help="Choose one or more. Several networks train one after another.",
        on_change=fill_from_preset,
        persist_state="session",
        wrap=True,
    )
    st.segmented_control(
        "Recipe",
        presets(),
        key="train_preset",
        format_func=preset_label,
        help="  \n".join(f"**{preset_label(preset)}**: {promise}" for preset, promise in PROMISES.items()),
        on_change=fill_from_preset,
        persist_state="session",
    )
    st.button(
        "Start",
        key="train_start",
        type="primary",
        icon=":material/play_arrow:",
        width=160,
        on_click=request_start,
        disabled=state.starting.requested or state.starting.busy or not state.train_networks,
    )


def start_if_requested(plans: list[Plan]) -> None:
    """Start the trainings if the button was pressed, and rerun the page when they are started."""
    starting = state.starting
    if not (starting.requested or starting.busy or starting.started):
        return
    with st.spinner("Checking the recipe …"):
        if starting.requested:
            start(plans, starting)
        while starting.busy:  # in a script that this one has replaced
            time.sleep(0.1)
    st.rerun()


def preset_label(preset: str) -> str:
    return PRESETS.get(preset, preset.capitalize())


def is_preset(plans: list[Plan]) -> bool:
    """Whether the form describes one network with an unchanged preset: only then is the result known."""
    if len(plans) != 1 or not state.train_preset:
        return False
    (plan,) = plans
    return plan.recipe == MODELS[plan.model].presets[state.train_preset] and not plan.sizes
