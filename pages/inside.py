"""Look inside: why each network gives its answer."""

import numpy as np
import streamlit as st

from atelier import MODELS, zoo
from atelier.zoo import Family
from pages.ui import cards, digit_choice, link, navigation, networks
from pages.ui.live import expect_figures
from pages.views.inside import all_networks, attribution_cards, convolutions, detector, transformer

VIEWS = {
    "all": all_networks.show,
    "convolutions": convolutions.show,
    "transformer": transformer.show,
    "detector": detector.show,
}
LABELS = {
    "all": "All networks",
    "convolutions": "Convolutions",
    "transformer": "Vision Transformer",
    "detector": "Detector",
}
FAMILIES = {  # a view of families is there if the registry has a network of theirs
    "convolutions": (Family.CONVOLUTIONAL, Family.FINE_TUNED),
    "transformer": (Family.TRANSFORMER,),
    "detector": (Family.DETECTOR,),
}

navigation.through_app()
cards.style()


@st.fragment  # a change of view leaves what stands above as it is
def choose_view(digit: np.ndarray) -> None:
    views = [view for view in VIEWS if view not in FAMILIES or zoo.of_family(*FAMILIES[view])]
    view = st.segmented_control(
        "Choose a network", views, required=True, format_func=LABELS.get, **link.bind("view", views, "all")
    )
    VIEWS[view](digit)


st.title("Why did each network give this answer?")
digit, truth = digit_choice.choose()
if digit is None:
    st.stop()
answers = [networks.cached_answer(spec, digit) for spec in MODELS.values()]
attribution_cards.show(digit, truth, answers)
choose_view(digit)
expect_figures()
if networks.any_loading(answers):
    networks.rerun_when_loaded(answers)
