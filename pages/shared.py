"""What the pages share: loaded networks, their answers, and small pieces of HTML."""

import base64
import gc
import io
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import mode, multimode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.runtime.pages_manager import PagesManager

import atelier
from atelier.checkpoint import CheckpointError
from atelier.zoo import ModelSpec

if TYPE_CHECKING:
    from atelier.classifier import Classifier

THUMBNAILS = Path(__file__).parent / "thumbnails"

# A single digit keeps one core busy for milliseconds; more threads only get in each other's way when a class draws at
# once or a network trains beside. PyTorch reads this when it is imported, later.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BLANK = "–"  # the answer to a blank canvas
POLL = 0.1  # seconds between looks at what is still loading
HEAD_START = 1.0  # seconds: the first screen comes first

_loading: dict[tuple[str | float, ...], Future["Classifier"]] = {}  # for all visitors
_starting = threading.Lock()


def load(name: str) -> Future["Classifier"]:
    """A shipped network, loading in a thread of its own: once for all visitors, and again if its files have changed."""
    spec = atelier.MODELS[name]
    key = (name, *(file.stat().st_mtime if file.is_file() else 0.0 for file in (spec.checkpoint, spec.backbone)))
    with _starting:
        if key not in _loading:
            _loading[key] = Future()
            start = threading.Timer(HEAD_START, _load, (name, _loading[key]))
            start.daemon = True
            start.start()
        return _loading[key]


def _load(name: str, promise: Future["Classifier"]) -> None:
    try:
        classifier = atelier.load(name)
        classifier.predict_proba(np.zeros((1, 28, 28), dtype=np.uint8))  # the first call is slow: not before a class
        promise.set_result(classifier)
    except Exception as error:  # said on the page, in place of the network's answer
        promise.set_exception(error)
    if all(other.done() for other in _loading.values()):
        # Streamlit collects garbage after every run of a page. Looking through PyTorch's objects each time would cost
        # 130 ms a stroke; they stay anyway.
        gc.collect()
        gc.freeze()


def load_networks_in_background() -> None:
    """Start loading, so that the networks are there when the first digit is drawn."""
    for name in atelier.MODELS:
        load(name)


def wait_for_a_network() -> None:
    """Run the page again as soon as one more network is loaded, or when the visitor draws the digit."""
    waiting = [load(name) for name in atelier.MODELS if not load(name).done()]
    place = st.empty()
    while waiting and not any(promise.done() for promise in waiting):
        time.sleep(POLL)
        place.empty()  # lets Streamlit turn to the visitor
    st.rerun()


@dataclass(frozen=True)
class Answer:
    """What one network says to one digit, or why it does not."""

    spec: ModelSpec
    probabilities: np.ndarray | None = None  # float32[10]; None for a blank canvas, too
    milliseconds: float = 0.0
    problem: str = ""
    loading: bool = False

    @property
    def digit(self) -> int | None:
        return None if self.probabilities is None else int(self.probabilities.argmax())


def ask(spec: ModelSpec, digit: np.ndarray | None) -> Answer:
    """Ask one network, if it is loaded. A blank canvas (None) has no answer."""
    promise = load(spec.name)
    if not promise.done():
        return Answer(spec, loading=True)
    if promise.exception() is not None:
        return Answer(spec, problem=said(promise.exception()))
    if digit is None:
        return Answer(spec)
    started = time.perf_counter()
    probabilities = promise.result().predict_proba(digit[None])[0]
    return Answer(spec, probabilities, 1000 * (time.perf_counter() - started))


def said(error: BaseException | None) -> str:
    """Why a network could not be loaded, for the page."""
    if isinstance(error, CheckpointError):
        return str(error)
    return f"This network could not be loaded: {error}"


def loading(answers: list[Answer]) -> bool:
    return any(answer.loading for answer in answers)


def agreement(answers: list[Answer]) -> str:
    """How many networks agree, in a line."""
    digits = [answer.digit for answer in answers if answer.digit is not None]
    if len(digits) < 2:
        return ""
    top = mode(digits)
    if digits.count(top) == len(digits):
        return f"All {len(digits)} networks say {top}."
    if len(multimode(digits)) > 1:
        return f"The networks disagree: {' or '.join(map(str, sorted(set(digits))))}."
    return f"{digits.count(top)} of {len(digits)} networks say {top}."


