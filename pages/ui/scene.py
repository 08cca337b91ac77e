"""The picture of several digits that follows the visitor, and the wide canvas on which it is drawn."""

import numpy as np
import streamlit as st

from atelier.data import drawing, scenes
from pages.ui.canvas import Canvas

WIDTH, HEIGHT = drawing.WIDE_CANVAS

state = st.session_state


def set_scene(picture: np.ndarray | None, message: str = "", truth: str = "") -> None:
    """Make this the scene `uint8[H, W]` of every page; None for a blank canvas."""
    state.update(scene=picture, scene_message=message, scene_truth=truth)


def read_strokes() -> None:
    """Make what is on the wide canvas the scene."""
    picture = drawing.rasterise(state.scene_strokes, HEIGHT, WIDTH)
    set_scene(picture if (picture >= scenes.INK).any() else None)


canvas = Canvas("scene_canvas", "scene_strokes", WIDTH, HEIGHT, drawing.WIDE_PEN, read_strokes)
