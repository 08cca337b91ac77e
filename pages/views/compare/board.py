"""Compare, the leaderboard: every network in numbers, what accuracy costs, and what of it may be chance."""

import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.evaluation import tables
from atelier.evaluation.significance import compare
from atelier.figures import comparison
from atelier.studies.results import SOURCES, Result
from pages.ui import measured, networks, parts
from pages.ui.live import live_figure
from pages.views.compare import exports

PANELS = 330  # pixels: the least width of a figure; narrower ones go below each other
BEST = "background-color: rgba(0, 158, 115, 0.3); font-weight: 700"
HIGHER = ("accuracy", "macro_f1", "throughput_per_second")  # is better,
LOWER = (  # and here lower is better
    "log_loss",
    "calibration_error",
    "parameters",
    "trained_parameters",
    "multiply_adds",
    "megabytes",
    "training_seconds",
    "latency_p50_ms",
    "latency_p95_ms",
    "peak_memory_mb",
)
WHOLE = ("training_seconds", "throughput_per_second", "peak_memory_mb")  # are shown without fractions
SHARES = ("accuracy", "macro_f1", "calibration_error")  # 0 to 1
ON_DEVICE = ("latency_p50_ms", "latency_p95_ms", "throughput_per_second", "peak_memory_mb")  # are only compared there

_number, _text = st.column_config.NumberColumn, st.column_config.TextColumn
COLUMNS = {
    "title": _text("Network", pinned=True),
    "where": _text("Measured", help="Latency, throughput and memory can only be compared where they were measured."),
    "accuracy": _number("Accuracy", format="%.2f%%", help="Share of MNIST's 10,000 test digits read right."),
    "interval": _text(
        "95% interval",
        help="Wilson's: with other test digits of the same kind, the accuracy would probably be in here.",
    ),
    "macro_f1": _number(
        "Macro-F1", format="%.2f%%", help="Precision and recall in one number: the mean over the ten digits."
    ),
    "log_loss": _number(
        "Log loss", format="%.4f", help="Punishes surprise: a sure mistake costs much, an unsure one little."
    ),
    "calibration_error": _number(
        "Calibration error",
        format="%.2f%%",
        help="How far its confidence and its accuracy are apart, on average: 0% is honest.",
    ),
    "parameters": _number("Parameters", format="localized", help="All the numbers that the network is made of."),
    "trained_parameters": _number(
        "Trained", format="localized", help="Those that learnt digits. Fine-tuned networks keep most as they were."
    ),
    "multiply_adds": _number("Multiply-adds", format="compact", help="Arithmetic for one digit."),
    "megabytes": _number("Size, MB", format="%.1f", help="Of all that must be stored, as it lies on disk."),
    "training_seconds": _number(
        "Training, s",
        format="localized",
        help="How long it learnt digits; not counted: what VGG16 and AlexNet learnt on letters before.",
    ),
    "training_device": _text("Trained on", width=160, help="Times can only be compared on the same device."),
    "latency_p50_ms": _number("Latency p50, ms", format="%.1f", help="Half of all single digits are read faster."),
    "latency_p95_ms": _number("Latency p95, ms", format="%.1f", help="Of 20 single digits, 19 are read faster."),
    "throughput_per_second": _number("Digits per second", format="localized", help="When it reads many at once."),
    "peak_memory_mb": _number(
        "Memory, MB", format="localized", help="The most while reading many, Python and PyTorch included."
    ),
}

state = st.session_state


def show() -> None:
    """The view."""
    found, names = measured.found("leaderboard"), measured.networks()
    if found:
        table(found)
        trade_offs(found)
        chance(found)
    measure_runs(names)
    exports.show(names)


# The table -----------------------------------------------------------------------------------------------------------


