"""Look inside Faster R-CNN: from anchors to boxes in eight steps, and the CNN on the same scene."""

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier.data import drawing, mnist, scenes
from atelier.figures import boxes, strip
from pages.ui import background, networks, parts, scene
from pages.ui.live import live_picture
from pages.views.inside.detector_steps import SCORE, STEPS, Looked, decided, numbers, place

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.proposals import SlidingWindow, Trace

SOURCES = {"test": "Test scene", "drawn": "My number", "digit": "This digit"}
FIRST_SCENE = 8  # the seed of the test scene that everybody sees first: digits of many sizes, some touch

state = st.session_state


@st.fragment
def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`; scenes of several digits are the detector's own."""
    background.compute_ahead(())  # nothing else, where time is measured
    st.header("How does a detector find digits?")
    picture, known = choose_scene(digit)
    if picture is None:
        return
    detector = networks.network("faster_rcnn")
    if detector is not None:
        walk = walked(detector, networks.identity("faster_rcnn"), picture)
        if len(walk.proposals):
            steps(Looked(picture, known, walk))
        else:
            st.info("The first stage proposes no box in this scene. Try another scene, or another run.")
    without_boxes(picture, detector)


# The scene -----------------------------------------------------------------------------------------------------------


def choose_scene(digit: np.ndarray) -> tuple[np.ndarray | None, scenes.Scene | None]:
    """The picture, and what is in it, if that is known; None, once the page has said why."""
    try:
        if "inside_scene" not in state:
            state.inside_scene = scenes.random_scene("test", np.random.default_rng(FIRST_SCENE))
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return None, None
    state.setdefault("inside_source", "test")
    if state.get("scene") is not state.get("inside_seen"):  # another number has been written, on Draw or here
        state.inside_seen = state.scene
        if state.scene is not None:
            state.inside_source = "drawn"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names, kept = list(SOURCES), {"key": "inside_source", "persist_state": "session"}
        source = st.segmented_control("Scene", names, required=True, format_func=SOURCES.get, **kept)
        if source == "test":
            st.button("Another test scene", icon=":material/casino:", on_click=another_scene)
    if source == "test":
        return state.inside_scene.picture, state.inside_scene
    if source == "digit":
        from atelier.explain.proposals import as_scene

        return as_scene(digit), None
    scene.canvas.restore(arriving=state.get("scene_canvas_id") not in state)
    scene.canvas.show()
    with st.container(horizontal=True, gap="small"):
        scene.canvas.buttons()
    if state.get("scene") is None:
        st.info("Write a number: the detector looks at it when the pen lifts.")
    return state.get("scene"), None


def another_scene() -> None:
    del state.inside_scene
    with contextlib.suppress(mnist.DamagedDataError):  # which the page then finds, too, and says
        state.inside_scene = scenes.random_scene("test", np.random.default_rng())


# The steps -----------------------------------------------------------------------------------------------------------


@st.fragment  # so that a step does not compute again what is below
def steps(looked: Looked) -> None:
    """All steps in a strip, and one of them large."""
    names, above = list(STEPS), st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        step = st.select_slider("Step", names, key="inside_step", bind="query-params")
        number, last = names.index(step), len(names) - 1
        with st.container(horizontal=True, width="content", gap="small"):
            st.button("Back", icon=":material/arrow_back:", disabled=number == 0, on_click=go, args=(number - 1,))
            st.button("Next", icon=":material/arrow_forward:", disabled=number == last, on_click=go, args=(number + 1,))
    question, reading, see = STEPS[step]
    parts.heading(f"{number + 1}. {question}", reading)
    see(looked)
    with above:  # stands above, but takes longer
        drawn = strip.strip(looked.walk, decided(looked.walk), *place(looked.walk), names, number)
        live_picture(drawn, "inside_strip", "All eight steps, small", lambda point: go(point["customdata"]), 250, 160)


def go(step: int) -> None:
    state.inside_step = list(STEPS)[step]


# The CNN on the same scene -------------------------------------------------------------------------------------------


@st.fragment
def without_boxes(picture: np.ndarray, detector: "Classifier | None") -> None:
    """The whole picture as one digit, and a window that slides."""
    parts.heading(
        "What would the CNN make of the same scene?",
        "It can only name one digit, so a window slides over the scene: at each place stands its answer, the bluer the "
        "surer. It names a digit even where there is none, and never says where one begins or ends.",
    )
    reader = networks.network("cnn")
    if reader is None:
        return
    with st.container(horizontal=True, gap="medium"):
        kept = {"width": 260, "persist_state": "session"}
        help_text = "A digit should fill about two thirds of it. The detector finds large and small ones at once."
        window = st.slider("Window, pixels", 28, 112, 72, 4, key="inside_window", help=help_text, **kept)
        stride = st.select_slider("Pixels from place to place", [16, 12, 8], 8, key="inside_stride", **kept)
    slide, shown, sliding_time = slid(reader, networks.identity("cnn"), picture, window, stride)
    whole, whole_time = read_whole(reader, networks.identity("cnn"), picture)
    drawn = boxes.sliding_window(shown, slide)
    live_picture(drawn, "inside_sliding", "The CNN's answer at each place of the scene", lowest=200)
    with st.grid("auto", min_column_width=220, key="inside_costs"):
        if detector is not None:
            found, time = detected(detector, networks.identity("faster_rcnn"), picture)
            cost("Faster R-CNN: digits and their boxes", found or "none", time)
        cost("CNN, whole picture: one digit", f"{whole.argmax()}, {whole.max():.0%} sure", whole_time)
        cost("CNN, sliding: answers without boxes", f"{slide.labels.size:,}", sliding_time)
    st.caption("Milliseconds on this computer, the median of a few repeats.")
    arrays = {"confidence": slide.confidence, "labels": slide.labels, "whole": whole}
    numbers("sliding", **arrays, sliding_milliseconds=sliding_time, whole_milliseconds=whole_time)


def cost(title: str, answer: str, milliseconds: float) -> None:
    st.metric(title, answer, f"{milliseconds:.1f} ms", delta_color="off", delta_arrow="off")


# Computed once for each scene ----------------------------------------------------------------------------------------


@st.cache_data(max_entries=20, show_spinner=False)
def walked(_detector: "Classifier", identity: str, picture: np.ndarray) -> "Trace":
    from atelier.explain import proposals

    return proposals.trace(_detector, picture)


@st.cache_data(max_entries=100, show_spinner=False)
def detected(_detector: "Classifier", identity: str, picture: np.ndarray) -> tuple[str, float]:
    """What the detector reads, and in how many milliseconds."""
    from atelier.explain.proposals import median_time

    found, time = median_time(lambda: _detector.detect(picture))
    return found.above(SCORE).reading, time


@st.cache_data(max_entries=100, show_spinner=False)
def read_whole(_reader: "Classifier", identity: str, picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The probabilities `float32[10]` of a whole scene taken for one digit, and how many milliseconds that takes."""
    from atelier.explain.proposals import median_time

    def read() -> np.ndarray:
        digit = drawing.normalise(picture)
        return _reader.predict_proba(np.zeros((1, 28, 28), np.uint8) if digit is None else digit[None])[0]

    return median_time(read)


@st.cache_data(max_entries=100, show_spinner=False)
def slid(
    _reader: "Classifier", identity: str, picture: np.ndarray, window: int, stride: int
) -> tuple["SlidingWindow", np.ndarray, float]:
    """What the CNN says at each place, the scene `uint8[H, W]` as scaled for it, and how many milliseconds it takes."""
    from atelier.classifier import scaled
    from atelier.explain import proposals

    shown = scaled(picture)
    slide, time = proposals.median_time(lambda: proposals.slide_window(_reader, shown, window, stride))
    return slide, shown, time
