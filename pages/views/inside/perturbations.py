"""Look inside, all networks: perturbations, chosen with sliders or searched for."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.figures import plotting
from pages.ui import cards, networks, parts
from pages.ui.live import live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.perturbations import Flip

SLIDERS = {  # label, range, step, format
    "right": ("Shift right (pixels)", -14.0, 14.0, 1.0, "%.0f"),
    "down": ("Shift down (pixels)", -14.0, 14.0, 1.0, "%.0f"),
    "rotation": ("Rotation (degrees clockwise)", -180.0, 180.0, 5.0, "%.0f"),
    "thickness": ("Thickness (pixels on each side)", -4.0, 4.0, 0.25, "%.2f"),
    "noise": ("Noise (share of full brightness)", 0.0, 1.0, 0.05, "%.2f"),
}

state = st.session_state


def show(digit: np.ndarray) -> None:
    """The part, for a digit `uint8[28, 28]`."""
    sliders(digit)
    searches(digit)


# With sliders --------------------------------------------------------------------------------------------------------


@st.fragment(parallel=True)
def sliders(digit: np.ndarray) -> None:
    """The digit as the visitor changes it, and the answers to it."""
    from atelier.explain.perturbations import perturb

    parts.heading("What changes the answer?", "Move a slider. All networks answer again.")
    with st.grid("auto", min_column_width=180):
        amounts = {
            name: st.slider(label, low, high, 0.0, step, format=form, key=f"inside_{name}", persist_state="page")
            for name, (label, low, high, step, form) in SLIDERS.items()
        }
    st.button("Reset", icon=":material/restart_alt:", key="inside_reset", on_click=reset)
    shift = amounts.pop("right"), amounts.pop("down")
    changed = perturb(digit, shift=shift, **amounts)
    if not changed.any():
        st.info("The image is empty. Move a slider back or press **Reset**.", icon=":material/ink_eraser:")
    answers = answer_all(changed)
    first = answers if np.array_equal(changed, digit) else answer_all(digit)
    with st.grid("auto", min_column_width=165):
        for name, answer in answers.items():
            card(answer, first[name].digit)
        with st.container(border=True, height="stretch"):
            st.html(
                '<div class="network" style="border-color: gray">Changed</div>'
                f'<img class="pixels" alt="The changed digit" src="{plotting.png(changed)}">'
            )
    arrays = {name: answer.probabilities for name, answer in answers.items() if answer.probabilities is not None}
    parts.download(
        "Changed digit and answers (NPZ)", lambda: parts.npz(digit=digit, changed=changed, **arrays), "changed.npz"
    )


def card(answer: networks.Answer, first: int | None) -> None:
    """A network's answer to the changed digit, beside its first one."""
    note = "&nbsp;" if answer.digit is None else "unchanged" if answer.digit == first else f"before: {first}"
    with st.container(border=True, height="stretch", key=f"inside_changed_{answer.spec.name}"):
        st.html(
            cards.title(answer.spec)
            + cards.digit(answer, hidden=False)
            + f'<div class="note">{note}</div>'
            + cards.details(answer, hidden=False)
        )


def answer_all(digit: np.ndarray) -> dict[str, networks.Answer]:
    return {name: networks.cached_answer(spec, digit) for name, spec in MODELS.items()}


def reset() -> None:
    state.update({f"inside_{name}": 0.0 for name in SLIDERS})


# By search -----------------------------------------------------------------------------------------------------------


@st.fragment(parallel=True)
def searches(digit: np.ndarray) -> None:
    """The smallest change of each chosen kind that changes each network's answer."""
    from atelier.explain.perturbations import PERTURBATIONS
    from atelier.figures import changes

    parts.heading(
        "What is the smallest change that fools it?",
        "Choose a kind of change. We search for the smallest one that changes each answer.",
    )
    if state.get("inside_searched_digit") != digit.tobytes():
        state.update(inside_searched_digit=digit.tobytes(), inside_searched=[])
    with st.container(horizontal=True):
        for kind, change in PERTURBATIONS.items():
            key = f"inside_search_{kind}"
            st.button(change.title, icon=":material/search:", key=key, on_click=search, args=(kind,))
    kinds, loaded = state.inside_searched, networks.loaded()
    if not kinds:
        return
    flips = search_all(digit, loaded, kinds)
    figure = changes.flips(list(loaded), kinds, flips)
    with st.grid("auto", min_column_width=parts.WIDE):
        alt = "For each network, the digits with the smallest changes that change its answer"
        live_picture(figure, "inside_flips", alt, tallest=parts.TALLEST)
        with st.container():
            table = flip_table(flips)
            st.dataframe(table, hide_index=True, key="inside_flip_table")
            parts.download("Table (CSV)", table.to_csv(index=False), "smallest_changes.csv")
            digits = {f"{name}_{kind}": flip.digit for (name, kind), flip in flips.items() if flip}
            parts.download("Changed digits (NPZ)", lambda: parts.npz(**digits), "smallest_changes.npz")


def search(kind: str) -> None:
    if kind not in state.inside_searched:
        state.inside_searched = [*state.inside_searched, kind]


def search_all(
    digit: np.ndarray, loaded: dict[str, "Classifier"], kinds: list[str]
) -> dict[tuple[str, str], "Flip | None"]:
    """The flips by network and kind; shows the progress."""
    from atelier.explain.perturbations import PERTURBATIONS

    flips, place = {}, st.empty()
    pairs = [(name, kind) for name in loaded for kind in kinds]
    for number, (name, kind) in enumerate(pairs):
        place.progress(number / len(pairs), f"Searching: {MODELS[name].title}, {PERTURBATIONS[kind].title} …")
        flips[name, kind] = smallest_flip(loaded[name], networks.identity(name), digit, kind)
    place.empty()
    return flips


@st.cache_data(max_entries=500, show_spinner=False)
def smallest_flip(_classifier: "Classifier", identity: str, digit: np.ndarray, kind: str) -> "Flip | None":
    from atelier.explain import perturbations

    return perturbations.smallest_flip(_classifier, digit, kind)


def flip_table(flips: dict[tuple[str, str], "Flip | None"]) -> pd.DataFrame:
    """A row for each network and kind of change."""
    from atelier.explain.perturbations import PERTURBATIONS

    return pd.DataFrame(
        [
            {
                "Network": MODELS[name].title,
                "Change": PERTURBATIONS[kind].title,
                "Smallest": flip.size if flip else f"none up to {PERTURBATIONS[kind].largest}",
                "Direction": flip.direction if flip else "",
                "New answer": str(flip.answer) if flip else "",
                "Measured": PERTURBATIONS[kind].measure,
            }
            for (name, kind), flip in flips.items()
        ]
    )
