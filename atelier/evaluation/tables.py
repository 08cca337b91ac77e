"""Tables that compare the predictions of several networks. Nothing here needs PyTorch."""

from itertools import combinations

import numpy as np
import pandas as pd

from atelier.data.mnist import CLASSES
from atelier.evaluation import calibration, failures
from atelier.evaluation.failures import CONFIDENCE, GUESS, Predictions
from atelier.evaluation.significance import compare


def answers(predictions: Predictions, digits: np.ndarray) -> pd.DataFrame:
    """The answers to some digits `int64[K]`: `test_digit`, `true_digit`, `<network>_guess`, `<network>_confidence`."""
    columns = {"test_digit": digits, "true_digit": predictions.labels[digits]}
    for network in predictions.networks:
        columns[f"{network}{GUESS}"] = predictions.predicted[network].to_numpy()[digits]
        columns[f"{network}{CONFIDENCE}"] = predictions.confidence[network].to_numpy()[digits].round(4)
    return pd.DataFrame(columns)


def confusions(predictions: Predictions) -> pd.DataFrame:
    """The confusion matrices: `network`, `true_digit`, `predicted_digit`, `count`."""
    true, predicted = np.indices((CLASSES, CLASSES)).reshape(2, -1)
    cells = pd.DataFrame({"true_digit": true, "predicted_digit": predicted})
    return _stacked(
        {
            network: cells.assign(count=failures.confusion_matrix(predictions, network).ravel())
            for network in predictions.networks
        }
    )


def reliability(predictions: Predictions) -> pd.DataFrame:
    """The rows of `calibration.reliability` of each network, with `network` in front."""
    confidence, correct = predictions.confidence, predictions.correct
    return _stacked({name: calibration.reliability(confidence[name], correct[name]) for name in predictions.networks})


def agreement(predictions: Predictions) -> pd.DataFrame:
    """The number of `digits` that exactly 0, 1, … networks get right (`networks_correct`)."""
    digits = failures.count_correct(predictions)
    return pd.DataFrame({"networks_correct": range(len(digits)), "digits": digits})


def misread(predictions: Predictions) -> pd.DataFrame:
    """`answers` to all digits that a network gets wrong, by how many are correct (`networks_correct`)."""
    counts = range(len(predictions.networks))
    parts = [
        answers(predictions, failures.correct_by(predictions, count)).assign(networks_correct=count) for count in counts
    ]
    return pd.concat(parts, ignore_index=True)


def pairs(predictions: Predictions) -> pd.DataFrame:
    """McNemar's test of each pair of networks.

    Columns: `first`, `second`, `only_first_correct` and `only_second_correct` of `digits`, `p`, `significant` (bool).
    """
    rows = []
    for first, second in combinations(predictions.networks, 2):
        test = compare(predictions.correct[first], predictions.correct[second])
        rows.append((first, second, test.only_first, test.only_second, test.digits, test.p, test.is_significant))
    columns = ["first", "second", "only_first_correct", "only_second_correct", "digits", "p", "significant"]
    return pd.DataFrame(rows, columns=columns)


def _stacked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other, with `network` in front."""
    return pd.concat(tables, names=["network"]).reset_index(level=0).reset_index(drop=True)
