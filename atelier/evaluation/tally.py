"""A class's own test set: what was drawn, what it was meant to be, and what each network said."""

import json
from dataclasses import dataclass

import pandas as pd

from atelier.data.drawing import PEN


@dataclass(frozen=True)
class Entry:
    """One drawing whose true digit somebody has told."""

    label: int  # the true digit
    answers: dict[str, int]  # network's name -> its digit
    strokes: list[list[list[float]]]  # lists of [x, y] in canvas pixels; empty for a photo
    width: float = PEN  # the pen's, in canvas pixels


def by_network(entries: list[Entry]) -> pd.DataFrame:
    """One row a network, in the order of the answers: `right` and `counted`, whole numbers, and `accuracy` in 0..1."""
    answers = pd.DataFrame([entry.answers for entry in entries])
    labels = pd.Series([entry.label for entry in entries])
    right = answers.eq(labels, axis=0).sum()
    counted = answers.notna().sum()
    return pd.DataFrame({"right": right, "counted": counted, "accuracy": right / counted})


def to_csv(entries: list[Entry]) -> str:
    """One row a drawing: its true digit, then each network's answer."""
    return pd.DataFrame([{"true_digit": entry.label, **entry.answers} for entry in entries]).to_csv(index=False)


def to_strokes(entries: list[Entry], hand: str = "class") -> str:
    """The drawings in the layout of `atelier/data/strokes.json`; photos have no strokes and are left out."""
    drawings = [
        {"label": entry.label, "hand": hand, "width": entry.width, "strokes": entry.strokes}
        for entry in entries
        if entry.strokes
    ]
    return json.dumps(drawings, separators=(",", ":"))
