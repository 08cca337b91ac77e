"""Cards: a network's name, its answer and its input.

They are light HTML, because a chart for each network would take longer to draw than the networks take to answer.
"""

from html import escape
from pathlib import Path

import numpy as np
import streamlit as st

from atelier import paths
from atelier.data.mnist import CLASSES, SIDE
from atelier.figures import plotting
from atelier.runs import overview
from atelier.runs.folder import Run
from atelier.zoo import ModelSpec
from pages.ui.networks import Answer, chosen

THUMBNAILS = Path(__file__).parent / "thumbnails"
BLANK = "–"  # the answer to a blank canvas
NOTHING = "&nbsp;"  # keeps a line's height

STYLE = """<style>
.network { border-left: 0.4rem solid; padding-left: 0.6rem; font-weight: 700; font-size: 1.2rem; white-space: nowrap; }
.source { opacity: 0.75; font-size: 0.85rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.digit { font-size: 4.5rem; font-weight: 800; line-height: 1; text-align: center; }
.confidence { font-size: 1.2rem; font-weight: 700; text-align: center; }
.bars { display: flex; gap: 2px; height: 3.6rem; }
.bars div { flex: 1; display: flex; flex-direction: column; justify-content: flex-end; text-align: center; }
.bars i { display: block; min-height: 2px; border-radius: 2px 2px 0 0; }
.note { opacity: 0.75; font-size: 0.85rem; text-align: center; }
.pixels { width: 100%; max-width: 20rem; display: block; margin: 0.6rem auto 0; image-rendering: pixelated; }
.reading { font-size: 3.2rem; font-weight: 800; line-height: 1.1; text-align: center; letter-spacing: 0.1em; }
button[role="radio"][data-selected] { color: inherit !important; }  /* else dark on dark */
.st-key-draw_status {  /* for tests and screen readers only */
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
@media (max-width: 1040px) { .st-key-scene_canvas { zoom: 0.75; } }  /* 880 pixels on a tablet */
@media (max-width: 700px) {  /* and on a phone, below the other canvas of 440 */
  .network { font-size: 1rem; }
  .st-key-draw_canvas { zoom: 0.8; }
  .st-key-scene_canvas { zoom: 0.4; }
}
@media (max-width: 388px) { .st-key-draw_canvas { zoom: 0.64; } .st-key-scene_canvas { zoom: 0.32; } }
</style>"""

THUMBNAIL = (  # of a network without a drawing of its own
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 120" role="img">'
    "<title>A digit goes in, a network of layers computes ten outputs</title>"
    '<rect x="8" y="28" width="64" height="64" rx="2" stroke="#8795A3"/>'
    '<path d="M24 44 H56 L38 78" fill="none" stroke="#ffffff" stroke-width="6" stroke-linecap="round"/>'
    '<g fill="{colour}" fill-opacity="0.35" stroke="{colour}"><rect x="112" y="24" width="18" height="72" rx="2"/>'
    '<rect x="160" y="32" width="18" height="56" rx="2"/><rect x="208" y="40" width="18" height="40" rx="2"/></g>'
    '<path d="M80 60 H104 M138 60 H152 M186 60 H200 M234 60 H284" stroke="#8795A3"/>'
    '<g fill="none" stroke="#8795A3">{outputs}</g></svg>'
)


def style() -> None:
    """The cards' CSS."""
    st.html(STYLE)


def title(spec: ModelSpec) -> str:
    """The network's name, beside its colour."""
    return f'<div class="network" style="border-color: {spec.colour}">{escape(spec.title)}</div>'


def source(spec: ModelSpec) -> str:
    """Who trained the network's weights; empty while all are ready-made."""
    if not st.session_state.get("chosen_runs"):
        return ""
    text, run_id = "ready-made", chosen(spec.name)
    if run_id is not None:
        text = f"trained by you: {escape(overview.name(Run(paths.RUNS / run_id), spec.title))}"
    return f'<div class="source" title="{text}">{text}</div>'


def thumbnail(spec: ModelSpec) -> str:
    """The network's architecture as a small drawing (SVG)."""
    file = THUMBNAILS / f"{spec.name}.svg"
    if file.is_file():
        return file.read_text()
    outputs = "".join(f'<circle cx="300" cy="{15 + 10 * place}" r="3.6"/>' for place in range(CLASSES))
    return THUMBNAIL.format(colour=spec.colour, outputs=outputs)


def digit(answer: Answer, hidden: bool) -> str:
    """The digit that the network answers, large."""
    text = "?" if hidden else BLANK if answer.digit is None else str(answer.digit)
    return f'<div class="digit">{text}</div>'


def details(answer: Answer, hidden: bool) -> str:
    """Confidence, the ten probabilities and the time, or why there is no answer."""
    if answer.error:
        return f'<div class="note">{escape(answer.error)}</div>'
    shares = np.zeros(CLASSES) if hidden or answer.probabilities is None else answer.probabilities
    bars = "".join(
        f'<div><i style="height: {100 * share:.1f}%; background: {answer.spec.colour}"></i>{digit}</div>'
        for digit, share in enumerate(shares)
    )
    confidence, note = NOTHING, NOTHING
    if answer.loading:
        alt, note = "the network is loading", "loading …"
    elif hidden:
        alt = "hidden"
    elif answer.digit is None:
        alt = "no drawing yet"
    else:
        confidence, note = f"{shares.max():.1%} sure", f"{answer.milliseconds:.0f} ms"
        alt = ", ".join(f"{digit}: {share:.1%}" for digit, share in enumerate(shares))
    return (
        f'<div class="confidence">{confidence}</div>'
        f'<div class="bars" role="img" aria-label="Probabilities: {alt}">{bars}</div>'
        f'<div class="note">{note}</div>'
    )


def picture(digit: np.ndarray | None) -> str:
    """The pixels that the networks receive, large."""
    alt = f"The digit as the networks see it, {SIDE} by {SIDE} pixels"
    if digit is None:
        digit, alt = np.zeros((SIDE, SIDE), np.uint8), f"No digit yet: {SIDE} by {SIDE} black pixels"
    return (
        '<div class="network" style="border-color: gray; white-space: normal">What the networks see</div>'
        f'<img class="pixels" alt="{alt}" src="{plotting.png(digit)}">'
        f'<div class="note">your drawing at {SIDE} × {SIDE} pixels, like the training digits</div>'
    )
