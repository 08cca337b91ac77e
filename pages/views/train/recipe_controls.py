"""The controls of a recipe, a part of the Train page's form.

Their values are in the session, so that they outlive a change of page: `recipe_…` for fields of Recipe, `vary_…` for
fields of Augmentation, `size_…` for sizes of a network.
"""

from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

import streamlit as st

from atelier.recipe import NO_AUGMENTATION, OPTIMIZERS, PRECISIONS, SCHEDULES, TRAINING_DIGITS, Augmentation, Recipe
from atelier.runs.overview import PLACES
from atelier.zoo import MODELS

TRAIN_SIZES = (100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 30_000, TRAINING_DIGITS)


class Plan(NamedTuple):
    """A training that can be started."""

    model: str
    recipe: Recipe
    sizes: dict[str, Any]  # those that differ from the network's default ones
    device: str  # one of PLACES


class Control(NamedTuple):
    """A number, or a choice if there are options."""

    label: str
    help: str
    step: float = 1
    options: tuple[str | int, ...] = ()


# Labels --------------------------------------------------------------------------------------------------------------

VARIES = "different for each network"
RECIPE = {  # by field of Recipe; augmentation has controls of its own
    "epochs": Control("Epochs", "How many times the network sees each training digit."),
    "train_size": Control(
        "Training digits", "Fewer digits train faster, but unusual handwriting is misread more. A larger batch shrinks."
    ),
    "batch_size": Control("Batch size", "How many digits the network sees before each change of its weights."),
    "optimizer": Control(
        "Optimiser", "The rule that changes the weights. Muon is made for Transformers.", options=OPTIMIZERS
    ),
    "learning_rate": Control(
        "Learning rate", "The size of the largest step. Small steps learn slowly; large steps undo progress.", 0.001
    ),
    "schedule": Control(
        "Schedule",
        "How the learning rate changes. One-cycle rises and falls, cosine only falls.",
        options=SCHEDULES,
    ),
    "weight_decay": Control("Weight decay", "How strongly each step pulls the weights towards zero.", 0.01),
    "label_smoothing": Control(
        "Label smoothing",
        "The share of certainty that training takes from the true digit, against overconfidence.",
        0.05,
    ),
    "ema_decay": Control(
        "Averaging", "Averages the weights over many steps, so results jump less. 0 switches it off.", 0.005
    ),
    "validation_size": Control("Validation digits", "How many other digits test the network after each epoch.", 100),
    "seed": Control("Seed", "The start of all random numbers. On a CPU, the same seed gives the same network."),
    "precision": Control(
        "Precision",
        "How exactly numbers are computed. 16 bits are faster on devices made for them.",
        options=PRECISIONS,
    ),
    "variations": Control("Copies of each digit", "How many varied copies of each digit the network sees."),
    "digits_per_scene": Control("Digits per scene", "The largest number of digits in a training scene."),
}
DEVICE = Control("Device", "The part of this computer that trains. A GPU is faster than the CPU.", options=PLACES)
OPTIONS = {  # of any choice; other options are shown as they are
    "sgd": "SGD",
    "adamw": "AdamW",
    "muon": "Muon",
    "one-cycle": "One-cycle",
    "cosine": "Cosine",
    "constant": "Constant",
    "auto": "Automatic",
    "32-true": "32 bits",
    "bf16-mixed": "16 bits (bfloat16)",
    "16-mixed": "16 bits (float16)",
    "cpu": "CPU",
    "cuda": "GPU (NVIDIA)",
    "mps": "GPU (Apple)",
    "glyphs": "Letters",
    "imagenet": "Photographs (ImageNet)",
    "none": "Nothing (random weights)",
}
AUGMENTATION = "Vary the training digits (augmentation)"
AUGMENTATION_HELP = "Each digit looks a little different every time, so that the network does not memorise pictures."
LIMITS = {  # by field of Augmentation
    "rotation": Control("Rotation", "The largest rotation, in degrees.", 0.05),
    "slant": Control("Slant", "The largest slant, in pixels to the side per pixel of height.", 0.05),
    "scale": Control("Scale", "The largest change of size, as a share of the size.", 0.05),
    "stretch": Control("Stretch", "The largest change of width against height, as a share.", 0.05),
    "shift": Control("Shift", "The largest shift, in pixels.", 0.05),
    "bend": Control("Bend", "How far strokes are bent, in pixels.", 0.05),
    "stroke": Control("Stroke", "The largest change of a stroke's outline, in pixels: at most 1.", 0.05),
}

state = st.session_state


