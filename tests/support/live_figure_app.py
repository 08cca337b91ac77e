"""A curve that grows, a heatmap and an image whose points can be clicked, and a switch that hides them."""

import json

import numpy as np
import streamlit as st
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from pages.ui.live import live_figure

state = st.session_state
state.setdefault("updates", 0)
state.setdefault("clicked", None)
CORNERS = [["top left", "top right"], ["bottom left", "bottom right"]]


def remember(point: dict) -> None:
    state.clicked = point


@st.fragment(run_every=0.25)
def growing() -> None:
    state.updates += 1
    steps = np.arange(20 + state.updates)
    figure = Figure([Scatter(x=steps, y=np.sqrt(steps), name="up"), Scatter(x=steps, y=-steps / 5, name="down")])
    live_figure(figure, "curve", 300, alt="A curve that grows")
    with st.container(key="updates_shown"):
        st.text(state.updates)


if st.toggle("Figures", value=True, key="figures"):
    growing()
    live_figure(Figure(Heatmap(z=np.eye(2), customdata=CORNERS)), "heatmap", 250, "A heatmap", remember)
    live_figure(
        Figure(Image(z=np.full((2, 2, 3), 200, np.uint8), customdata=CORNERS)), "image", 250, "An image", remember
    )
with st.container(key="clicked_shown"):
    st.text(json.dumps(state.clicked))
