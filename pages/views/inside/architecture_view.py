"""Look inside, all five: what each network is made of, as a diagram and as a table of its layers."""

import base64
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
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


@st.fragment(parallel=True)
def show(_digit: np.ndarray) -> None:
    parts.question(
        "What is it made of?",
        "Read from left to right: each drawing is what a few layers hand on, with its shape (maps × height × width, or "
        "tokens × numbers) and these layers beneath.",
    )
    name = networks.choose_network("Network", "inside_architecture")
    network = networks.network(name)
    if network is None:
        return
    from atelier.explain import architecture

    table = layers(network, networks.identity(name))
    st.html(STYLE + diagram(architecture.boxes(table), MODELS[name].colour))
    st.markdown(
        f"**{table.parameters.sum():,}** parameters · **{table.mult_adds.sum():,}** multiply-adds and "
        f"**{table.milliseconds.sum():.1f} ms** for one digit, a drawn 1, measured here."
        + (" Shapes from the region proposals on begin with how many there are for it." * (name == "faster_rcnn"))
    )
    shown = table.drop(columns=["part", "part_output"]).assign(
        layer=table.layer.replace("", "the network itself"), output=table.output.map(_shape)
    )
    st.dataframe(
        shown,
        hide_index=True,
        height=320,
        column_config={
            "layer": st.column_config.TextColumn("Layer", width="medium"),
            "kind": st.column_config.TextColumn("What it does", width="medium"),
            "output": "Output shape",
            "parameters": st.column_config.NumberColumn("Parameters", format="localized"),
            "mult_adds": st.column_config.NumberColumn(
                "Multiply-adds", format="localized", help="Of convolutions and matrix products, as PyTorch counts them."
            ),
            "milliseconds": st.column_config.NumberColumn("Milliseconds", format="%.3f"),
            "share": st.column_config.ProgressColumn("Share of time", format="percent"),
        },
    )
    parts.download("Table (CSV)", shown.to_csv(index=False), f"{name}_layers.csv")


@st.cache_data(max_entries=50, show_spinner="Measuring each layer …")
def layers(_classifier: "Classifier", identity: str) -> pd.DataFrame:
    from atelier.explain import architecture

    background.look_ahead(())  # nothing else, where time is measured
    return architecture.layers(_classifier)


def diagram(boxes: list["Box"], colour: str) -> str:
    """The network as a row of drawings, in HTML."""
    from atelier.explain import architecture

    tallest = max((box.output[-2] for box in boxes if len(box.output) >= 3), default=1)
    drawn = []
    for box in boxes:
        counts = Counter(box.kinds).items()
        words = [f"{box.repeats} times:"] if box.repeats > 1 else []
        words += [f"{count}\u00a0× {kind}" if count > 1 else kind for kind, count in counts]
        words += [f"{box.parameters:,} parameters"] if box.parameters else []
        picture = base64.b64encode(architecture.drawing(box.output, tallest, colour).encode()).decode()
        drawn.append(
            f'<div><figure><img alt="{_shape(box.output)}" src="data:image/svg+xml;base64,{picture}">'
            f"<b>{_shape(box.output)}</b>{'<br>'.join(words)}<br>{box.share:.0%} of the time</figure></div>"
        )
    return f'<div class="flow">{"".join(drawn)}</div>'


def _shape(output: tuple[int, ...]) -> str:
    return " × ".join(map(str, output))
