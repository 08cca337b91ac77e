"""Train: networks learn while people look on, and what they become is kept as runs."""

import streamlit as st

from atelier import paths
from atelier.runs import overview
from pages.ui import cards, navigation, parts
from pages.views.train import recipe_form, run_view, runs_table

state = st.session_state
navigation.through_app()
cards.style()

parts.show_toast()
recipe_form.form()

seen = overview.signs(paths.RUNS)  # before the rest: what changes from here on is noticed
found = overview.summaries(paths.RUNS)
if not found:
    st.info(
        "Nothing has been trained here yet. Choose a network and press **Start**: it begins with random weights, and "
        "you see it learn.",
        icon=":material/school:",
    )
    runs_table.upload(paths.RUNS)
    st.stop()

by_id = {run.id: run for run in found}
state.run = state.get("run") or st.query_params.get("run")
if state.run not in by_id:
    state.run = next((run.id for run in reversed(found) if run.state == "running"), found[0].id)
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    st.selectbox(
        "Run",
        list(by_id),
        key="run",
        format_func=lambda id: by_id[id].name,
        persist_state="session",
        width=300,
    )
    run_view.buttons(by_id[state.run], found)
if st.query_params.get("run") != state.run:
    st.query_params["run"] = state.run

tick = run_view.TICK if any(run.active for run in found) else run_view.IDLE
st.fragment(run_view.view, run_every=tick)(by_id[state.run], found, seen, paths.RUNS)

st.subheader("All runs")
runs_table.table(found)
runs_table.housekeeping(by_id[state.run])
runs_table.upload(paths.RUNS)
