"""Cards: a network's name, its answer and what it sees.

They are light HTML, because five charts would take longer to draw than the networks take to answer.
"""

from html import escape
from pathlib import Path

import numpy as np
import streamlit as st

from atelier import paths
from atelier.figures import plotting
from atelier.runs import overview
from atelier.runs.folder import Run
from atelier.zoo import ModelSpec
from pages.ui.networks import Answer, chosen

THUMBNAILS = Path(__file__).parent / "thumbnails"
BLANK = "–"  # the answer to a blank canvas

STYLE = """<style>
.network { border-left: 0.4rem solid; padding-left: 0.6rem; font-weight: 700; font-size: 1.2rem; white-space: nowrap; }
.run { opacity: 0.75; font-size: 0.85rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.digit { font-size: 4.5rem; font-weight: 800; line-height: 1; text-align: center; }
.confidence { font-size: 1.2rem; font-weight: 700; text-align: center; }
.bars { display: flex; gap: 2px; height: 3.6rem; }
.bars div { flex: 1; display: flex; flex-direction: column; justify-content: flex-end; text-align: center; }
.bars i { display: block; min-height: 2px; border-radius: 2px 2px 0 0; }
.note { opacity: 0.75; font-size: 0.85rem; text-align: center; }
.seen { width: 100%; max-width: 20rem; display: block; margin: 0.6rem auto 0; image-rendering: pixelated; }
.reading { font-size: 3.2rem; font-weight: 800; line-height: 1.1; text-align: center; letter-spacing: 0.1em; }
button[role="radio"][data-selected] { color: inherit !important; }  /* else dark on dark */
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


def head(spec: ModelSpec) -> str:
    return f'<div class="network" style="border-color: {spec.colour}">{escape(spec.title)}</div>'


def run(spec: ModelSpec) -> str:
    """Where the network's weights come from, while any of the networks is a person's own run."""
    if not st.session_state.get("chosen_runs"):
        return ""
    run_id = chosen(spec.name)
    told = "shipped" if run_id is None else f"own run: {escape(overview.name(Run(paths.RUNS / run_id), spec.title))}"
    return f'<div class="run" title="{told}">{told}</div>'


def thumbnail(spec: ModelSpec) -> str:
    """The network's architecture as a small drawing (SVG)."""
    return (THUMBNAILS / f"{spec.name}.svg").read_text()


def digit(answer: Answer, hidden: bool) -> str:
    text = "?" if hidden else BLANK if answer.digit is None else str(answer.digit)
    return f'<div class="digit">{text}</div>'


def details(answer: Answer, hidden: bool) -> str:
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


def picture(digit: np.ndarray | None) -> str:
    """The 28 x 28 pixels that the networks are given, large."""
    if digit is None:
        digit, told = np.zeros((28, 28), np.uint8), "Nothing yet: a black square of 28 by 28 pixels"
    else:
        told = "The digit as the networks see it, 28 by 28 pixels"
    return (
        '<div class="network" style="border-color: gray">What it sees</div>'
        f'<img class="seen" alt="{told}" src="{plotting.png(digit)}">'
        '<div class="note">28 × 28 pixels, centred like MNIST</div>'
    )
