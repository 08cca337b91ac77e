"""The figures of a run: its curves, and panels with its predictions and what it has learnt so far."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
from plotly.graph_objects import Figure

from atelier import MODELS
from atelier.figures import curves as curve_figures
from atelier.figures import panels as figures
from atelier.runs import history, overview, snapshots
from atelier.runs.overview import Summary
from atelier.zoo import Family, ModelSpec
from pages.ui import link
from pages.ui.live import live_figure

CURVE_HEIGHT, PANEL_HEIGHT = 320, 380  # pixels: curves and the form share a screen
NARROWEST = 330  # pixels: narrower figures stand below each other
UNUSABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # raised by figures of odd arrays

# Labels
AXES = {"seconds": "Seconds", "epoch": "Epochs", "step": "Steps"}
ALTS = {
    "loss": "Loss on training and validation digits over time",
    "accuracy": "Accuracy on training and validation digits over time",
    "rate": "Learning rate over time",
    "predictions": "Twelve validation digits with the answers of the network",
    "confusion": "Confusion matrix: which digits are mixed up",
    "filters": "Filters of the first trained convolution",
    "positions": "Similarity of all pairs of position embeddings",
    "attention": "Attention on twelve validation digits",
    "boxes": "A scene with the boxes that the network finds",
}
MISSING = "This run has no data for this panel."
DAMAGED = "The snapshot of this run is damaged. Resume or repeat the run to get a new one."
SOON = {
    "predictions": "The first predictions come in a moment.",
    "confusion": "The confusion matrix comes after the first epoch.",
    "learnt": "The first pictures of what the network learns come in a moment.",
}

state = st.session_state
Arrays = dict[str, np.ndarray]


class Panel(NamedTuple):
    """A figure of a snapshot, see `explain.snapshots`."""

    needs: tuple[str, ...]  # the names of its arrays
    draw: Callable[[ModelSpec, Arrays], Figure]


PREDICTIONS = Panel(
    ("digits", "labels", "probabilities"),
    lambda spec, arrays: figures.predictions(arrays["digits"], arrays["labels"], arrays["probabilities"], spec.colour),
)
LEARNT = {  # a snapshot has the arrays of some of these
    "filters": Panel(
        ("filters",),
        lambda spec, arrays: figures.filters(arrays["filters"], spec.colour, spec.family is Family.FINE_TUNED),
    ),
    "positions": Panel(("positions",), lambda spec, arrays: figures.position_similarity(arrays["positions"])),
    "attention": Panel(
        ("digits", "attention"),
        lambda spec, arrays: figures.attention(arrays["digits"], arrays["attention"], spec.colour),
    ),
    "boxes": Panel(
        ("scene", "boxes", "box_labels", "scores"),
        lambda spec, arrays: figures.boxes(
            arrays["scene"], arrays["boxes"], arrays["box_labels"], arrays["scores"], spec.colour
        ),
    ),
}


def curves(run: Summary, summaries: list[Summary]) -> None:
    """Loss, accuracy and learning rate of a run, and of others that the visitor compares it with."""
    place = st.container(key="live_curves")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        axis = st.segmented_control(
            "Axis",
            list(AXES),
            required=True,
            format_func=AXES.get,
            help="Seconds compare networks fairly, because their steps take different time.",
            **link.bind("over", AXES, "seconds"),
        )
        log = st.toggle("Logarithmic loss", key="log", help="Makes small losses visible.", bind="query-params")
        compared = choose_others({other.id: other for other in summaries if other.model and other.id != run.id})
    runs = [run, *compared]
    events = tuple((str(each.run.folder), each.name, each.run.stamp("metrics.jsonl")) for each in runs)

    def curve(value: str, log: bool = False) -> str:
        return drawn((value, events, axis, log), lambda: curve_figures.curves(overview.curves(runs), value, axis, log))

    rate = drawn(("rate", events, axis), lambda: curve_figures.learning_rate(overview.curves(runs), axis))
    with place, st.grid("auto", min_column_width=NARROWEST):
        for key, figure in (("loss", curve("loss", log)), ("accuracy", curve("accuracy")), ("rate", rate)):
            live_figure(figure, f"{key}_{run.id}", CURVE_HEIGHT, ALTS[key])


def choose_others(others: dict[str, Summary]) -> list[Summary]:
    """A choice of runs to compare with; the page's link carries their ids."""
    linked = state.compare if "compare" in state else st.query_params.get_all("compare")
    state.compare = [id for id in linked if id in others]
    st.multiselect(
        "Compare with",
        list(others),
        key="compare",
        format_func=lambda id: others[id].name,
        placeholder="other runs",
        persist_state="session",
        width=420,
    )
    if st.query_params.get_all("compare") != state.compare:
        st.query_params["compare"] = state.compare
    return [others[id] for id in state.compare]


def panels(run: Summary) -> None:
    """The predictions, the confusion matrix, and what the network has learnt."""
    stamp = run.run.stamp(snapshots.SNAPSHOT)
    snapshot = snapshots.read(run.run)
    learnt = [key for key, panel in LEARNT.items() if snapshot.keys() >= set(panel.needs)]
    many = len(learnt) > 1  # then they stand in a row of their own
    grid = st.grid(2 if many else 3, min_column_width=NARROWEST)
    with grid:
        with st.container(key="live_predictions"):
            if snapshot.keys() >= set(PREDICTIONS.needs):
                picture(run, "predictions", stamp, lambda spec: PREDICTIONS.draw(spec, snapshot))
            else:
                st.caption(SOON["predictions"] if run.active else MISSING)
        with st.container(key="live_confusion"):
            confusion(run)
    with grid.cell(column_span="all" if many else 1), st.container(key="live_learnt"):
        with st.grid(2 if many else 1, min_column_width=NARROWEST):
            for key in learnt:
                picture(run, key, stamp, lambda spec, key=key: LEARNT[key].draw(spec, snapshot))
        if not learnt:
            st.caption(SOON["learnt"] if run.active else MISSING)


def confusion(run: Summary) -> None:
    stamp, counts = run.run.stamp("metrics.jsonl"), history.read(run.run).confusion
    if counts is None:
        st.caption(SOON["confusion"] if run.active else MISSING)
    else:
        picture(run, "confusion", stamp, lambda spec: figures.confusion(counts, spec.colour))


def picture(run: Summary, key: str, stamp: object, draw: Callable[[ModelSpec], Figure]) -> None:
    """A panel's figure, drawn again when the stamp of its file changes; a sentence for arrays that it cannot show."""
    spec = MODELS[run.model]
    try:
        figure = drawn((key, str(run.run.folder), stamp), lambda: draw(spec))
    except UNUSABLE:
        with st.container(key=f"damaged_{key}"):
            st.caption(DAMAGED)
    else:
        live_figure(figure, f"{key}_{run.id}", PANEL_HEIGHT, ALTS[key])


@st.cache_resource(max_entries=64, show_spinner=False)
def drawn(identity: tuple, _draw: Callable[[], Figure]) -> str:
    """A figure as JSON, drawn once for all visitors.

    `identity` names the figure and the stamps of its files. Stamps are taken before the files are read, or an old
    figure could get a new stamp.
    """
    return _draw().to_json()
