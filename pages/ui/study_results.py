"""Results of studies on pages: where they come from, how they are displayed, and studies that run on this computer."""

from collections.abc import Collection, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.evaluation import failures
from atelier.evaluation.failures import Predictions
from atelier.runs import jobs, overview
from atelier.runs.folder import UNFINISHED, Run, RunError
from atelier.studies import STUDIES, conduct, results
from atelier.studies.results import Provenance, Result, ResultError
from atelier.studies.study import Column
from pages.ui import parts

TICK = 1.0  # seconds between two checks of a running study
GREY = "#808080"  # for a run whose network is unknown
SOURCES = {"shipped": "Ready-made", "local": "Measured on this computer"}
QUICK, START = "Quick", "Run it here"
PAUSE, STOP, RESUME = "Pause", "Stop", "Resume"

state = st.session_state


# Results -------------------------------------------------------------------------------------------------------------


def load(study: str) -> tuple[dict[str, Result], list[str]]:
    """The results of a study by source, and the reasons why others cannot be used."""
    readers = {"shipped": results.shipped}
    if any(run.path(f"{study}.json").is_file() for run in results.local_runs(study, paths.RUNS)):
        readers["local"] = results.local
    loaded, problems = {}, []
    for source, read in readers.items():
        try:
            loaded[source] = read(study)
        except ResultError as error:
            problems.append(str(error))
    return loaded, problems


def load_or_warn(study: str) -> dict[str, Result]:
    """The results of a study by source; the page shows why others cannot be used."""
    loaded, problems = load(study)
    for problem in problems:
        st.warning(problem)
    return loaded


def show_provenance(provenance: Provenance, source: str = "") -> None:
    """A line on when, where and how results were measured; it begins with `source`."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if provenance.quick:
            st.badge(
                "quick", icon=":material/bolt:", color="orange", help="Fewer points and seeds than the full study."
            )
        seeds = f"seed{'s' * (len(provenance.seeds) > 1)} {', '.join(map(str, provenance.seeds))}"
        items = [
            source,
            provenance.date[:10],
            provenance.device_name,
            seeds if provenance.seeds else "",
            f"PyTorch {provenance.versions.get('torch', '?')}",
            f"commit {provenance.commit}" if provenance.commit else "",
            overview.duration(provenance.seconds),
            "" if provenance.finished else f"{provenance.points} of {provenance.of} points so far",
        ]
        st.caption(" · ".join(filter(None, items)), width="content")
    if names := [title_and_colour(network)[0] for network in _outdated(provenance)]:
        st.caption(f":material/update: These networks have been retrained since: {', '.join(names)}.")


@st.cache_data(ttl=60, max_entries=20, show_spinner=False, hash_funcs={Provenance: repr})
def _outdated(provenance: Provenance) -> list[str]:
    return results.outdated(provenance)


def predictions(loaded: dict[str, Result]) -> Predictions | None:
    """The predictions of the networks on the leaderboard for each test digit, first those of shipped results.

    Args:
        loaded: the results of the leaderboard by source.

    Returns:
        None if there are none; the page shows the reason.
    """
    try:
        _, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return None
    networks, arrays = [], {}
    for result in loaded.values():
        networks += [network for network in result.table.network if network not in networks]
        arrays = result.predictions | arrays
    valid = failures.load_predictions(arrays, labels, networks)
    if not valid.networks:
        st.warning("The predictions for single digits are missing. Run the leaderboard below to measure them.")
        return None
    return valid


def column_config(columns: dict[str, Column]) -> dict[str, object]:
    """How `st.dataframe` displays these columns of a table; shares are expected in percent, see `in_percent`."""
    return {
        name: st.column_config.TextColumn(column.label, help=column.help)
        if column.kind == "text"
        else st.column_config.NumberColumn(column.label, help=column.help, format=column.format)
        for name, column in columns.items()
    }


def in_percent(table: pd.DataFrame, columns: dict[str, Column]) -> pd.DataFrame:
    """A table whose shares are in percent."""
    shares = [name for name, column in columns.items() if column.kind == "share"]
    return table.assign(**{name: 100 * table[name] for name in shares})


# Networks ------------------------------------------------------------------------------------------------------------


def title_and_colour(network: str) -> tuple[str, str]:
    """Title and colour of a network in MODELS or of a run."""
    if network in MODELS:
        return MODELS[network].title, MODELS[network].colour
    run = Run(paths.RUNS / network)
    try:
        spec = MODELS.get(str(run.read("config.json").get("model")))
    except (RunError, OSError):
        spec = None
    return (overview.name(run, spec.title), spec.colour) if spec else (network, GREY)


def usable_networks() -> dict[str, str]:
    """The titles of all networks with weights: the shipped ones by name, then the runs by id."""
    shipped = {name: spec.title for name, spec in MODELS.items() if spec.checkpoint.is_file()}
    return shipped | {run.id: run.name for run in overview.summaries(paths.RUNS) if run.usable}


def choose_two(networks: Sequence[str], **labels: str) -> list[str]:
    """Two networks that the visitor chooses, at first the first and the last.

    Args:
        networks: the options.
        labels: of the two controls, by key.
    """
    with st.container(horizontal=True):
        return [
            st.selectbox(
                label,
                networks,
                index=place,
                key=key,
                format_func=lambda network: title_and_colour(network)[0],
                persist_state="session",
                width=260,
            )
            for (key, label), place in zip(labels.items(), (0, len(networks) - 1), strict=True)
        ]


def with_titles(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the columns `title` and `colour` in front."""
    titles, colours = zip(*map(title_and_colour, table.network), strict=True)
    return pd.concat([pd.DataFrame({"title": titles, "colour": colours}, index=table.index), table], axis=1)


