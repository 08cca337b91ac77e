"""Which digit a page explains: the visitor's drawing, one of MNIST's test digits, or a picture."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import drawing, mnist, photo
from atelier.data.mnist import CLASSES, TEST_DIGITS
from atelier.evaluation import failures
from atelier.studies import results
from pages.ui import networks
from pages.ui.state import set_digit

if TYPE_CHECKING:
    from atelier.classifier import Classifier

FIRST = 2447  # the test digit before anything is drawn: a 4 that some networks read as a 9
HARDEST = 100  # how many of a network's hardest test digits can be chosen
CHUNK = 500  # test digits between two steps of the progress bar

state = st.session_state


# What the controls do ------------------------------------------------------------------------------------------------


def set_test_digit(choose: Callable[[np.ndarray], int], note: str = "") -> None:
    """Set the digit to a test digit; `choose` receives the labels `int64[10_000]` and returns the digit's number."""
    state.hardest_requested = False
    try:
        images, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        state.digit_error = str(error)
        return
    index = choose(labels)
    state.strokes = None  # so that Draw's canvas is blank
    message = f"Digit number {index:,} of MNIST's {TEST_DIGITS:,} test digits{note}."
    set_digit(images[index], message, truth=int(labels[index]))


def number_chosen() -> None:
    if state.digit_number is not None:
        set_test_digit(lambda _: state.digit_number)


def class_chosen() -> None:
    wanted, state.digit_class = state.digit_class, None  # so that the same class can be chosen again
    if wanted is not None:
        set_test_digit(lambda labels: int(np.random.default_rng().choice(np.flatnonzero(labels == wanted))))


def picture_chosen() -> None:
    if state.digit_picture is None:
        return
    try:
        digit = photo.read_digit(state.digit_picture.getvalue())
    except photo.PhotoError as error:
        state.digit_error = str(error)  # the previous digit stays
        return
    state.update(strokes=None, hardest_requested=False)
    set_digit(digit, "Read from your picture.")


def hardest_digits() -> None:
    """Choose a network and a place in the list of its hardest test digits."""
    request = {"on_change": state.update, "kwargs": {"hardest_requested": True}}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Hardest for",
            list(MODELS),
            index=None,
            format_func=lambda name: MODELS[name].title,
            placeholder="a network",
            key="digit_hardest_for",
            **request,
        )
        place = st.number_input(
            "Place", 1, HARDEST, key="digit_rank", disabled=name is None, help="1 is the hardest.", **request
        )
    if name is None or not state.get("hardest_requested") or (classifier := networks.network(name)) is None:
        return
    state.hardest_requested = False  # computing the order takes time: another click ends it
    try:
        order = shipped_order(name) if networks.chosen(name) is None else None
        if order is None:
            order = np.argsort(true_class_probabilities(classifier, networks.identity(name)), kind="stable")
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return
    set_test_digit(lambda _: int(order[place - 1]), f", number {place} of the hardest for {MODELS[name].title}")
    st.rerun()


def shipped_order(name: str) -> np.ndarray | None:
    """All test digits `int64[10_000]`, the most confident mistakes first, from the shipped leaderboard's predictions.

    None if these are missing or were made with other weights.
    """
    try:
        result = results.shipped("leaderboard")
    except results.ResultError:
        return None
    predictions = failures.load_predictions(result.predictions, mnist.load("test")[1], [name])
    if name not in predictions.networks or name in results.outdated(result.provenance):
        return None
    return np.argsort(-predictions.surprise[name].to_numpy(), kind="stable")


def true_class_probabilities(classifier: "Classifier", identity: str) -> np.ndarray:
    """A network's probability of each test digit's true class, `float32[10_000]`; shows its progress."""
    progress, chunks = st.empty(), []
    for start in range(0, TEST_DIGITS, CHUNK):
        progress.progress(
            start / TEST_DIGITS, f"{classifier.spec.title} has read {start:,} of {TEST_DIGITS:,} test digits"
        )
        chunks.append(chunk_probabilities(classifier, identity, start))
    progress.empty()
    return np.concatenate(chunks)


@st.cache_data(max_entries=500, show_spinner=False)
def chunk_probabilities(_classifier: "Classifier", identity: str, start: int) -> np.ndarray:
    images, labels = (part[start : start + CHUNK] for part in mnist.load("test"))
    return _classifier.predict_proba(images)[np.arange(len(labels)), labels]


# What is shown -------------------------------------------------------------------------------------------------------


def choose() -> tuple[np.ndarray | None, int | None]:
    """Show the controls; returns the digit `uint8[28, 28]` and its true class, if known.

    Without a drawing it is a test digit; None if the test digits cannot be read, which the page then shows.
    """
    digit, truth, message = state.digit, state.truth, state.message or "The digit from Draw."
    if drawing.paths(state.strokes):
        message = "Your drawing."
    if digit is None or not digit.any():
        message = "No drawing yet" if digit is None else "This picture is blank"
        message += ": one of MNIST's test digits."
        try:
            images, labels = mnist.load("test")
        except mnist.DamagedDataError as error:
            st.warning(str(error))
            return None, None
        digit, truth = images[FIRST], int(labels[FIRST])
    if error := state.pop("digit_error", ""):
        st.warning(error)
    with st.container(horizontal=True, vertical_alignment="center", key="digit_source"):
        st.markdown(f"**{message}**", width="content")
        if truth is not None:
            st.markdown(f"True label: **{truth}**", width="content")
        with st.popover("Another digit", key="another_digit", icon=":material/casino:"):
            st.number_input(
                "Test digit number",
                0,
                TEST_DIGITS - 1,
                None,
                key="digit_number",
                on_change=number_chosen,
                placeholder=f"0 to {TEST_DIGITS - 1}",
            )
            st.segmented_control("A random", list(range(CLASSES)), key="digit_class", on_change=class_chosen)
            hardest_digits()
            st.file_uploader("Picture of one digit", key="digit_picture", on_change=picture_chosen)
        if st.button("Draw a digit", icon=":material/draw:", key="digit_draw"):
            st.switch_page("pages/draw.py", query_params={})  # else Streamlit keeps the view in the link
    return digit, truth
