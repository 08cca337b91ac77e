"""Look inside, all networks: adversarial examples by the fast gradient sign method."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.ui import background, networks, parts
from pages.ui.live import live_figure, live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier

EPSILONS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25)  # denser where most answers change


@st.fragment(parallel=True)
def show(digit: np.ndarray) -> None:
    """The part, for a digit `uint8[28, 28]`."""
    from atelier.explain.perturbations import fgsm_step
    from atelier.figures import changes

    parts.heading(
        "What if someone wants it to fail?",
        "Each pixel becomes brighter (red) or darker (blue) by ε. The direction lowers this network's confidence. "
        "From top to bottom: digit, step, result.",
        "This is the fast gradient sign method (Goodfellow et al. 2015).",
    )
    epsilon = st.select_slider(
        "ε (share of full brightness)",
        EPSILONS,
        0.04,
        format_func="{:.0%}".format,
        key="inside_epsilon",
        persist_state="page",
    )
    loaded = networks.loaded()
    names, identities = list(loaded), map(networks.identity, loaded)
    attacks = background.in_parallel(partial(attack, digit=digit), loaded.values(), identities)
    signs, probabilities = map(np.array, zip(*attacks, strict=True))
    results = [fgsm_step(digit, sign, epsilon) for sign in signs]
    before, after = probabilities[:, 0], probabilities[:, EPSILONS.index(epsilon)]
    answers = before.argmax(axis=1)
    confidence = np.take_along_axis(probabilities, answers[:, None, None], axis=2)[..., 0]
    with st.grid("auto", min_column_width=parts.WIDE):
        figure = changes.steps(names, digit, signs, results, before, after)
        alt = "For each network the digit, the step against it and the result"
        live_picture(figure, "inside_fooled", alt, tallest=parts.TALLEST)
        figure = changes.confidence(names, np.array(EPSILONS), confidence, answers)
        live_figure(figure, "inside_certainty", 480, "Each network's confidence in its first answer as ε grows")
    arrays = {"networks": names, "signs": signs, "epsilon": epsilon, "results": results}
    arrays |= {"epsilons": EPSILONS, "probabilities": probabilities}
    parts.download("Steps (NPZ)", lambda: parts.npz(digit=digit, **arrays), "steps.npz")


def ahead(digit: np.ndarray) -> Iterator[Callable[[], object]]:
    """Calls that compute what `show` needs."""
    for name, network in networks.loaded().items():
        if not networks.differences(name):  # a visitor's larger network may take long and much memory
            yield partial(attack, network, networks.identity(name), digit)


@st.cache_data(max_entries=500, show_spinner=False)
def attack(_network: "Classifier", identity: str, digit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute an attack on a digit, in steps of EPSILONS.

    Returns:
        the sign of the gradient `int8[28, 28]`, and the probabilities after each step `float32[len(EPSILONS), 10]`.
    """
    from atelier.explain.perturbations import fgsm_step, gradient_sign

    sign = gradient_sign(_network, digit)
    return sign, _network.predict_proba(np.array([fgsm_step(digit, sign, epsilon) for epsilon in EPSILONS]))
