"""Look inside, detector: the last step, which boxes stay, and how they compare with the true ones."""

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image
from streamlit_drawable_canvas import st_canvas

from atelier.data import drawing
from atelier.data.scenes import Scene
from atelier.figures import boxes as figures
from pages.ui import parts
from pages.ui.live import live_picture

if TYPE_CHECKING:
    from atelier.explain.proposals import Decision, Trace

TRUTHS = {"hidden": "Hide", "known": "Show them", "drawn": "I draw them"}
SCORE, OVERLAP = 0.5, 0.3  # the detector's own thresholds, where the sliders begin
CANVAS = 760, 300  # pixels, the most that the canvas for true boxes takes
SHORTEST = 6  # pixels of the canvas: a smaller box is only a click
LINE = 3  # pixels of the pen that draws true boxes
NO_BOXES = np.zeros((0, 4), np.float32)
STYLE = """<style>
@media (max-width: 1040px) { .st-key-inside_true_boxes { zoom: 0.75; } }
@media (max-width: 700px) { .st-key-inside_true_boxes { zoom: 0.4; } }
</style>"""

state = st.session_state


class Explained(NamedTuple):
    """The scene that all steps explain."""

    picture: np.ndarray  # uint8[H, W]
    known: Scene | None  # its digits, if they are known
    trace: "Trace"


def download(name: str, **arrays: np.ndarray) -> None:
    parts.download("Numbers (NPZ)", lambda: parts.npz(**arrays), f"{name}.npz")


# Which boxes stay ----------------------------------------------------------------------------------------------------


def show_boxes(explained: Explained) -> None:
    """The last step, with its thresholds."""
    thresholds()
    decision = decide(explained.trace)
    true, labels = true_boxes(explained)
    found, candidates = decision.detections, decision.candidates
    figure = figures.detections(explained.picture, decision, true)
    live_picture(figure, "inside_final", f"The scene with its boxes: {found.reading or 'none'}", lowest=200)
    st.markdown(
        f"{len(candidates.labels)} boxes have the minimum score. {len(decision.kept)} of them stay."
        + (" Dashed, in blue: the true boxes." if len(true) else "")
    )
    with st.container(key="inside_reading"):
        st.markdown(f"Reading: **{found.reading or '–'}**")
    if len(true):
        compare(true, labels, decision)
    dropped = np.delete(candidates.boxes, decision.kept, axis=0)
    arrays = {"boxes": found.boxes, "labels": found.labels, "scores": found.scores, "dropped": dropped}
    download("boxes", **arrays, probabilities=found.probabilities, true=true)


