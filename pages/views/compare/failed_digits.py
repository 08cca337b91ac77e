"""Compare, where they fail: confusion matrices, digits that networks disagree on, and calibration."""

import math
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import mnist
from atelier.evaluation import failures, tables
from atelier.evaluation.failures import Predictions
from atelier.figures import comparison
from pages.ui import digit_choice, parts, study_results
from pages.ui.live import live_figure, live_picture

NETWORKS = "Networks"
CONFUSION = "Which digits are mixed up?"
CONFUSION_HELP = "Rows are true digits, columns are answers. **Click a cell** to see its digits."
CONFUSION_ALT = "Confusion matrix of the {}"
AGREEMENT = "Which digits are hard, and for how many networks?"
AGREEMENT_HELP = "Choose how many networks read a digit correctly. The most confident mistakes come first."
RIGHT_BY = "Read correctly by"
PAIR = "What does one network recognise that another does not?"
PAIR_HELP = (
    "Digits that the first network reads correctly and the second does not. The most confident mistakes come first."
)
FIRST, SECOND = "Correct", "Wrong"
BENEATH = "Below each digit: true digit → answer, and the confidence."
NONE = "There are no such digits."
RELIABILITY = "Reliability diagram: is the confidence right?"
RELIABILITY_HELP = "Of all answers with 90% confidence, 90% should be correct."
RELIABILITY_ALT = "Accuracy of each network against its confidence"

MATRIX, PANELS = 440, 330  # pixels: height of a confusion matrix, and its least width
ROW, WIDE = 134, 460  # pixels of a sheet of digits: greatest height of a row, least width on a wide screen
MOST = 24  # digits on a sheet
CURVES = 460  # pixels

state = st.session_state


def show() -> None:
    """The view."""
    loaded = study_results.load_or_warn("leaderboard")
    predictions = study_results.predictions(loaded) if loaded else None
    if predictions is None:
        return
    if not MODELS.keys() >= set(predictions.networks):
        predictions = predictions.select(choose_networks(predictions.networks))
    for part in (confusions, agreement, one_against_another, reliability):
        part(predictions)


def choose_networks(networks: list[str]) -> list[str]:
    """The networks of the view that the visitor chooses, once there are own runs; at first the shipped ones."""
    return (
        st.pills(
            NETWORKS,
            networks,
            selection_mode="multi",
            default=[network for network in networks if network in MODELS],
            key="compare_failing",
            format_func=title,
        )
        or networks
    )


def title(network: str) -> str:
    return study_results.title_and_colour(network)[0]


# Confusion matrices --------------------------------------------------------------------------------------------------


@st.fragment
def confusions(predictions: Predictions) -> None:
    parts.heading(CONFUSION, CONFUSION_HELP)
    counts = {network: failures.confusion_matrix(predictions, network) for network in predictions.networks}
    network, true, guess = state.get("compare_cell") or commonest_mistake(counts)
    if network not in counts:
        network, true, guess = commonest_mistake(counts)
    with st.grid("auto", min_column_width=PANELS):
        for name, matrix in counts.items():
            marked = (true, guess) if name == network else None
            live_figure(
                confusion_json(matrix, *study_results.title_and_colour(name), marked),
                f"compare_confusion_{name}",
                MATRIX,
                CONFUSION_ALT.format(title(name)),
                on_click=partial(cell_clicked, name),
            )
    parts.download("All counts (CSV)", lambda: tables.confusions(predictions).to_csv(index=False), "confusions.csv")
    digits = failures.predicted_as(predictions, network, true, guess)
    reading = "correctly" if true == guess else f"as {guess}"
    heading = f"Digits {true} that the {title(network)} reads {reading}"
    sheet(predictions, digits, "compare_cell_digits", heading, network, variant=f"{network}_{true}_{guess}")


def commonest_mistake(counts: dict[str, np.ndarray]) -> tuple[str, int, int]:
    """The most common mistake of the first network: the cell that is open before the first click."""
    network, matrix = next(iter(counts.items()))
    true, guess = np.unravel_index((matrix - np.diag(np.diag(matrix))).argmax(), matrix.shape)
    return network, int(true), int(guess)


def cell_clicked(network: str, point: dict[str, Any]) -> None:
    state.compare_cell = network, int(point["y"]), int(point["x"])


@st.cache_data(max_entries=200, show_spinner=False)
def confusion_json(counts: np.ndarray, title: str, colour: str, marked: tuple[int, int] | None) -> str:
    return comparison.confusion(counts, title, colour, marked).to_json()


