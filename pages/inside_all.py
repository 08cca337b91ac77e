"""Look inside, all five: what each is made of, what would change its mind, and which digits it finds alike."""

import base64
import io
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from atelier import MODELS
from atelier.data import mnist
from pages import looking, shared
from pages.inside_pictures import picture
from pages.live import live_figure

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.architecture import Box
    from atelier.explain.perturbations import Flip

TALLEST = 1100  # pixels of a sheet of small pictures, beside which others stand
WIDE = 460  # pixels: narrower figures go below each other
NEAREST = 6  # neighbours shown
EPSILONS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 18, 25]) / 100  # steps whose effect is drawn: most happens early
SLIDERS = {  # what can be done to the digit: label, range, step, format
    "right": ("Shift to the right, pixels", -14.0, 14.0, 0.5, "%.1f"),
    "down": ("Shift down, pixels", -14.0, 14.0, 0.5, "%.1f"),
    "rotation": ("Rotation clockwise, degrees", -180.0, 180.0, 5.0, "%.0f"),
    "thickness": ("Thickness on each side, pixels", -4.0, 4.0, 0.25, "%.2f"),
    "noise": ("Noise, share of full brightness", 0.0, 1.0, 0.05, "%.2f"),
}

STYLE = """<style>
.flow { display: flex; flex-wrap: wrap; row-gap: 0.6rem; }
.flow > div { display: flex; }
.flow > div + div::before { content: "→"; padding-top: 1.4rem; font-size: 1.4rem; opacity: 0.75; }
.flow figure { width: 8.4rem; margin: 0; text-align: center; font-size: 0.85rem; }
.flow b { display: block; font-size: 1rem; }
.flow img { display: block; margin: auto; }
</style>"""

state = st.session_state


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    if not loaded():
        st.info("This view begins as soon as one network is loaded.", icon=":material/hourglass_empty:")
        return
    for part in (made_of, sliders, searches, against, alike):
        part(digit)


def loaded() -> dict[str, "Classifier"]:
    """The networks that can be asked by now; the page says of the others why not."""
    promises = {name: shared.load(name) for name in MODELS}
    return {name: promise.result() for name, promise in promises.items() if promise.done() and not promise.exception()}


def _choose(label: str, key: str) -> str:
    return st.segmented_control(
        label, list(MODELS), default="cnn", required=True, key=key, format_func=lambda name: MODELS[name].title
    )


# What it is made of --------------------------------------------------------------------------------------------------


