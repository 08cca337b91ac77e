"""Home: what this is, the networks in a line each, and the way on."""

import streamlit as st

from atelier import MODELS, checkpoint
from pages import shared

shared.through_app()
shared.style()
st.title("Deep Learning Atelier")
st.markdown(
    "Neural networks that learn to read **handwritten digits**, side by side, on this computer. "
    "Draw a digit and see what each network makes of it."
)
with st.container(horizontal=True):
    if st.button("Draw a digit", icon=":material/draw:", type="primary"):
        st.switch_page("pages/draw.py")
    if st.button("Watch one learn", icon=":material/model_training:"):
        st.switch_page("pages/train.py")
    if st.button("Look inside", icon=":material/visibility:"):
        st.switch_page("pages/inside.py")

st.header("The networks")
with st.grid("auto", min_column_width=300):
    for spec in MODELS.values():
        with st.container(border=True, height="stretch", key=f"network_{spec.name}"):
            st.html(shared.card_head(spec))
            st.image(shared.thumbnail(spec), alt=f"Diagram of the {spec.title}", width="stretch")
            st.markdown(spec.idea)
            try:
                card = checkpoint.read_card(spec.checkpoint)
                backbone = checkpoint.read_card(spec.backbone) if spec.backbone.is_file() else None
            except checkpoint.CheckpointError as error:
                st.warning(str(error))
            else:
                before = f", and {backbone['seconds']:,.0f} on letters before" if backbone else ""
                st.markdown(
                    f"**{card['accuracy']:.2%}** of MNIST's 10,000 test digits read right, "
                    f"after {card['seconds']:,.0f} seconds of training on {card['device_name']}{before}."
                )
            st.caption(spec.paper)

st.header("The data")
st.markdown(
    "MNIST: 70,000 digits that people wrote by hand, each 28 × 28 pixels. The networks train on 55,000, are tuned on "
    "5,000 others, and the numbers above come from 10,000 that they have never seen. Everything runs without a network "
    "connection."
)
