"""How a page is reached."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def through_app() -> None:
    """Have this page run through app.py, also when its link is the first thing that a fresh server is asked for.

    Until app.py has called `st.navigation` once, Streamlit takes every file under `pages/` for a page of its own.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
