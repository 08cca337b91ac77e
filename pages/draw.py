"""Draw: a digit drawn with mouse or finger is read by every network as soon as the pen lifts."""

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import drawing, mnist, photo
from atelier.evaluation import tally
from pages.ui import camera, cards, navigation, networks, scene
from pages.ui.canvas import Canvas
from pages.ui.state import show_digit
from pages.views.draw.several_digits import several_digits

WELCOME = "Draw a digit from 0 to 9. It is read when the pen lifts."

state = st.session_state
navigation.through_app()


# What the controls do ------------------------------------------------------------------------------------------------


def read_strokes() -> None:
    picture = drawing.rasterise(state.strokes)
    objection = drawing.objection(picture)
    show_digit(None if objection else drawing.normalise(picture), objection or WELCOME)


canvas = Canvas("draw_canvas", "strokes", drawing.CANVAS, drawing.CANVAS, drawing.PEN, read_strokes)


def random_test_digit() -> None:
    try:
        images, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        state.message = str(error)
        return
    index = np.random.default_rng().integers(len(images))
    canvas.put([])
    show_digit(images[index], f"Digit number {index:,} of MNIST's 10,000 test digits.", truth=int(labels[index]))


def picture_chosen(key: str) -> None:
    if state[key] is None:
        return
    try:
        digit = photo.read_digit(state[key].getvalue())
    except photo.PhotoError as error:
        state.message = str(error)  # the digit that was there stays
        return
    canvas.put([])
    show_digit(digit, "Read from your picture.")


def true_digit_told(revision: int, answers: list[networks.Answer], strokes: dict) -> None:
    label = state[f"true_digit_{revision}"]
    state.tally.pop(revision, None)
    if label is not None:
        said = {answer.spec.name: answer.digit for answer in answers if answer.digit is not None}
        state.tally[revision] = tally.Entry(label, said, drawing.to_polylines(strokes))


# The page ------------------------------------------------------------------------------------------------------------

for name in ("digit", "truth", "revealed", "scene", "scene_truth"):
    state.setdefault(name, None)
state.setdefault("revision", 0)
state.setdefault("answered", 0)  # the revision that all answers on screen belong to
state.setdefault("message", WELCOME)
state.setdefault("scene_message", scene.WELCOME)
state.setdefault("tally", {})
for surface in (canvas, scene.canvas):
    surface.keep(arriving=state.get("previous_page") != "draw")

cards.style()
st.markdown(f"**{state.message}**")
st.space("xsmall")  # room for the canvas's own toolbar
page = st.container(horizontal=True, gap="medium")

with page.container(width=drawing.CANVAS):
    canvas.show()
    with st.container(horizontal=True, gap="small"):
        canvas.buttons()
        st.button(
            "Test digit",
            icon=":material/casino:",
            on_click=random_test_digit,
            help="A random digit of MNIST's test set",
        )

with page.container(width="stretch"):
    hide = state.get("hide_answers", False)
    hidden = hide and state.digit is not None and state.revealed != state.revision
    answers = [networks.ask(spec, state.digit) for spec in MODELS.values()]
    headline = st.empty()  # keeps its place, so that the answers keep theirs: no browser ever shows two of one
    if networks.agreement(answers) and not hidden:
        headline.subheader(networks.agreement(answers))
    with st.grid("auto", min_column_width=165):
        for answer in answers:
            with st.container(border=True, height="stretch"):
                st.html(cards.head(answer.spec) + cards.run(answer.spec))
                with st.container(key=f"answer_{answer.spec.name}"):
                    st.html(cards.digit(answer, hidden))
                st.html(cards.details(answer, hidden))
        with st.container(border=True, height="stretch"):
            st.html(cards.picture(state.digit))
            if state.truth is not None and not hidden:
                st.markdown(f"True label: **{state.truth}**")

    with st.container(horizontal=True, vertical_alignment="center"):
        st.toggle("Hide answers", key="hide_answers", help="Bet before the reveal.", persist_state="session")
        if hidden:
            st.button("Reveal", type="primary", on_click=state.update, kwargs={"revealed": state.revision})
        networks.back_to_shipped()
    if state.digit is not None and state.truth is None:
        st.segmented_control(
            "True digit",
            range(10),
            key=f"true_digit_{state.revision}",
            on_change=true_digit_told,
            args=(state.revision, answers, state.strokes),
            help="Say what was drawn: each network's right answers are counted.",
        )
    if state.tally:
        entries = list(state.tally.values())
        with st.container(horizontal=True, key="tally"):
            for name, row in tally.by_network(entries).iterrows():
                st.metric(f"{MODELS[name].title} right", f"{row.right:.0f} of {row.counted:.0f}")
            st.download_button("Strokes (JSON)", tally.to_strokes(entries), "strokes.json", on_click="ignore")
            st.download_button("Tally (CSV)", tally.to_csv(entries), "tally.csv", on_click="ignore")

    # With a key it stays the same, and so open, when something above it comes or goes.
    with st.expander("Use a picture or the camera", key="picture_or_camera", icon=":material/photo_camera:"):
        st.file_uploader("Picture of one digit", key="picture", on_change=picture_chosen, args=("picture",))
        camera.camera("One digit on plain paper", "photo", picture_chosen)

if state.digit is None or not networks.loading(answers):
    state.answered = state.revision
with st.container(key="draw_status"):
    st.caption(f"Revision {state.answered}")

several_digits()
if networks.loading(answers):
    networks.wait_for_a_network(answers)
