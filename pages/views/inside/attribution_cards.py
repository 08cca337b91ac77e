"""Look inside, first screen: each network's answer, and which parts of the digit support it."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier.figures import plotting
from pages.ui import background, cards, networks, parts
from pages.views.inside.methods import METHODS

if TYPE_CHECKING:
    from atelier.classifier import Classifier

UNSURE = 0.5  # below this confidence, a network has not recognised a digit
STYLE = """<style>
.scale { display: flex; align-items: center; gap: 0.4rem; font-size: 0.85rem; margin-top: 0.3rem; }
.scale i { flex: 1; height: 0.7rem; background: linear-gradient(90deg, black, var(--colour)); }
</style>"""

Attribution = tuple[np.ndarray, str, str]  # float32[28, 28], the image's address, a key of METHODS


def show(digit: np.ndarray, truth: int | None, answers: list[networks.Answer]) -> None:
    """A card for each network, for a digit `uint8[28, 28]` and its true class, if known."""
    with st.container():  # one element, empty or not: what follows keeps its place when a network is ready
        if text := summary(answers, truth):
            st.markdown(f"**{text}**")
    st.markdown("Colour shows which parts of the digit support the answer.")
    st.html(STYLE)
    digits = {answer.spec.name: answer.digit for answer in answers if answer.digit is not None}
    attributions = attribute_all(digit, digits)
    with st.grid("auto", min_column_width=165):
        for answer in answers:
            card(answer, attributions.get(answer.spec.name))
        with st.container(border=True, height="stretch", key="inside_digit"):
            st.html(cards.picture(digit))
    with st.container(key="inside_notes"):
        for text in filter(None, map(networks.differences, attributions)):
            st.caption(text)
        if methods := dict.fromkeys(method for *_, method in attributions.values()):
            st.caption(" ".join(METHODS[method].help for method in methods))
    maps = {name: heat for name, (heat, *_) in attributions.items()}
    parts.download("Attribution maps (NPZ)", lambda: parts.npz(digit=digit, **maps), "attribution.npz")


def card(answer: networks.Answer, attribution: Attribution | None) -> None:
    """The digit in grey with its attribution in the network's colour, or the reason why there is none."""
    spec = answer.spec
    with st.container(border=True, height="stretch"):
        st.html(cards.title(spec) + cards.source(spec))
        with st.container(key=f"evidence_{spec.name}"):
            if attribution is None:
                networks.network(spec.name)
                return
            heat, source, method = attribution
            note = METHODS[method].label if heat.any() else "No part supports it"
            st.html(
                f'<img class="pixels" alt="Parts of the digit that support {answer.digit} for {spec.title}" '
                f'src="{source}"><div class="scale" style="--colour: {spec.colour}">0%<i></i>100%</div>'
                f'<div class="confidence">{answer.digit}, {answer.probabilities.max():.1%} sure</div>'
                f'<div class="note">{note}</div>'
            )


def summary(answers: list[networks.Answer], truth: int | None) -> str:
    """How many networks agree, and whether any of them recognises the digit; empty until two have answered."""
    text = networks.agreement(answers)
    if networks.any_loading(answers) or not text:
        return text
    answered = [answer for answer in answers if answer.digit is not None]
    if truth is not None and truth not in {answer.digit for answer in answered}:
        return f"{text} It is a {truth}: no network recognises it."
    if max(answer.probabilities.max() for answer in answered) < UNSURE:
        return f"{text} No network is even {UNSURE:.0%} sure."
    return text


def attribute_all(digit: np.ndarray, targets: dict[str, int]) -> dict[str, Attribution]:
    """Attributions by network, each for the network's own answer."""
    if not targets:
        return {}
    loaded = [networks.load(name).result() for name in targets]
    identities = [networks.identity(name) for name in targets]
    return dict(zip(targets, attribute(loaded, identities, digit, list(targets.values())), strict=True))


@st.cache_data(max_entries=100, show_spinner=False)
def attribute(
    _networks: list["Classifier"], identities: list[str], digit: np.ndarray, targets: list[int]
) -> list[Attribution]:
    from atelier.explain import attribution

    def one(network: "Classifier", target: int) -> Attribution:
        found = attribution.attribute(network, digit, target)
        return found.heat, plotting.png(attribution.overlay(digit, found, network.spec.colour)), found.method

    return background.in_parallel(one, _networks, targets)
