"""Draw: every network reads a digit, drawn with mouse or finger, as soon as the pen lifts."""

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import drawing, mnist, photo
from atelier.data.mnist import CLASSES
from atelier.evaluation import tally
from pages.ui import camera, cards, navigation, networks, scene
from pages.ui.canvas import Canvas
from pages.ui.state import set_digit
from pages.views.draw.several_digits import several_digits

WELCOME = f"Draw a digit from 0 to 9. Lift the pen and {len(MODELS)} networks answer."

state = st.session_state
navigation.through_app()


# What the controls do ------------------------------------------------------------------------------------------------


def read_strokes() -> None:
    picture = drawing.rasterise(state.strokes)
    problem = drawing.objection(picture)
    set_digit(None if problem else drawing.normalise(picture), problem or "")


canvas = Canvas("draw_canvas", "strokes", drawing.CANVAS, drawing.CANVAS, drawing.PEN, read_strokes)


def random_example() -> None:
    try:
        images, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        state.message = str(error)
        return
    index = int(np.random.default_rng().integers(len(images)))
    canvas.replace([])
    set_digit(images[index], f"Digit number {index:,} of MNIST's {len(images):,} test digits.", int(labels[index]))


def picture_chosen(key: str) -> None:
    if state[key] is None:
        return
    try:
        digit = photo.read_digit(state[key].getvalue())
    except photo.PhotoError as error:
        state.message = str(error)  # the previous digit stays
        return
    canvas.replace([])
    set_digit(digit, "Read from your picture.")


def meant_digit_chosen(revision: int, answers: list[networks.Answer], strokes: dict) -> None:
    label = state[f"meant_digit_{revision}"]
    state.tally.pop(revision, None)
    if label is not None:
        digits = {answer.spec.name: answer.digit for answer in answers if answer.digit is not None}
        state.tally[revision] = tally.Entry(label, digits, drawing.to_polylines(strokes))


# The page ------------------------------------------------------------------------------------------------------------

state.setdefault("revealed", None)  # the revision whose answers the visitor has revealed
state.setdefault("answered", 0)  # the revision to which all answers on the page belong
for surface in (canvas, scene.canvas):
    surface.restore(arriving=state.previous_page != "draw")

st.title("Draw")
st.markdown(f"**{state.message or WELCOME}**")
page = st.container(horizontal=True, gap="medium")

with page.container(width=drawing.CANVAS):
    canvas.show()
    with st.container(horizontal=True, gap="small"):
        canvas.buttons()
        st.button(
            "Random example",
            icon=":material/casino:",
            on_click=random_example,
            key="random_example",
            help="A random digit from MNIST's test set.",
        )

with page.container(width="stretch"):
    hidden = state.get("hide_answers", False) and state.digit is not None and state.revealed != state.revision
    answers = [networks.answer(spec, state.digit) for spec in MODELS.values()]
    headline = st.empty()  # one element with or without text, so that the cards stay in place
    if hidden:
        headline.subheader("Answers hidden. Guess first, then reveal.")
    elif agreement := networks.agreement(answers):
        headline.subheader(agreement)
    with st.grid("auto", min_column_width=165):
        for answer in answers:
            with st.container(border=True, height="stretch", key=f"card_{answer.spec.name}"):
                st.html(cards.title(answer.spec) + cards.source(answer.spec))
                with st.container(key=f"answer_{answer.spec.name}"):
                    st.html(cards.digit(answer, hidden))
                st.html(cards.details(answer, hidden))
        with st.container(border=True, height="stretch", key="network_input"):
            st.html(cards.picture(state.digit))
            if state.truth is not None and not hidden:
                with st.container(key="true_label"):
                    st.markdown(f"True label: **{state.truth}**")

    with st.container(horizontal=True, vertical_alignment="center"):
        st.toggle("Hide answers", key="hide_answers", help="Guess before you see them.", persist_state="session")
        if hidden:
            st.button(
                "Reveal", type="primary", key="reveal", on_click=state.update, kwargs={"revealed": state.revision}
            )
        networks.back_to_shipped()
    if state.digit is not None and state.truth is None:
        st.segmented_control(
            "What did you mean to draw?",
            list(range(CLASSES)),
            key=f"meant_digit_{state.revision}",
            on_change=meant_digit_chosen,
            args=(state.revision, answers, state.strokes),
            help="Choose the digit you meant; we count who is right.",
        )
    if state.tally:
        entries = list(state.tally.values())
        with st.container(horizontal=True, key="tally"):
            for name, row in tally.by_network(entries).iterrows():
                st.metric(f"{MODELS[name].title} right", f"{row.right:.0f} of {row.counted:.0f}")
            for label, file_name, content in (
                ("Strokes (JSON)", "strokes.json", tally.to_strokes(entries)),
                ("Tally (CSV)", "tally.csv", tally.to_csv(entries)),
            ):
                st.download_button(label, content, file_name, on_click="ignore", key=f"download_{file_name}")

    # With a key it stays open when an element above it appears or disappears.
    with st.expander("Use a picture or the camera", key="picture_or_camera", icon=":material/photo_camera:"):
        st.file_uploader("Picture of one digit", key="picture", on_change=picture_chosen, args=("picture",))
        camera.camera("One digit on plain paper", "photo", picture_chosen)

if state.digit is None or not networks.any_loading(answers):
    state.answered = state.revision
with st.container(key="draw_status"):
    st.caption(f"Revision {state.answered}")

several_digits()
if networks.any_loading(answers):
    networks.rerun_when_loaded(answers)
