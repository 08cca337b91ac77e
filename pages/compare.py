"""Compare: who reads best and at what cost, where each fails, and what the lab report's claims are worth in numbers."""

import streamlit as st

from atelier.data import mnist
from atelier.evaluation.tally import Entry
from atelier.studies import STUDIES
from pages.ui import cards, measured, navigation, parts
from pages.views.compare import board, failed_digits, study_view

VIEWS = {
    "Leaderboard": board.show,
    "Where they fail": failed_digits.show,
    "Studies": study_view.show,
}

state = st.session_state
navigation.through_app()
cards.style()


def report(expected: dict[str, int | None], entries: list[Entry]) -> str:
    """What the views show, as one HTML file; with what the visitor expected and the class's own drawings."""
    from atelier.report import to_html

    found = {study: measured.read(study)[0] for study in STUDIES}
    networks = {
        network for results in found.values() for result in results.values() for network in result.table.network
    }
    names = {network: measured.named(network)[0] for network in networks}
    try:
        return to_html(found, names, {study: place for study, place in expected.items() if place is not None}, entries)
    except mnist.DamagedDataError as error:
        return f"<p>{error}</p>"


parts.show_toast()
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
    view = st.segmented_control(
        "Compare", list(VIEWS), default="Leaderboard", required=True, key="view", bind="query-params"
    )
    expected = {study: state.get(f"compare_expects_{study}") for study in STUDIES}
    entries = list(state.get("tally", {}).values())
    st.download_button(
        "Report",
        lambda: report(expected, entries),
        "comparison.html",
        icon=":material/description:",
        help="Tables and figures as one file to hand in: it opens in any browser, without a network.",
        on_click="ignore",
    )
VIEWS[view]()
