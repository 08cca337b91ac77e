"""What the views of Look inside share: their networks, their headings and their downloads."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from atelier import MODELS
from pages import shared

if TYPE_CHECKING:
    from atelier.classifier import Classifier

_identities: WeakKeyDictionary["Classifier", str] = WeakKeyDictionary()


def network(name: str) -> "Classifier | None":
    """The network that this session uses; None, once the page has said why, while it loads or if it cannot."""
    promise, title = shared.load(name), MODELS[name].title
    if not promise.done():
        st.info(f"{title} is still loading …", icon=":material/hourglass_empty:")
    elif promise.exception() is not None:
        st.warning(f"{title}: {shared.said(promise.exception())}")
    else:
        return promise.result()
    return None


def identity(name: str) -> str:
    """Another text for each set of weights that was ever loaded: what is computed from a network is kept under it.

    To be called once `network` has returned the network.
    """
    return _identities.setdefault(shared.load(name).result(), uuid4().hex)


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
