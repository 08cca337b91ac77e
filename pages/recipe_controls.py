"""The controls of a recipe, a part of the Train page's form. Their values lie in the session, so that they outlive a
change of page: `recipe_…` for fields of Recipe, `vary_…` of Augmentation, `size_…` for sizes of a network."""

from dataclasses import asdict, fields, replace
from typing import Any

import streamlit as st

from atelier.training.overview import NO_AUGMENTATION, SIZES
from atelier.training.recipe import (
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    TRAINING_DIGITS,
    Augmentation,
    Recipe,
)

TRAIN_SIZES = (100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 30_000, TRAINING_DIGITS)
OWN = {"variations": ("vgg16", "alexnet"), "digits_per_scene": ("faster_rcnn",)}  # fields that few networks have
CONVOLUTIONS = {"vgg16": 13, "alexnet": 5}
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
        offered = model in OWN[field.name] and alone if field.name in OWN else field.name != "augmentation"
        if offered and state[f"recipe_{field.name}"] is not None:
            asked[field.name] = state[f"recipe_{field.name}"]
    limits = {limit.name: state[f"vary_{limit.name}"] for limit in fields(Augmentation)}
    return replace(preset, **asked, augmentation=Augmentation(**limits) if state.vary else NO_AUGMENTATION)


def read_network(model: str) -> dict[str, Any]:
    """The sizes of a network that differ from its default ones."""
    return {size: state[f"size_{size}"] for size, usual in SIZES[model].items() if state[f"size_{size}"] != usual}


def shrink_batch() -> None:
    """A batch cannot hold more digits than there are."""
    digits, batch = state.recipe_train_size, state.recipe_batch_size
    if digits and batch and batch > digits:
        state.recipe_batch_size = max(2, digits // 10)


# What is shown -------------------------------------------------------------------------------------------------------


def show(models: list[str]) -> None:
    """Everything that a recipe consists of; what only one network has, if it alone is chosen."""
    several = len(models) > 1
    with st.grid("auto", min_column_width=230):
        number("epochs", "Epochs", "How often the network sees each training digit.", 1, several)
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
        number("batch_size", "Batch size", "How many digits it sees before each correction, a step.", 1, several)
        choice(
            "optimizer",
            "Optimiser",
            "The rule that makes corrections of errors. Muon is for the ViT.",
            OPTIMIZERS,
            several,
        )
        number(
            "learning_rate",
            "Learning rate",
            "How far a step corrects, at most. Too little learns slowly, too much breaks what was learnt.",
            0.001,
            several,
        )
        choice(
            "schedule",
            "Schedule",
            "How the learning rate goes: one-cycle climbs and falls, cosine only falls, constant stays.",
            SCHEDULES,
            several,
        )
        number(
            "weight_decay",
            "Weight decay",
            "How hard each step pulls the weights towards zero, so that none grows without need.",
            0.01,
            several,
        )
        number(
            "label_smoothing",
            "Label smoothing",
            "How much certainty is kept back from the true digit, so that the network does not become too sure.",
            0.05,
            several,
        )
        number(
            "averaging",
            "Averaging",
            "Each step, the weights that answer keep this share of themselves and take the rest from those that learn: "
            "a calm mean. 0 switches it off.",
            0.005,
            several,
        )
        number("validation_size", "Validation digits", "How many of 5,000 others test it each epoch.", 100, several)
        number(
            "seed", "Seed", "Decides all that is random: on a CPU, the same seed gives the same network.", 1, several
        )
        st.selectbox(
            "Device",
            ("auto", "cpu", "cuda", "mps"),
            key="recipe_device",
            help="What computes. auto takes a GPU where there is one: cuda is NVIDIA's, mps Apple's.",
            persist_state="session",
        )
        choice(
            "precision",
            "Precision",
            "How exactly it computes. bf16 and 16 are quicker where the device is made for them; auto knows.",
            PRECISIONS,
            several,
        )
        if not several:
            for model in models:
                own(model)
    augmentation()


def own(model: str) -> None:
    """What only this network has."""
    if model in CONVOLUTIONS:
        size_choice(
            "backbone",
            "Backbone",
            "Where its convolutions have learnt to see: on letters (glyphs, shipped), on photographs (imagenet, "
            "hundreds of megabytes, downloaded once), or nowhere (none: random).",
            ("glyphs", "imagenet", "none"),
        )
        size_number(
            "thawed",
            "Convolutions that learn",
            f"The last so many of its {CONVOLUTIONS[model]}; the blocks before them stay frozen, as they came.",
        )
        size_number("input_size", "Input size", "Height and width in pixels to which each digit is enlarged.")
        number("variations", "Varied copies", "How many varied copies of each digit are made and kept.", 1)
    elif model == "vit":
        size_choice("patch_size", "Patch size", "Height and width of a patch in pixels; a digit has 28.", (2, 4, 7, 14))
        size_number("depth", "Depth", "How many blocks: in each, all patches look at each other.")
        size_number("heads", "Heads", "How many ways of looking a block has. They share the width equally.")
        size_number("dim", "Width (dim)", "How many numbers describe a patch.", 4)
    elif model == "faster_rcnn":
        number("digits_per_scene", "Digits per scene", "It learns from scenes that hold 1 to so many.", 1)


def augmentation() -> None:
    """How far the digits are varied."""
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
                _number(f"vary_{name}", name.capitalize(), sentence, 0.05)


def number(field: str, label: str, told: str, step: float, several: bool = False) -> None:
    """A number of the recipe. It may be empty where there are several networks."""
    _number(f"recipe_{field}", label, told, step, **{"value": None, "placeholder": EACH_ITS_OWN} if several else {})


def size_number(size: str, label: str, told: str, step: int = 1) -> None:
    _number(f"size_{size}", label, told, step)


def _number(key: str, label: str, told: str, step: float, **more: Any) -> None:
    form = {"min_value": 0} if isinstance(step, int) else {"min_value": 0.0, "format": "%g"}
    st.number_input(label, key=key, help=told, step=step, persist_state="session", **form, **more)


def choice(field: str, label: str, told: str, options: tuple[str, ...], several: bool) -> None:
    """A word of the recipe. It may be empty where there are several networks."""
    may_be_empty = {"index": None, "placeholder": EACH_ITS_OWN} if several else {}
    st.selectbox(label, options, key=f"recipe_{field}", help=told, persist_state="session", **may_be_empty)


def size_choice(size: str, label: str, told: str, options: tuple[str | int, ...]) -> None:
    st.selectbox(label, options, key=f"size_{size}", help=told, persist_state="session")
