"""Look inside, convolutions: feature maps, attribution, and which layers have learnt from digits."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS, zoo
from atelier.checkpoint import CheckpointError
from atelier.figures import feature_maps
from atelier.zoo import Family
from pages.ui import networks, parts
from pages.ui.live import live_figure
from pages.views.inside import attribution, layer_maps

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.convolutions import Layer


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    names = zoo.of_family(Family.CONVOLUTIONAL, Family.FINE_TUNED)
    name = networks.choose_network("Network", "inside_conv_network", names)
    if networks.network(name) is None:
        return
    layer_maps.show(name, digit)
    attribution.show(name, digit)
    if MODELS[name].family is Family.FINE_TUNED:
        show_changes(name)


def show_changes(name: str) -> None:
    """Which convolutions of a fine-tuned network are frozen, and how far the others have moved."""
    classifier, layers = networks.network(name), layer_maps.layers(name)
    random = classifier.network.config.backbone == "none"
    parts.heading(
        "Which layers learnt from digits?",
        f"Frozen layers (❄) keep their {'random' if random else 'pretrained'} filters. "
        "A bar shows how far a trained layer has moved.",
        "At 100%, the change of the filters is as large as the pretrained filters themselves (L2 norm).",
    )
    try:
        distances = moved(classifier, networks.identity(name))
    except CheckpointError as error:  # the backbone's file is missing
        st.warning(str(error))
        return
    if not any(layer.trained for layer in layers):
        st.markdown("All convolutions are frozen. Only the head learnt from digits.")
    elif not distances:
        st.markdown("It began with random weights, which are not stored. The distance is unknown.")
    live_figure(
        feature_maps.distances_from_pretrained([layer.trained for layer in layers], distances, MODELS[name].colour),
        "inside_conv_moved",
        140 + 26 * len(layers),
        "How far each convolution has moved from its pretrained weights",
    )
    parts.download("Distances (CSV)", table(layers, distances).to_csv(index=False), f"{name}_moved.csv")


@st.cache_data(max_entries=50, show_spinner="Comparing with the pretrained weights …")
def moved(_classifier: "Classifier", identity: str) -> dict[int, float]:
    from atelier.explain import convolutions

    return convolutions.distance_from_pretrained(_classifier)


def table(layers: list["Layer"], distances: dict[int, float]) -> pd.DataFrame:
    """A row for each convolution; a distance is missing where the weights before training are unknown."""
    return pd.DataFrame(
        {
            "convolution": [layer.number for layer in layers],
            "trained": [layer.trained for layer in layers],
            "relative_distance": [distances.get(layer.number, None if layer.trained else 0.0) for layer in layers],
        }
    )
