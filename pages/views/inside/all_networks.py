"""Look inside, all networks: perturbations, adversarial examples, nearest neighbours, architecture."""

import numpy as np
import streamlit as st

from atelier.figures import plotting
from pages.ui import background, link, networks
from pages.views.inside import adversarial, architecture, neighbours, perturbations

PARTS = {  # label and function; one at a time, so that each appears sooner after a click
    "perturbations": ("Perturbations", perturbations.show),
    "adversarial": ("Adversarial examples", adversarial.show),
    "neighbours": ("Nearest neighbours", neighbours.show),
    "architecture": ("Architecture", architecture.show),
}


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    if not networks.loaded():
        st.info("This view appears when the first network is loaded.", icon=":material/hourglass_empty:")
        return
    part = st.segmented_control(
        "Compare all networks",
        list(PARTS),
        required=True,
        format_func=lambda part: PARTS[part][0],
        wrap=True,
        **link.bind("ask", PARTS, "perturbations"),
    )
    _, show_part = PARTS[part]
    show_part(digit)
    if part != "architecture":  # it measures time, so nothing may be computed beside it
        background.compute_ahead([plotting.warm_up, *adversarial.ahead(digit), *neighbours.ahead(digit)])
