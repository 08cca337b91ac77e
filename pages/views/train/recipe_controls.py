"""The controls of a recipe, a part of the Train page's form. Their values lie in the session, so that they outlive a
change of page: `recipe_…` for fields of Recipe, `vary_…` of Augmentation, `size_…` for sizes of a network."""

from dataclasses import asdict, fields, replace
from typing import Any

import streamlit as st

from atelier.recipe import NO_AUGMENTATION, OPTIMIZERS, PRECISIONS, SCHEDULES, TRAINING_DIGITS, Augmentation, Recipe
from atelier.runs.overview import PLACES
from atelier.zoo import MODELS

TRAIN_SIZES = (100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 30_000, TRAINING_DIGITS)
OWN = {field for spec in MODELS.values() for field in spec.recipe_fields}  # fields that few networks use
OWN_FIELDS = {  # label and help of fields of Recipe that only some networks use
    "variations": ("Varied copies", "How many varied copies of each digit are made and kept."),
    "digits_per_scene": ("Digits per scene", "Training scenes hold one digit to this many."),
}
EACH_ITS_OWN = "each its own"  # where several networks are chosen whose recipes differ

state = st.session_state


# Into the controls and out of them -----------------------------------------------------------------------------------


def fill(recipes: list[Recipe], sizes: dict[str, Any]) -> None:
    """Set every control to what the recipes share, and to these sizes; empty what differs."""
    for field in fields(Recipe):
        values = {getattr(recipe, field.name) for recipe in recipes}
        state[f"recipe_{field.name}"] = values.pop() if len(values) == 1 else None
    augmentation = state.recipe_augmentation or Augmentation()
    state.vary = augmentation != NO_AUGMENTATION
    limits = asdict(augmentation if state.vary else Augmentation())
    state.update({f"vary_{name}": limit for name, limit in limits.items()})
    state.update({f"size_{size}": value for size, value in sizes.items()})


def read_recipe(model: str, preset: Recipe, alone: bool) -> Recipe:
    """A network's preset with what the controls say; `alone` if it is the only one that is chosen.

    Raises:
        RecipeError: if that cannot work.
    """
    asked = {}
    for field in fields(Recipe):
        offered = (
            field.name in MODELS[model].recipe_fields and alone if field.name in OWN else field.name != "augmentation"
        )
        if offered and state[f"recipe_{field.name}"] is not None:
            asked[field.name] = state[f"recipe_{field.name}"]
    if state.recipe_augmentation is not None:  # else each network keeps its own
        limits = {limit.name: state[f"vary_{limit.name}"] for limit in fields(Augmentation)}
        asked["augmentation"] = Augmentation(**limits) if state.vary else NO_AUGMENTATION
    return replace(preset, **asked)


def read_network(model: str) -> dict[str, Any]:
    """The sizes of a network that differ from its default ones."""
    sizes = MODELS[model].default_sizes
    return {size: state[f"size_{size}"] for size, default in sizes.items() if state[f"size_{size}"] != default}


