"""A page whose only network takes SECONDS to load, and a fragment that works meanwhile."""

import threading
from concurrent.futures import Future

import streamlit as st

from atelier import MODELS
from pages.ui import networks

SECONDS = 5

state = st.session_state
state.setdefault("clicks", 0)


@st.cache_resource(show_spinner=False)
def slow_network() -> Future:
    future: Future = Future()
    threading.Timer(SECONDS, future.set_result, [None]).start()
    return future


@st.fragment
def view() -> None:
    state.clicks += st.button("Click", key="click")
    with st.container(key="clicks_shown"):
        st.text(state.clicks)


networks.load = lambda name: slow_network()
answers = [networks.Answer(next(iter(MODELS.values())), loading=not slow_network().done())]
view()
loading = networks.any_loading(answers)
with st.container(key="loading" if loading else "loaded"):
    st.text("Loading" if loading else "Loaded")
if loading:
    networks.rerun_when_loaded(answers)
