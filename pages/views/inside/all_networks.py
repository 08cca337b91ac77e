"""Look inside, all networks: perturbations, adversarial examples, nearest neighbours, architecture."""

import numpy as np
import streamlit as st

from atelier.figures import plotting
from pages.ui import background, link, networks
from pages.views.inside import adversarial, architecture, neighbours, perturbations

LABELS = {
    "perturbations": "Perturbations",
    "adversarial": "Adversarial examples",
    "neighbours": "Nearest neighbours",
    "architecture": "Architecture",
}
PARTS = {  # one at a time, so that each appears sooner after a click
    "perturbations": perturbations.show,
    "adversarial": adversarial.show,
    "neighbours": neighbours.show,
    "architecture": architecture.show,
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
        format_func=LABELS.get,
        wrap=True,
        **link.bind("ask", PARTS, "perturbations"),
    )
    PARTS[part](digit)
    if part != "architecture":  # it measures time, so nothing may be computed beside it
        background.compute_ahead([plotting.warm_up, *adversarial.ahead(digit), *neighbours.ahead(digit)])
