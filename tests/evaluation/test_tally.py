import io
import json

import pandas as pd

from atelier.evaluation import tally
from atelier.evaluation.tally import Entry

LINE = [[[10.0, 20.0], [30.0, 40.0]]]
ENTRIES = [
    Entry(7, {"cnn": 7, "vit": 1}, LINE, 26),
    Entry(4, {"cnn": 9, "vit": 4}, LINE, 26),
    Entry(2, {"cnn": 2}, []),  # a photo, and one network did not answer
]


def test_correct_answers_of_each_network_are_counted():
    table = tally.by_network(ENTRIES)
    assert table.loc["cnn"].tolist() == [2, 3, 2 / 3]
    assert table.loc["vit"].tolist() == [1, 2, 1 / 2]


def test_csv_has_every_drawing():
    table = pd.read_csv(io.StringIO(tally.to_csv(ENTRIES)))
    assert table["true_digit"].tolist() == [7, 4, 2]
    assert table["cnn"].tolist() == [7, 9, 2]


def test_strokes_have_the_layout_of_the_shipped_set():
    drawings = json.loads(tally.to_strokes(ENTRIES))
    assert drawings[0] == {"label": 7, "hand": "class", "width": 26, "strokes": LINE}
    assert len(drawings) == 2