def table(found: dict[str, Result]) -> None:
    parts.question(
        "Who is best at what?",
        "A click on a column's name sorts by it; the mouse on it tells what it means. **Green and bold**: the best.",
    )
    rows = joined(found)
    shown = rows.assign(**{column: 100 * rows[column] for column in SHARES})  # percent, with two digits each
    shown = shown.assign(**{column: rows[column].round() for column in WHOLE})
    shown = shown.assign(interval=rows.wilson_low.map("{:.2%} – ".format) + rows.wilson_high.map("{:.2%}".format))
    several = len(found) > 1
    with st.container(key="compare_board"):
        st.dataframe(
            shown.style.apply(lambda column: marks(rows, column.name), subset=[*HIGHER, *LOWER]),
            hide_index=True,
            column_order=[column for column in COLUMNS if several or column != "where"],
            column_config=COLUMNS,
            placeholder="–",
            alt="All networks with accuracy, calibration, size, training time, speed and memory",
        )
    parts.download("Leaderboard (CSV)", rows.drop(columns="colour").to_csv(index=False), "leaderboard.csv")
    for source, result in found.items():
        measured.provenance(result, SOURCES[source] if several else "")


def joined(found: dict[str, Result]) -> pd.DataFrame:
    """All rows, with names and with where they were measured."""
    parts = [result.table.assign(where=SOURCES[source]) for source, result in found.items()]
    return measured.with_names(pd.concat(parts, ignore_index=True))


def marks(rows: pd.DataFrame, column: str) -> list[str]:
    """CSS of each cell of a column: the best is marked. What depends on the device is compared on the same one
    only, and a network that was measured alone is not the best of anything."""
    ranked = -rows[column] if column in HIGHER else rows[column]
    devices = dict.fromkeys(ON_DEVICE, "where") | {"training_seconds": "training_device"}
    together = rows[devices[column]] if column in devices else pd.Series("all", rows.index)
    best = ranked.groupby(together).transform("min").eq(ranked) & (ranked.groupby(together).transform("count") > 1)
    return [BEST if mark else "" for mark in best]


# What accuracy costs -------------------------------------------------------------------------------------------------


def trade_offs(found: dict[str, Result]) -> None:
    parts.question(
        "What does accuracy cost?",
        "Further up is more accurate, further left is cheaper. The thin lines are the 95% intervals.",
    )
    for source, result in found.items():
        if len(result.table) < 2:  # one alone has nothing to be compared with
            continue
        if len(found) > 1:
            st.markdown(f"**{SOURCES[source]}**")
        with st.grid("auto", min_column_width=PANELS):
            for cost, figure in comparison.trade_offs(measured.with_names(result.table)).items():
                told = f"Accuracy against {comparison.COSTS[cost][1].lower()}"
                live_figure(figure, f"compare_{cost}_{source}", figure.layout.height, told)


# What may be chance --------------------------------------------------------------------------------------------------


@st.fragment
def chance(found: dict[str, Result]) -> None:
    parts.question(
        "Which differences may be chance?",
        "Choose two networks. What counts are the digits that one of them reads right and the other wrong.",
    )
    said = measured.answers(found)
    if said is None:
        return
    first, second = measured.two_of(said.networks, compare_first="This network", compare_second="and this one")
    if first == second:
        st.info("Choose two different networks.")
        return
    test = compare(said.right[first], said.right[second])
    with st.container(key="compare_chance"):
        st.markdown(
            f"{measured.named(first)[0]} alone reads {test.only_first:,} digits right, {measured.named(second)[0]} "
            f"alone {test.only_second:,}. **{test.sentence}**",
            help="McNemar's exact test. p is how often two equally good networks would differ at least so much by mere "
            "chance; below 0.05, chance is hardly the reason.",
        )
    parts.download("All pairs (CSV)", lambda: tables.pairs(said).to_csv(index=False), "mcnemar.csv")


# Runs of one's own ---------------------------------------------------------------------------------------------------


def measure_runs(names: dict[str, str]) -> None:
    parts.question(
        "How do your own runs compare?",
        "Choose which networks this computer measures. With the shipped ones among them, their times can be compared.",
    )
    if "compare_networks" not in state:
        in_use = [run for run in map(networks.chosen, MODELS) if run in names]
        state.compare_networks = in_use or list(MODELS)
    state.compare_networks = [network for network in state.compare_networks if network in names]  # some may be deleted
    st.multiselect(
        "Networks",
        names,
        key="compare_networks",
        format_func=names.get,
        persist_state="session",
    )
    if names.keys() == MODELS.keys():
        st.caption("There are no runs with weights yet: the Train page makes them.")
    measured.run_here("leaderboard", [network for network in names if network in state.compare_networks])
