"""Look inside, convolutions: layer by layer and step by step, down to the arithmetic of a single number."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.figures import feature_maps
from pages.ui import networks, parts
from pages.ui.live import live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.convolutions import Layer, Maps, PixelArithmetic, Step

SHOWN = 24  # maps, and filters, of a layer that has hundreds
LARGE, READABLE = 420, 620  # pixels: height of a large map; width below which printed numbers cannot be read

state = st.session_state


@st.fragment
def show(name: str, digit: np.ndarray) -> None:
    """What each layer of a network finds in a digit `uint8[28, 28]`."""
    from atelier.explain import convolutions

    classifier = networks.network(name)
    if classifier is None:
        return
    parts.question(
        "What does each layer find?",
        "Each small picture is a map: where the digit looks like the map's filter, its numbers are high. "
        "Strongest maps first, those that differ most from place to place; **click one** to see it large.",
    )
    left, right = st.columns(2, vertical_alignment="bottom", gap="medium")
    with left:
        layer = choose_layer(name, "inside_conv_layer", 1)
    titles = [step.title for step in layer.steps]
    with right:
        key = f"inside_conv_step_{'_'.join(titles)}"
        title = st.segmented_control("Step", titles, default=titles[0], required=True, key=key, wrap=True)
    seen = look(classifier, networks.identity(name), digit, layer, layer.number)
    place = (networks.identity(name), layer.number)  # other weights may have fewer maps
    channel, row, column = chosen(place, seen)
    maps_and_filters(name, layer, layer.steps[titles.index(title)], seen, place, channel)
    if title == "Convolution":
        spell_out(name, digit, layer, seen, place, (channel, row, column))
    else:
        before, after = (seen.maps[step][channel] for step in titles[titles.index(title) - 1 :][:2])
        asked = f"Map {channel + 1}: what does it change?"
        pair = feature_maps.enlarged([before, after], ["before", "after"], None, asked, "value", MODELS[name].colour)
        live_picture(pair, "inside_conv_pair", f"Map {channel + 1} before and after {title}", tallest=LARGE)
        st.markdown(what_happened(title, before, after))
    parts.download(
        "Maps and filters (NPZ)",
        lambda: parts.npz(order=seen.order, filters=convolutions.filters(classifier, layer), **seen.maps),
        f"{name}_layer_{layer.number}.npz",
    )


def choose_layer(name: str, key: str, default: int) -> "Layer":
    """A slider, and a line on what the chosen layer is."""
    choice = layers(name)

    def label(layer: "Layer") -> str:
        mark = "" if name == "cnn" else " · retrained" if layer.trained else " · ❄ frozen"
        return f"{layer.number} of {len(choice)} · {layer.convolution.size}{mark}"

    number = st.select_slider(
        "Layer",
        range(1, len(choice) + 1),
        value=default,
        key=f"{key}_{name}",
        format_func=lambda number: label(choice[number - 1]),
        help="Maps × height × width. Deeper layers see more of the digit at once, in coarser maps.",
    )
    return choice[number - 1]


def layers(name: str) -> list["Layer"]:
    return known_layers(networks.network(name), networks.identity(name))


@st.cache_data(max_entries=50, show_spinner=False)
def known_layers(_classifier: "Classifier", identity: str) -> list["Layer"]:
    from atelier.explain import convolutions

    return convolutions.layers(_classifier)


@st.cache_data(max_entries=50, show_spinner=False)
def look(_classifier: "Classifier", identity: str, digit: np.ndarray, _layer: "Layer", number: int) -> "Maps":
    from atelier.explain import convolutions

    return convolutions.look(_classifier, digit, _layer)


def chosen(place: tuple[str, int], seen: "Maps") -> tuple[int, int, int]:
    """The map, row and column that were clicked last; at first the strongest map, and the highest number in a map."""
    channel, row, column = state.setdefault("inside_conv_chosen", {}).get(place, (int(seen.order[0]), None, None))
    if row is None:
        convolved = seen.maps["Convolution"][channel]
        row, column = map(int, np.unravel_index(convolved.argmax(), convolved.shape))
    return channel, row, column


# All maps of a layer, and its filters --------------------------------------------------------------------------------


def maps_and_filters(
    name: str, layer: "Layer", step: "Step", seen: "Maps", place: tuple[str, int], channel: int
) -> None:
    from atelier.explain import convolutions

    def clicked(point: dict[str, Any]) -> None:
        if point["customdata"] is not None:
            state.inside_conv_chosen[place] = (int(point["customdata"]), None, None)

    colour, strongest = MODELS[name].colour, seen.order[:SHOWN]
    heading = f"{step.title}: what does it find?"
    told = f"{step.size} · the {len(strongest)} strongest of {step.shape[0]} maps"
    with st.grid("auto", min_column_width=parts.WIDE):  # each is sent as soon as it is drawn
        maps = feature_maps.sheet(seen.maps[step.title][strongest], strongest, channel, heading, told, "value", colour)
        live_picture(maps, "inside_conv_maps", f"Maps of layer {layer.number} after {step.title}", clicked)
        weights, numbers, whose = shown_filters(
            convolutions.filters(networks.network(name), layer), layer, seen, channel
        )
        filters = feature_maps.sheet(weights, numbers, None, "What do its filters look for?", whose, "weight", colour)
        live_picture(filters, "inside_conv_filters", f"Filters of layer {layer.number}")


def shown_filters(
    filters: np.ndarray, layer: "Layer", seen: "Maps", channel: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Filters worth showing, their numbers, and what they are."""
    if layer.number == 1:  # in VGG16 and AlexNet it looks at red, green and blue: of a grey digit the same
        order = seen.order[:SHOWN]
        told = "One for each map, in the same order" + (": red, green and blue added" if filters.shape[1] == 3 else "")
        return filters.sum(1)[order], order, told
    pieces = filters[channel]
    order = np.argsort(-np.square(pieces).sum((1, 2)), kind="stable")[:SHOWN]
    return pieces[order], order, f"Map {channel + 1}: how it weighs {len(order)} of {len(pieces)} maps"


