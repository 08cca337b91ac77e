"""Home: what this is, the networks, the conclusions of the lab report, and a lesson."""

from html import escape

import streamlit as st

from atelier import MODELS, checkpoint
from atelier.studies import STUDIES, results
from atelier.studies.conclusions import CONCLUSIONS, Bar, Conclusion, Verdict
from atelier.zoo import ModelSpec
from pages.ui import cards, navigation, study_results

INTRODUCTION = (
    "Neural networks that learn to read **handwritten digits**, side by side, on this computer. "
    "Draw a digit and compare their answers."
)
BUTTONS = {"draw": "Draw a digit", "train": "Watch a network learn", "inside": "Look inside"}
ICONS = {"draw": "draw", "train": "model_training", "inside": "visibility"}
NETWORKS = "The networks"
REPORT = "The lab report, put to the test"
REPORT_HELP = (
    "The lab report ended with these conclusions. A study tests each of them; you can repeat it on this computer."
)
VERDICTS = {  # label, icon, colour
    Verdict.SUPPORTED: ("Supported", "check", "green"),
    Verdict.NOT_SUPPORTED: ("Not supported", "close", "orange"),
    Verdict.INCONCLUSIVE: ("Inconclusive", "question_mark", "gray"),
}
METHOD = "How was this measured?"
STUDY = "See the study: {}"
LESSON_TITLE = "A lesson of {} minutes"
LESSON = {  # page: minutes and task
    "draw": (10, "Draw a digit that all networks read correctly. Then draw a digit on which they disagree."),
    "train": (
        10,
        "Guess first: after how many seconds does the network reach 95% accuracy? Start a demo and watch. Then let it "
        "read your own digit.",
    ),
    "inside": (
        10,
        "Open a digit on which the networks disagree. Which parts of it support each answer? What is the smallest "
        "change that fools a network?",
    ),
    "compare": (15, "Choose a study and give your answer before you see the results. Then download the report."),
}
DATA_TITLE = "The data"
DATA = (
    "MNIST has 70,000 handwritten digits of 28 × 28 pixels. The networks train on 55,000 of them, and 5,000 others "
    "validate the training. The accuracies above come from the 10,000 test digits. Everything runs offline."
)
CARD = 440  # pixels: the least width of a conclusion's card
STYLE = """<style>
.measure { margin-bottom: 1rem; display: grid; grid-template-columns: auto 1fr auto; gap: 0.2rem 0.6rem; }
.measure p { grid-column: 1 / -1; margin: 0; opacity: 0.75; font-size: 0.85rem; }
.measure i { align-self: center; height: 1rem; min-width: 2px; border-radius: 2px; }
</style>"""


def training_in_words(spec: ModelSpec) -> str:
    """Accuracy and training time of the shipped weights, or why they are not known."""
    try:
        card = checkpoint.read_card(spec.checkpoint)
        backbone = checkpoint.read_card(spec.backbone) if spec.backbone.is_file() else {}
    except checkpoint.CheckpointError as error:
        return str(error)
    if not {"accuracy", "seconds", "device_name"} <= card.keys():
        return "Its accuracy has not been measured."
    training = (
        f"**{card['accuracy']:.2%}** accuracy after {card['seconds']:,.0f} s of training on {card['device_name']}."
    )
    return f"{training} Before that, {backbone['seconds']:,.0f} s on letters." if "seconds" in backbone else training


def show_conclusion(conclusion: Conclusion) -> None:
    """A card: the conclusion, a verdict, its reason, one chart, and the method in an expander."""
    st.markdown(f"##### “{conclusion.statement}”")
    study = STUDIES[conclusion.study]
    try:
        result = results.shipped(study.name)
    except results.ResultError as error:
        st.info(str(error), icon=":material/hourglass_empty:")
        return
    judgement = conclusion.judge(result)
    label, icon, colour = VERDICTS[judgement.verdict]
    with st.container(key=f"verdict_{study.name}_{judgement.verdict}"):
        st.badge(label, icon=f":material/{icon}:", color=colour)
    st.markdown(judgement.sentence)
    st.html(chart_html(conclusion.chart, conclusion.bars(result.table)))
    with st.expander(METHOD, key=f"method_{study.name}"):
        st.markdown(f"Criterion: {conclusion.criterion}\n\n{study.method}")
        st.markdown("\n".join(f"- {sentence}" for sentence in study.findings(result.table).sentences))
        study_results.show_provenance(result.provenance)
        view = {"view": "leaderboard"} if study.name == "leaderboard" else {"view": "studies", "study": study.name}
        st.page_link(
            "pages/compare.py", label=STUDY.format(study.title), icon=":material/arrow_forward:", query_params=view
        )


def chart_html(title: str, bars: list[Bar]) -> str:
    """A bar chart in light HTML: a figure would keep this page waiting."""
    longest = max((bar.value for bar in bars), default=0) or 1
    rows = "".join(
        f'<span>{escape(bar.name)}</span><i style="width: {bar.value / longest:.1%}; background: {bar.colour}"></i>'
        f"<b>{escape(bar.number)}</b>"
        for bar in bars
    )
    return f'<div class="measure"><p>{escape(title)}</p>{rows}</div>'


navigation.through_app()
st.title("Deep Learning Atelier")
st.markdown(INTRODUCTION)
with st.container(horizontal=True):
    for name, label in BUTTONS.items():
        kind = "primary" if name == "draw" else "secondary"
        if st.button(label, icon=f":material/{ICONS[name]}:", type=kind, key=f"open_{name}"):
            st.switch_page(f"pages/{name}.py")

st.header(NETWORKS)
with st.grid("auto", min_column_width=300):
    for spec in MODELS.values():
        with st.container(border=True, height="stretch", key=f"network_{spec.name}"):
            st.html(cards.title(spec))
            st.image(cards.thumbnail(spec), alt=f"Diagram of the {spec.title}", width="stretch")
            st.markdown(spec.idea)
            st.markdown(training_in_words(spec))
            st.caption(spec.paper)

st.header(REPORT)
st.markdown(REPORT_HELP)
st.html(STYLE)
with st.grid("auto", min_column_width=CARD):
    for conclusion in CONCLUSIONS:
        with st.container(border=True, height="stretch", key=f"conclusion_{conclusion.study}"):
            show_conclusion(conclusion)

st.header(LESSON_TITLE.format(sum(minutes for minutes, _ in LESSON.values())))
with st.grid("auto", min_column_width=240):
    for number, (name, (minutes, task)) in enumerate(LESSON.items(), start=1):
        with st.container(border=True, height="stretch", key=f"lesson_{name}"):
            st.markdown(f"**Stop {number}, {minutes} minutes.** {task}")
            st.page_link(f"pages/{name}.py", icon=":material/arrow_forward:")

st.header(DATA_TITLE)
st.markdown(DATA)
