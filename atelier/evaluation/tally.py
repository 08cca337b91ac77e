"""A class's own test set: drawings, their true digits and the answers of each network."""

import json
from dataclasses import dataclass

import pandas as pd

from atelier.data.drawing import PEN


@dataclass(frozen=True)
class Entry:
    """A drawing with a known true digit."""

    label: int  # the true digit
    answers: dict[str, int]  # predicted digits by network
    strokes: list[list[list[float]]]  # lists of [x, y] in canvas pixels; empty for a photo
    width: float = PEN  # of the pen, in canvas pixels


def by_network(entries: list[Entry]) -> pd.DataFrame:
    """A row for each network, in the order of the answers: `right` and `counted`, and `accuracy` in 0..1."""
    answers = pd.DataFrame([entry.answers for entry in entries])
    labels = pd.Series([entry.label for entry in entries])
    right = answers.eq(labels, axis=0).sum()
    counted = answers.notna().sum()
    return pd.DataFrame({"right": right, "counted": counted, "accuracy": right / counted})


def to_csv(entries: list[Entry]) -> str:
    """A row for each drawing: its true digit, then the answer of each network."""
    return pd.DataFrame([{"true_digit": entry.label, **entry.answers} for entry in entries]).to_csv(index=False)


def to_strokes(entries: list[Entry], hand: str = "class") -> str:
    """The drawings in the layout of `atelier/data/strokes.json`; photos have no strokes and are left out."""
    drawings = [
        {"label": entry.label, "hand": hand, "width": entry.width, "strokes": entry.strokes}
        for entry in entries
        if entry.strokes
    ]
    return json.dumps(drawings, separators=(",", ":"))
