"""What the views of Compare share: results and where they come from, the networks' names, and studies that run here."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.evaluation import failures
from atelier.evaluation.failures import Said
from atelier.runs import jobs, overview
from atelier.runs.folder import UNFINISHED, Run, RunError
from atelier.studies import STUDIES, conduct, results
from atelier.studies.results import Result, ResultError
from pages.ui import parts

TICK = 1.0  # seconds between two looks at a study that goes on
GREY = "#808080"  # of a run whose network is not known any more

state = st.session_state


# Results -------------------------------------------------------------------------------------------------------------


def read(study: str) -> tuple[dict[str, Result], list[str]]:
    """The results of a study by source, as far as there are any, and what is wrong with others, in sentences."""
    looks = {"shipped": results.shipped}
    if any(run.path(f"{study}.json").is_file() for run in results.local_runs(study, paths.RUNS)):
        looks["local"] = results.local
    found, problems = {}, []
    for source, look in looks.items():
        try:
            found[source] = look(study)
        except ResultError as error:
            problems.append(str(error))
    return found, problems


def found(study: str) -> dict[str, Result]:
    """The results of a study by source, see `results.SOURCES`. What is wrong with others the page has said then."""
    found, problems = read(study)
    for problem in problems:
        st.warning(problem)
    return found


def provenance(result: Result, whose: str = "") -> None:
    """Where the numbers come from, in a line; `whose` they are may stand before it."""
    header = result.header
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if header.get("quick"):
            st.badge(
                "quick", icon=":material/bolt:", color="orange", help="Fewer points and seeds than the whole study."
            )
        st.caption(" · ".join([whose] * bool(whose) + _told(header)), width="content")
    outdated(header)


def _told(header: dict[str, Any]) -> list[str]:
    versions, seeds, seconds = (header.get(name) for name in ("versions", "seeds", "seconds"))
    told = [
        str(header.get("date", "no date"))[:10],
        str(header.get("device_name", "unknown device")),
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if isinstance(seeds, list) and seeds else "",
        f"PyTorch {versions.get('torch', '?')}" if isinstance(versions, dict) else "",
        f"commit {header['commit']}" if header.get("commit") else "",
        overview.duration(seconds) if isinstance(seconds, int | float) else "",
        "" if header.get("finished", True) else f"so far {header.get('points', '?')} of {header.get('of', '?')} points",
    ]
    return [text for text in told if text]


def outdated(header: dict[str, Any]) -> None:
    """Say which networks were measured with other weights than they have now."""
    if names := [named(network)[0] for network in _outdated(header)]:
        st.caption(f":material/update: Measured with other weights than they have now: {', '.join(names)}.")


@st.cache_data(ttl=60, max_entries=20, show_spinner=False)
def _outdated(header: dict[str, Any]) -> list[str]:
    return results.outdated(header)


def answers(found: dict[str, Result]) -> Said | None:
    """What the networks of the leaderboard said to each test digit: the shipped ones, then what else was measured on
    this computer. None, once the page has said why, if that is not known.

    Args:
        found: the leaderboard's results.
    """
    try:
        _, labels = mnist.load("test")
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return None
    networks, predictions = [], {}
    for result in found.values():
        networks += [network for network in result.table.network if network not in networks]
        predictions = result.predictions | predictions
    said = failures.said(predictions, labels, networks)
    if not said.networks:
        st.warning("What each network said to each digit is not known here: leaderboard.npz is missing or damaged.")
        return None
    return said


# Networks ------------------------------------------------------------------------------------------------------------


def named(network: str) -> tuple[str, str]:
    """Title and colour of a network of MODELS, or of a run."""
    if network in MODELS:
        return MODELS[network].title, MODELS[network].colour
    run = Run(paths.RUNS / network)
    try:
        spec = MODELS.get(str(run.read("config.json").get("model")))
    except (RunError, OSError):
        spec = None
    return (overview.name(run, spec.title), spec.colour) if spec else (network, GREY)


def networks() -> dict[str, str]:
    """What people call the networks that can answer, by id or name in MODELS: the shipped ones, then the runs with
    weights."""
    own = {run.id: run.name for run in overview.summaries(paths.RUNS) if run.usable}
    return {name: spec.title for name, spec in MODELS.items()} | own


def two_of(networks: Sequence[str], **labels: str) -> list[str]:
    """Two networks of one's choice, at first the first and the last; `labels` are those of the controls, by key."""
    with st.container(horizontal=True):
        return [
            st.selectbox(
                label,
                networks,
                index=place,
                key=key,
                format_func=lambda network: named(network)[0],
                persist_state="session",
                width=260,
            )
            for (key, label), place in zip(labels.items(), (0, len(networks) - 1), strict=True)
        ]


def with_names(table: pd.DataFrame) -> pd.DataFrame:
    """With the columns `title` and `colour` in front."""
    titles, colours = zip(*map(named, table.network), strict=True)
    return pd.concat([pd.DataFrame({"title": titles, "colour": colours}, index=table.index), table], axis=1)


# Running a study here ------------------------------------------------------------------------------------------------


def run_here(study: str, networks: list[str] | None = None) -> None:
    """A button that starts a study in the background, and how the last one goes.

    Args:
        study: in STUDIES.
        networks: names in MODELS and ids of runs, which are measured whole; None for all that the study has.
    """
    last = next(iter(results.local_runs(study, paths.RUNS)), None)
    active = _is_active(stands := _stands(last))
    points = STUDIES[study].points
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.container(width="content")
        quick = (
            networks is None
            and points(True) != points(False)
            and st.toggle(
                "Quick",
                value=True,
                key=f"compare_quick_{study}",
                help=f"{len(points(True)):,} points instead of {len(points(False)):,}: minutes instead of hours.",
            )
        )
        place.button(
            "Run it here",
            icon=":material/play_arrow:",
            key=f"compare_run_{study}",
            disabled=active or networks == [],
            help="In the background, in a process of its own: it goes on when this page is closed.",
            on_click=parts.attempt,
            args=(partial(_start, study, quick, networks or ()),),
        )
    if stands:
        st.fragment(_progress, run_every=TICK if active else None)(last, active)


def _start(study: str, quick: bool, networks: Sequence[str]) -> None:
    try:
        conduct.start(study, quick, "auto", networks)
    except ValueError as error:  # such as a device that is not there
        raise RunError(str(error)) from None


def _stands(run: Run | None) -> tuple[int, int, str, str] | None:
    """`conduct.progress`, of a run whose folder may be deleted at any moment."""
    try:
        return conduct.progress(run) if run else None
    except OSError:
        return None


def _is_active(stands: tuple[int, int, str, str] | None) -> bool:
    return stands is not None and stands[2] in overview.ACTIVE


def _progress(run: Run, was_active: bool) -> None:
    """How a study goes. A fragment; the page is shown anew when the study begins or ends, not at each of its points."""
    now = _stands(run)
    if now is None or _is_active(now) != was_active:
        st.rerun()
    done, of, stands, reason = now
    if stands == "done":
        return
    st.progress(done / of if of else 0.0, f"{done} of {of} points measured · {stands} {reason}")
    with st.container(horizontal=True, gap="small"):
        if stands in overview.ACTIVE:
            ask = partial(jobs.request, run)
            for label, icon, what in (("Pause", "pause", "pause"), ("Stop", "stop", "stop")):
                st.button(label, icon=f":material/{icon}:", on_click=parts.attempt, args=(partial(ask, what),))
        elif stands in UNFINISHED:
            st.button("Resume", icon=":material/resume:", on_click=parts.attempt, args=(partial(conduct.resume, run),))
