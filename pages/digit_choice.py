"""Which digit Look inside is about: the one that was drawn, one of MNIST's test digits, or a picture."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import drawing, mnist, photo
from pages import looking, shared

if TYPE_CHECKING:
    from atelier.classifier import Classifier

FIRST = 247  # the test digit that is there before anything was drawn: a 4 that leans towards 6 and 9
HARDEST = 100  # of each network's test digits, so many can be chosen

state = st.session_state


# What the controls do ------------------------------------------------------------------------------------------------


def show_test_digit(index: int, told: str = "") -> None:
    """Show this one of the test digits."""
    try:
        images, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        state.inside_objection = str(error)
        return
    state.strokes = None  # the canvas of Draw starts anew
    message = f"Digit number {index:,} of MNIST's 10,000 test digits{told}."
    shared.show_digit(images[index], message, truth=int(labels[index]))


def number_chosen() -> None:
    show_test_digit(state.digit_number)


def class_chosen() -> None:
    if state.digit_class is None:
        return
    _, labels = mnist.load("test")
    show_test_digit(int(np.random.default_rng().choice(np.flatnonzero(labels == state.digit_class))))
    state.digit_class = None  # so that the same class can be asked for again


def picture_chosen() -> None:
    if state.digit_picture is None:
        return
    try:
        digit = photo.read_digit(state.digit_picture.getvalue())
    except photo.PhotoError as error:
        state.inside_objection = str(error)  # the digit that was there stays
        return
    state.strokes = None
    shared.show_digit(digit, "Read from your picture.")


@st.cache_data(max_entries=20, show_spinner=False)
def hardest(_classifier: "Classifier", identity: str) -> np.ndarray:
    from atelier.evaluation.hardest import hardest

    return hardest(_classifier, HARDEST)


def hardest_for() -> None:
    """A network and a place in the order of its hardest test digits."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Hardest for …",
            MODELS,
            index=None,
            format_func=lambda name: MODELS[name].title,
            placeholder="a network",
            key="digit_hardest_for",
        )
        place = st.number_input(
            "Place", 1, HARDEST, key="digit_rank", disabled=name is None, help="1 is the hardest of all."
        )
    if name is None or (classifier := looking.network(name)) is None:
        return
    with st.spinner(f"{MODELS[name].title} reads all 10,000 test digits …", show_time=True):
        index = int(hardest(classifier, looking.identity(name))[place - 1])
    wanted = (name, place)
    if state.get("inside_hardest") != wanted:
        state.inside_hardest = wanted
        show_test_digit(index, f", and number {place} of the hardest for {MODELS[name].title}")
        st.rerun()


# What is shown -------------------------------------------------------------------------------------------------------


def choose() -> np.ndarray | None:
    """The controls; returns the digit `uint8[28, 28]`. While nothing has been drawn, it is a test digit. None if that
    cannot be read; the page has said so then."""
    digit, truth, told = state.get("digit"), state.get("truth"), state.get("message", "")
    if drawing.paths(state.get("strokes")):
        told = "The digit that was drawn."
    if digit is None:
        try:
            images, labels = mnist.load("test")
        except mnist.DamagedDataError as error:
            st.warning(str(error))
            return None
        digit, truth, told = (
            images[FIRST],
            int(labels[FIRST]),
            "Nothing has been drawn yet: one of MNIST's test digits.",
        )
    if objection := state.pop("inside_objection", ""):
        st.warning(objection)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{told}**", width="content")
        if truth is not None:
            st.markdown(f"True label: **{truth}**", width="content")
        with st.popover("Another digit", icon=":material/casino:"):
            st.number_input("Test digit number", 0, 9_999, key="digit_number", on_change=number_chosen)
            st.segmented_control("Some test digit that is a …", range(10), key="digit_class", on_change=class_chosen)
            hardest_for()
            st.file_uploader("Picture of one digit", key="digit_picture", on_change=picture_chosen)
        if st.button("Draw one", icon=":material/draw:"):
            st.switch_page("pages/draw.py")
    return digit
