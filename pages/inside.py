"""Look inside: why each network gives its answer."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st

from atelier import MODELS, zoo
from atelier.zoo import Family
from pages.ui import digit_choice, link, navigation, networks
from pages.ui.live import expect_figures
from pages.views.inside import all_networks, attribution_cards, convolutions, detector, transformer


class View(NamedTuple):
    """Part of the page below the answers."""

    label: str
    show: Callable[[np.ndarray], None]
    families: tuple[Family, ...] = ()  # the view is there if the registry has a network of these


VIEWS = {
    "all": View("All networks", all_networks.show),
    "convolutions": View("Convolutions", convolutions.show, (Family.CONVOLUTIONAL, Family.FINE_TUNED)),
    "transformer": View("Vision Transformer", transformer.show, (Family.TRANSFORMER,)),
    "detector": View("Detector", detector.show, (Family.DETECTOR,)),
}

navigation.through_app()


@st.fragment  # a change of view leaves what stands above as it is
def choose_view(digit: np.ndarray) -> None:
    views = [key for key, view in VIEWS.items() if not view.families or zoo.of_family(*view.families)]
    key = st.segmented_control(
        "Choose a network",
        views,
        required=True,
        format_func=lambda key: VIEWS[key].label,
        **link.bind("view", views, "all"),
    )
    VIEWS[key].show(digit)


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
