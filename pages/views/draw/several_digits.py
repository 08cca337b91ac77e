"""Several digits, a part of the Draw page: a detector beside a classifier, on the same picture."""

import base64
import io
import time
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from atelier.data import drawing, mnist, photo, scenes
from atelier.zoo import Family, ModelSpec, of_family
from pages.ui import camera, cards, networks, scene

if TYPE_CHECKING:
    from atelier.classifier import Classifier, Detections

WELCOME = "Write a number. Lift the pen to read it."
CONFIDENCE = 0.5  # of a box; the slider's first value

state = st.session_state


# What the controls do ------------------------------------------------------------------------------------------------


def random_example() -> None:
    try:
        drawn = scenes.random_scene("test", np.random.default_rng())
    except mnist.DamagedDataError as error:
        state.scene_message = str(error)
        return
    scene.canvas.replace([])
    scene.set_scene(drawn.picture, "A random scene of MNIST's test digits.", drawn.reading)


def picture_chosen(key: str) -> None:
    if state[key] is None:
        return
    try:
        picture = photo.read_scene(state[key].getvalue())
    except photo.PhotoError as error:
        state.scene_message = str(error)  # the previous scene stays
        return
    scene.canvas.replace([])
    scene.set_scene(picture, "Read from your picture.")


# What is shown -------------------------------------------------------------------------------------------------------


def picture_with_boxes(picture: np.ndarray, detections: "Detections", colour: str) -> str:
    """The scene with a box around each digit, its label and its score (SVG)."""
    height, width = picture.shape
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    source = base64.b64encode(buffer.getvalue()).decode()
    line, font = width / 250, width / 26
    marks = ""
    for box, label, score in zip(detections.boxes, detections.labels, detections.scores, strict=True):
        left, top, right, bottom = box
        y = top - font * 0.25 if top > font * 1.2 else min(bottom + font, height - font * 0.2)
        marks += (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
            f'fill="none" stroke="{colour}"/><text x="{left:.1f}" y="{y:.1f}">{label} '
            f'<tspan font-size="{font * 0.7:.1f}" font-weight="400">{score:.0%}</tspan></text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<image href="data:image/png;base64,{source}" width="{width}" height="{height}"/>'
        f'<g font-family="sans-serif" font-size="{font:.1f}" font-weight="700" fill="white" stroke="black" '
        f'stroke-width="{line:.1f}" paint-order="stroke">{marks}</g></svg>'
    )


def card(spec: ModelSpec, key: str, detections: "Detections | None", note: str) -> None:
    """One network's reading of the scene, and its boxes."""
    reading = (detections.reading if detections else "") or cards.BLANK
    with st.container(border=True, height="stretch"):
        st.html(cards.title(spec) + cards.source(spec))
        with st.container(key=key):
            st.html(f'<div class="reading">{reading}</div>')
        st.html(f'<div class="note">{note}</div>')
        if detections:
            boxes = picture_with_boxes(state.scene, detections, spec.colour)
            st.image(boxes, alt=f"{spec.title} reads {reading}, with a box around each digit", width="stretch")


def both_readings(detector: "Classifier", reader: "Classifier", confidence: float) -> None:
    """The detector's boxes, and the classifier's answers to each separate shape of the same picture."""
    boxes = shapes = None
    notes = (cards.NOTHING, cards.NOTHING)
    if state.scene is not None:
        started = time.perf_counter()
        detections = detector.detect(state.scene)
        detected = time.perf_counter()
        shapes = reader.read_pieces(state.scene)
        read = time.perf_counter()
        whole = reader.predict_proba(drawing.normalise(state.scene)[None])[0]
        boxes = detections.above(confidence)
        notes = (
            f"{detector.spec.title} found {len(boxes.labels)} boxes · {1000 * (detected - started):.0f} ms",
            f"The {reader.spec.title} was given {len(shapes.labels)} separate shapes · "
            f"{1000 * (read - detected):.0f} ms<br>The whole picture as one digit: <b>{whole.argmax()}</b>, "
            f"{whole.max():.0%} sure",
        )
    with st.grid("auto", min_column_width=460):
        card(detector.spec, "scene_reading", boxes, notes[0])
        card(reader.spec, "scene_pieces", shapes, notes[1])
    if state.scene_truth:
        with st.container(key="scene_truth_label"):
            st.markdown(f"True digits: **{state.scene_truth}**")
    if shapes and len(detections.above(CONFIDENCE).labels) != len(shapes.labels):
        with st.container(key="scene_differs"):
            st.markdown("The two methods found different numbers of digits. Look at the boxes: who is right?")


@st.fragment  # a change here does not run the rest of the page
def several_digits() -> None:
    """The section; without a detector or a classifier there is none."""
    detectors, readers = of_family(Family.DETECTOR), of_family(Family.CONVOLUTIONAL)
    if not (detectors and readers):
        return
    st.header("Several digits: what a detector is for")
    st.markdown(f"**{state.scene_message or WELCOME}**")
    scene.canvas.show()
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        scene.canvas.buttons()
        st.button(
            "Random example",
            icon=":material/casino:",
            on_click=random_example,
            key="random_scene",
            help="A random number of MNIST's test digits.",
        )
        with st.popover("Photo of a number", icon=":material/photo_camera:", key="number_photo"):
            st.file_uploader("Picture of a number", key="scene_file", on_change=picture_chosen, args=("scene_file",))
            camera.camera("A number on plain paper", "scene_photo", picture_chosen)
        confidence = st.slider(
            "Confidence",
            0.05,
            0.95,
            CONFIDENCE,
            0.05,
            width=300,
            key="scene_confidence",
            help="The detector's boxes with less confidence are hidden.",
        )
    futures = [networks.load(name) for name in (detectors[0], readers[0])]
    if not all(future.done() for future in futures):
        st.caption("The networks are loading …")
    elif error := next((error for future in futures if (error := future.exception())), None):
        st.warning(networks.error_message(error))
    else:
        both_readings(*(future.result() for future in futures), confidence)
