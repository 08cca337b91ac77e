"""The menu of pages."""

import streamlit as st

from atelier import MODELS

state = st.session_state


def menu() -> st.Page:
    """Show the menu; returns the page that the visitor requests."""
    return st.navigation(
        [
            st.Page(
                "pages/home.py",
                title="Home",
                icon=":material/home:",
                default=True,
                help=f"The {len(MODELS)} networks, the lab report and a lesson.",
            ),
            st.Page(
                "pages/draw.py",
                title="Draw",
                icon=":material/draw:",
                help="Draw a digit and watch the networks read it.",
            ),
            st.Page(
                "pages/train.py",
                title="Train",
                icon=":material/model_training:",
                help="Watch a network learn, then use it on all pages.",
            ),
            st.Page(
                "pages/inside.py",
                title="Look inside",
                icon=":material/visibility:",
                help="See why each network gave its answer.",
            ),
            st.Page(
                "pages/compare.py",
                title="Compare",
                icon=":material/leaderboard:",
                help="Compare accuracy, speed and mistakes of the networks.",
            ),
        ],
        position="top",
    )


def through_app() -> None:
    """Make sure that app.py runs this page.

    Until the first call of `st.navigation`, a Streamlit server treats every script in a folder called `pages` as a page
    of its own. A fresh server whose first request is /draw would therefore run draw.py without app.py.
    """
    if not state.pop("page_run_by_app", False):
        menu()
        st.rerun()
