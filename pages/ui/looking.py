"""What the views of Look inside share: their networks, their headings and their downloads."""

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.zoo import ModelSpec
from pages.ui import shared

if TYPE_CHECKING:
    from atelier.classifier import Classifier

WIDE = 460  # pixels: narrower figures go below each other
TALLEST = 1100  # pixels of a sheet of small pictures, beside which others stand
DRAWING = 1.0  # seconds that a browser takes for a view, or a little more
NOT_SEEN = ("dropout", "fingerprint")  # settings that change nothing of what a network looks like inside

Seen = TypeVar("Seen")

_cores = ThreadPoolExecutor(os.cpu_count())
_beside = ThreadPoolExecutor(1)
_ahead: list[Future] = []
_planning = threading.Lock()
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
    """The networks that can be asked by now, by name."""
    promises = {name: shared.load(name) for name in MODELS}
    return {name: promise.result() for name, promise in promises.items() if promise.done() and not promise.exception()}


def ask(spec: ModelSpec, digit: np.ndarray) -> shared.Answer:
    """As `shared.ask`, but once for each digit."""
    promise = shared.load(spec.name)
    if promise.done() and not promise.exception():
        return _asked(spec.name, identity(spec.name), digit)
    return shared.ask(spec, digit)


@st.cache_data(max_entries=500, show_spinner=False)
def _asked(name: str, identity: str, digit: np.ndarray) -> shared.Answer:
    return shared.ask(MODELS[name], digit)


def side_by_side(look: Callable[..., Seen], *of_each: Iterable) -> list[Seen]:
    """What `look` sees with each network, on as many cores as there are: one after the other for all visitors and
    sections of the page, which else would only take the cores from each other."""
    return list(_cores.map(look, *of_each))


def look_ahead(looks: Iterable[Callable[[], object]]) -> None:
    """Begin with what the next click may ask for, on one core, once the page is drawn; each of `looks` keeps what it
    finds. Only for the last of all visitors: a class that clicks at once needs the cores."""
    with _planning:
        for other in _ahead:
            other.cancel()
        _ahead[:] = [_beside.submit(time.sleep, DRAWING), *map(_beside.submit, looks)]


def choose_network(label: str, key: str, names: Iterable[str] = MODELS) -> str:
    """A choice among networks, the CNN at first."""
    return st.segmented_control(
        label,
        list(names),
        default="cnn",
        required=True,
        key=key,
        format_func=lambda name: MODELS[name].title,
        persist_state="session",
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
