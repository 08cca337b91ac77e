"""Which digit Look inside is about: the one that was drawn, one of MNIST's test digits, or a picture."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import drawing, mnist, photo
from atelier.data.mnist import TEST_DIGITS
from atelier.evaluation import failures
from atelier.studies import results
from pages.ui import networks
from pages.ui.state import show_digit

if TYPE_CHECKING:
    from atelier.classifier import Classifier

FIRST = 2447  # the test digit that is there before anything was drawn: a 4 that some networks take for a 9
HARDEST = 100  # of each network's test digits, so many can be chosen
PART = 500  # test digits between two steps of the progress bar

state = st.session_state


# What the controls do ------------------------------------------------------------------------------------------------


def show_test_digit(choose: Callable[[np.ndarray], int], told: str = "") -> None:
    """Show the test digit whose number `choose` says, who is given the labels `int64[10_000]`."""
    state.inside_hardest_asked = False
    try:
        images, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        state.inside_objection = str(error)
        return
    index = choose(labels)
    state.strokes = None  # the canvas of Draw starts anew
    message = f"Digit number {index:,} of MNIST's {TEST_DIGITS:,} test digits{told}."
    show_digit(images[index], message, truth=int(labels[index]))


def number_chosen() -> None:
    if state.digit_number is not None:
        show_test_digit(lambda _: state.digit_number)


def class_chosen() -> None:
    wanted, state.digit_class = state.digit_class, None  # so that the same class can be asked for again
    if wanted is not None:
        show_test_digit(lambda labels: int(np.random.default_rng().choice(np.flatnonzero(labels == wanted))))


def picture_chosen() -> None:
    if state.digit_picture is None:
        return
    try:
        digit = photo.read_digit(state.digit_picture.getvalue())
    except photo.PhotoError as error:
        state.inside_objection = str(error)  # the digit that was there stays
        return
    state.update(strokes=None, inside_hardest_asked=False)
    show_digit(digit, "Read from your picture.")


def hardest_for() -> None:
    """A network, and a place in the order of its hardest test digits."""
    asked = {"on_change": state.update, "kwargs": {"inside_hardest_asked": True}}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Hardest for …",
            MODELS,
            index=None,
            format_func=lambda name: MODELS[name].title,
            placeholder="a network",
            key="digit_hardest_for",
            **asked,
        )
        place = st.number_input(
            "Place", 1, HARDEST, key="digit_rank", disabled=name is None, help="1 is the hardest of all.", **asked
        )
    if name is None or not state.get("inside_hardest_asked") or (classifier := networks.network(name)) is None:
        return
    state.inside_hardest_asked = False  # who does something else meanwhile is not made to wait
    try:
        order = order_of_shipped(name) if networks.chosen(name) is None else None
        if order is None:
            order = np.argsort(on_truth(classifier, networks.identity(name)), kind="stable")
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return
    show_test_digit(lambda _: int(order[place - 1]), f", and number {place} of the hardest for {MODELS[name].title}")
    st.rerun()


def order_of_shipped(name: str) -> np.ndarray | None:
    """All test digits `int64[10_000]`, the surest mistakes first, as the leaderboard recorded what a shipped network
    said; None if it did not, or of other weights."""
    try:
        result = results.shipped("leaderboard")
    except results.ResultError:
        return None
    said = failures.said(result.predictions, mnist.load("test")[1], [name])
    if name not in said.networks or name in results.outdated(result.header):
        return None
    return np.argsort(-said.surprise[name].to_numpy(), kind="stable")


def on_truth(classifier: "Classifier", identity: str) -> np.ndarray:
    """The probability `float32[10_000]` that a network gives each test digit's true class; shows how far it is."""
    progress, parts = st.empty(), []
    for start in range(0, TEST_DIGITS, PART):
        progress.progress(
            start / TEST_DIGITS, f"{classifier.spec.title} has read {start:,} of {TEST_DIGITS:,} test digits"
        )
        parts.append(on_truth_of_some(classifier, identity, start))
    progress.empty()
    return np.concatenate(parts)


@st.cache_data(max_entries=500, show_spinner=False)
def on_truth_of_some(_classifier: "Classifier", identity: str, start: int) -> np.ndarray:
    images, labels = (part[start : start + PART] for part in mnist.load("test"))
    return _classifier.predict_proba(images)[np.arange(PART), labels]


# What is shown -------------------------------------------------------------------------------------------------------


def choose() -> tuple[np.ndarray | None, int | None]:
    """The controls; returns the digit `uint8[28, 28]` and its true class, where that is known. While there is none, it
    is a test digit. None if that cannot be read; the page has said so then."""
    digit, truth, told = state.get("digit"), state.get("truth"), state.get("message") or "The digit from Draw."
    if drawing.paths(state.get("strokes")):
        told = "The digit that was drawn."
    if digit is None or not digit.any():
        told = "Nothing has been drawn yet" if digit is None else "That picture is blank"
        told += ": one of MNIST's test digits."
        try:
            images, labels = mnist.load("test")
        except mnist.DamagedDataError as error:
            st.warning(str(error))
            return None, None
        digit, truth = images[FIRST], int(labels[FIRST])
    if objection := state.pop("inside_objection", ""):
        st.warning(objection)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{told}**", width="content")
        if truth is not None:
            st.markdown(f"True label: **{truth}**", width="content")
        with st.popover("Another digit", key="another_digit", icon=":material/casino:"):
            st.number_input(
                "Test digit number", 0, TEST_DIGITS - 1, None, key="digit_number", on_change=number_chosen,
                placeholder=f"0 to {TEST_DIGITS - 1}",
            )  # fmt: skip
            st.segmented_control("Some test digit that is a …", range(10), key="digit_class", on_change=class_chosen)
            hardest_for()
            st.file_uploader("Picture of one digit", key="digit_picture", on_change=picture_chosen)
        if st.button("Draw one", icon=":material/draw:"):
            st.switch_page("pages/draw.py", query_params={})  # else Streamlit refuses to drop the view from the link
    return digit, truth
