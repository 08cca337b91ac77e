"""One run while it trains, the middle of the Train page: buttons, state, numbers and figures."""

from functools import partial
from html import escape
from pathlib import Path

import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.runs import history, jobs, overview
from atelier.runs.overview import Summary
from pages.ui import networks, parts
from pages.views.train import run_figures

ACTIVE_INTERVAL = 0.5  # seconds between two updates while a run trains
IDLE_INTERVAL = 5.0  # and while none does, because another visitor may start one

# Labels
STATES = {
    "queued": "Queued",
    "running": "Running",
    "paused": "Paused",
    "interrupted": "Interrupted",
    "stopped": "Stopped",
    "failed": "Failed",
    "done": "Done",
}
REQUESTED = {"pause": "The run pauses after this step.", "stop": "The run stops after this step."}
QUEUED = "The run is about to start."
CAN_RESUME = "Press Resume to continue."
METRICS = {
    "test": "Test accuracy",
    "val": "Validation accuracy",
    "train": "Training accuracy",
    "elapsed": "Time",
    "left": "Time left",
    "images_per_second": "Digits per second",
    "learning_rate": "Learning rate",
}
IN_USE = "In use on all pages"

state = st.session_state


# Buttons -------------------------------------------------------------------------------------------------------------


def buttons(run: Summary, summaries: list[Summary]) -> None:
    """The actions that are possible in the run's state."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if run.model:
            steer(run)
            use(run)
        running = next((other for other in summaries if other.state == "running"), None)
        if running and not run.active:
            st.button(
                "Watch the running run",
                key="run_watch",
                icon=":material/visibility:",
                help=f"{parts.escape_markdown(running.name)} trains at this moment.",
                on_click=state.update,
                kwargs={"run": running.id},
            )


def steer(run: Summary) -> None:
    """Buttons that pause, stop or resume the run."""
    pause, stop = (partial(jobs.request, what=request) for request in ("pause", "stop"))
    for key, label, icon, possible, help, action in (
        ("run_pause", "Pause", "pause", run.active, "The run keeps its progress and frees the device.", pause),
        ("run_resume", "Resume", "resume", run.resumable, "The run continues from its last checkpoint.", jobs.resume),
        ("run_stop", "Stop", "stop", run.active, "The training ends. The run keeps its best weights.", stop),
    ):
        if possible:
            icon = f":material/{icon}:"
            click = {"on_click": parts.attempt, "args": (partial(action, run.run),)}
            st.button(label, key=key, icon=icon, help=help, **click)


def use(run: Summary) -> None:
    """Buttons that choose the run, or the ready-made network, for all pages."""
    in_use = networks.chosen(run.model)
    if in_use == run.id:
        with st.container(key="run_in_use", width="content"):
            st.badge(IN_USE, icon=":material/check:", color="green")
    else:
        st.button(
            "Use this network on all pages",
            key="run_use",
            icon=":material/check_circle:",
            disabled=not run.usable,
            help=f"It replaces the {run.network} on all pages. The run needs one finished epoch.",
            on_click=networks.use_run,
            args=(run.id, run.model),
        )
    if in_use:
        st.button(
            "Use the ready-made network again",
            key="run_use_ready_made",
            icon=":material/restart_alt:",
            help=f"All pages use the ready-made {run.network} again.",
            on_click=networks.use_shipped,
            args=(run.model,),
        )


# The run -------------------------------------------------------------------------------------------------------------


def show(run: Summary, summaries: list[Summary], signs: dict[str, tuple], folder: Path) -> None:
    """The parts of a run that change while it trains. A fragment.

    Args:
        run: the chosen run.
        summaries: all runs, to compare with.
        signs: `overview.signs` at the time of the page's last run; when they change, the page runs again.
        folder: of all runs.
    """
    if overview.signs(folder) != signs:
        st.rerun()
    run_state, reason = overview.status(run.run)
    events = history.read(run.run).events
    progress = history.progress(events, run.recipe) if run.recipe else None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        state_line(run, run_state, reason)
        if progress and (run.active or len(events)):
            progress_bar(run, progress, run_state)
    if run.problem:
        with st.container(key="run_problem"):
            st.warning(parts.escape_markdown(run.problem))
    if progress and len(events):
        metrics(progress, events, run_state)
    if run.model:
        run_figures.curves(run, summaries)
        run_figures.panels(run)


def state_line(run: Summary, run_state: str, reason: str) -> None:
    """The run's state and its reason; tests read the state from `data-state`."""
    request = run.run.requested() if run_state in overview.ACTIVE else ""
    text = REQUESTED.get(request, reason)
    if not text and run_state == "queued":
        text = QUEUED
    if run.resumable and run_state not in overview.ACTIVE:
        text = f"{text} {CAN_RESUME}"
    colour = MODELS[run.model].colour if run.model else "gray"
    with st.container(key="run_state", width="content"):
        st.html(
            f'<span class="network" style="border-color: {colour}" data-state="{run_state}">{STATES[run_state]}</span>'
            f"&ensp;<span>{escape(text)}</span>"
        )


def progress_bar(run: Summary, progress: history.Progress, run_state: str) -> None:
    """The progress of the training; before its first step, that of its preparations."""
    prepared = overview.prepared(run.run) if run_state == "running" and progress.step == 0 else None
    with st.container(key="run_progress", width="stretch"):
        if prepared is not None:
            st.progress(prepared, f"Preparing: {prepared:.0%}")
        else:
            epochs = f"Epoch {progress.epoch:.1f} of {run.recipe.epochs}"
            share = 1.0 if run_state == "done" else progress.share
            st.progress(share, f"{epochs} · step {progress.step:,} of {progress.steps:,}")


def metrics(progress: history.Progress, events: pd.DataFrame, run_state: str) -> None:
    """The latest numbers of a run."""
    last = {split: rows.iloc[-1] for split, rows in events.groupby("split")}
    values = {split: f"{last[split].accuracy:.2%}" for split in ("test", "val", "train") if split in last}
    values["elapsed"] = overview.duration(progress.seconds)
    if run_state == "running" and progress.left:
        values["left"] = overview.duration(progress.left)
    for name, form in (("images_per_second", ",.0f"), ("learning_rate", ".2g")):
        if "train" in last and pd.notna(number := last["train"][name]):
            values[name] = format(number, form)
    with st.grid("auto", min_column_width=150):
        for name, value in values.items():
            st.metric(METRICS[name], value)
