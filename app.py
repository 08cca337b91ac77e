"""Deep Learning Atelier: `streamlit run app.py`."""

import streamlit as st

from pages.ui import cards, navigation, networks, parts
from pages.ui.state import prepare, state

st.set_page_config(page_title="Deep Learning Atelier", page_icon="pages/ui/icon.png", layout="wide")

prepare()
page = navigation.menu()
state.previous_page, state.page = state.page, page.url_path
state.page_run_by_app = True
cards.style()
parts.show_toast()
networks.follow_link()
page.run()
networks.load_in_background()
