"""Look inside, convolutions: the feature maps of each layer, down to the arithmetic of a single number."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.figures import feature_maps
from atelier.zoo import Family
from pages.ui import networks, parts
from pages.ui.live import live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.convolutions import Activations, Layer, PixelArithmetic

STEPS = {"convolution": "Convolution", "pooling": "Pooling", "normalisation": "Normalisation", "relu": "ReLU"}
RGB = ("red", "green", "blue")
SHOWN = 24  # maps, and filters, of a layer that has hundreds
LARGE, READABLE = 420, 620  # pixels: height of a large map; width below which printed numbers cannot be read

state = st.session_state


class Selection(NamedTuple):
    """What the view explains: a number in a map of a layer."""

    name: str  # of the network
    digit: np.ndarray  # uint8[28, 28]
    layer: "Layer"
    activations: "Activations"
    channel: int
    row: int
    column: int

    @property
    def colour(self) -> str:
        return MODELS[self.name].colour


@st.fragment
def show(name: str, digit: np.ndarray) -> None:
    """What each layer of a network detects in a digit `uint8[28, 28]`."""
    if networks.network(name) is None:
        return
    parts.heading(
        "What does each layer detect?",
        "Each small picture is a feature map. It is bright where the digit matches the map's filter. "
        "**Click a map** to enlarge it.",
        "The strongest maps come first: those whose numbers vary most from place to place.",
    )
    left, right = st.columns(2, vertical_alignment="bottom", gap="medium")
    with left:
        layer = choose_layer(name, "inside_conv_layer", 1)
    with right:
        step = choose_step(layer)
    selection = select(name, digit, layer)
    maps_and_filters(selection, step)
    if step == "convolution":
        enlarged_map(selection)
        arithmetic(selection)
    else:
        before_and_after(selection, step)
    download(selection)


def choose_layer(name: str, key: str, default: int) -> "Layer":
    """A slider of the network's layers."""
    choice = layers(name)

    def label(number: int) -> str:
        layer, mark = choice[number - 1], ""
        if MODELS[name].family is Family.FINE_TUNED:
            mark = " · trained" if layer.trained else " · ❄ frozen"
        return f"{number} of {len(choice)} · {layer.convolution.size}{mark}"

    number = st.select_slider(
        "Layer",
        range(1, len(choice) + 1),
        value=default,
        key=f"{key}_{name}",
        format_func=label,
        help="Maps × height × width. A number in a deeper layer depends on a larger part of the digit.",
    )
    return choice[number - 1]


def choose_step(layer: "Layer") -> str:
    """One of STEPS that the layer has."""
    kinds = [step.kind for step in layer.steps]
    key = f"inside_conv_step_{'_'.join(kinds)}"
    return st.segmented_control(
        "Step", kinds, default=kinds[0], required=True, key=key, format_func=STEPS.get, wrap=True
    )


def layers(name: str) -> list["Layer"]:
    return layers_of(networks.network(name), networks.identity(name))


@st.cache_data(max_entries=50, show_spinner=False)
def layers_of(_classifier: "Classifier", identity: str) -> list["Layer"]:
    from atelier.explain import convolutions

    return convolutions.layers(_classifier)


@st.cache_data(max_entries=50, show_spinner=False)
def activations_of(
    _classifier: "Classifier", identity: str, digit: np.ndarray, _layer: "Layer", number: int
) -> "Activations":
    from atelier.explain import convolutions

    return convolutions.activations(_classifier, digit, _layer)


def select(name: str, digit: np.ndarray, layer: "Layer") -> Selection:
    """The map and number that the visitor has clicked; at first the strongest map, and the highest number in a map."""
    activations = activations_of(networks.network(name), networks.identity(name), digit, layer, layer.number)
    clicked = state.setdefault("inside_conv_clicked", {})
    channel, row, column = clicked.get(click_key(name, layer), (int(activations.order[0]), None, None))
    if row is None:
        convolved = activations.maps["convolution"][channel]
        row, column = map(int, np.unravel_index(convolved.argmax(), convolved.shape))
    return Selection(name, digit, layer, activations, channel, row, column)


def click_key(name: str, layer: "Layer") -> tuple[str, int]:
    """Clicks are kept for each set of weights, because other weights may have fewer maps."""
    return networks.identity(name), layer.number


# All maps of a layer, and its filters --------------------------------------------------------------------------------


def maps_and_filters(selection: Selection, step: str) -> None:
    name, layer, activations = selection.name, selection.layer, selection.activations

    def clicked(point: dict[str, Any]) -> None:
        if point["customdata"] is not None:
            state.inside_conv_clicked[click_key(name, layer)] = (int(point["customdata"]), None, None)

    maps, strongest, colour = activations.maps[step], activations.order[:SHOWN], selection.colour
    size = " × ".join(map(str, maps.shape))
    title = f"{STEPS[step]}: feature maps"
    subtitle = f"{size} · the {len(strongest)} strongest of {len(maps)} maps"
    with st.grid("auto", min_column_width=parts.WIDE):  # each is sent as soon as it is drawn
        figure = feature_maps.sheet(maps[strongest], strongest, selection.channel, title, subtitle, "value", colour)
        live_picture(figure, "inside_conv_maps", f"Maps of layer {layer.number} after {STEPS[step]}", clicked)
        weights, numbers, subtitle = strongest_filters(selection)
        figure = feature_maps.sheet(weights, numbers, None, "Filters of this layer", subtitle, "weight", colour)
        live_picture(figure, "inside_conv_filters", f"Filters of layer {layer.number}")