# One of them ---------------------------------------------------------------------------------------------------------


def spell_out(
    name: str, digit: np.ndarray, layer: "Layer", seen: "Maps", place: tuple[str, int], at: tuple[int, int, int]
) -> None:
    """The chosen map of a convolution, and the arithmetic of its chosen number."""
    from atelier.explain import convolutions

    channel, row, column = at

    def clicked(point: dict[str, Any]) -> None:
        if isinstance(point["point"], list):
            state.inside_conv_chosen[place] = (channel, *point["point"])

    colour, sides = MODELS[name].colour, layer.convolution.sees(*at[1:])
    asked = f"Where does map {channel + 1} respond?"
    with st.grid("auto", min_column_width=parts.WIDE):
        one = feature_maps.enlarged(
            [seen.maps["Convolution"][channel]], [""], (row, column), asked, "value", colour, "Click a number"
        )
        live_picture(one, "inside_conv_map", f"Map {channel + 1}, enlarged", clicked)
        covered = f"{sides[3] - sides[1]:.0f} × {sides[2] - sides[0]:.0f} of the 28 × 28 pixels"
        field = feature_maps.field(digit, sides, "What does this number see?", covered)
        live_picture(field, "inside_conv_field", "The part of the digit that decides on the chosen number")
    spelt = convolutions.pixel_arithmetic(networks.network(name), digit, layer, channel, row, column)
    figure = feature_maps.arithmetic(spelt, inputs_named(name, layer, spelt), colour)
    alt = "The window, the filter and their products"
    live_picture(figure, "inside_conv_arithmetic", alt, tallest=640, narrowest=READABLE)
    st.markdown(in_words(spelt, row, column))
    if layer.number == 1 and name != "cnn":
        st.caption("The digit comes in red, green and blue, as in pretraining: black is about -2, white about +2.4.")
    parts.download("Arithmetic (CSV)", table(spelt).to_csv(index=False), f"{name}_arithmetic.csv")


def inputs_named(name: str, layer: "Layer", spelt: "PixelArithmetic") -> list[str]:
    if layer.number > 1:
        return [f"map {channel + 1} of layer {layer.number - 1}" for channel in spelt.channels]
    return ["the digit"] if name == "cnn" else [("red", "green", "blue")[channel] for channel in spelt.channels]


def in_words(spelt: "PixelArithmetic", row: int, column: int) -> str:
    place, total = f"Row {row + 1}, column {column + 1}", f"**{spelt.output:.3f}**, as the layer itself gives"
    parts = [f"these {spelt.products.size} products ({spelt.products.sum():+.3f})"]
    if spelt.others:
        parts.append(f"those with {spelt.others} other maps ({spelt.rest:+.3f})")
    if spelt.bias:
        parts.append(f"the bias ({spelt.bias:+.3f})")
    if len(parts) == 1:
        return f"{place}: these {spelt.products.size} products make {total}."
    return f"{place}: {', '.join(parts[:-1])} and {parts[-1]} make {total}."


def table(spelt: "PixelArithmetic") -> pd.DataFrame:
    """A row for each product."""
    place, row, column = np.indices(spelt.windows.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "input": spelt.channels[place] + 1,
            "row": row + 1,
            "column": column + 1,
            "covers": spelt.windows.ravel(),
            "filter": spelt.filters.ravel(),
            "product": spelt.products.ravel(),
        }
    )


def what_happened(title: str, before: np.ndarray, after: np.ndarray) -> str:
    if title == "ReLU":
        return f"ReLU keeps what is above zero; all else becomes 0: here {(before < 0).mean():.0%} of the numbers."
    if title == "Pooling":
        sizes = " to ".join(f"{height} × {width}" for height, width in (before.shape, after.shape))
        return f"Pooling keeps the highest of neighbouring numbers and forgets where it was: from {sizes}."
    return (
        f"Normalisation shifts and stretches each map as it has learnt: {before.min():.2f} to {before.max():.2f} "
        f"became {after.min():.2f} to {after.max():.2f}."
    )