# Values --------------------------------------------------------------------------------------------------------------


def fill(recipes: list[Recipe], sizes: dict[str, Any]) -> None:
    """Set every control to the value that all recipes share, and to these sizes; clear those that differ."""
    for field in fields(Recipe):
        values = {getattr(recipe, field.name) for recipe in recipes}
        state[f"recipe_{field.name}"] = values.pop() if len(values) == 1 else None
    augmentation = state.recipe_augmentation or Augmentation()
    state.vary = augmentation != NO_AUGMENTATION
    limits = asdict(augmentation if state.vary else Augmentation())
    state.update({f"vary_{name}": limit for name, limit in limits.items()})
    state.update({f"size_{size}": value for size, value in sizes.items()})


def chosen_plan(model: str, preset: Recipe, alone: bool) -> Plan:
    """A training with the values of the controls.

    Args:
        model: a name in MODELS.
        preset: for the values that the controls leave open.
        alone: whether no other network is chosen; only then do its sizes and its special fields have controls.

    Raises:
        RecipeError: for values that cannot work.
    """
    controls = {name: state[f"recipe_{name}"] for name in offered([model] if alone else [])}
    values = {name: value for name, value in controls.items() if value is not None}
    if state.recipe_augmentation is not None:  # else each network keeps its own
        limits = {name: state[f"vary_{name}"] for name in LIMITS}
        values["augmentation"] = Augmentation(**limits) if state.vary else NO_AUGMENTATION
    sizes = {size: state[f"size_{size}"] for size in MODELS[model].default_sizes} if alone else {}
    changed = {size: value for size, value in sizes.items() if value != MODELS[model].default_sizes[size]}
    return Plan(model, replace(preset, **values), changed, state.train_device)


def offered(models: list[str]) -> list[str]:
    """The fields of Recipe that have a control; special fields only for a single network that uses them."""
    special = {name for spec in MODELS.values() for name in spec.recipe_fields}
    own = MODELS[models[0]].recipe_fields if len(models) == 1 else ()
    return [name for name in RECIPE if name not in special or name in own]


def shrink_batch() -> None:
    """Make the batch smaller if it holds more than all training digits."""
    digits, batch = state.recipe_train_size, state.recipe_batch_size
    if digits and batch and batch > digits:
        state.recipe_batch_size = max(2, digits // 10)


# Controls ------------------------------------------------------------------------------------------------------------


def show(models: list[str]) -> None:
    """All controls for these networks; special fields and sizes only for a single one."""
    sizes = MODELS[models[0]].sizes if len(models) == 1 else ()
    with st.grid("auto", min_column_width=300):
        for name in offered(models):
            if name == "train_size":
                training_digits(RECIPE[name])
            else:
                widget(f"recipe_{name}", RECIPE[name])
        widget("train_device", DEVICE)
        for size in sizes:
            widget(f"size_{size.name}", Control(size.label, size.help, size.step, size.choices))
    if state.recipe_augmentation is None:
        with st.container(key="augmentation_varies"):
            st.markdown(f"{AUGMENTATION}: {VARIES}")
        return
    st.toggle(AUGMENTATION, key="vary", help=AUGMENTATION_HELP, persist_state="session")
    if state.vary:
        with st.grid("auto", min_column_width=130):
            for name, control in LIMITS.items():
                widget(f"vary_{name}", control)


def training_digits(control: Control) -> None:
    digits = sorted({*TRAIN_SIZES, state.recipe_train_size or TRAINING_DIGITS})
    st.select_slider(
        control.label,
        digits if state.recipe_train_size else [None, *digits],
        key="recipe_train_size",
        format_func=lambda size: f"{size:,}" if size else VARIES,
        help=control.help,
        on_change=shrink_batch,
        persist_state="session",
    )


def widget(key: str, control: Control) -> None:
    """A control; empty where the recipes of several chosen networks differ."""
    may_be_empty = key.startswith("recipe_") and len(state.train_networks) > 1
    common: dict[str, Any] = {"key": key, "help": control.help, "persist_state": "session"}
    if may_be_empty:
        common |= {"placeholder": VARIES}
    if control.options:
        empty = {"index": None} if may_be_empty else {}
        st.selectbox(control.label, control.options, format_func=option_label, **empty, **common)
    else:
        form = {"min_value": 0} if isinstance(control.step, int) else {"min_value": 0.0, "format": "%g"}
        empty = {"value": None} if may_be_empty else {}
        st.number_input(control.label, step=control.step, **form, **empty, **common)


def option_label(option: str | int) -> str:
    return OPTIONS.get(option, str(option))
