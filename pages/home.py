"""Home: what this is, the networks in a line each, the lab report's conclusions, and a lesson."""

from html import escape

import streamlit as st

from atelier import MODELS, checkpoint
from atelier.studies import STUDIES, results
from atelier.studies.conclusions import CONCLUSIONS, Bars, Conclusion
from pages.ui import cards, measured, navigation

CARD = 440  # pixels: the least width of a conclusion's card
BARS = """<style>
.measure { margin-bottom: 1rem; display: grid; grid-template-columns: auto 1fr auto; gap: 0.2rem 0.6rem; }
.measure p { grid-column: 1 / -1; margin: 0; opacity: 0.75; font-size: 0.85rem; }
.measure i { align-self: center; height: 1rem; min-width: 2px; border-radius: 2px; }
</style>"""
LESSON = {  # page: minutes and task
    "draw": (
        10,
        "Draw a digit that all five networks read right. Then draw one that they disagree on, and say what it was "
        "meant to be.",
    ),
    "train": (
        10,
        "Bet first: after how many seconds does the CNN read 95% right? Start its demo and watch. Then let it read "
        "your own digit.",
    ),
    "inside": (
        10,
        "Take the digit that they disagreed on. Which strokes led which network astray? How little would change its "
        "mind?",
    ),
    "compare": (
        15,
        "Choose a study and say what you expect before you look. Were you right? Then download the report and hand it "
        "in.",
    ),
}


def tested(conclusion: Conclusion) -> None:
    """A card: what the lab report says, and what the numbers say to it."""
    st.markdown(f"##### “{conclusion.sentence}”")
    study = STUDIES[conclusion.study]
    try:
        result = results.shipped(study.name)
    except results.ResultError as error:
        st.info(str(error), icon=":material/hourglass_empty:")
        return
    findings, verdict = study.findings(result.table), conclusion.verdict(result)
    if verdict.holds is None:
        st.badge("The numbers do not tell", icon=":material/question_mark:", color="gray")
    elif verdict.holds:
        st.badge("The numbers say so, too", icon=":material/check:", color="green")
    else:
        st.badge("The numbers say otherwise", icon=":material/close:", color="orange")
    st.markdown(" ".join([*findings.sentences, verdict.why]))
    st.html(plot(conclusion.bars(result.table)))
    view = {} if study.name == "leaderboard" else {"view": "Studies", "study": study.title}
    link = f"See the study: {study.title}"
    st.page_link("pages/compare.py", label=link, icon=":material/arrow_forward:", query_params=view)
    date, device = (str(result.header.get(key, "")) for key in ("date", "device_name"))
    quick = ", the quick version" if result.header.get("quick") else ""
    st.caption(f"{study.method} Measured on {date[:10]}, {device}{quick}.")
    measured.outdated(result.header)


def plot(bars: Bars) -> str:
    """Light HTML, for this page is to be there at once."""
    rows = {
        what: "".join(
            f'<span>{escape(bar.name)}</span><i style="width: {bar.length:.1%}; background: {bar.colour}"></i>'
            f"<b>{escape(bar.number)}</b>"
            for bar in lines
        )
        for what, lines in bars.items()
    }
    return "".join(f'<div class="measure"><p>{escape(what)}</p>{lines}</div>' for what, lines in rows.items())


navigation.through_app()
cards.style()
st.title("Deep Learning Atelier")
st.markdown(
    "Neural networks that learn to read **handwritten digits**, side by side, on this computer. "
    "Draw a digit and see what each network makes of it."
)
with st.container(horizontal=True):
    if st.button("Draw a digit", icon=":material/draw:", type="primary"):
        st.switch_page("pages/draw.py")
    if st.button("Watch one learn", icon=":material/model_training:"):
        st.switch_page("pages/train.py")
    if st.button("Look inside", icon=":material/visibility:"):
        st.switch_page("pages/inside.py")

st.header("The networks")
with st.grid("auto", min_column_width=300):
    for spec in MODELS.values():
        with st.container(border=True, height="stretch", key=f"network_{spec.name}"):
            st.html(cards.head(spec))
            st.image(cards.thumbnail(spec), alt=f"Diagram of the {spec.title}", width="stretch")
            st.markdown(spec.idea)
            try:
                card = checkpoint.read_card(spec.checkpoint)
                backbone = checkpoint.read_card(spec.backbone) if spec.backbone.is_file() else None
            except checkpoint.CheckpointError as error:
                st.warning(str(error))
            else:
                before = f", and {backbone['seconds']:,.0f} on letters before" if backbone else ""
                st.markdown(
                    f"**{card['accuracy']:.2%}** of MNIST's 10,000 test digits read right, "
                    f"after {card['seconds']:,.0f} seconds of training on {card['device_name']}{before}."
                )
            st.caption(spec.paper)

st.header("The lab report, put to the test")
st.markdown(
    "The lab that this atelier grew from ended in four sentences. Each has a study on the Compare page, which you can "
    "repeat. What do the numbers say?"
)
st.html(BARS)
with st.grid("auto", min_column_width=CARD):
    for conclusion in CONCLUSIONS:
        with st.container(border=True, height="stretch", key=f"conclusion_{conclusion.study}"):
            tested(conclusion)

st.header("A lesson of 45 minutes")
with st.grid("auto", min_column_width=240):
    for number, (name, (minutes, task)) in enumerate(LESSON.items(), start=1):
        with st.container(border=True, height="stretch", key=f"lesson_{name}"):
            st.markdown(f"**Stop {number}, {minutes} minutes.** {task}")
            st.page_link(f"pages/{name}.py", icon=":material/arrow_forward:")

st.header("The data")
st.markdown(
    "MNIST: 70,000 digits that people wrote by hand, each 28 × 28 pixels. The networks train on 55,000, are tuned on "
    "5,000 others, and the numbers above come from 10,000 that they have never seen. Everything runs without a network "
    "connection."
)
