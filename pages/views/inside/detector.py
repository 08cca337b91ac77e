"""Look inside, detector: from anchors to boxes in eight steps, and a network for single digits on the same scene."""

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS, zoo
from atelier.data import drawing, mnist, scenes
from atelier.data.mnist import SIDE
from atelier.figures import boxes, strip
from atelier.zoo import Family
from pages.ui import background, link, networks, parts, scene
from pages.ui.live import live_picture
from pages.views.inside.detector_boxes import SCORE, Explained, decide, download
from pages.views.inside.detector_steps import STEPS, place

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.proposals import SlidingWindow, Trace

SOURCES = {"test": "Test scene", "drawn": "My number", "digit": "This digit"}
FIRST_SCENE = 8  # the seed of the first test scene: digits of many sizes, some touch
FIRST_STEP = next(iter(STEPS))

state = st.session_state


@st.fragment
def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`; scenes of several digits are the detector's own."""
    background.compute_ahead(())  # stop other work, because this view measures time
    names = zoo.of_family(Family.DETECTOR)
    st.header("How does a detector find digits?")
    name = names[0] if len(names) == 1 else networks.choose_network("Network", "inside_detector", names)
    picture, known = choose_scene(digit)
    if picture is None:
        return
    detector = networks.network(name)
    if detector is not None:
        trace = trace_of(detector, networks.identity(name), picture)
        if len(trace.proposals):
            show_steps(Explained(picture, known, trace))
        else:
            st.info("The first stage proposes no box in this scene. Choose another scene.")
    sliding_window(picture, detector)


# The scene -----------------------------------------------------------------------------------------------------------


def choose_scene(digit: np.ndarray) -> tuple[np.ndarray | None, scenes.Scene | None]:
    """The picture `uint8[H, W]`, and its digits if they are known; None if there is no picture, with a message."""
    try:
        if "inside_scene" not in state:
            state.inside_scene = scenes.random_scene("test", np.random.default_rng(FIRST_SCENE))
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return None, None
    state.setdefault("inside_source", "test")
    if state.get("scene") is not state.get("inside_known_scene"):  # the visitor has drawn a number, on Draw or here
        state.inside_known_scene = state.scene
        if state.scene is not None:
            state.inside_source = "drawn"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Scene",
            list(SOURCES),
            required=True,
            format_func=SOURCES.get,
            key="inside_source",
            persist_state="session",
        )
        if source == "test":
            icon = ":material/casino:"
            st.button("Another test scene", icon=icon, key="inside_another_scene", on_click=another_scene)
    if source == "test":
        return state.inside_scene.picture, state.inside_scene
    if source == "digit":
        from atelier.explain.proposals import as_scene

        return as_scene(digit), None
    return draw_scene(), None


def another_scene() -> None:
    del state.inside_scene
    with contextlib.suppress(mnist.DamagedDataError):  # choose_scene then shows the reason
        state.inside_scene = scenes.random_scene("test", np.random.default_rng())


def draw_scene() -> np.ndarray | None:
    """The number that the visitor has drawn, here or on Draw."""
    scene.canvas.restore(arriving=state.get("scene_canvas_id") not in state)
    scene.canvas.show()
    with st.container(horizontal=True, gap="small"):
        scene.canvas.buttons()
    if state.get("scene") is None:
        st.info("Write a number. The detector reads it when you lift the pen.")
    return state.get("scene")


# The steps -----------------------------------------------------------------------------------------------------------


@st.fragment  # a change of step computes nothing below again
def show_steps(explained: Explained) -> None:
    """All steps in a strip, and one of them large."""
    keys, above = list(STEPS), st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        step = st.select_slider(
            "Step", keys, format_func=lambda key: STEPS[key].label, **link.bind("inside_step", keys, FIRST_STEP)
        )
        number, last = keys.index(step), len(keys) - 1
        with st.container(horizontal=True, width="content", gap="small"):
            for label, key, icon, target in (
                ("Back", "inside_back", ":material/arrow_back:", number - 1),
                ("Next", "inside_next", ":material/arrow_forward:", number + 1),
            ):
                st.button(label, icon=icon, key=key, disabled=not 0 <= target <= last, on_click=go, args=(target,))
    parts.heading(f"{number + 1}. {STEPS[step].question}", STEPS[step].reading, STEPS[step].help)
    STEPS[step].show(explained)
    with above:  # stands above, but takes longer
        trace, labels = explained.trace, [each.label for each in STEPS.values()]
        figure = strip.strip(trace, decide(trace), *place(trace), labels, number)
        live_picture(figure, "inside_strip", "All eight steps, small", lambda point: go(point["customdata"]), 250, 160)


def go(number: int) -> None:
    state.inside_step = list(STEPS)[number]
    link.write("inside_step", FIRST_STEP)


# A network for single digits on the same scene -----------------------------------------------------------------------


@st.fragment
def sliding_window(picture: np.ndarray, detector: "Classifier | None") -> None:
    """What a convolutional network reads in the whole picture, and in a window that slides over it."""
    names = zoo.of_family(Family.CONVOLUTIONAL)
    if not names:
        return
    name, title = names[0], MODELS[names[0]].title
    parts.heading(
        f"What does the {title} read in the same scene?",
        "It can name only one digit. A window slides over the scene and shows its answer at each place. "
        "The stronger the colour, the more confident.",
        "It names a digit even where there is none, and gives no boxes.",
    )
    reader = networks.network(name)
    if reader is None:
        return
    with st.container(horizontal=True, gap="medium"):
        kept = {"width": 260, "persist_state": "session"}
        help_text = "A digit should fill about two thirds of it. The detector finds small and large digits at once."
        window = st.slider("Window (pixels)", 28, 112, 72, 4, key="inside_window", help=help_text, **kept)
        stride = st.select_slider("Stride (pixels)", [16, 12, 8], 8, key="inside_stride", **kept)
    answers, scaled, sliding_time = slide(reader, networks.identity(name), picture, window, stride)
    whole, whole_time = read_whole(reader, networks.identity(name), picture)
    figure = boxes.sliding_window(scaled, answers, MODELS[name].colour)
    live_picture(figure, "inside_sliding", f"The answer of the {title} at each place of the scene", lowest=200)
    with st.grid("auto", min_column_width=220, key="inside_costs"):
        if detector is not None:
            reading, time = detect(detector, networks.identity(detector.spec.name), picture)
            cost(f"{detector.spec.title}: digits and boxes", reading or "none", time)
        cost(f"{title}, whole picture: one digit", f"{whole.argmax()}, {whole.max():.0%} sure", whole_time)
        cost(f"{title}, sliding: answers without boxes", f"{answers.labels.size:,}", sliding_time)
    st.caption("Time on this computer: the median of a few repeats.")
    arrays = {"confidence": answers.confidence, "labels": answers.labels, "whole": whole}
    download("sliding", **arrays, sliding_milliseconds=sliding_time, whole_milliseconds=whole_time)


def cost(title: str, answer: str, milliseconds: float) -> None:
    st.metric(title, answer, f"{milliseconds:.1f} ms", delta_color="off", delta_arrow="off")


# Computed once for each scene ----------------------------------------------------------------------------------------


@st.cache_data(max_entries=20, show_spinner=False)
def trace_of(_detector: "Classifier", identity: str, picture: np.ndarray) -> "Trace":
    from atelier.explain import proposals

    return proposals.trace(_detector, picture)


@st.cache_data(max_entries=100, show_spinner=False)
def detect(_detector: "Classifier", identity: str, picture: np.ndarray) -> tuple[str, float]:
    """The detector's reading, and its milliseconds."""
    from atelier.explain.proposals import median_time

    detections, time = median_time(lambda: _detector.detect(picture))
    return detections.above(SCORE).reading, time


@st.cache_data(max_entries=100, show_spinner=False)
def read_whole(_reader: "Classifier", identity: str, picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The probabilities `float32[10]` of a whole scene taken for one digit, and their milliseconds."""
    from atelier.explain.proposals import median_time

    def read() -> np.ndarray:
        digit = drawing.normalise(picture)
        return _reader.predict_proba(np.zeros((1, SIDE, SIDE), np.uint8) if digit is None else digit[None])[0]

    return median_time(read)


@st.cache_data(max_entries=100, show_spinner=False)
def slide(
    _reader: "Classifier", identity: str, picture: np.ndarray, window: int, stride: int
) -> tuple["SlidingWindow", np.ndarray, float]:
    """The answer at each place, the scene `uint8[H, W]` as scaled for the detector, and the milliseconds."""
    from atelier.classifier import scaled
    from atelier.explain import proposals

    picture = scaled(picture)
    answers, time = proposals.median_time(lambda: proposals.slide_window(_reader, picture, window, stride))
    return answers, picture, time