# Studies on this computer --------------------------------------------------------------------------------------------


def run_here(study: str, networks: Collection[str] | None = None) -> None:
    """A button that starts a study in the background, and the progress of the last one.

    Args:
        study: in STUDIES.
        networks: names in MODELS and ids of runs, for a full measurement; None for all networks of the study.
    """
    last = next(iter(results.local_runs(study, paths.RUNS)), None)
    active = _is_active(progress := _progress(last))
    points = STUDIES[study].points
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.container(width="content")
        quick = (
            networks is None
            and points(True) != points(False)
            and st.toggle(
                QUICK,
                value=True,
                key=f"compare_quick_{study}",
                help=f"{len(points(True)):,} points instead of {len(points(False)):,}: minutes instead of hours.",
            )
        )
        place.button(
            START,
            icon=":material/play_arrow:",
            key=f"compare_run_{study}",
            disabled=active or (networks is not None and not networks),
            help="The study runs in the background, even after you close this page.",
            on_click=parts.attempt,
            args=(partial(_start, study, quick, tuple(networks or ())),),
        )
    if progress:
        st.fragment(show_progress, run_every=TICK if active else None)(last, active)


def _start(study: str, quick: bool, networks: Sequence[str]) -> None:
    try:
        conduct.start(study, quick, "auto", networks)
    except ValueError as error:  # such as a missing device
        raise RunError(str(error)) from None


def _progress(run: Run | None) -> tuple[int, int, str, str] | None:
    """`conduct.progress` of a run whose folder may be deleted at any moment."""
    try:
        return conduct.progress(run) if run else None
    except OSError:
        return None


def _is_active(progress: tuple[int, int, str, str] | None) -> bool:
    return progress is not None and progress[2] in overview.ACTIVE


def show_progress(run: Run, was_active: bool) -> None:
    """The progress of a study. A fragment: the whole page reruns only when the study begins or ends."""
    progress = _progress(run)
    if progress is None or _is_active(progress) != was_active:
        st.rerun()
    done, of, status, reason = progress
    if status == "done":
        return
    st.progress(done / of if of else 0.0, f"{done} of {of} points measured · {status} {reason}")
    with st.container(horizontal=True, gap="small"):
        if status in overview.ACTIVE:
            _control(PAUSE, "pause", partial(jobs.request, run, "pause"))
            _control(STOP, "stop", partial(jobs.request, run, "stop"))
        elif status in UNFINISHED:
            _control(RESUME, "resume", partial(conduct.resume, run))


def _control(label: str, action: str, call: partial) -> None:
    st.button(label, icon=f":material/{action}:", key=f"compare_{action}_study", on_click=parts.attempt, args=(call,))