def strongest_filters(selection: Selection) -> tuple[np.ndarray, np.ndarray, str]:
    """The largest filters `float32[K, h, w]`, their numbers `int64[K]`, and a subtitle."""
    from atelier.explain import convolutions

    filters = convolutions.filters(networks.network(selection.name), selection.layer)
    if selection.layer.number == 1:  # a grey digit has the same red, green and blue, so their weights add up
        order = selection.activations.order[:SHOWN]
        sums = ": red, green and blue added" if filters.shape[1] == len(RGB) else ""
        return filters.sum(1)[order], order, f"One for each map, in the same order{sums}"
    inputs = filters[selection.channel]
    order = np.argsort(-np.square(inputs).sum((1, 2)), kind="stable")[:SHOWN]
    return inputs[order], order, f"Map {selection.channel + 1}: weights for {len(order)} of {len(inputs)} maps"


# One map -------------------------------------------------------------------------------------------------------------


def enlarged_map(selection: Selection) -> None:
    """The selected map, and the part of the digit that its selected number depends on."""
    name, _, layer, activations, channel, row, column = selection

    def clicked(point: dict[str, Any]) -> None:
        if isinstance(point["point"], list):
            state.inside_conv_clicked[click_key(name, layer)] = (channel, *point["point"])

    title = f"Where does map {channel + 1} respond?"
    with st.grid("auto", min_column_width=parts.WIDE):
        figure = feature_maps.large_maps(
            [activations.maps["convolution"][channel]], [""], (row, column), title, "value", selection.colour,
            "Click a number",
        )  # fmt: skip
        live_picture(figure, "inside_conv_map", f"Map {channel + 1}, enlarged", clicked)
        left, top, right, bottom = sides = layer.convolution.receptive_field(row, column)
        subtitle = f"{bottom - top:.0f} × {right - left:.0f} of the 28 × 28 pixels"
        figure = feature_maps.receptive_field(selection.digit, sides, "Which pixels decide this number?", subtitle)
        live_picture(figure, "inside_conv_field", "The receptive field of the selected number")


def arithmetic(selection: Selection) -> None:
    """How the convolution computes the selected number."""
    from atelier.explain import convolutions

    name, digit, layer, _, channel, row, column = selection
    parts_of_sum = convolutions.pixel_arithmetic(networks.network(name), digit, layer, channel, row, column)
    figure = feature_maps.arithmetic(parts_of_sum, input_names(layer, parts_of_sum), selection.colour)
    alt = "The window, the filter and their products"
    live_picture(figure, "inside_conv_arithmetic", alt, tallest=640, narrowest=READABLE)
    st.markdown(equation(parts_of_sum, row, column))
    if layer.number == 1 and len(parts_of_sum.channels) == len(RGB):
        st.caption("The digit comes in red, green and blue, as in pretraining. Black is about -2, white about +2.4.")
    parts.download("Arithmetic (CSV)", table(parts_of_sum).to_csv(index=False), f"{name}_arithmetic.csv")


def input_names(layer: "Layer", arithmetic: "PixelArithmetic") -> list[str]:
    if layer.number > 1:
        return [f"map {channel + 1} of layer {layer.number - 1}" for channel in arithmetic.channels]
    return ["the digit"] if len(arithmetic.channels) == 1 else [RGB[channel] for channel in arithmetic.channels]


def equation(arithmetic: "PixelArithmetic", row: int, column: int) -> str:
    """The sum whose result is the layer's output, in Markdown."""
    terms = [f"{arithmetic.products.sum():+.3f} ({arithmetic.products.size} products)"]
    if arithmetic.others:
        terms.append(f"{arithmetic.rest:+.3f} ({arithmetic.others} other maps)")
    if arithmetic.bias:
        terms.append(f"{arithmetic.bias:+.3f} (bias)")
    return f"Row {row + 1}, column {column + 1}: {' '.join(terms)} = **{arithmetic.output:.3f}**"


def table(arithmetic: "PixelArithmetic") -> pd.DataFrame:
    """A row for each product."""
    place, row, column = np.indices(arithmetic.windows.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "input": arithmetic.channels[place] + 1,
            "row": row + 1,
            "column": column + 1,
            "value": arithmetic.windows.ravel(),
            "filter": arithmetic.filters.ravel(),
            "product": arithmetic.products.ravel(),
        }
    )


def before_and_after(selection: Selection, step: str) -> None:
    """What a step after the convolution changes in the selected map."""
    kinds = [each.kind for each in selection.layer.steps]
    previous = kinds[kinds.index(step) - 1]
    before, after = (selection.activations.maps[kind][selection.channel] for kind in (previous, step))
    title = f"Map {selection.channel + 1}: before and after {STEPS[step]}"
    figure = feature_maps.large_maps([before, after], ["before", "after"], None, title, "value", selection.colour)
    live_picture(figure, "inside_conv_pair", title, tallest=LARGE)
    st.markdown(description(step, before, after))


def description(step: str, before: np.ndarray, after: np.ndarray) -> str:
    """What a step has done to a map."""
    if step == "relu":
        return f"ReLU sets negative numbers to 0. In this map, {(before < 0).mean():.0%} of the numbers are negative."
    if step == "pooling":
        sizes = " to ".join(f"{height} × {width}" for height, width in (before.shape, after.shape))
        return f"Pooling keeps the highest of neighbouring numbers. The map shrinks from {sizes}."
    return (
        "Normalisation shifts and scales each map by learnt amounts. "
        f"This map now ranges from {after.min():.2f} to {after.max():.2f}."
    )


def download(selection: Selection) -> None:
    from atelier.explain import convolutions

    name, layer, activations = selection.name, selection.layer, selection.activations
    filters = convolutions.filters(networks.network(name), layer)
    parts.download(
        "Maps and filters (NPZ)",
        lambda: parts.npz(order=activations.order, filters=filters, **activations.maps),
        f"{name}_layer_{layer.number}.npz",
    )
