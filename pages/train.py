"""Train: watch networks learn. Each training is kept as a run."""

import streamlit as st

from atelier import paths
from atelier.runs import overview
from pages.ui import navigation
from pages.views.train import recipe_form, run_view, runs_table

WELCOME = "No run yet. Choose a network and press **Start**: it begins with random weights, and you watch it learn."

state = st.session_state
navigation.through_app()

st.title("Train")
recipe_form.form()

signs = overview.signs(paths.RUNS)  # read first: the view reruns the page for every change after this
summaries = overview.summaries(paths.RUNS)
if not summaries:
    with st.container(key="no_runs"):
        st.info(WELCOME, icon=":material/school:")
    runs_table.upload(paths.RUNS)
    st.stop()

by_id = {run.id: run for run in summaries}
state.run = state.get("run") or st.query_params.get("run")
if state.run not in by_id:
    state.run = next((run.id for run in reversed(summaries) if run.state == "running"), summaries[0].id)
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    st.selectbox(
        "Run",
        list(by_id),
        key="run",
        format_func=lambda id: by_id[id].name,
        persist_state="session",
        width=300,
    )
    run_view.buttons(by_id[state.run], summaries)
if st.query_params.get("run") != state.run:
    st.query_params["run"] = state.run

interval = run_view.ACTIVE_INTERVAL if any(run.active for run in summaries) else run_view.IDLE_INTERVAL
st.fragment(run_view.show, run_every=interval)(by_id[state.run], summaries, signs, paths.RUNS)

st.subheader("All runs")
runs_table.table(summaries)
runs_table.actions(by_id[state.run])
runs_table.upload(paths.RUNS)