def thresholds() -> None:
    """The controls of `decide`."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kept = {"width": 260, "persist_state": "session"}
        help_text = "Boxes with a lower score are dropped."
        st.slider("Minimum score", 0.0, 1.0, SCORE, 0.01, key="inside_score", help=help_text, **kept)
        help_text = (
            "Of two boxes with a larger intersection over union (IoU), only the one with the higher score stays."
        )
        st.slider("Maximum overlap (IoU)", 0.0, 1.0, OVERLAP, 0.01, key="inside_overlap", help=help_text, **kept)
        help_text = "As in torchvision: only boxes of the same digit drop each other. One digit may get two boxes."
        st.toggle("Suppress each class alone", key="inside_each_class", help=help_text, **kept)


def decide(trace: "Trace") -> "Decision":
    """The last step with the thresholds of its sliders, which are kept while other steps are shown."""
    from atelier.explain import proposals

    score, overlap = state.get("inside_score", SCORE), state.get("inside_overlap", OVERLAP)
    return proposals.decide(trace, score, overlap, state.get("inside_each_class", False))


# True boxes ----------------------------------------------------------------------------------------------------------


def true_boxes(explained: Explained) -> tuple[np.ndarray, np.ndarray | None]:
    """True boxes `float32[T, 4]` and their labels, as the visitor chooses; the labels are None if they are unknown."""
    choice = st.segmented_control(
        "Where are the digits really?",
        [truth for truth in TRUTHS if truth != "known" or explained.known],
        default="hidden",
        required=True,
        format_func=TRUTHS.get,
        key="inside_truth",
        persist_state="session",
    )
    if choice == "known":
        return explained.known.boxes, explained.known.labels
    return draw_true_boxes(explained.picture) if choice == "drawn" else NO_BOXES, None


def draw_true_boxes(picture: np.ndarray) -> np.ndarray:
    """The boxes `float32[T, 4]` that the visitor draws; each scene keeps its own while the session lasts.

    They are drawn as lines, because the canvas draws rectangles only with a mouse, not with a finger.
    """
    height, width = picture.shape
    zoom = min(CANVAS[0] / width, CANVAS[1] / height)
    name = scene_id(picture)
    lines = state.setdefault("inside_true_boxes", {})
    canvas = state.get("inside_true_canvas", {})
    if canvas.get("scene") != name or canvas["key"] not in state:  # begin with the lines drawn before
        start = drawing.from_polylines(lines.get(name, []), LINE)
        for line in start["objects"]:
            line["stroke"] = figures.TRUE
        canvas = state.inside_true_canvas = {"scene": name, "key": f"inside_true_{uuid4().hex}", "start": start}
    st.markdown("Draw a line around each digit, or across it from corner to corner. The box is as large as the line.")
    st.space("xsmall")  # room for the canvas's own toolbar
    st.html(STYLE)
    with st.container(key="inside_true_boxes"):
        drawn = st_canvas(
            stroke_color=figures.TRUE,
            stroke_width=LINE,
            background_image=Image.fromarray(picture),
            width=round(zoom * width),
            height=round(zoom * height),
            initial_drawing=canvas["start"],
            key=canvas["key"],
        )
    if drawn.json_data is not None:
        lines[name] = drawing.to_polylines(drawn.json_data)
    polylines = [np.array(line) for line in lines.get(name, [])]
    boxes = [(*line.min(0), *line.max(0)) for line in polylines if np.ptp(line, axis=0).min() >= SHORTEST]
    return np.array(boxes, np.float32).reshape(-1, 4) / zoom


def scene_id(picture: np.ndarray) -> str:
    return sha256(picture.tobytes() + str(picture.shape).encode()).hexdigest()


def compare(true: np.ndarray, labels: np.ndarray | None, decision: "Decision") -> None:
    """Intersection over union, precision and recall; if the true labels are known, they have to match as well."""
    from atelier.explain import proposals

    found = decision.detections
    digit = "" if labels is None else " and has the right digit"
    threshold = st.slider(
        "IoU needed for a match",
        0.05,
        0.95,
        0.5,
        0.05,
        key="inside_match_iou",
        help=f"A box matches a true one if their intersection over union is at least this{digit}.",
        width=260,
        persist_state="session",
    )
    alike = None if labels is None else labels[:, None] == found.labels
    match = proposals.match_boxes(true, found.boxes, threshold, alike)
    right = int((match.matched_by >= 0).sum())
    with st.container(horizontal=True, key="inside_how_good"):
        metric("Precision", match.precision, f"{right} of {len(found.labels)}", "The share of found boxes that match.")
        metric("Recall", match.recall, f"{right} of {len(true)}", "The share of true boxes that are found.")
    table = pd.DataFrame(
        {
            "true": [f"{left:.0f}, {top:.0f} – {right:.0f}, {bottom:.0f}" for left, top, right, bottom in true],
            "found": [str(found.labels[number]) if number >= 0 else "missed" for number in match.matched_by],
            "iou": match.iou.max(1, initial=0),
        }
    )
    columns = {
        "true": "True box",
        "found": "Found as",
        "iou": st.column_config.ProgressColumn("Best IoU", format="percent", min_value=0, max_value=1),
    }
    st.dataframe(table, hide_index=True, column_config=columns, key="inside_match_table")
    parts.download("IoU (CSV)", lambda: pd.DataFrame(match.iou).to_csv(), "iou.csv")


def metric(label: str, share: float | None, count: str, help_text: str) -> None:
    value = "–" if share is None else f"{share:.0%}"
    st.metric(label, value, count, delta_color="off", delta_arrow="off", help=help_text)
