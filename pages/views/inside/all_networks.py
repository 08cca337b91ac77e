"""Look inside, all five: what would change each network's mind, which digits it finds alike, and what it is made of."""

import numpy as np
import streamlit as st

from atelier.figures import plotting
from pages.ui import background, networks
from pages.views.inside import architecture_view, changes_view, neighbours_view

PARTS = {  # one at a time: each answers a click sooner than all together
    "What changes their minds": changes_view.show,
    "What fools them": changes_view.against,
    "What they find alike": neighbours_view.show,
    "What they are made of": architecture_view.show,
}


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    if not networks.loaded():
        st.info("This view begins as soon as one network is loaded.", icon=":material/hourglass_empty:")
        return
    first, *_ = PARTS
    part = st.segmented_control(
        "Ask all five", list(PARTS), default=first, required=True, key="ask", wrap=True, bind="query-params"
    )
    PARTS[part](digit)
    if PARTS[part] is not architecture_view.show:  # which measures time
        background.look_ahead([plotting.warm_up, *changes_view.ahead(digit), *neighbours_view.ahead(digit)])
