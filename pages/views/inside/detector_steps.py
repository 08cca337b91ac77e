"""The eight steps of Faster R-CNN, one function each: what Look inside shows of it, from the picture to the boxes."""

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
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
from pages.ui.live import live_figure, live_picture

if TYPE_CHECKING:
    from atelier.explain.proposals import Decision, Trace

TRUTHS = {"hidden": "Not now", "drawn": "I draw them", "told": "Tell me"}
SCORE, OVERLAP = 0.5, 0.3  # where the last step's sliders begin: what the detector itself does
PANELS = 420  # pixels: narrower figures go below each other
CANVAS = 760, 300  # pixels, the most that the canvas for true boxes takes
SHORTEST = 6  # pixels of the canvas: who draws a smaller box has only clicked
LINE = 3  # pixels of the pen that draws true boxes
STYLE = """<style>
@media (max-width: 1040px) { .st-key-inside_true_boxes { zoom: 0.75; } }
@media (max-width: 700px) { .st-key-inside_true_boxes { zoom: 0.4; } }
</style>"""

state = st.session_state


class Looked(NamedTuple):
    """What a step shows."""

    picture: np.ndarray  # uint8[H, W], the scene
    known: Scene | None  # what is in it, if that is known
    walk: "Trace"


# What all steps share ------------------------------------------------------------------------------------------------


def decided(walk: "Trace") -> "Decision":
    """The last step, with what its sliders say; they are kept while other steps are shown."""
    from atelier.explain import proposals

    score, overlap = state.get("inside_score", SCORE), state.get("inside_overlap", OVERLAP)
    return proposals.decide(walk, score, overlap, state.get("inside_each_class", False))


def place(walk: "Trace") -> tuple[int, int]:
    """Row and column of the map where anchors are shown: as clicked, or where a digit is surest. Clicks are kept as
    shares: the next scene has another size."""
    rows, columns = walk.objectness.shape[:2]
    if "inside_place" not in state:
        return divmod(int(walk.objectness.max(-1).argmax()), columns)
    down, right = state.inside_place
    return int(down * rows), int(right * columns)


def at_place(walk: "Trace") -> Callable[[dict[str, Any]], None]:
    def clicked(point: dict[str, Any]) -> None:
        (row, column), (rows, columns) = point["point"], walk.objectness.shape[:2]
        state.inside_place = (row + 0.5) / rows, (column + 0.5) / columns

    return clicked


def numbers(name: str, **arrays: np.ndarray) -> None:
    """What a step shows, as a file."""
    parts.download("Numbers (NPZ)", lambda: parts.npz(**arrays), f"{name}.npz")


# The steps -----------------------------------------------------------------------------------------------------------


def see_picture(looked: Looked) -> None:
    live_picture(figures.picture(looked.walk.picture), "inside_picture", "The scene as the detector gets it")
    numbers("picture", picture=looked.walk.picture)


def see_features(looked: Looked) -> None:
    from atelier.explain import proposals

    maps = looked.walk.features
    columns = 2 if maps.shape[2] > 2 * maps.shape[1] else 4
    chosen = proposals.most_varied(maps, 12)
    drawn = figures.channels(maps, chosen, columns)
    live_picture(drawn, "inside_features", "The channels of the backbone that vary most", tallest=560)
    numbers("features", features=maps)


def see_anchors(looked: Looked) -> None:
    walk, (row, column) = looked.walk, place(looked.walk)
    boxes, scores = st.columns([2, 1])
    with boxes:
        drawn = figures.anchors(walk, row, column)
        live_picture(drawn, "inside_anchors", "The anchors at the clicked place", at_place(walk), lowest=150)
    with scores:
        drawn = figures.anchor_scores(walk, row, column)
        live_figure(drawn, "inside_anchor_scores", 380, "How sure each anchor is to hold some digit")
    numbers("anchors", anchors=walk.anchors, shifted=walk.shifted, objectness=walk.objectness)


def see_objectness(looked: Looked) -> None:
    live_picture(figures.objectness(looked.walk), "inside_objectness", "Where the first stage sees some digit")
    with st.expander("Which anchor sees what?"):
        drawn = figures.objectness_by_anchor(looked.walk)
        live_picture(drawn, "inside_by_anchor", "Where each anchor sees some digit", tallest=560)
    numbers("objectness", objectness=looked.walk.objectness)


