"""Look inside, convolutions: what the CNN, VGG16 and AlexNet find in a digit, what of it speaks for a class, and which
layers have learnt digits."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.checkpoint import CheckpointError
from atelier.figures import feature_maps
from pages.ui import networks, parts
from pages.ui.live import live_figure
from pages.views.inside import conv_layers, conv_why

if TYPE_CHECKING:
    from atelier.classifier import Classifier

NETWORKS = ("cnn", "vgg16", "alexnet")


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    name = networks.choose_network("Network", "inside_conv_network", NETWORKS)
    if networks.network(name) is None:
        return
    conv_layers.show(name, digit)
    conv_why.show(name, digit)
    if name != "cnn":
        retrained(name)


def retrained(name: str) -> None:
    """Which convolutions of VGG16 and AlexNet are frozen, and how far the others have moved."""
    classifier, trained = networks.network(name), [layer.trained for layer in conv_layers.layers(name)]
    random = classifier.network.config.backbone == "none"
    frozen = "keep the random filters they began with" if random else "see as they were taught elsewhere"
    parts.question(
        "Which layers learnt digits?",
        f"Frozen layers (❄) {frozen}. A bar shows how far a retrained one has moved since: at 100%, its filters have "
        "changed by as much as they were.",
    )
    try:
        moved = distances(classifier, networks.identity(name))
    except CheckpointError as error:  # the backbone's file is gone
        st.warning(str(error))
        return
    if not any(trained):
        st.markdown("All its convolutions are frozen: only the head, which gives each digit its score, learnt.")
    elif not moved:
        st.markdown("It began with random weights, which nobody kept: how far it has moved is not known.")
    live_figure(
        feature_maps.distances(trained, moved, MODELS[name].colour),
        "inside_conv_moved",
        140 + 26 * len(trained),
        "How far each convolution has moved from its pretrained weights",
    )
    numbers = pd.DataFrame(
        {
            "convolution": np.arange(1, len(trained) + 1),
            "retrained": trained,
            "relative_distance": [
                moved.get(number, None if learnt else 0.0) for number, learnt in enumerate(trained, 1)
            ],
        }
    )
    parts.download("Distances (CSV)", numbers.to_csv(index=False), f"{name}_moved.csv")


@st.cache_data(max_entries=50, show_spinner="Comparing with the pretrained weights …")
def distances(_classifier: "Classifier", identity: str) -> dict[int, float]:
    from atelier.explain import convolutions

    return convolutions.moved(_classifier)
