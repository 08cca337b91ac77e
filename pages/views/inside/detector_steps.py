"""Look inside, detector: its eight steps from the picture to the boxes, one function each."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from atelier.figures import boxes as figures
from pages.ui.live import live_figure, live_picture
from pages.views.inside.detector_boxes import Explained, download, show_boxes

if TYPE_CHECKING:
    from atelier.explain.proposals import Trace

PANELS = 420  # pixels: narrower figures stand below each other

state = st.session_state


def show_picture(explained: Explained) -> None:
    picture = explained.trace.picture
    live_picture(figures.picture(picture), "inside_picture", "The scene as the detector gets it")
    download("picture", picture=picture)


def show_features(explained: Explained) -> None:
    from atelier.explain import proposals

    maps = explained.trace.features
    columns = 2 if maps.shape[2] > 2 * maps.shape[1] else 4
    figure = figures.channels(maps, proposals.most_varied(maps, 12), columns)
    live_picture(figure, "inside_features", "The feature maps of the backbone that vary most", tallest=560)
    download("features", features=maps)


# First stage ---------------------------------------------------------------------------------------------------------


def show_anchors(explained: Explained) -> None:
    trace, (row, column) = explained.trace, place(explained.trace)
    left, right = st.columns([2, 1])
    with left:
        figure = figures.anchors(trace, row, column)
        live_picture(figure, "inside_anchors", "The anchors at the clicked place", place_clicked(trace), lowest=150)
    with right:
        figure = figures.anchor_scores(trace, row, column)
        live_figure(figure, "inside_anchor_scores", 380, "The objectness of each anchor")
    download("anchors", anchors=trace.anchors, shifted=trace.shifted, objectness=trace.objectness)


def place(trace: "Trace") -> tuple[int, int]:
    """Row and column whose anchors are shown: the clicked place, or the one with the highest objectness.

    Clicks are kept as shares of the map, because another scene has another size.
    """
    rows, columns = trace.objectness.shape[:2]
    if "inside_place" not in state:
        return divmod(int(trace.objectness.max(-1).argmax()), columns)
    down, right = state.inside_place
    return int(down * rows), int(right * columns)


def place_clicked(trace: "Trace") -> Callable[[dict[str, Any]], None]:
    def clicked(point: dict[str, Any]) -> None:
        (row, column), (rows, columns) = point["point"], trace.objectness.shape[:2]
        state.inside_place = (row + 0.5) / rows, (column + 0.5) / columns

    return clicked


def show_objectness(explained: Explained) -> None:
    trace = explained.trace
    live_picture(figures.objectness(trace), "inside_objectness", "The objectness of each place")
    with st.expander("Objectness by anchor", key="inside_objectness_by_anchor"):
        figure = figures.objectness_by_anchor(trace)
        live_picture(figure, "inside_by_anchor", "The objectness of each anchor", tallest=560)
    download("objectness", objectness=trace.objectness)


def show_proposals(explained: Explained) -> None:
    trace = explained.trace
    most = st.slider("Number of boxes", 1, 200, 200, key="inside_most", width=400, persist_state="session")
    with st.grid("auto", min_column_width=PANELS):
        figure = figures.candidates(trace, most)
        live_picture(figure, "inside_candidates", "Boxes before non-maximum suppression")
        figure = figures.survivors(trace, most)
        live_picture(figure, "inside_survivors", "Boxes after non-maximum suppression")
    download("proposals", candidates=trace.candidates, objectness=trace.candidates_objectness, kept=trace.kept)


# Second stage --------------------------------------------------------------------------------------------------------


def show_crops(explained: Explained) -> None:
    from atelier.explain import proposals

    trace, number = explained.trace, chosen_proposal(explained.trace)
    crop = trace.crops[number]
    with st.grid("auto", min_column_width=PANELS):
        figure = figures.crops(trace, number)
        live_picture(
            figure,
            "inside_crops",
            "The proposals, cut out",
            lambda point: choose_proposal(point["customdata"]),
            narrowest=495,
        )
        figure = figures.channels(crop, proposals.most_varied(crop, 24), 6, f"Proposal {number + 1}: ")
        live_picture(figure, "inside_crop", "The feature maps of the chosen proposal that vary most")
    download("crops", proposals=trace.proposals, crops=trace.crops)


def show_classes(explained: Explained) -> None:
    trace, number = explained.trace, chosen_proposal(explained.trace)
    with st.grid("auto", min_column_width=PANELS):
        figure, alt = figures.classes(trace, number), "The class probabilities of the first proposals"
        live_figure(figure, "inside_classes", 520, alt, lambda point: choose_proposal(point["y"]))
        live_picture(figures.refined(trace, number), "inside_refined", "The chosen proposal and its refined box")
    download("classes", proposals=trace.proposals, probabilities=trace.probabilities, refined=trace.refined)


def chosen_proposal(trace: "Trace") -> int:
    """The number of the clicked proposal, from 0; at first the first."""
    return min(state.get("inside_proposal", 0), len(trace.proposals) - 1, figures.SHOWN - 1)


def choose_proposal(number: int | None) -> None:
    if number is not None:
        state.inside_proposal = int(number)


# All steps -----------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A step of the detector."""

    label: str
    question: str
    reading: str  # how to read the picture that answers it
    show: Callable[[Explained], None]
    help: str | None = None


STEPS = {
    "picture": Step(
        "Picture",
        "What is the input?",
        "The scene in grey: the brighter, the more ink.",
        show_picture,
        "The shorter side has 112 pixels, or fewer in a long scene.",
    ),
    "features": Step(
        "Features",
        "What does the backbone detect?",
        "Each small map is one channel. It is bright where the channel responds.",
        show_features,
        "The channels that vary most come first. One place covers 4 × 4 pixels.",
    ),
    "anchors": Step(
        "Anchors",
        "Which boxes does it try?",
        "**Click the picture.** At each place, the detector tries a few fixed boxes: the anchors.",
        show_anchors,
        "Anchors have several sizes and shapes.",
    ),
    "objectness": Step(
        "Objectness",
        "Where could a digit be?",
        "The stronger the colour, the more probable it is that an anchor here holds any digit.",
        show_objectness,
    ),
    "proposals": Step(
        "Proposals",
        "Which boxes does the second stage get?",
        "Of boxes that overlap strongly, only the one with the highest objectness stays (orange).",
        show_proposals,
        "This is non-maximum suppression: boxes overlap strongly if their intersection over union is above 70%. "
        "The boxes that stay are the proposals.",
    ),
    "roi_align": Step(
        "RoIAlign",
        "What does the second stage get of each box?",
        "Each proposal, small or large, becomes a map of 7 × 7 places. **Click one.**",
        show_crops,
    ),
    "classes": Step(
        "Classes",
        "Which digit is in each box?",
        "Each row is a proposal with its class probabilities. **Click one** to see how its box is refined.",
        show_classes,
        "The class “none” means: no digit.",
    ),
    "boxes": Step(
        "Boxes",
        "Which boxes stay?",
        "Orange boxes are the answer. Grey ones overlap a box with a higher score.",
        show_boxes,
    ),
}
