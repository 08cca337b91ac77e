"""Deep Learning Atelier: `streamlit run app.py`."""

import streamlit as st

from pages.ui import networks, state

st.set_page_config(page_title="Deep Learning Atelier", page_icon="pages/ui/icon.png", layout="wide")

page = st.navigation(
    [
        st.Page(
            "pages/home.py",
            title="Home",
            icon=":material/home:",
            default=True,
            help="What this is, the networks in a line each, and the way on.",
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
            help="Watch networks learn from nothing, and use what they have learnt.",
        ),
        st.Page(
            "pages/inside.py",
            title="Look inside",
            icon=":material/visibility:",
            help="See why each network answered as it did.",
        ),
        st.Page(
            "pages/compare.py",
            title="Compare",
            icon=":material/leaderboard:",
            help="Who reads best, at what cost, where each fails, and what the lab report is worth in numbers.",
        ),
    ],
    position="top",
)
state.prepare()
st.session_state.previous_page, st.session_state.page = st.session_state.page, page.url_path
networks.follow_link()
page.run()
networks.load_in_background()