# Digits that networks disagree on ------------------------------------------------------------------------------------


@st.fragment
def agreement(predictions: Predictions) -> None:
    parts.heading(AGREEMENT, AGREEMENT_HELP)
    networks, totals = len(predictions.networks), failures.count_correct(predictions)
    labels = {0: "none", networks: f"all {networks}"}
    labels |= {count: f"{count} of {networks}" for count in range(1, networks)}
    count = st.segmented_control(
        RIGHT_BY,
        range(networks + 1),
        default=0,
        required=True,
        key="compare_right",
        format_func=lambda count: f"{labels[count]} ({totals[count]:,})",
    )
    digits = failures.correct_by(predictions, count)
    sheet(predictions, digits, "compare_right_digits", f"{RIGHT_BY} {labels[count]}", variant=str(count))


@st.fragment
def one_against_another(predictions: Predictions) -> None:
    parts.heading(PAIR, PAIR_HELP)
    first, second = study_results.choose_two(predictions.networks, compare_right_one=FIRST, compare_wrong_one=SECOND)
    digits = failures.only_first_correct(predictions, first, second)
    heading = f"{FIRST}: {title(first)} · {SECOND}: {title(second)}"
    sheet(predictions, digits, "compare_pair_digits", heading, second, variant=f"{first}_{second}")


# Sheets of digits ----------------------------------------------------------------------------------------------------


@st.fragment
def sheet(
    predictions: Predictions, digits: np.ndarray, key: str, heading: str, network: str | None = None, variant: str = ""
) -> None:
    """A page of these digits; a click on one opens it in Look inside.

    Args:
        predictions: of all networks.
        digits: `int64[K]`, indices of test digits.
        key: of the figure.
        heading: above the digits.
        network: whose answer stands below each digit; None for the network with the most surprising answer.
        variant: identifies the digits; other digits begin on page 1.
    """
    if state.pop("compare_opens", False):
        st.switch_page("pages/inside.py", query_params={})  # Streamlit keeps this page's parameters otherwise
    count = len(digits)
    if not count:
        with st.container(key=f"{key}_none"):
            st.info(f"{heading}: {NONE}")
        return
    with st.grid("auto", min_column_width=WIDE):
        picture, text = st.container(), st.container()
    with text:
        pages = math.ceil(count / MOST)
        page = st.pagination(pages, key=f"{key}_page_{variant}") if pages > 1 else 1
        first = MOST * (page - 1)
        indices = digits[first : first + MOST]
        part = f", {first + 1:,} to {first + len(indices):,} shown" if pages > 1 else ""
        st.markdown(f"**{count:,}** digit{'s' * (count > 1)}{part}. {BENEATH}")
        parts.download(
            "These digits (CSV)", lambda: tables.answers(predictions, digits).to_csv(index=False), f"{key}.csv"
        )
    images, _ = mnist.load("test")
    answering = predictions.surprise.iloc[indices].idxmax(axis=1) if network is None else [network] * len(indices)
    captions = [
        f"<b>{predictions.labels[digit]} → {predictions.predicted[name][digit]}</b><br>"
        f"{predictions.confidence[name][digit]:.0%}"
        for digit, name in zip(indices, answering, strict=True)
    ]
    tooltips = [
        f"Test digit {digit:,} is a {predictions.labels[digit]}.<br>"
        + "<br>".join(
            f"{title(name)}: {predictions.predicted[name][digit]}, {predictions.confidence[name][digit]:.1%} confidence"
            for name in predictions.networks
        )
        for digit in indices
    ]
    figure = comparison.digits(images[indices], captions, tooltips, indices, heading)
    with picture:
        tallest = ROW * math.ceil(len(indices) / comparison.COLUMNS)
        live_picture(figure, key, heading, digit_clicked, tallest)


def digit_clicked(point: dict[str, Any]) -> None:
    digit_choice.set_test_digit(lambda _: int(point["customdata"]))
    state.compare_opens = True


# Calibration ---------------------------------------------------------------------------------------------------------


def reliability(predictions: Predictions) -> None:
    parts.heading(RELIABILITY, RELIABILITY_HELP)
    bins = tables.reliability(predictions)
    curves = [(*study_results.title_and_colour(network), part) for network, part in bins.groupby("network", sort=False)]
    live_figure(comparison.reliability(curves), "compare_reliability", CURVES, RELIABILITY_ALT)
    parts.download("Reliability (CSV)", lambda: bins.to_csv(index=False), "reliability.csv")
