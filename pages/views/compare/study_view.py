"""Compare, studies: a question, the visitor's expectation, and then the results."""

import streamlit as st
from plotly.graph_objects import Figure

from atelier.studies import STUDIES
from atelier.studies.results import Result
from atelier.studies.study import Study
from pages.ui import link, parts, study_results
from pages.ui.live import live_figure
from pages.ui.study_results import SOURCES

STUDY = "Study"
EXPECTATION = "What do you expect?"
EXPECT_FIRST = "**Choose your answer first**, then you see the results."
OUTCOMES = {
    "inconclusive": ("Too little has been measured for an answer.", "question_mark"),
    "as_expected": ("As you expected: **{}**", "check_circle"),
    "otherwise": ("Not quite. The result is: **{}**", "lightbulb"),
}
HERE = "What are the results on this computer?"
HERE_HELP = "They will stand beside the ready-made ones."

FIGURE, WIDE, PANEL = 460, 460, 280  # pixels: default height of a figure; least widths of a result and of a panel

state = st.session_state


def show() -> None:
    """The view."""
    names = [name for name in STUDIES if name != "leaderboard"]  # which is a view of its own
    name = st.segmented_control(
        STUDY,
        names,
        required=True,
        format_func=lambda name: STUDIES[name].title,
        **link.bind("study", names, names[0]),
    )
    study, loaded = STUDIES[name], study_results.load_or_warn(name)
    parts.heading(study.question, f"{study.method} {EXPECT_FIRST}")
    if loaded and expectation(study, loaded):
        figures = {source: study.figure(result.table) for source, result in loaded.items()}
        across = max(len({panel.domain for panel in figure.select_xaxes()}) for figure in figures.values())
        with st.grid(len(loaded), min_column_width=max(WIDE, PANEL * across)):
            for source, result in loaded.items():
                with st.container(key=f"compare_{source}"):
                    show_result(study, source, result, figures[source])
    if not loaded or state.get(f"compare_expects_{name}") is not None:
        parts.heading(HERE, HERE_HELP)
        study_results.run_here(name)


def expectation(study: Study, loaded: dict[str, Result]) -> bool:
    """The visitor's expectation compared with the first result; False before the visitor has chosen an answer."""
    expected = st.pills(
        EXPECTATION,
        list(study.answers),
        format_func=study.answers.get,
        key=f"compare_expects_{study.name}",
        persist_state="session",
    )
    if expected is None:
        return False
    answer = study.findings(next(iter(loaded.values())).table).answer
    outcome = "inconclusive" if answer is None else "as_expected" if expected == answer else "otherwise"
    message, icon = OUTCOMES[outcome]
    with st.container(key=f"compare_{outcome}"):
        show = st.success if outcome == "as_expected" else st.info
        show(message.format(study.answers.get(answer, "")), icon=f":material/{icon}:")
    return True


def show_result(study: Study, source: str, result: Result, figure: Figure) -> None:
    """Figure, findings, provenance and table of one result."""
    st.markdown(f"**{SOURCES[source]}**")
    live_figure(figure, f"compare_{study.name}_{source}", figure.layout.height or FIGURE, study.question)
    with st.grid("auto", min_column_width=WIDE):
        with st.container():
            st.markdown(" ".join(study.findings(result.table).sentences))
            study_results.show_provenance(result.provenance)
            st.code(result.provenance.command, language="sh")
        with st.container():
            titles = result.table.network.map(lambda network: study_results.title_and_colour(network)[0])
            st.dataframe(
                study_results.in_percent(result.table.assign(network=titles), study.columns),
                column_config=study_results.column_config(study.columns),
                hide_index=True,
                placeholder="–",
                alt=f"All numbers of the study {study.title}",
            )
            parts.download("Table (CSV)", result.table.to_csv(index=False), f"{study.name}_{source}.csv")
