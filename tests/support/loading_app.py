"""A page whose only network takes SECONDS to load, and a fragment that can be clicked meanwhile."""

import threading
from concurrent.futures import Future

import streamlit as st

from atelier import MODELS
from pages.ui import networks

SECONDS = 8

state = st.session_state
state.setdefault("clicks", 0)


@st.cache_resource(show_spinner=False)
def promise() -> Future:
    coming: Future = Future()
    threading.Timer(SECONDS, coming.set_result, [None]).start()
    return coming


@st.fragment
def view() -> None:
    state.clicks += st.button("Click")
    st.text(f"Clicks: {state.clicks}")


networks.load = lambda name: promise()
answers = [networks.Answer(MODELS["vit"], loading=not promise().done())]
view()
st.text("Loading" if networks.any_loading(answers) else "Loaded")
if networks.any_loading(answers):
    networks.rerun_when_loaded(answers)
