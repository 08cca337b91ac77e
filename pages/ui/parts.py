"""Small parts of a page: headings, downloads, messages, and text that people have written."""

import io
import re
from collections.abc import Callable

import numpy as np
import streamlit as st

from atelier.runs.folder import RunError

WIDE = 460  # pixels: narrower figures go below each other
TALLEST = 1100  # pixels of a sheet of small pictures, beside which others stand

state = st.session_state


def question(title: str, reading: str) -> None:
    """A heading that asks what a student would ask, and a sentence that says how to read the picture below."""
    st.subheader(title)
    st.markdown(reading)


def download(label: str, content: str | bytes | Callable[[], str | bytes], file_name: str) -> None:
    """The numbers of a picture, as a file."""
    st.download_button(label, content, file_name, icon=":material/download:", type="tertiary", on_click="ignore")


def npz(**arrays: object) -> bytes:
    """Arrays as the content of an NPZ file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def escape_markdown(text: str) -> str:
    """Text that people have written, so that Streamlit does not take it for Markdown."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def attempt(action: Callable[[], None], message: str = "") -> None:
    """Do what a button stands for; the next page shows the message, or why it was not possible."""
    try:
        action()
    except RunError as error:
        message = str(error)
    except OSError as error:
        message = f"That was not possible: {error.strerror or error}."
    state.toast = message


def show_toast() -> None:
    """Show the message of the last action, once."""
    if message := state.pop("toast", ""):
        st.toast(escape_markdown(message), duration="long")
