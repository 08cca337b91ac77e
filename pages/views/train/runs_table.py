"""All runs, the lower part of the Train page: the table, the actions on the chosen run, and the upload."""

from pathlib import Path

import streamlit as st

from atelier.runs import history, jobs, overview
from atelier.runs.overview import Summary
from pages.ui import networks, parts
from pages.views.train.recipe_form import duplicate
from pages.views.train.run_view import STATES

# Labels
SPLITS = {"test": "test digits", "validation": "validation digits", "": ""}
COLUMNS = {
    "name": "Run",
    "used": st.column_config.TextColumn("In use", help="The run that you use on all pages"),
    "accuracy": st.column_config.NumberColumn("Accuracy", format="percent", help="Share of right answers"),
    "state": "State",
    "network": "Network",
    "changes": st.column_config.TextColumn("Recipe", width=280, help="The nearest preset and the changes to it"),
    "seconds": st.column_config.NumberColumn("Seconds", format="%.0f", help="Time of training and validation"),
    "measured_on": st.column_config.TextColumn(
        "Measured on", width=150, help="Test digits at the end of a run; before that, the best on validation digits"
    ),
    "device": st.column_config.TextColumn("Device", width=160),
    "date": st.column_config.DatetimeColumn("Date", format="D MMM YYYY, HH:mm"),
    "problem": "Damage",
}
USED = "✓"

state = st.session_state


# Actions -------------------------------------------------------------------------------------------------------------


def row_chosen(ids: list[str], key: str) -> None:
    rows = state[key].selection.rows
    if rows:
        state.run = ids[rows[0]]


def rename(run: Summary, key: str) -> None:
    parts.attempt(lambda: run.run.rename(state[key]))


def delete(run: Summary) -> None:
    keep()
    if run.model and networks.chosen(run.model) == run.id:
        networks.use_shipped(run.model)
    parts.attempt(lambda: jobs.delete(run.run), f"{run.name} is deleted.")


def keep() -> None:
    state.deleting = None


def upload_chosen(folder: Path, key: str) -> None:
    """Keep an uploaded checkpoint as a run and show it."""
    from atelier.runs.uploads import receive  # imports PyTorch

    state.upload_refusal, file = "", state[key]
    if file is None:
        return
    try:
        run = receive(file, folder)
    except ValueError as error:
        state.upload_refusal = str(error).replace("upload.safetensors", file.name)
    else:
        state.update(run=run.id, uploads=state.get("uploads", 0) + 1)


def weights(run: Summary) -> bytes:
    """The best checkpoint, for the download; empty if the file has been deleted meanwhile."""
    try:
        return run.run.path("best.safetensors").read_bytes()
    except OSError:
        return b""


# What is visible -----------------------------------------------------------------------------------------------------


def table(summaries: list[Summary]) -> None:
    """A row for each run; a click on a row shows the run."""
    rows = overview.table(summaries)
    ids = list(rows.index)
    rows.insert(1, "used", [USED if run.model and networks.chosen(run.model) == run.id else "" for run in summaries])
    rows = rows.assign(state=rows.state.map(STATES), measured_on=rows.measured_on.map(SPLITS))
    key = f"rows_{len(ids)}_{ids[0]}"  # the selection is a row's number, so other rows need another table
    state[key] = {"selection": {"rows": [ids.index(state.run)], "columns": [], "cells": []}}
    with st.container(key="runs_table"):
        st.dataframe(
            rows.drop(columns=[column for column in ("used", "problem") if not rows[column].any()]),
            hide_index=True,
            column_config=COLUMNS,
            key=key,
            on_select=lambda: row_chosen(ids, key),
            selection_mode="single-row",
            placeholder="–",
            alt="All runs with accuracy, state, network, recipe, seconds, device and date",
        )


def actions(run: Summary) -> None:
    """Actions on the chosen run that do not depend on its state."""
    with st.container(horizontal=True, gap="small"):
        with st.popover("Rename", key="run_rename", icon=":material/edit:"):
            key = f"run_name_{run.id}"
            st.text_input("Name", run.name, max_chars=60, key=key, on_change=rename, args=(run, key))
        st.button(
            "Copy the recipe",
            key="run_duplicate",
            icon=":material/content_copy:",
            disabled=not (run.model and run.recipe),
            help="Fills the form above with this run's recipe and device.",
            on_click=duplicate,
            args=(run,),
        )
        st.download_button(
            "Weights",
            lambda: weights(run),
            f"{run.id}.safetensors",
            key="run_weights",
            icon=":material/download:",
            disabled=not run.has_weights,
            help="The run's best checkpoint, a safetensors file.",
            on_click="ignore",
        )
        st.download_button(
            "Curves (CSV)",
            lambda: history.to_csv(run.run),
            f"{run.id}.csv",
            key="run_curves",
            icon=":material/download:",
            disabled=history.read(run.run).events.empty,
            on_click="ignore",
        )
        st.button(
            "Delete",
            key="run_delete",
            icon=":material/delete:",
            disabled=run.active,
            help="Stop a run before you delete it. Nothing is deleted until you confirm.",
            on_click=state.update,
            kwargs={"deleting": run.id},
        )
    if state.get("deleting") == run.id:
        confirm_delete(run)


@st.dialog("Delete this run?", icon=":material/delete:", on_dismiss=keep)
def confirm_delete(run: Summary) -> None:
    st.markdown(f"The weights and curves of **{parts.escape_markdown(run.name)}** cannot be restored.")
    with st.container(horizontal=True):
        deleted = st.button("Delete", key="confirm_delete", type="primary", on_click=delete, args=(run,))
        kept = st.button("Cancel", key="cancel_delete", on_click=keep)
    if deleted or kept:
        st.rerun()


def upload(folder: Path) -> None:
    """An upload of a checkpoint that this project wrote."""
    key = f"upload_{state.get('uploads', 0)}"
    with st.expander("Upload a trained network", key="upload_network", icon=":material/upload:"):
        st.file_uploader(
            "Weights that were downloaded from this page (.safetensors)",
            key=key,
            on_change=upload_chosen,
            args=(folder, key),
        )
        if state.get("upload_refusal"):
            with st.container(key="upload_refused"):
                st.error(parts.escape_markdown(state.upload_refusal), icon=":material/block:")