@st.fragment
def made_of(_: np.ndarray) -> None:
    looking.question(
        "What is it made of?",
        "Read from left to right: each drawing is what a few layers hand on, with its shape (maps × height × width, or "
        "tokens × numbers) and these layers beneath.",
    )
    name = _choose("Network", "inside_architecture")
    network = looking.network(name)
    if network is None:
        return
    from atelier.explain import architecture

    table = layers(network, looking.identity(name))
    st.html(STYLE + diagram(architecture.boxes(table), MODELS[name].colour))
    st.markdown(
        f"**{table.parameters.sum():,}** parameters · **{table.mult_adds.sum():,}** multiply-adds and "
        f"**{table.milliseconds.sum():.1f} ms** for one digit, measured here."
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
    looking.download("Table (CSV)", shown.to_csv(index=False), f"{name}_layers.csv")


@st.cache_data(max_entries=50, show_spinner="Measuring each layer …")
def layers(_classifier: "Classifier", identity: str) -> pd.DataFrame:
    from atelier.explain import architecture

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
        picture = _base64(architecture.drawing(box.output, tallest, colour).encode())
        drawn.append(
            f'<div><figure><img alt="{_shape(box.output)}" src="data:image/svg+xml;base64,{picture}">'
            f"<b>{_shape(box.output)}</b>{'<br>'.join(words)}<br>{box.share:.0%} of the time</figure></div>"
        )
    return f'<div class="flow">{"".join(drawn)}</div>'


def _shape(output: tuple[int, ...]) -> str:
    return " × ".join(map(str, output))


# What would change its mind ------------------------------------------------------------------------------------------


@st.fragment
def sliders(digit: np.ndarray) -> None:
    from atelier.explain.perturbations import perturb

    looking.question("What would change its mind?", "Move a slider: the digit changes, and all networks read it anew.")
    with st.grid("auto", min_column_width=180):
        amounts = {
            name: st.slider(label, low, high, 0.0, step, format=form, key=f"inside_{name}")
            for name, (label, low, high, step, form) in SLIDERS.items()
        }
    st.button("As it was", icon=":material/restart_alt:", key="inside_as_it_was", on_click=as_it_was)
    shift = amounts.pop("right"), amounts.pop("down")
    changed = perturb(digit, shift=shift, **amounts)
    before = {name: network.predict(digit[None])[0] for name, network in loaded().items()}
    answers = {name: shared.ask(spec, changed) for name, spec in MODELS.items()}
    with st.grid("auto", min_column_width=165):
        for spec in MODELS.values():
            answer = answers[spec.name]
            with st.container(border=True, height="stretch", key=f"inside_changed_{spec.name}"):
                first = before.get(spec.name)
                note = "&nbsp;" if first is None else "as before" if answer.digit == first else f"before: {first}"
                st.html(
                    shared.card_head(spec)
                    + shared.card_digit(answer, hidden=False)
                    + f'<div class="note">{note}</div>'
                    + shared.card_details(answer, hidden=False)
                )
        with st.container(border=True, height="stretch"):
            buffer = io.BytesIO()
            Image.fromarray(changed).save(buffer, "PNG")
            st.html(
                '<div class="network" style="border-color: gray">Changed</div>'
                f'<img class="seen" alt="The changed digit" src="data:image/png;base64,{_base64(buffer.getvalue())}">'
            )
    said = {name: answer.probabilities for name, answer in answers.items() if answer.probabilities is not None}
    looking.download(
        "Changed digit and answers (NPZ)", lambda: looking.npz(digit=digit, changed=changed, **said), "changed.npz"
    )


def as_it_was() -> None:
    state.update({f"inside_{name}": 0.0 for name in SLIDERS})


@st.fragment
def searches(digit: np.ndarray) -> None:
    from atelier.explain import all_figures
    from atelier.explain.perturbations import KINDS

    looking.question(
        "How little is enough?",
        "Choose what may change: the smallest change that flips each answer is searched, and shown with what the "
        "network says then.",
    )
    if state.get("inside_searched_digit") != digit.tobytes():
        state.update(inside_searched_digit=digit.tobytes(), inside_searched=[])
    with st.container(horizontal=True):
        for kind, way in KINDS.items():
            st.button(way.title, icon=":material/search:", key=f"inside_search_{kind}", on_click=search, args=(kind,))
    kinds, networks = state.inside_searched, loaded()
    if not kinds:
        return
    found = found_flips(digit, networks, kinds)
    table = pd.DataFrame(
        [
            {
                "Network": MODELS[name].title,
                "Change": KINDS[kind].title,
                "Smallest": flip.size if flip else f"none up to {KINDS[kind].unit.format(KINDS[kind].amounts[-1])}",
                "Direction": flip.direction if flip else "",
                "New answer": str(flip.answer) if flip else "",
            }
            for (name, kind), flip in found.items()
        ]
    )
    figure = all_figures.flips(list(networks), kinds, found)
    with st.grid("auto", min_column_width=WIDE):
        alt = "For each network the least changed digits that it takes for another"
        picture(figure, "inside_flips", alt, tallest=TALLEST, legend=False)
        with st.container():
            st.dataframe(table, hide_index=True)
            looking.download("Table (CSV)", table.to_csv(index=False), "smallest_changes.csv")
            digits = {f"{name}_{kind}": flip.digit for (name, kind), flip in found.items() if flip}
            looking.download("Changed digits (NPZ)", lambda: looking.npz(**digits), "smallest_changes.npz")


def search(kind: str) -> None:
    if kind not in state.inside_searched:
        state.inside_searched = [*state.inside_searched, kind]


def found_flips(
    digit: np.ndarray, networks: dict[str, "Classifier"], kinds: list[str]
) -> dict[tuple[str, str], "Flip | None"]:
    """By network and kind."""
    found, place = {}, st.empty()
    wanted = [(name, kind) for name in networks for kind in kinds]
    for number, (name, kind) in enumerate(wanted):
        place.progress(number / len(wanted), f"Searching: {MODELS[name].title}, {kind} …")
        found[name, kind] = flip(networks[name], looking.identity(name), digit, kind)
    place.empty()
    return found


@st.cache_data(max_entries=500, show_spinner=False)
def flip(_classifier: "Classifier", identity: str, digit: np.ndarray, kind: str) -> "Flip | None":
    from atelier.explain.perturbations import smallest_flip

    return smallest_flip(_classifier, digit, kind)


# A step against each -------------------------------------------------------------------------------------------------


@st.fragment
def against(digit: np.ndarray) -> None:
    from atelier.explain import all_figures
    from atelier.explain.perturbations import step

    looking.question(
        "What if somebody knows the network and wants it to fail?",
        "The fast gradient sign method makes each pixel brighter (red) or darker (blue) by ε, whichever makes this "
        "network less sure. From top to bottom: the digit, the step, the result.",
    )
    epsilon = st.slider("ε, share of full brightness", 0.0, 0.25, 0.05, 0.01, key="inside_epsilon")
    networks = loaded()
    attacks = {name: attack(network, looking.identity(name), digit) for name, network in networks.items()}
    signs, before, curves = zip(*attacks.values(), strict=True)
    results = [step(digit, sign, epsilon) for sign in signs]
    after = [network.predict_proba(result[None])[0] for network, result in zip(networks.values(), results, strict=True)]
    with st.grid("auto", min_column_width=WIDE):
        figure = all_figures.steps(list(networks), digit, signs, results, before, after)
        alt = "For each network the digit, the step against it and the result"
        picture(figure, "inside_step", alt, tallest=TALLEST, legend=False)
        figure = all_figures.certainty(list(networks), EPSILONS, np.array(curves), np.argmax(before, axis=1))
        live_figure(figure, "inside_certainty", 480, "How sure each network stays as ε grows")
    arrays = {"networks": list(networks), "signs": signs, "results": results, "epsilons": EPSILONS, "sure": curves}
    looking.download("Steps (NPZ)", lambda: looking.npz(digit=digit, **arrays), "steps.npz")


@st.cache_data(max_entries=100, show_spinner=False)
def attack(_classifier: "Classifier", identity: str, digit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sign of a network's gradient, its probabilities without a step, and that of its first answer after steps of
    EPSILONS."""
    from atelier.explain.perturbations import gradient_sign, step

    sign = gradient_sign(_classifier, digit)
    probabilities = _classifier.predict_proba(np.array([step(digit, sign, epsilon) for epsilon in EPSILONS]))
    return sign, probabilities[0], probabilities[:, probabilities[0].argmax()]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# Which digits it finds alike -----------------------------------------------------------------------------------------


@st.fragment
def alike(digit: np.ndarray) -> None:
    from atelier.explain import all_figures, neighbours

    looking.question(
        "Which digits does it find most like this one?",
        "A row a network: the nearest of 5,000 training digits by the network's last features, nearest first. The map "
        "shows all of them; the star is this digit.",
    )
    try:
        images, labels = neighbours.compared()
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return
    networks, progress, known, found = loaded(), st.empty(), {}, {}
    for name, network in networks.items():
        say = f"Looking at 5,000 training digits with {MODELS[name].title} …"
        known[name] = neighbours.find(network, lambda share, say=say: progress.progress(share, say))
        found[name] = near_to(network, looking.identity(name), digit)
    progress.empty()
    near, distances, here = map(np.array, zip(*found.values(), strict=True))
    figure = all_figures.nearest(list(networks), images[near], labels[near], distances)
    with st.grid("auto", min_column_width=WIDE):
        picture(figure, "inside_nearest", "The nearest training digits of each network", tallest=TALLEST, legend=False)
        with st.container():
            name = _choose("Map of", "inside_map")
            if looking.network(name) is not None and name in networks:
                kept, star = known[name].spread[:2].sum(), found[name][2]
                drawn = all_figures.neighbour_map(known[name].map_2d(), labels, star, kept, name)
                live_figure(drawn, "inside_neighbour_map", 560, "A map of training digits with this digit in it")
    maps = {f"{name}_map": known[name].map_2d() for name in networks}
    looking.download(
        "Neighbours (NPZ)",
        lambda: looking.npz(
            networks=list(networks), nearest=near, distances=distances, here=here, labels=labels, **maps
        ),
        "neighbours.npz",
    )


@st.cache_data(max_entries=500, show_spinner=False)
def near_to(_classifier: "Classifier", identity: str, digit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The NEAREST training digits, how far they are, and where the digit falls in the map."""
    from atelier.explain import neighbours

    known = neighbours.find(_classifier)
    return *known.nearest(_classifier, digit, NEAREST), known.place(_classifier, digit)[:2]
