"""Compare, leaderboard: every network in numbers, the cost of accuracy, and which differences may be chance."""

import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.evaluation import tables
from atelier.evaluation.significance import compare
from atelier.figures import comparison
from atelier.studies import leaderboard
from atelier.studies.results import Result
from pages.ui import networks, parts, study_results
from pages.ui.live import live_figure
from pages.ui.study_results import SOURCES
from pages.views.compare import exports

TABLE = "Which network is best at what?"
TABLE_HELP = "Click a column's name to sort by it. **Green and bold** marks the best value."
TABLE_ALT = "All networks with accuracy, calibration, size, training time, speed and memory"
COSTS = "What does accuracy cost?"
COSTS_HELP = "Higher is more accurate, further left is cheaper. Thin lines are 95% intervals."
CHANCE = "Which differences may be chance?"
CHANCE_HELP = "Choose two networks. The test counts the digits that only one of them reads correctly."
CHANCE_METHOD = "McNemar's exact test. p is the probability of such a difference between two equally good networks."
CHANCE_UNLIKELY, CHANCE_POSSIBLE = "This difference is unlikely to be chance", "This difference may be chance"
SAME_NETWORK = "Choose two different networks."
FIRST, SECOND = "First network", "Second network"
OWN_RUNS = "How do your own runs compare?"
OWN_RUNS_HELP = "Choose the networks that this computer measures. Speed can be compared among them."
NO_RUNS = "There are no trained runs yet. Train a network on the Train page."
NETWORKS = "Networks"
INTERVAL = "95% interval"
INTERVAL_HELP = "Wilson's interval: other test digits would probably give an accuracy in this range."
MEASURED = "Measured"
MEASURED_HELP = "Speed and memory can only be compared where they were measured."

PANELS = 330  # pixels: the least width of a figure
BEST = "background-color: rgba(0, 158, 115, 0.3); font-weight: 700"
RANKED = [name for name, column in leaderboard.COLUMNS.items() if column.best]
HIDDEN = ("network", "kind", "model", "wilson_low", "wilson_high")

state = st.session_state


def show() -> None:
    """The view."""
    loaded, names = study_results.load_or_warn("leaderboard"), study_results.usable_networks()
    if loaded:
        table(loaded)
        trade_offs(loaded)
        chance(loaded)
    measure_runs(names)
    exports.show(names)


# The table -----------------------------------------------------------------------------------------------------------


def table(loaded: dict[str, Result]) -> None:
    parts.heading(TABLE, TABLE_HELP)
    several = len(loaded) > 1
    tables = [result.table.assign(**{leaderboard.HERE: SOURCES[source]}) for source, result in loaded.items()]
    rows = study_results.with_titles(pd.concat(tables, ignore_index=True))
    interval = rows.wilson_low.map("{:.2%} – ".format) + rows.wilson_high.map("{:.2%}".format)
    shown = study_results.in_percent(rows, leaderboard.COLUMNS).assign(interval=interval)
    text, order = st.column_config.TextColumn, [name for name in leaderboard.COLUMNS if name not in HIDDEN]
    with st.container(key="compare_board"):
        st.dataframe(
            shown.style.apply(lambda column: marks(rows, column.name), subset=RANKED),
            hide_index=True,
            column_order=["title", *[leaderboard.HERE] * several, order[0], "interval", *order[1:]],
            column_config=study_results.column_config(leaderboard.COLUMNS)
            | {
                "title": text(leaderboard.COLUMNS["network"].label, pinned=True),
                leaderboard.HERE: text(MEASURED, help=MEASURED_HELP),
                "interval": text(INTERVAL, help=INTERVAL_HELP),
            },
            placeholder="–",
            alt=TABLE_ALT,
        )
    parts.download("Leaderboard (CSV)", rows.drop(columns="colour").to_csv(index=False), "leaderboard.csv")
    for source, result in loaded.items():
        study_results.show_provenance(result.provenance, SOURCES[source] if several else "")


def marks(rows: pd.DataFrame, column: str) -> list[str]:
    """CSS that marks the best values of a column among rows that can be compared, if there are at least two."""
    properties = leaderboard.COLUMNS[column]
    ranked = -rows[column] if properties.best == "highest" else rows[column]
    groups = ranked.groupby(rows[properties.same] if properties.same else pd.Series("all", rows.index))
    best = groups.transform("min").eq(ranked) & (groups.transform("count") > 1)
    return [BEST if mark else "" for mark in best]


# The cost of accuracy ------------------------------------------------------------------------------------------------


def trade_offs(loaded: dict[str, Result]) -> None:
    parts.heading(COSTS, COSTS_HELP)
    for source, result in loaded.items():
        if len(result.table) < 2:
            continue
        if len(loaded) > 1:
            st.markdown(f"**{SOURCES[source]}**")
        with st.grid("auto", min_column_width=PANELS):
            for cost, figure in comparison.trade_offs(study_results.with_titles(result.table)).items():
                alt = f"Accuracy against {comparison.COSTS[cost][1].lower()}"
                live_figure(figure, f"compare_{cost}_{source}", figure.layout.height, alt)


# Chance --------------------------------------------------------------------------------------------------------------


@st.fragment
def chance(loaded: dict[str, Result]) -> None:
    parts.heading(CHANCE, CHANCE_HELP)
    predictions = study_results.predictions(loaded)
    if predictions is None:
        return
    first, second = study_results.choose_two(predictions.networks, compare_first=FIRST, compare_second=SECOND)
    if first == second:
        st.info(SAME_NETWORK)
        return
    test = compare(predictions.correct[first], predictions.correct[second])
    titles = [study_results.title_and_colour(network)[0] for network in (first, second)]
    verdict = CHANCE_UNLIKELY if test.is_significant else CHANCE_POSSIBLE
    p = f"p = {test.p:.2g}" if test.p >= 0.001 else "p < 0.001"
    with st.container(key="compare_chance"):
        st.markdown(
            f"Only the {titles[0]} reads {test.only_first:,} digits correctly. "
            f"Only the {titles[1]} reads {test.only_second:,} other digits correctly. **{verdict} ({p}).**",
            help=CHANCE_METHOD,
        )
    parts.download("All pairs (CSV)", lambda: tables.pairs(predictions).to_csv(index=False), "mcnemar.csv")


# Own runs ------------------------------------------------------------------------------------------------------------


def measure_runs(names: dict[str, str]) -> None:
    parts.heading(OWN_RUNS, OWN_RUNS_HELP)
    if "compare_networks" not in state:
        in_use = [run for run in map(networks.chosen, MODELS) if run in names]
        state.compare_networks = in_use or [name for name in names if name in MODELS]
    state.compare_networks = [network for network in state.compare_networks if network in names]  # runs can be deleted
    st.multiselect(NETWORKS, names, key="compare_networks", format_func=names.get, persist_state="session")
    if names.keys() <= MODELS.keys():
        st.caption(NO_RUNS)
    study_results.run_here("leaderboard", [network for network in names if network in state.compare_networks])
