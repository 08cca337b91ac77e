"""What a study is: an experiment that puts a sentence of the lab report to the test.

Each study is a module of this package that can be read alone, from its question to its figure. It imports PyTorch only
while it measures, for pages show its results and must not wait seconds for that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

Value = str | int | float | bool
Point = dict[str, Value]  # what is measured in one go, such as {"network": "cnn", "size": 1_000, "seed": 0}
Row = dict[str, Value | np.ndarray]  # of the table: its point and what was measured there; arrays are kept beside it
SKIPPED = "Skipped: "  # begins the `note` of a row that could not be measured: a resume tries again


@dataclass(frozen=True)
class Findings:
    """What the numbers of a table say. Other numbers give other findings."""

    right: int | None  # the place in the study's answers that they support; None if too little is measured to tell
    sentences: tuple[str, str]


@dataclass(frozen=True)
class Study:
    """One experiment."""

    name: str  # as in the command line and in file names
    title: str
    question: str  # that a class answers before it sees the numbers
    answers: tuple[str, ...]  # to choose from
    method: str  # how it is measured, in a sentence or two
    columns: tuple[str, ...]  # of the table: all that findings, figure and pages may ask for
    points: Callable[[bool], list[Point]]  # quick or whole -> what to measure, one after the other
    measure: Callable[[Point, str], Iterator[Row | None]]  # a point, on "cpu", "cuda" or "mps"; see below
    findings: Callable[[pd.DataFrame], Findings]
    figure: Callable[[pd.DataFrame], go.Figure]
    unknown: tuple[str, ...] = ()  # columns of numbers that may be missing
    trains: bool = False  # networks of its own, instead of measuring the shipped ones

    # `measure` yields the point's rows, and None every second or so while it works: then a person may stop it.
