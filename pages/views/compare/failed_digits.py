"""Compare, where they fail: which digits are taken for which, who is right where others are wrong, who is too sure."""

import math
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import mnist
from atelier.evaluation import failures, tables
from atelier.evaluation.failures import Said
from atelier.figures import comparison
from pages.ui import digit_choice, measured, parts
from pages.ui.live import live_figure, live_picture

MATRIX, PANELS = 440, 330  # pixels: height of a confusion matrix, and its least width
ROW, WIDE = 134, 460  # pixels of a sheet of digits: the most of a row, and the least width on a wide screen
MOST = 24  # digits on a sheet
CURVES = 460  # pixels

state = st.session_state


def show() -> None:
    """The view."""
    found = measured.found("leaderboard")
    said = measured.answers(found) if found else None
    if said is None:
        return
    if not MODELS.keys() >= set(said.networks):
        said = said.of(chosen(said.networks))
    for part in (taken_for, agreement, one_against_another, reliability):
        part(said)


def chosen(networks: list[str]) -> list[str]:
    """Which networks the view is about, once there are runs of one's own among them; at first the shipped ones."""
    return (
        st.pills(
            "Networks",
            networks,
            selection_mode="multi",
            default=[network for network in networks if network in MODELS],
            key="compare_failing",
            format_func=lambda network: measured.named(network)[0],
        )
        or networks
    )


# What is taken for what ----------------------------------------------------------------------------------------------


@st.fragment
def taken_for(said: Said) -> None:
    parts.question(
        "Which digits are mixed up?",
        "A row is a true digit, a column what it was taken for; shades mean the same in all. **Click a cell** to see "
        "its digits.",
    )
    counts = {network: failures.confusion(said, network) for network in said.networks}
    network, true, guess = state.get("compare_cell") or commonest_mistake(counts)
    if network not in counts:
        network, true, guess = commonest_mistake(counts)
    with st.grid("auto", min_column_width=PANELS):
        for name, matrix in counts.items():
            marked = (true, guess) if name == network else None
            live_figure(
                drawn_matrix(matrix, *measured.named(name), marked),
                f"compare_confusion_{name}",
                MATRIX,
                f"How often {measured.named(name)[0]} takes each digit for each",
                on_click=partial(cell_clicked, name),
            )
    parts.download("All counts (CSV)", lambda: tables.confusions(said).to_csv(index=False), "confusions.csv")
    digits = failures.taken_for(said, network, true, guess)
    title = measured.named(network)[0]
    what = f"{true}s that {title} reads right" if true == guess else f"{true}s that {title} takes for {guess}s"
    sheet(said, digits, "compare_cell_digits", what, network)


def commonest_mistake(counts: dict[str, np.ndarray]) -> tuple[str, int, int]:
    """Of the first network: the cell that is open before any was clicked."""
    network, matrix = next(iter(counts.items()))
    true, guess = np.unravel_index((matrix - np.diag(np.diag(matrix))).argmax(), matrix.shape)
    return network, int(true), int(guess)


def cell_clicked(network: str, point: dict[str, Any]) -> None:
    state.compare_cell = network, int(point["y"]), int(point["x"])


@st.cache_data(max_entries=200, show_spinner=False)
def drawn_matrix(counts: np.ndarray, title: str, colour: str, marked: tuple[int, int] | None) -> str:
    return comparison.confusion(counts, title, colour, marked).to_json()


# Who is right where others are wrong ---------------------------------------------------------------------------------


@st.fragment
def agreement(said: Said) -> None:
    parts.question(
        "Which digits are hard, and for how many?",
        "Choose how many of the networks read a digit right. Those that surprise most come first.",
    )
    many = len(said.networks)
    found = failures.how_many_right(said)
    words = {0: "none", many: f"all {many}"} | {count: f"exactly {count} of {many}" for count in range(1, many)}
    count = st.segmented_control(
        "Read right by",
        range(many + 1),
        default=0,
        required=True,
        key="compare_right",
        format_func=lambda count: f"{words[count].removeprefix('exactly ')} ({found[count]:,})",
    )
    sheet(said, failures.read_right_by(said, count), "compare_right_digits", f"Read right by {words[count]}")


