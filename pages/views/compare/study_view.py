"""Compare, the studies: a question, what a class expects, and then what was measured."""

import streamlit as st
from plotly.graph_objects import Figure

from atelier.studies import STUDIES
from atelier.studies.results import SOURCES, Result
from atelier.studies.study import Study
from pages.ui import measured, parts
from pages.ui.live import live_figure

FIGURE, WIDE, PANEL = 460, 460, 280  # pixels: a figure's height if it does not know its own; least widths
TINY = 1e-3  # smaller numbers are shown with their power of ten

state = st.session_state


def show() -> None:
    """The view."""
    names = [name for name in STUDIES if name != "leaderboard"]  # which is a view of its own
    name = st.segmented_control(
        "Study",
        names,
        default=names[0],
        required=True,
        key="study",
        format_func=lambda name: STUDIES[name].title,
        bind="query-params",
    )
    study, found = STUDIES[name], measured.found(name)
    parts.question(study.question, f"{study.method} **First say what you expect**, then see what was measured.")
    if found and expectation(study, found):
        figures = {source: study.figure(result.table) for source, result in found.items()}
        across = max(len({panel.domain for panel in figure.select_xaxes()}) for figure in figures.values())
        with st.grid(len(found), min_column_width=max(WIDE, PANEL * across)):
            for source, result in found.items():
                with st.container(key=f"compare_{source}"):
                    revealed(study, source, result, figures[source])
    if not found or state.get(f"compare_expects_{name}") is not None:
        parts.question("What does this computer say?", "Its numbers will stand beside the shipped ones.")
        measured.run_here(name)


def expectation(study: Study, found: dict[str, Result]) -> bool:
    """What the visitor expects, and what the numbers say to it; False before something was chosen."""
    expected = st.pills(
        "What do you expect?",
        range(len(study.answers)),
        format_func=study.answers.__getitem__,
        key=f"compare_expects_{study.name}",
        persist_state="session",
    )
    if expected is None:
        return False
    right = study.findings(next(iter(found.values())).table).right
    with st.container(key="compare_verdict"):
        if right is None:
            st.info("Too little is measured to tell.", icon=":material/question_mark:")
        elif expected == right:
            st.success(f"As you expected: **{study.answers[right]}**", icon=":material/check_circle:")
        else:
            st.info(f"You expected otherwise. The numbers say: **{study.answers[right]}**", icon=":material/lightbulb:")
    return True


def revealed(study: Study, source: str, result: Result, figure: Figure) -> None:
    """Figure, findings, where they come from, and the table of one result."""
    st.markdown(f"**{SOURCES[source]}**")
    live_figure(figure, f"compare_{study.name}_{source}", figure.layout.height or FIGURE, study.question)
    with st.grid("auto", min_column_width=WIDE):
        with st.container():
            st.markdown(" ".join(study.findings(result.table).sentences))
            measured.provenance(result)
            if command := result.header.get("command"):
                st.code(command, language="sh")
        with st.container():
            table, told = result.table, f"All numbers of {study.title}"
            titles = table.network.map(lambda network: measured.named(network)[0])
            tiny = [name for name in table.select_dtypes("float") if table[name].abs().max() < TINY]
            forms = {name: st.column_config.NumberColumn(format="scientific") for name in tiny}
            shown = table.assign(network=titles)
            st.dataframe(shown, column_config=forms, hide_index=True, placeholder="–", alt=told)
            parts.download("Table (CSV)", result.table.to_csv(index=False), f"{study.name}_{source}.csv")
