"""All runs, the lower part of the Train page: the table, and what can be done with the run that is looked at."""

from pathlib import Path

import streamlit as st

from atelier.runs import history, jobs, overview
from atelier.runs.overview import Summary
from pages.ui import networks, parts
from pages.views.train.recipe_form import duplicate

state = st.session_state


# What the controls do ------------------------------------------------------------------------------------------------


def row_chosen(ids: list[str], key: str) -> None:
    rows = state[key].selection.rows
    if rows:
        state.run = ids[rows[0]]


def rename(run: Summary, key: str) -> None:
    parts.attempt(lambda: run.run.rename(state[key]))


def delete(run: Summary) -> None:
    state.deleting = None
    if run.model and networks.chosen(run.model) == run.id:
        networks.use_shipped(run.model)
    parts.attempt(lambda: jobs.delete(run.run), f"{run.name} is deleted.")


def keep() -> None:
    state.deleting = None


@st.dialog("Delete this run?", icon=":material/delete:", on_dismiss=keep)
def ask_before_deleting(run: Summary) -> None:
    st.markdown(f"**{parts.escape_markdown(run.name)}**, its weights and its curves will be gone for good.")
    with st.container(horizontal=True):
        gone = st.button("Delete for good", type="primary", on_click=delete, args=(run,))
        kept = st.button("Keep it", on_click=keep)
    if gone or kept:
        st.rerun()


def upload_chosen(folder: Path, key: str) -> None:
    """Keep a checkpoint that somebody brings, and look at it."""
    from atelier.runs.uploads import receive  # imports PyTorch

    state.upload_refused, file = "", state[key]
    if file is None:
        return
    try:
        run = receive(file, folder)
    except ValueError as error:
        state.upload_refused = str(error).replace("upload.safetensors", file.name)
    else:
        state.update(run=run.id, uploads=state.get("uploads", 0) + 1)


def weights(run: Summary) -> bytes:
    """For the download; a file that has gone in the meantime is empty."""
    try:
        return run.run.path("best.safetensors").read_bytes()
    except OSError:
        return b""


# What is shown -------------------------------------------------------------------------------------------------------

COLUMNS = {
    "name": "Run",
    "used": st.column_config.TextColumn("In use", help="You use it on every page"),
    "accuracy": st.column_config.NumberColumn("Accuracy", format="percent", help="Share of digits read right"),
    "state": "State",
    "network": "Network",
    "changes": st.column_config.TextColumn("Recipe", width=200, help="The nearest preset, and what differs from it"),
    "seconds": st.column_config.NumberColumn("Seconds", format="%.0f", help="Of training and validation"),
    "measured_on": st.column_config.TextColumn(
        "Measured on", width=120, help="test: once, at the end; validation: the best so far"
    ),
    "device": st.column_config.TextColumn("Device", width=160),
    "date": st.column_config.DatetimeColumn("Date", format="D MMM YYYY, HH:mm"),
    "problem": "Damage",
}


def table(found: list[Summary]) -> None:
    """A row a run; a click on one shows it."""
    rows = overview.table(found)
    ids = list(rows.index)
    rows.insert(1, "used", ["✓" if run.model and networks.chosen(run.model) == run.id else "" for run in found])
    key = f"rows_{len(ids)}_{ids[0]}"  # what is chosen is a row's number: other rows are another table
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


def housekeeping(run: Summary) -> None:
    """What can be done with the run that is looked at, whatever its state."""
    with st.container(horizontal=True, gap="small"):
        with st.popover("Rename", icon=":material/edit:"):
            key = f"name_{run.id}"
            st.text_input("Name", run.name, max_chars=60, key=key, on_change=rename, args=(run, key))
        st.button(
            "Duplicate with changes",
            icon=":material/content_copy:",
            disabled=not (run.model and run.recipe),
            help="Fills the form on top with this run's recipe and device.",
            on_click=duplicate,
            args=(run,),
        )
        st.download_button(
            "Weights",
            lambda: weights(run),
            f"{run.id}.safetensors",
            icon=":material/download:",
            disabled=not run.has_weights,
            help="Its best checkpoint: safetensors, with a model card inside.",
            on_click="ignore",
        )
        st.download_button(
            "Curves (CSV)",
            lambda: history.to_csv(run.run),
            f"{run.id}.csv",
            icon=":material/download:",
            disabled=history.read(run.run).events.empty,
            on_click="ignore",
        )
        st.button(
            "Delete",
            icon=":material/delete:",
            disabled=run.active,
            help="Asks first. A run that goes on must be stopped before.",
            on_click=state.update,
            kwargs={"deleting": run.id},
        )
    if state.get("deleting") == run.id:
        ask_before_deleting(run)


def upload(folder: Path) -> None:
    """Takes a checkpoint that this project wrote."""
    key = f"upload_{state.get('uploads', 0)}"
    with st.expander("Bring a checkpoint", key="bring_a_checkpoint", icon=":material/upload:"):
        st.file_uploader(
            "A checkpoint that this project wrote (.safetensors)",
            key=key,
            on_change=upload_chosen,
            args=(folder, key),
        )
        if state.get("upload_refused"):
            st.error(parts.escape_markdown(state.upload_refused), icon=":material/block:")
