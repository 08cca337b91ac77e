"""What the views of Look inside share: their networks, their headings and their downloads."""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from atelier import MODELS
from pages import shared

if TYPE_CHECKING:
    from atelier.classifier import Classifier

WIDE = 460  # pixels: narrower figures go below each other
TALLEST = 1100  # pixels of a sheet of small pictures, beside which others stand
NOT_SEEN = ("dropout", "fingerprint")  # settings that change nothing of what a network looks like inside

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


def loaded() -> dict[str, "Classifier"]:
    """The networks that can be asked by now; the page says of the others why not."""
    promises = {name: shared.load(name) for name in MODELS}
    return {name: promise.result() for name, promise in promises.items() if promise.done() and not promise.exception()}


def choose_network(label: str, key: str, names: Iterable[str] = MODELS) -> str:
    """A choice among networks; the CNN until there is another."""
    return st.segmented_control(
        label, list(names), default="cnn", required=True, key=key, format_func=lambda name: MODELS[name].title
    )


def identity(name: str) -> str:
    """Another text for each set of weights that was ever loaded: what is computed from a network is kept under it.

    To be called once `network` has returned the network.
    """
    return _identities.setdefault(shared.load(name).result(), uuid4().hex)


def differences(name: str) -> str:
    """In which sizes a person's own run differs from the usual network, in a sentence; empty if in none.

    To be called once `network` has returned the network.
    """
    config = shared.load(name).result().network.config
    # By way of JSON, where tuples become lists: those of a checkpoint's card have been there already.
    own, usual = (json.loads(json.dumps(asdict(sizes))) for sizes in (config, type(config)()))
    told = [
        f"{size} {value} (usually {usual[size]})"
        for size, value in own.items()
        if size not in NOT_SEEN and value != usual[size]
    ]
    return f"This {MODELS[name].title} is built differently: {', '.join(told)}." if told else ""


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
