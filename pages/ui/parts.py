"""Small parts of a page: headings, downloads, messages, and text that visitors have written."""

import io
import re
from collections.abc import Callable

import numpy as np
import streamlit as st

from atelier.runs.folder import RunError

WIDE = 460  # pixels: narrower figures stand below each other
TALLEST = 1100  # pixels: the greatest height of a sheet of small pictures

state = st.session_state


def heading(title: str, explanation: str, help: str | None = None) -> None:
    """A heading, and a sentence that explains how to read what stands below it; `help` explains a rare term."""
    st.subheader(title, help=help)
    st.markdown(explanation)


def download(label: str, content: str | bytes | Callable[[], str | bytes], file_name: str) -> None:
    """A button that downloads a figure's numbers; a page offers each file name once."""
    st.download_button(
        label,
        content,
        file_name,
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=f"download_{file_name}",
    )


def npz(**arrays: object) -> bytes:
    """The content of an NPZ file with these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def escape_markdown(text: str) -> str:
    """Text that visitors have written, so that Streamlit does not read it as Markdown."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def attempt(action: Callable[[], None], message: str = "") -> None:
    """Run a button's action; the next page shows the message, or why the action failed."""
    try:
        action()
    except RunError as error:
        message = str(error)
    except OSError as error:
        message = f"This did not work: {error.strerror or error}."
    state.toast = message


def show_toast() -> None:
    """Show the message of the last action, once."""
    if state.toast:
        st.toast(escape_markdown(state.toast), duration="long")
    state.toast = ""