@st.fragment
def one_against_another(said: Said) -> None:
    parts.question(
        "What does one see that another does not?",
        "Digits that the first network reads right and the second wrong, the surest mistakes first.",
    )
    first, second = measured.two_of(said.networks, compare_right_one="Right", compare_wrong_one="Wrong")
    right, wrong = measured.named(first)[0], measured.named(second)[0]
    digits = failures.only_first_right(said, first, second)
    sheet(said, digits, "compare_pair_digits", f"{right} right, {wrong} wrong", second)


# Digits --------------------------------------------------------------------------------------------------------------


@st.fragment
def sheet(said: Said, digits: np.ndarray, key: str, what: str, network: str | None = None) -> None:
    """These digits, a few at a time; a click on one opens it in Look inside.

    Args:
        digits: `int64[K]`, numbers of test digits.
        what: they are.
        network: the one whose guess stands beneath each; None for the one whose guess surprises most.
    """
    if state.pop("compare_opens", False):
        st.switch_page("pages/inside.py", query_params={})  # said, for Streamlit empties no link that holds a control
    if not len(digits):
        st.info(f"{what}: there are none.")
        return
    with st.grid("auto", min_column_width=WIDE):
        picture, words = st.container(), st.container()
    with words:
        pages = math.ceil(len(digits) / MOST)
        page = st.pagination(pages, key=f"{key}_page_{what}") if pages > 1 else 1  # others have another key: the first
        first = MOST * (page - 1)
        shown = digits[first : first + MOST]
        part = f", {first + 1:,} to {first + len(shown):,} of them shown" * (len(digits) > MOST)
        st.markdown(
            f"**{len(digits):,}** digit{'s' * (len(digits) > 1)}{part}. Beneath each: what it is → what it was taken "
            "for, and how surely."
        )
        parts.download("These digits (CSV)", lambda: failures.told(said, digits).to_csv(index=False), f"{key}.csv")
    images, _ = mnist.load("test")
    of = said.surprise.iloc[shown].idxmax(axis=1) if network is None else [network] * len(shown)
    texts = [
        f"<b>{said.labels[digit]} → {said.guesses[name][digit]}</b><br>{said.confidence[name][digit]:.0%}"
        for digit, name in zip(shown, of, strict=True)
    ]
    told = [
        f"Test digit {digit:,} is a {said.labels[digit]}.<br>"
        + "<br>".join(
            f"{measured.named(name)[0]}: {said.guesses[name][digit]}, {said.confidence[name][digit]:.1%} sure"
            for name in said.networks
        )
        for digit in shown
    ]
    figure = comparison.digits(images[shown], texts, told, shown, what)
    with picture:
        tallest = ROW * math.ceil(len(shown) / comparison.COLUMNS)
        live_picture(figure, key, what, digit_clicked, tallest)


def digit_clicked(point: dict[str, Any]) -> None:
    digit_choice.show_test_digit(lambda _: int(point["customdata"]))
    state.compare_opens = True


# Who is too sure -----------------------------------------------------------------------------------------------------


def reliability(said: Said) -> None:
    parts.question(
        "Can they be believed?",
        "Digits by how sure a network is of its answer: of all that it is 90% sure of, it should read 90% right.",
    )
    bins = tables.reliability(said)
    curves = [(*measured.named(network), part) for network, part in bins.groupby("network", sort=False)]
    figure = comparison.reliability(curves)
    live_figure(figure, "compare_reliability", CURVES, "How often each network is right against how sure it is")
    parts.download("Reliability (CSV)", lambda: bins.to_csv(index=False), "reliability.csv")
