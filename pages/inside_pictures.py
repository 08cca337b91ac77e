"""Pictures of Look inside that are as high as their width on this screen asks for."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from plotly.graph_objects import Figure

from pages.live import live_figure

LEGEND = 80  # pixels that a colour scale's legend takes beneath a picture


def picture(
    figure: Figure,
    key: str,
    alt: str,
    on_click: Callable[[dict[str, Any]], None] | None = None,
    tallest: int = 400,
    narrowest: int = 0,
    legend: bool = True,
) -> None:
    """Show a figure of `plotting.pictures`, whose pixels are square: on a phone it is low, on a wide screen high.

    Args:
        figure, key, alt, on_click: as for `live_figure`.
        tallest: pixels that the picture grows to, without title and legend.
        narrowest: pixels of width that it keeps on a screen that has less; there it is moved sideways.
        legend: whether it has a colour scale's legend.
    """
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    around = figure.layout.margin.t + figure.layout.margin.b + LEGEND * legend
    grown = f"max(100cqw, {narrowest}px) * {(bottom - top) / (right - left):.4f}"
    css = (
        f".st-key-{key} {{ container-type: inline-size; overflow-x: auto; }} .st-key-{key} .figure {{ "
        f"min-width: {narrowest}px; height: calc({around}px + min({grown}, {tallest}px)) !important; }}"
    )
    with st.container(gap=None):
        st.html(f"<style>{css}</style><i></i>")  # a style alone would take no place, but the gap around one
        live_figure(figure, key, around + tallest, alt, on_click)
