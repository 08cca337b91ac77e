"""Look inside, all networks: a network's layers as a diagram and as a table."""

import base64
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.zoo import Family
from pages.ui import background, networks, parts

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.architecture import Box

STYLE = """<style>
.flow { display: flex; flex-wrap: wrap; row-gap: 0.6rem; }
.flow > div { display: flex; }
.flow > div + div::before { content: "→"; padding-top: 1.4rem; font-size: 1.4rem; opacity: 0.75; }
.flow figure { width: 8.4rem; margin: 0; text-align: center; font-size: 0.85rem; }
.flow b { display: block; font-size: 1rem; }
.flow img { display: block; margin: auto; }
</style>"""
COLUMNS = {
    "layer": st.column_config.TextColumn("Layer", width="medium"),
    "kind": st.column_config.TextColumn("Operation", width="medium"),
    "output": "Output shape",
    "parameters": st.column_config.NumberColumn("Parameters", format="localized"),
    "mult_adds": st.column_config.NumberColumn(
        "Multiply-adds", format="localized", help="In convolutions and matrix products."
    ),
    "milliseconds": st.column_config.NumberColumn("Milliseconds", format="%.3f"),
    "share": st.column_config.ProgressColumn("Share of time", format="percent"),
}


@st.fragment(parallel=True)
def show(_digit: np.ndarray) -> None:
    """The part; it is the same for every digit."""
    parts.heading(
        "What is it made of?",
        "Read from left to right. Each drawing is the output of the layers below it, with its shape.",
        "A shape is maps × height × width, or tokens × numbers.",
    )
    name = networks.choose_network("Network", "inside_architecture")
    network = networks.network(name)
    if network is None:
        return
    from atelier.explain import architecture

    table = layers(network, networks.identity(name))
    st.html(STYLE + diagram(architecture.boxes(table), MODELS[name].colour))
    st.markdown(
        f"**{table.parameters.sum():,}** parameters · **{table.mult_adds.sum():,}** multiply-adds · "
        f"**{table.milliseconds.sum():.1f} ms** for one digit on this computer"
    )
    if MODELS[name].family is Family.DETECTOR:
        st.caption("After the region proposals, each shape begins with the number of proposals.")
    shown = table.drop(columns=["type", "part", "part_output"]).assign(
        layer=table.layer.replace("", "the network itself"), output=table.output.map(shape_text)
    )
    st.dataframe(shown, hide_index=True, height=320, column_config=COLUMNS, key="inside_layer_table")
    parts.download("Table (CSV)", shown.to_csv(index=False), f"{name}_layers.csv")


@st.cache_data(max_entries=50, show_spinner="Measuring each layer …")
def layers(_classifier: "Classifier", identity: str) -> pd.DataFrame:
    from atelier.explain import architecture

    background.compute_ahead(())  # stop other work, because this measures time
    return architecture.layers(_classifier)


def diagram(boxes: list["Box"], colour: str) -> str:
    """The network as a row of drawings, in HTML."""
    from atelier.explain import architecture

    tallest = max((box.output[-2] for box in boxes if len(box.output) >= 3), default=1)
    drawings = []
    for box in boxes:
        counts = Counter(box.kinds).items()
        lines = [f"{box.repeats} times:"] if box.repeats > 1 else []
        lines += [f"{count}\u00a0× {kind}" if count > 1 else kind for kind, count in counts]
        lines += [f"{box.parameters:,} parameters"] if box.parameters else []
        svg = base64.b64encode(architecture.drawing(box.output, tallest, colour).encode()).decode()
        drawings.append(
            f'<div><figure><img alt="{shape_text(box.output)}" src="data:image/svg+xml;base64,{svg}">'
            f"<b>{shape_text(box.output)}</b>{'<br>'.join(lines)}<br>{box.share:.0%} of the time</figure></div>"
        )
    return f'<div class="flow">{"".join(drawings)}</div>'


def shape_text(output: tuple[int, ...]) -> str:
    return " × ".join(map(str, output))
