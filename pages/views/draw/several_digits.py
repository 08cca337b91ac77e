"""Several digits, a part of the Draw page: the detector beside the CNN, on the same picture."""

import base64
import io
import time
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from atelier import MODELS
from atelier.data import drawing, mnist, photo, scenes
from atelier.zoo import ModelSpec
from pages.ui import camera, cards, networks, scene

if TYPE_CHECKING:
    from atelier.classifier import Classifier, Detections

DETECTOR, WITHOUT = MODELS["faster_rcnn"], MODELS["cnn"]

state = st.session_state


# What the controls do ------------------------------------------------------------------------------------------------


def random_scene() -> None:
    try:
        drawn = scenes.random_scene("test", np.random.default_rng())
    except mnist.DamagedDataError as error:
        state.scene_message = str(error)
        return
    scene.canvas.put([])
    scene.show(drawn.picture, "A random scene of MNIST's test digits.", drawn.reading)


def picture_chosen(key: str) -> None:
    if state[key] is None:
        return
    try:
        picture = photo.read_scene(state[key].getvalue())
    except photo.PhotoError as error:
        state.scene_message = str(error)  # what was there stays
        return
    scene.canvas.put([])
    scene.show(picture, "Read from your picture.")


# What is shown -------------------------------------------------------------------------------------------------------


def picture_with_boxes(picture: np.ndarray, found: "Detections", colour: str) -> str:
    """The scene with a box around each digit, what it was taken for, and how surely (SVG)."""
    height, width = picture.shape
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    source = base64.b64encode(buffer.getvalue()).decode()
    line, font = width / 250, width / 26
    marks = ""
    for (left, top, right, bottom), label, score in zip(found.boxes, found.labels, found.scores, strict=True):
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


def card(spec: ModelSpec, key: str, picture: np.ndarray, found: "Detections | None", note: str) -> None:
    """One network's reading of the scene, and its boxes."""
    reading = (found.reading if found else "") or cards.BLANK
    with st.container(border=True, height="stretch"):
        st.html(cards.head(spec) + cards.run(spec))
        with st.container(key=key):
            st.html(f'<div class="reading">{reading}</div>')
        st.html(f'<div class="note">{note}</div>')
        if found:
            boxes = picture_with_boxes(picture, found, spec.colour)
            st.image(
                boxes, alt=f"{spec.title} reads {reading}: the scene with a box around each digit", width="stretch"
            )


def both_views(detector: "Classifier", reader: "Classifier", confidence: float) -> None:
    """What the detector sees, and beside it what a network for single digits makes of the same picture."""
    found = boxes = pieces = None
    notes = ("&nbsp;", "&nbsp;")
    if state.scene is not None:
        started = time.perf_counter()
        found = detector.detect(state.scene)
        detected = time.perf_counter()
        boxes = found.above(confidence)
        pieces = reader.read_pieces(state.scene)
        read = time.perf_counter()
        whole = reader.predict_proba(drawing.normalise(state.scene)[None])[0]
        all_read = time.perf_counter()
        notes = (
            f"Boxes: {len(boxes.labels)} · {1000 * (detected - started):.0f} ms",
            f"Connected pieces: {len(pieces.labels)} · {1000 * (read - detected):.0f} ms<br>The whole picture as one "
            f"digit: <b>{whole.argmax()}</b>, {whole.max():.0%} sure · {1000 * (all_read - read):.0f} ms",
        )
    with st.grid("auto", min_column_width=460):
        card(DETECTOR, "scene_reading", state.scene, boxes, notes[0])
        card(WITHOUT, "scene_pieces", state.scene, pieces, notes[1])
    if state.scene_truth:
        st.markdown(f"True digits: **{state.scene_truth}**")
    if found and len(found.above(0.5).labels) != len(pieces.labels):
        st.markdown("Pieces and boxes differ: digits that touch are one piece, a digit in two strokes is two.")


@st.fragment  # what happens here does not run the rest of the page again
def several_digits() -> None:
    st.header("Several digits: what a detector is for")
    st.markdown(f"**{state.scene_message}**")
    st.space("xsmall")  # room for the canvas's own toolbar
    scene.canvas.show()
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        scene.canvas.buttons("Take back", "Start over")
        st.button("Random test scene", icon=":material/casino:", on_click=random_scene)
        with st.popover("A number on paper", icon=":material/photo_camera:"):
            st.file_uploader("Picture of a number", key="scene_file", on_change=picture_chosen, args=("scene_file",))
            camera.camera("A number on plain paper", "scene_photo", picture_chosen)
        confidence = st.slider(
            "Confidence", 0.05, 0.95, 0.5, 0.05, width=300, help="Boxes that the detector is less sure of are left out."
        )
    detector, reader = (networks.load(spec.name) for spec in (DETECTOR, WITHOUT))
    if not (detector.done() and reader.done()):
        st.caption("The networks are loading …")
    elif error := detector.exception() or reader.exception():
        st.warning(networks.said(error))
    else:
        both_views(detector.result(), reader.result(), confidence)
