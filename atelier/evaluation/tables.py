"""Networks side by side, as tables: what they said to the same digits in, DataFrame out. Nothing here needs PyTorch."""

from itertools import combinations

import numpy as np
import pandas as pd

from atelier.data.mnist import CLASSES
from atelier.evaluation import calibration, failures
from atelier.evaluation.failures import Said
from atelier.evaluation.significance import compare


def confusions(said: Said) -> pd.DataFrame:
    """A row for each network, true digit and answer: `network`, `true_digit`, `answered`, and `count`, how often."""
    true, answered = np.indices((CLASSES, CLASSES)).reshape(2, -1)
    cells = pd.DataFrame({"true_digit": true, "answered": answered})
    counts = {network: cells.assign(count=failures.confusion(said, network).ravel()) for network in said.networks}
    return _together(counts)


def reliability(said: Said) -> pd.DataFrame:
    """The rows of `calibration.reliability`, with `network` in front."""
    return _together({name: calibration.reliability(said.confidence[name], said.right[name]) for name in said.networks})


def agreement(said: Said) -> pd.DataFrame:
    """How many `digits` are `read_right_by` exactly 0, 1, … of the networks."""
    digits = failures.how_many_right(said)
    return pd.DataFrame({"read_right_by": range(len(digits)), "digits": digits})


def misread(said: Said) -> pd.DataFrame:
    """`failures.told` of each digit that at least one network misreads, with `read_right_by`, how many read it right;
    first those that the fewest do."""
    counts = range(len(said.networks))
    parts = [failures.told(said, failures.read_right_by(said, count)).assign(read_right_by=count) for count in counts]
    return pd.concat(parts, ignore_index=True)


def pairs(said: Said) -> pd.DataFrame:
    """McNemar's test of any two networks: `first` and `second`, how many digits `only_first_right` and
    `only_second_right`, of how many `digits`, `p`, and whether the difference "could be" `chance` or "hardly" is."""
    rows = []
    for first, second in combinations(said.networks, 2):
        test = compare(said.right[first], said.right[second])
        chance = "could be" if test.is_chance else "hardly"
        rows.append((first, second, test.only_first, test.only_second, test.digits, test.p, chance))
    columns = ["first", "second", "only_first_right", "only_second_right", "digits", "p", "chance"]
    return pd.DataFrame(rows, columns=columns)


def _together(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One below the other, with `network` in front."""
    return pd.concat(tables, names=["network"]).reset_index(level=0).reset_index(drop=True)