def through_app() -> None:
    """Have this page run through app.py, also when its link is the first thing that a fresh server is asked for.

    Until app.py has called `st.navigation` once, Streamlit takes every file under `pages/` for a page of its own.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def camera_allowed(url: str | None) -> bool:
    """Whether browsers lend the camera to a page of this address: only on this computer or over HTTPS."""
    address = urlsplit(url or "")
    return address.scheme == "https" or address.hostname in ("localhost", "127.0.0.1", "::1")


def camera(label: str, key: str, on_change: Callable[[str], None]) -> None:
    """A photo on request, or why there can be none; `on_change` is called with the photo's key."""
    if not camera_allowed(st.context.url):
        st.info(
            "Browsers lend the camera only to pages on this computer or over HTTPS. Take the photo with the camera's "
            "own app and choose the file above."
        )
    elif st.toggle("Use the camera", key=f"{key}_wanted"):
        st.camera_input(label, key=key, on_change=on_change, args=(key,))


# Cards: light HTML, because five charts would take longer to draw than the networks take to answer. ------------------

STYLE = """<style>
.network { border-left: 0.4rem solid; padding-left: 0.6rem; font-weight: 700; font-size: 1.2rem; white-space: nowrap; }
.digit { font-size: 4.5rem; font-weight: 800; line-height: 1; text-align: center; }
.confidence { font-size: 1.2rem; font-weight: 700; text-align: center; }
.bars { display: flex; gap: 2px; height: 3.6rem; }
.bars div { flex: 1; display: flex; flex-direction: column; justify-content: flex-end; text-align: center; }
.bars i { display: block; min-height: 2px; border-radius: 2px 2px 0 0; }
.note { opacity: 0.75; font-size: 0.85rem; text-align: center; }
.seen { width: 100%; max-width: 20rem; display: block; margin: 0.6rem auto 0; image-rendering: pixelated; }
.reading { font-size: 3.2rem; font-weight: 800; line-height: 1.1; text-align: center; letter-spacing: 0.1em; }
@media (max-width: 1040px) { .st-key-scene_canvas { zoom: 0.75; } }  /* 880 pixels on a tablet */
@media (max-width: 700px) {  /* and on a phone, beside the other canvas of 440 */
  .network { font-size: 1rem; }
  .st-key-draw_canvas { zoom: 0.8; }
  .st-key-scene_canvas { zoom: 0.4; }
}
@media (max-width: 388px) { .st-key-draw_canvas { zoom: 0.64; } .st-key-scene_canvas { zoom: 0.32; } }
</style>"""


def style() -> None:
    """The cards' CSS."""
    st.html(STYLE)


def card_head(spec: ModelSpec) -> str:
    return f'<div class="network" style="border-color: {spec.colour}">{escape(spec.title)}</div>'


def thumbnail(spec: ModelSpec) -> str:
    """The network's architecture as a small drawing (SVG)."""
    return (THUMBNAILS / f"{spec.name}.svg").read_text()


def card_digit(answer: Answer, hidden: bool) -> str:
    text = "?" if hidden else BLANK if answer.digit is None else str(answer.digit)
    return f'<div class="digit">{text}</div>'


def card_details(answer: Answer, hidden: bool) -> str:
    """Confidence, the ten probabilities and the time taken, or why there is no answer."""
    if answer.problem:
        return f'<div class="note">{escape(answer.problem)}</div>'
    shares = np.zeros(10) if hidden or answer.probabilities is None else answer.probabilities
    bars = "".join(
        f'<div><i style="height: {100 * share:.1f}%; background: {answer.spec.colour}"></i>{digit}</div>'
        for digit, share in enumerate(shares)
    )
    if answer.loading:
        confidence, told, time_taken = "&nbsp;", "the network is still loading", "loading …"
    elif hidden:
        confidence, told, time_taken = "your bet?", "hidden", "&nbsp;"
    elif answer.digit is None:
        confidence, told, time_taken = "&nbsp;", "no drawing yet", "&nbsp;"
    else:
        confidence = f"{shares.max():.1%} sure"
        told = ", ".join(f"{digit}: {share:.1%}" for digit, share in enumerate(shares))
        time_taken = f"{answer.milliseconds:.0f} ms"
    return (
        f'<div class="confidence">{confidence}</div>'
        f'<div class="bars" role="img" aria-label="Probabilities: {told}">{bars}</div>'
        f'<div class="note">{time_taken}</div>'
    )


def card_picture(digit: np.ndarray | None) -> str:
    """The 28 x 28 pixels that the networks are given, large."""
    blank = digit is None
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((28, 28), np.uint8) if blank else digit).save(buffer, "PNG")
    source = base64.b64encode(buffer.getvalue()).decode()
    told = (
        "Nothing yet: a black square of 28 by 28 pixels"
        if blank
        else "The digit as the networks see it, 28 by 28 pixels"
    )
    return (
        '<div class="network" style="border-color: gray">What it sees</div>'
        f'<img class="seen" alt="{told}" src="data:image/png;base64,{source}">'
        '<div class="note">28 × 28 pixels, centred like MNIST</div>'
    )
