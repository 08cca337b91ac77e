"""A study: an experiment that tests a statement of the lab report.

Each study is a module of this package that can be read alone, from its question to its figure. It imports PyTorch only
while it measures, because pages show its results and must not wait seconds for the import.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from atelier.zoo import MODELS

Value = str | int | float | bool
Point = dict[str, Any]  # one measurement, such as {"network": "cnn", "size": 1_000, "seed": 0}
Row = dict[str, Any]  # of the table: its point and the measured values; arrays are stored beside it


@dataclass(frozen=True)
class Column:
    """A column of a study's table: which values it may hold, and how pages display it."""

    label: str
    kind: str = "number"  # "number", "positive" (above 0), "share" (0 to 1, displayed in percent) or "text"
    help: str = ""
    format: str = "localized"  # of a number, as `streamlit.column_config.NumberColumn` takes it
    choices: tuple[str, ...] = ()  # the only values of a text; empty: any
    best: str = ""  # "highest" or "lowest" where one value is better than another
    same: str = ""  # only rows with the same value in this other column can be compared
    optional: bool = False  # a number that may be missing

    def accepts(self, values: pd.Series) -> bool:
        """Whether a table may hold these values."""
        if self.kind == "text":
            return not self.choices or bool(values.isin(self.choices).all())
        if self.optional:
            values = values.dropna()
        if not pd.api.types.is_numeric_dtype(values) or not np.isfinite(values).all():
            return False
        return bool({"share": values.between(0, 1), "positive": values > 0}.get(self.kind, values > -np.inf).all())


NETWORK = Column("Network", "text")
ACCURACY = Column("Accuracy", "share", "Share of the test digits read correctly.", "%.2f%%")
SEED = Column("Seed")
DIGITS = Column("Test digits", "positive")
SECONDS = Column("Training, s", "positive", format="%.1f")


@dataclass(frozen=True)
class Findings:
    """What the numbers of a table show."""

    answer: str | None  # key of the study's answer that they support; None: too little is measured
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """One experiment."""

    name: str  # as in the command line and in file names
    title: str
    question: str  # that a class answers before it sees the numbers
    method: str  # how it is measured, in a few sentences
    columns: Mapping[str, Column]  # of the table, by name
    points: Callable[[bool], list[Point]]  # quick or whole: what to measure, in this order
    measure: Callable[[Point, str], Iterator[Row | None]]  # a point, on "cpu", "cuda" or "mps"; see below
    findings: Callable[[pd.DataFrame], Findings]
    figure: Callable[[pd.DataFrame], go.Figure]
    choices: Mapping[str, str] = field(default_factory=dict)  # answers by key; empty: the networks
    trains: bool = False  # whether it trains its own networks instead of measuring trained ones

    # `measure` yields the rows of the point, and None about every second while it works: then a person may stop it. A
    # row with a `note` could not be measured, and the note gives the reason.

    @property
    def answers(self) -> Mapping[str, str]:
        """The possible answers to the question, by key."""
        return self.choices or {name: spec.title for name, spec in MODELS.items()}
