"""One run as it goes, the middle of the Train page: state, buttons, curves, and what the network sees and learns."""

from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import pandas as pd
import streamlit as st
from plotly.graph_objects import Figure

from atelier import MODELS
from atelier.figures import curves as figures
from atelier.runs import history, jobs, overview, snapshots
from atelier.runs.overview import Summary
from pages.ui import networks, parts
from pages.ui.live import live_figure

TICK = 0.5  # seconds between two looks at a run that goes on,
IDLE = 5.0  # and at a folder in which none does: somebody else may start one
CURVES, PICTURES = 320, 380  # heights of figures in pixels: curves and the form share a screen
PANELS = 330  # pixels: narrower figures go below each other
RESUME = "Resume goes on from where it stood."
WHAT_NOW = {"queued": "Its process is starting.", "paused": RESUME, "stopped": RESUME, "interrupted": RESUME}
NOTHING = "This run has left nothing to show here."
AXES = {"seconds": "Seconds", "epoch": "Epochs", "step": "Steps"}
ACCURACIES = {"test": "Test accuracy", "val": "Validation accuracy", "train": "Training accuracy"}

state = st.session_state


# What is shown -------------------------------------------------------------------------------------------------------


def buttons(run: Summary, found: list[Summary]) -> None:
    """What can be done in its state with the run that is looked at; at 1280 pixels, never more than fits in a row."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if run.model:
            steer(run)
            use(run)
        other = next((other for other in found if other.state == "running"), None)
        if other and not run.active:
            st.button(
                "Watch the running one",
                icon=":material/visibility:",
                help=f"{parts.escape_markdown(other.name)} is being trained right now.",
                on_click=state.update,
                kwargs={"run": other.id},
            )


def steer(run: Summary) -> None:
    """Pause and stop a run that goes on, resume one that does not."""
    pause, stop = (partial(jobs.request, what=what) for what in ("pause", "stop"))
    for label, icon, possible, told, what in (
        ("Pause", "pause", run.active, "Keeps everything and frees the device for others.", pause),
        ("Resume", "resume", run.resumable, "Goes on as if nothing had happened.", jobs.resume),
        ("Stop", "stop", run.active, "Ends it. What it has learnt so far is kept.", stop),
    ):
        if possible:
            icon = f":material/{icon}:"
            st.button(label, icon=icon, help=told, on_click=parts.attempt, args=(partial(what, run.run),))


def use(run: Summary) -> None:
    """Make the run the network that every page uses, or the shipped one again."""
    in_use = networks.chosen(run.model)
    if in_use == run.id:
        st.badge("In use on every page", icon=":material/check:", color="green")
    else:
        st.button(
            "Use this one",
            icon=":material/check_circle:",
            disabled=not run.usable,
            help=f"Draw and every other page use it as their {run.network}. It needs one finished epoch.",
            on_click=networks.use_run,
            args=(run.id, run.model),
        )
    if in_use:
        st.button(
            "Back to the shipped one",
            icon=":material/restart_alt:",
            help=f"Every page uses the shipped {run.network} again.",
            on_click=networks.use_shipped,
            args=(run.model,),
        )


def view(run: Summary, found: list[Summary], seen: dict[str, tuple], folder: Path) -> None:
    """Everything about a run that changes while it goes on. A fragment.

    Args:
        run: the run that is looked at.
        found: all runs; the curves of some may be shown beside.
        seen: `overview.signs` when the rest of the page was shown; it is shown anew when they have changed.
        folder: of runs.
    """
    if overview.signs(folder) != seen:
        st.rerun()
    now, reason = overview.status(run.run)
    told = history.read(run.run)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        state_line(run, now, reason)
        at = history.progress(told.events, run.recipe) if run.recipe else None
        if at and (run.active or len(told.events)):
            progress_bar(run, at, now)
    if run.problem:
        st.warning(parts.escape_markdown(run.problem))
    if at and len(told.events):
        numbers(at, told.events, now)
    if run.model:
        curves(run, found)
        panels(run)


def state_line(run: Summary, now: str, reason: str) -> None:
    asked = run.run.requested() if now in overview.ACTIVE else ""
    told = {"pause": "Pauses after this step.", "stop": "Stops after this step."}.get(asked)
    if not told:
        told = reason if now == "queued" and reason else f"{reason} {WHAT_NOW.get(now, '')}"
    colour = MODELS[run.model].colour if run.model else "gray"
    with st.container(key="run_state", width="content"):
        st.html(f'<span class="network" style="border-color: {colour}">{now}</span>&ensp;{escape(told)}')


def progress_bar(run: Summary, at: history.Progress, now: str) -> None:
    """How far it is; before its first step, how far with what it prepares."""
    prepared = overview.prepared(run.run) if now == "running" and at.step == 0 else None
    with st.container(key="run_progress", width="stretch"):
        if prepared is not None:
            st.progress(prepared, f"Preparing: {prepared:.0%}")
        else:
            told = f"Epoch {at.epoch:.1f} of {run.recipe.epochs} · step {at.step:,} of {at.steps:,}"
            st.progress(1.0 if now == "done" else at.share, told)


def numbers(at: history.Progress, events: pd.DataFrame, now: str) -> None:
    """How it does, how fast, and for how long."""
    last = {split: rows.iloc[-1] for split, rows in events.groupby("split")}
    shown = {title: f"{last[split].accuracy:.2%}" for split, title in ACCURACIES.items() if split in last}
    shown["Elapsed"] = overview.duration(at.seconds)
    if now == "running" and at.left:
        shown["Time left"] = overview.duration(at.left)
    if "train" in last:
        shown["Images per second"] = f"{last['train'].images_per_second:,.0f}"
        shown["Learning rate"] = f"{last['train'].learning_rate:.2g}"
    with st.grid("auto", min_column_width=150):
        for title, value in shown.items():
            st.metric(title, value)


def curves(run: Summary, found: list[Summary]) -> None:
    """Loss, accuracy and learning rate of a run, and of others beside it."""
    others = {other.id: other for other in found if other.model and other.id != run.id}
    if set(state.get("compare", ())) - others.keys():
        state.compare = [id for id in state.compare if id in others]
    place = st.container(key="live_curves")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        over = st.segmented_control(
            "Axis",
            list(AXES),
            default="seconds",
            required=True,
            key="over",
            format_func=AXES.get,
            help="Seconds are the honest comparison: a step of one network costs more time than one of another.",
            bind="query-params",
        )
        log = st.toggle("Logarithmic loss", key="log", help="Shows small losses larger.", bind="query-params")
        st.multiselect(
            "Compare with",
            list(others),
            key="compare",
            format_func=lambda id: others[id].name,
            placeholder="other runs",
            bind="query-params",
            width=420,
        )
    shown = [run, *map(others.get, state.compare)]
    lines = tuple((str(one.run.folder), one.name, one.run.stamp("metrics.jsonl")) for one in shown)

    def figure(value: str, log: bool = False) -> str:
        return drawn((value, lines, over, log), lambda: figures.curves(overview.curves(shown), value, over, log))

    rate = drawn(("rate", lines, over), lambda: figures.rate(overview.curves(shown), over))
    with place, st.grid("auto", min_column_width=PANELS):
        live_figure(figure("loss", log), f"loss_{run.id}", CURVES, "Loss on training and validation digits as it went")
        live_figure(
            figure("accuracy"), f"accuracy_{run.id}", CURVES, "Accuracy on training and validation digits as it went"
        )
        live_figure(rate, f"rate_{run.id}", CURVES, "Learning rate as it went")


def panels(run: Summary) -> None:
    """What the network says and sees at this moment."""
    colour, since = MODELS[run.model].colour, run.run.stamp("watch.npz")
    seen = snapshots.read(run.run)

    def picture(name: str, alt: str, draw: Callable[[], Figure]) -> None:
        live_figure(drawn((name, str(run.run.folder), since), draw), f"{name}_{run.id}", PICTURES, alt)

    two = {"positions", "attention"} <= seen.keys()  # then in a row of their own
    grid = st.grid(2 if two else 3, min_column_width=PANELS)
    with grid:
        with st.container(key="live_guesses"):
            if "probabilities" in seen:
                guesses = seen["digits"], seen["labels"], seen["probabilities"]
                alt = "A dozen validation digits and what it takes them for"
                picture("guesses", alt, lambda: figures.guesses(*guesses, colour))
            else:
                st.caption("Its guesses on a dozen digits come in a moment." if run.active else NOTHING)
        with st.container(key="live_confusion"):
            confusion(run)
    with grid.cell(column_span="all" if two else 1), st.container(key="live_learnt"):
        with st.grid(2 if two else 1, min_column_width=PANELS):
            if "filters" in seen:
                moved = run.model != "cnn"  # what `watch.py` leaves of the others
                alt = "How its filters have moved since the start" if moved else "Filters of its first convolution"
                picture("filters", alt, lambda: figures.filters(seen["filters"], colour, moved))
            if "positions" in seen:
                alt = "How alike it finds any two places"
                picture("positions", alt, lambda: figures.position_similarity(seen["positions"]))
            if "attention" in seen:
                alt = "Where it looks on a dozen digits"
                picture("attention", alt, lambda: figures.attention(seen["digits"], seen["attention"]))
            if "boxes" in seen:
                found = seen["scene"], seen["boxes"], seen["box_labels"], seen["scores"]
                alt = "A scene and the boxes it finds in it"
                picture("boxes", alt, lambda: figures.boxes(*found, colour))
        if not seen.keys() & {"filters", "positions", "attention", "boxes"}:
            st.caption("What it learns to see comes in a moment." if run.active else NOTHING)


def confusion(run: Summary) -> None:
    since = run.run.stamp("metrics.jsonl")
    counts, colour = history.read(run.run).confusion, MODELS[run.model].colour
    if counts is None:
        st.caption("After the first epoch: which digits it takes for which." if run.active else NOTHING)
        return
    matrix = drawn(("confusion", str(run.run.folder), since), lambda: figures.confusion(counts, colour))
    live_figure(matrix, f"confusion_{run.id}", PICTURES, "How often each digit is taken for each")


@st.cache_resource(max_entries=64, show_spinner=False)
def drawn(what: tuple, _draw: Callable[[], Figure]) -> str:
    """A figure's JSON, drawn once for all who look as long as `what` says the same. It names the figure and all that
    it depends on; stamps of files are taken before these are read, or an old figure could go by the new stamp."""
    return _draw().to_json()
