"""Compare: which network is the most accurate and at what cost, where each fails, and studies of the lab report."""

from collections.abc import Mapping

import streamlit as st

from atelier.data import mnist
from atelier.evaluation.tally import Entry
from atelier.studies import STUDIES
from pages.ui import link, navigation, study_results
from pages.views.compare import board, failed_digits, study_view

TITLE = "Compare the networks"
VIEW = "Show"
VIEWS = {"leaderboard": board.show, "failures": failed_digits.show, "studies": study_view.show}
LABELS = {"leaderboard": "Leaderboard", "failures": "Where they fail", "studies": "Studies"}
REPORT, REPORT_HELP = "Report", "Download tables and figures as one file. It opens in any browser, also offline."

state = st.session_state
navigation.through_app()


def report(expected: Mapping[str, str], entries: list[Entry]) -> str:
    """The results of all studies, the visitor's expectations and drawings, as an HTML page."""
    from atelier.report import to_html

    loaded = {study: study_results.load(study)[0] for study in STUDIES}
    networks = {name for by_source in loaded.values() for result in by_source.values() for name in result.table.network}
    titles = {network: study_results.title_and_colour(network)[0] for network in networks}
    try:
        return to_html(loaded, titles, expected, entries)
    except mnist.DamagedDataError as error:
        return f"<p>{error}</p>"


st.title(TITLE)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
    view = st.segmented_control(
        VIEW, list(VIEWS), required=True, format_func=LABELS.get, **link.bind("view", VIEWS, "leaderboard")
    )
    answers = {study: state.get(f"compare_expects_{study}") for study in STUDIES}
    expected = {study: answer for study, answer in answers.items() if answer is not None}
    entries = list(state.tally.values())
    st.download_button(
        REPORT,
        lambda: report(expected, entries),
        "comparison.html",
        icon=":material/description:",
        help=REPORT_HELP,
        on_click="ignore",
        key="compare_report",
    )
VIEWS[view]()