def see_proposals(looked: Looked) -> None:
    walk = looked.walk
    most = st.slider("How many of the surest", 1, 200, 200, key="inside_most", width=400, persist_state="session")
    with st.grid("auto", min_column_width=PANELS):
        drawn = figures.candidates(walk, most)
        live_picture(drawn, "inside_candidates", "The surest boxes before non-maximum suppression")
        drawn = figures.survivors(walk, most)
        live_picture(drawn, "inside_survivors", "The boxes that non-maximum suppression leaves")
    numbers("proposals", candidates=walk.candidates, objectness=walk.candidates_objectness, kept=walk.kept)


def see_crops(looked: Looked) -> None:
    from atelier.explain import proposals

    walk, chosen = looked.walk, proposal(looked.walk)
    crop = walk.crops[chosen]
    with st.grid("auto", min_column_width=PANELS):
        drawn = figures.crops(walk, chosen)
        live_picture(
            drawn, "inside_crops", "Proposals cut out", lambda point: choose(point["customdata"]), narrowest=495
        )
        drawn = figures.channels(crop, proposals.most_varied(crop, 24), 6, f"Proposal {chosen + 1}: ")
        live_picture(drawn, "inside_crop", "The channels that vary most in the chosen proposal")
    numbers("crops", proposals=walk.proposals, crops=walk.crops)


def see_classes(looked: Looked) -> None:
    walk, chosen = looked.walk, proposal(looked.walk)
    with st.grid("auto", min_column_width=PANELS):
        drawn = figures.classes(walk, chosen)
        alt = "The class probabilities of the surest proposals"
        live_figure(drawn, "inside_classes", 520, alt, lambda point: choose(point["y"]))
        drawn = figures.refined(walk, chosen)
        live_picture(drawn, "inside_refined", "The chosen proposal and its refined box")
    numbers("classes", proposals=walk.proposals, probabilities=walk.probabilities, refined=walk.refined)


def proposal(walk: "Trace") -> int:
    """The number of the chosen one; the first until one is clicked."""
    return min(state.get("inside_proposal", 0), len(walk.proposals) - 1, figures.SHOWN - 1)


def choose(number: int | None) -> None:
    if number is not None:
        state.inside_proposal = int(number)


# The last step: which boxes stay, and how good they are --------------------------------------------------------------


def see_final(looked: Looked) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kept = {"width": 260, "persist_state": "session"}
        help_text = "Boxes that the detector is less sure of are left out."
        st.slider("Least score", 0.0, 1.0, SCORE, 0.01, key="inside_score", help=help_text, **kept)
        help_text = "Of two boxes that share more than this (intersection over union), the surer one stays."
        st.slider("Most overlap (IoU)", 0.0, 1.0, OVERLAP, 0.01, key="inside_overlap", help=help_text, **kept)
        help_text = "Only boxes of the same digit drop each other, so one drawn digit may be read twice."
        st.toggle("torchvision's rule", key="inside_each_class", help=help_text, **kept)
    decision = decided(looked.walk)
    modes = [mode for mode in TRUTHS if mode != "told" or looked.known]
    truth = st.segmented_control(
        "Where are the digits really?",
        modes,
        default="hidden",
        required=True,
        format_func=TRUTHS.get,
        key="inside_truth",
        persist_state="session",
    )
    true, labels = None, None
    if truth == "drawn":
        true = draw_true_boxes(looked.picture)
    elif truth == "told":
        true, labels = looked.known.boxes, looked.known.labels
    drawn = figures.detections(looked.picture, decision, np.zeros((0, 4)) if true is None else true)
    live_picture(
        drawn, "inside_final", f"The scene with the boxes found: {decision.detections.reading or 'none'}", lowest=200
    )
    st.markdown(
        f"**{len(decision.candidates.labels)}** boxes are sure enough; **{len(decision.kept)}** stay. "
        f"The detector reads **{decision.detections.reading or 'nothing'}**."
        + (" Dashed, in blue: where the digits really are." if true is not None and len(true) else "")
    )
    if true is not None and len(true):
        how_good(true, labels, decision)
    found, dropped = decision.detections, np.delete(decision.candidates.boxes, decision.kept, axis=0)
    arrays = {"boxes": found.boxes, "labels": found.labels, "scores": found.scores, "dropped": dropped}
    numbers("boxes", **arrays, probabilities=found.probabilities, true=np.zeros((0, 4)) if true is None else true)


