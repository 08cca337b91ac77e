"""The session state that several pages share: its keys, their defaults, and the digit that follows the visitor."""

from typing import Any

import numpy as np
import streamlit as st

state = st.session_state

DEFAULTS: dict[str, Any] = {
    "digit": None,  # uint8[28, 28], the same on every page
    "truth": None,  # its true class, where that is known
    "strokes": None,  # the drawing on the canvas, in the canvas's JSON
    "message": "",  # where the digit comes from
    "revision": 0,  # counts the digits
    "tally": {},  # by revision: what the visitor meant to draw, and the networks' answers
    "scene": None,  # uint8[H, W], a picture of several digits
    "scene_truth": "",  # its digits, where they are known
    "scene_strokes": None,
    "scene_message": "",
    "chosen_runs": {},  # by network: the run whose weights this visitor uses
    "toast": "",  # shown once by the next page
    "page": None,  # the URL path of this page, and of the one before
    "previous_page": None,
}


def prepare() -> None:
    """Give every shared key its default in a new session."""
    for key, default in DEFAULTS.items():
        if key not in state:
            state[key] = default.copy() if isinstance(default, dict) else default


def show_digit(digit: np.ndarray | None, message: str = "", truth: int | None = None) -> None:
    """From now on this is the digit, on every page."""
    state.update(digit=digit, message=message, truth=truth, revision=state.get("revision", 0) + 1)
