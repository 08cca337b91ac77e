"""The session state that several pages share: its keys, their defaults, and the digit that follows the visitor."""

from copy import copy
from typing import Any

import numpy as np
import streamlit as st

state = st.session_state

DEFAULTS: dict[str, Any] = {
    "digit": None,  # uint8[28, 28], the same on every page
    "truth": None,  # its true class, if known
    "strokes": None,  # the drawing on Draw's canvas, in Fabric.js's JSON
    "message": "",  # where the digit comes from, or why there is none
    "revision": 0,  # increases with each new digit
    "tally": {},  # revision -> the digit that the visitor meant, and the networks' answers
    "scene": None,  # uint8[H, W], a picture of several digits
    "scene_truth": "",  # its digits, if known
    "scene_strokes": None,  # the drawing on the wide canvas
    "scene_message": "",
    "chosen_runs": {},  # network -> id of the run whose weights this visitor uses
    "link_read": False,  # whether the runs in this session's first link have been chosen
    "link_error": "",
    "toast": "",  # the next page shows it once
    "page": None,  # the URL path of this page
    "previous_page": None,  # and of the page of the run before
}


def prepare() -> None:
    """Give every shared key its default, unless it has a value: tests may set the digit before the first run."""
    for key, default in DEFAULTS.items():
        if key not in state:
            state[key] = copy(default)


def set_digit(digit: np.ndarray | None, message: str = "", truth: int | None = None) -> None:
    """Make this the digit `uint8[28, 28]` of every page; None for a blank canvas."""
    state.update(digit=digit, message=message, truth=truth, revision=state.revision + 1)