def draw_true_boxes(picture: np.ndarray) -> np.ndarray:
    """The boxes `float32[T, 4]` that the student draws; each scene keeps its own while the session lasts.

    They are drawn as lines, for the canvas draws rectangles with a mouse only, and many a student has a finger.
    """
    height, width = picture.shape
    zoom = min(CANVAS[0] / width, CANVAS[1] / height)
    name = sha256(picture.tobytes() + bytes(str(picture.shape), "ascii")).hexdigest()
    kept = state.setdefault("inside_true_boxes", {})
    canvas = state.get("inside_true_canvas", {})
    if canvas.get("scene") != name or canvas["key"] not in state:  # begin with what was drawn before
        start = drawing.from_polylines(kept.get(name, []), LINE)
        for line in start["objects"]:
            line["stroke"] = figures.TRUE
        canvas = state.inside_true_canvas = {"scene": name, "key": f"inside_true_{uuid4().hex}", "start": start}
    st.markdown("Draw a line around each digit, or across it from corner to corner: its box is as large as the line.")
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
        kept[name] = drawing.to_polylines(drawn.json_data)
    lines = [np.array(line) for line in kept.get(name, [])]
    boxes = [(*line.min(0), *line.max(0)) for line in lines if np.ptp(line, axis=0).min() >= SHORTEST]
    return np.array(boxes, np.float32).reshape(-1, 4) / zoom


def how_good(true: np.ndarray, labels: np.ndarray | None, decision: "Decision") -> None:
    """Intersection over union, precision and recall of the boxes found; if the labels of the true boxes are known, a
    box has to have the right one."""
    from atelier.explain import proposals

    found = decision.detections
    kept = {"width": 260, "persist_state": "session"}
    help_text = "A box is right if it shares at least this much with a true one (intersection over union)"
    help_text += "." if labels is None else " and names its digit."
    demand = st.slider("IoU that counts as found", 0.05, 0.95, 0.5, 0.05, key="inside_demand", help=help_text, **kept)
    alike = None if labels is None else labels[:, None] == found.labels
    reading = proposals.match_boxes(true, found.boxes, demand, alike)
    right = int((reading.matched_by >= 0).sum())
    with st.container(horizontal=True, key="inside_how_good"):
        told = {"Precision": (reading.precision, len(found.labels)), "Recall": (reading.recall, len(true))}
        for title, (share, of) in told.items():
            st.metric(
                title,
                "–" if share is None else f"{share:.0%}",
                f"{right} of {of}",
                delta_color="off",
                delta_arrow="off",
            )
    best = reading.iou.max(1, initial=0)
    table = pd.DataFrame(
        {
            "true box": [f"{left:.0f}, {top:.0f} – {right:.0f}, {bottom:.0f}" for left, top, right, bottom in true],
            "found as": [str(found.labels[number]) if number >= 0 else "missed" for number in reading.matched_by],
            "best IoU": best,
        }
    )
    form = st.column_config.ProgressColumn("best IoU", format="percent", min_value=0, max_value=1)
    st.dataframe(table, hide_index=True, column_config={"best IoU": form})
    st.markdown(
        "**IoU**: what two boxes share, divided by what they cover together. **Precision**: of the boxes found, how "
        "many are right. **Recall**: of the digits that are there, how many were found. "
        + ("Only the place counts here." if labels is None else "Place and digit have to be right.")
    )
    parts.download("IoU (CSV)", lambda: pd.DataFrame(reading.iou).to_csv(), "iou.csv")


# The steps in their order: the question, how to read the picture that answers it, and what shows it ------------------

STEPS: dict[str, tuple[str, str, Callable[[Looked], None]]] = {
    "Picture": (
        "What does the detector get?",
        "The scene in grey, its shorter side 112 pixels long, or less in a long one: the brighter, the more ink.",
        see_picture,
    ),
    "Features": (
        "What does the backbone find in it?",
        "Each small map is one channel, the most varied first: bright where it responds. One place is 4 × 4 pixels.",
        see_features,
    ),
    "Anchors": (
        "Which boxes does it try?",
        "**Click the picture**: at each place it tries a few fixed boxes, the anchors, of each size in several shapes.",
        see_anchors,
    ),
    "Objectness": (
        "Where is some digit?",
        "The stronger the colour, the surer the first stage is that an anchor there holds a digit, whichever it is.",
        see_objectness,
    ),
    "Proposals": (
        "Which boxes go on?",
        "Non-maximum suppression: of boxes that overlap by more than 70% (IoU) only the surest stays, in orange. Only "
        "the surest of these go on.",
        see_proposals,
    ),
    "RoIAlign": (
        "What does the second stage see of each box?",
        "Large or small, each proposal becomes a map of 7 × 7 places, bright where channels respond. **Click one.**",
        see_crops,
    ),
    "Classes": (
        "Which digit is in each box?",
        "Each row is a proposal with its ten probabilities and “none”. **Click one** to see how its box is refined.",
        see_classes,
    ),
    "Boxes": (
        "Which boxes stay?",
        "Move the sliders: orange boxes are the answer, grey ones are dropped for a surer one that overlaps them.",
        see_final,
    ),
}
