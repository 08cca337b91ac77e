"""The picture of several digits that follows the visitor, and the wide canvas it is drawn on."""

import numpy as np
import streamlit as st

from atelier.data import drawing, scenes
from pages.ui.canvas import Canvas

WIDTH, HEIGHT = drawing.WIDE_CANVAS
WELCOME = "Write a number. Everything is read when the pen lifts."

state = st.session_state


def show(picture: np.ndarray | None, message: str = WELCOME, truth: str = "") -> None:
    """From now on this is the scene `uint8[H, W]`, on every page."""
    state.update(scene=picture, scene_message=message, scene_truth=truth)


def read_strokes() -> None:
    picture = drawing.rasterise(state.scene_strokes, HEIGHT, WIDTH)
    show(picture if (picture >= scenes.INK).any() else None)


canvas = Canvas("scene_canvas", "scene_strokes", WIDTH, HEIGHT, drawing.WIDE_PEN, read_strokes)