def shrink_batch() -> None:
    """A batch cannot hold more digits than there are."""
    digits, batch = state.recipe_train_size, state.recipe_batch_size
    if digits and batch and batch > digits:
        state.recipe_batch_size = max(2, digits // 10)


# What is shown -------------------------------------------------------------------------------------------------------


def show(models: list[str]) -> None:
    """Everything that a recipe consists of; what only one network has, if it alone is chosen."""
    with st.grid("auto", min_column_width=230):
        number("recipe_epochs", "Epochs", "How often the network sees each training digit.")
        digits = sorted({*TRAIN_SIZES, state.recipe_train_size or TRAINING_DIGITS})
        st.select_slider(
            "Training digits",
            digits if state.recipe_train_size else [None, *digits],
            key="recipe_train_size",
            format_func=lambda size: f"{size:,}" if size else EACH_ITS_OWN,
            help="How many of the 55,000 it learns from. With fewer it is quicker, and lost with unusual hands. A "
            "batch that would be larger shrinks.",
            on_change=shrink_batch,
            persist_state="session",
        )
        number("recipe_batch_size", "Batch size", "How many digits it sees before each correction, a step.")
        choice(
            "recipe_optimizer",
            "Optimiser",
            "The rule that makes corrections of errors. Muon is for the ViT.",
            OPTIMIZERS,
        )
        number(
            "recipe_learning_rate",
            "Learning rate",
            "How far a step corrects, at most. Too little learns slowly, too much breaks what was learnt.",
            0.001,
        )
        choice(
            "recipe_schedule",
            "Schedule",
            "How the learning rate goes: one-cycle climbs and falls, cosine only falls, constant stays.",
            SCHEDULES,
        )
        number(
            "recipe_weight_decay",
            "Weight decay",
            "How hard each step pulls the weights towards zero, so that none grows without need.",
            0.01,
        )
        number(
            "recipe_label_smoothing",
            "Label smoothing",
            "How much certainty is kept back from the true digit, so that the network does not become too sure.",
            0.05,
        )
        number(
            "recipe_ema_decay",
            "Averaging",
            "Each step, the weights that answer keep this share of themselves and take the rest from those that learn: "
            "a calm mean. 0 switches it off.",
            0.005,
        )
        number("recipe_validation_size", "Validation digits", "How many of 5,000 others test it each epoch.", 100)
        number("recipe_seed", "Seed", "Decides all that is random: on a CPU, the same seed gives the same network.")
        choice(
            "recipe_precision",
            "Precision",
            "How exactly it computes. bf16 and 16 are quicker where the device is made for them; auto knows.",
            PRECISIONS,
        )
        choice(
            "train_device",
            "Device",
            "What computes. auto takes a GPU where there is one: cuda is NVIDIA's, mps Apple's.",
            PLACES,
        )
        if len(models) == 1:
            own(models[0])
    augmentation()


def own(model: str) -> None:
    """What only this network has."""
    for size in MODELS[model].sizes:
        if size.choices:
            choice(f"size_{size.name}", size.label, size.help, size.choices)
        else:
            number(f"size_{size.name}", size.label, size.help, size.step)
    for field in MODELS[model].recipe_fields:
        number(f"recipe_{field}", *OWN_FIELDS[field])


def augmentation() -> None:
    """How far the digits are varied."""
    if state.recipe_augmentation is None:
        st.markdown(f"How far the training digits are varied (augmentation): {EACH_ITS_OWN}")
        return
    st.toggle(
        "Vary the training digits (augmentation)",
        key="vary",
        help="Shows each digit a little different every time, so that the network learns digits and not pictures.",
        persist_state="session",
    )
    told = {
        "rotation": "Degrees by which a digit is turned, at most.",
        "slant": "Pixels to the side per pixel of height, at most.",
        "scale": "Share by which it grows or shrinks, at most.",
        "stretch": "Share by which it becomes wider or taller, at most.",
        "shift": "Pixels by which it is moved, at most.",
        "bend": "Pixels by which its strokes are bent, typically.",
        "stroke": "Pixels by which its strokes become thicker or thinner, at most 1.",
    }
    if state.vary:
        with st.grid("auto", min_column_width=130):
            for name, sentence in told.items():
                number(f"vary_{name}", name.capitalize(), sentence, 0.05)


def number(key: str, label: str, told: str, step: float = 1) -> None:
    form = {"min_value": 0} if isinstance(step, int) else {"min_value": 0.0, "format": "%g"}
    if may_be_empty(key):
        form |= {"value": None, "placeholder": EACH_ITS_OWN}
    st.number_input(label, key=key, help=told, step=step, persist_state="session", **form)


def choice(key: str, label: str, told: str, options: tuple[str | int, ...]) -> None:
    form = {"index": None, "placeholder": EACH_ITS_OWN} if may_be_empty(key) else {}
    st.selectbox(label, options, key=key, help=told, persist_state="session", **form)


def may_be_empty(key: str) -> bool:
    """Where there are several networks, a field of their recipes may differ."""
    return key.startswith("recipe_") and len(state.train_networks) > 1
