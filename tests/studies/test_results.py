"""Whatever lies in a results folder, a page gets a table or a sentence."""

import json
import re
import time
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from atelier import paths
from atelier.runs.folder import Run
from atelier.studies import STUDIES, results
from atelier.studies.results import ResultError
from atelier.zoo import MODELS

TABLE = "network,backbone,accuracy\nvgg16,none,0.9\nalexnet,glyphs,\n"  # of no real study
HEADER = {"study": "cost", "rows": 2, "columns": {"network": "text", "backbone": "text", "accuracy": "number"}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "SHIPPED", tmp_path)
    monkeypatch.setitem(
        STUDIES,
        "cost",
        replace(STUDIES["cost"], findings=lambda table: None, columns=("accuracy",), unknown=("accuracy",)),
    )
    (tmp_path / "cost.csv").write_text(TABLE)
    (tmp_path / "cost.json").write_text(json.dumps(HEADER))
    return tmp_path


def test_a_sound_folder_is_read_and_a_backbone_called_none_is_no_missing_number(folder):
    result = results.shipped("cost")
    assert result.table.backbone.tolist() == ["none", "glyphs"]
    assert result.table.accuracy.isna().tolist() == [False, True]
    assert result.header == HEADER
    assert result.predictions == {}


def test_a_table_that_has_grown_since_its_header_was_written_is_fine(folder):
    (folder / "cost.csv").write_text(TABLE + "cnn,,0.99\n")
    table = results.shipped("cost").table
    assert (len(table), table.backbone[2]) == (3, "")


DAMAGED = {
    "half a line": ("cost.csv", TABLE[:-12]),
    "a line too few": ("cost.csv", "network,backbone,accuracy\nvgg16,none,0.9\n"),
    "other columns": ("cost.csv", "network,size\ncnn,1\nvit,2\n"),
    "words for numbers": ("cost.csv", TABLE.replace("0.9", "high")),
    "no text": ("cost.csv", b"\xff\xfe\x00"),
    "ragged": ("cost.csv", "a,b\n1,2,3,4\n1\n5,6,7,8,9\n"),
    "half a header": ("cost.json", '{"study": "co'),
    "an empty header": ("cost.json", ""),
    "no header": ("cost.json", "[]"),
    "another study's": ("cost.json", json.dumps(HEADER | {"study": "transfer"})),
    "nobody's": ("cost.json", "{}"),
    "odd weights": ("cost.json", json.dumps(HEADER | {"weights": None})),
    "odd seeds": ("cost.json", json.dumps(HEADER | {"seeds": None})),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_gets_a_sentence(folder, damage):
    file, content = DAMAGED[damage]
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ResultError, match="“Cost” are damaged or only half written"):
        results.shipped("cost")


@pytest.mark.parametrize("content", ["", "\n", "network,backbone,accuracy\n"])
def test_an_empty_table_gets_a_sentence(folder, content):
    (folder / "cost.csv").write_text(content)
    (folder / "cost.json").write_text(json.dumps(HEADER | {"rows": 0}))
    with pytest.raises(ResultError, match="are empty"):
        results.shipped("cost")


def test_missing_files_and_unknown_studies_get_a_sentence(folder):
    (folder / "cost.json").unlink()
    with pytest.raises(ResultError, match=r"lack the file cost\.json"):
        results.shipped("cost")
    (folder / "cost.csv").unlink()
    with pytest.raises(ResultError, match="python -m atelier study cost"):
        results.shipped("cost")
    for read in (results.shipped, results.local):
        with pytest.raises(ResultError, match="no study 'weather'"):
            read("weather")


# On copies of what really ships, changed but well-formed --------------------------------------------------------------


@pytest.fixture
def changed(folder, monkeypatch):
    """`changed(name, table)`: read this table instead of the shipped one."""
    monkeypatch.undo()
    shipped = results.SHIPPED
    monkeypatch.setattr(results, "SHIPPED", folder)

    def read(name, table):
        columns = {column: "number" if column in table.select_dtypes("number") else "text" for column in table}
        header = json.loads((shipped / f"{name}.json").read_text()) | {"columns": columns}
        (folder / f"{name}.json").write_text(json.dumps(header))
        table.to_csv(folder / f"{name}.csv", index=False)
        return results.shipped(name)

    return read


@pytest.fixture(scope="module")
def tables():
    """As they ship, by study."""
    return {name: results.shipped(name).table for name in STUDIES}


@pytest.mark.parametrize("name", STUDIES)
def test_a_network_that_nobody_knows_gets_a_sentence(changed, tables, name):
    with pytest.raises(ResultError, match="hold what this version cannot read"):
        changed(name, tables[name].assign(network="resnet", model="resnet"))


@pytest.mark.parametrize(("name", "column"), [(name, column) for name in STUDIES for column in STUDIES[name].columns])
def test_a_table_that_lacks_a_column_gets_a_sentence_that_names_it(changed, tables, name, column):
    with pytest.raises(ResultError, match=f"“{STUDIES[name].title}” lack {column}: measure them again"):
        changed(name, tables[name].drop(columns=column))


@pytest.mark.parametrize("name", STUDIES)
def test_what_ships_has_the_columns_that_its_study_names(changed, tables, name):
    assert tuple(tables[name]) == STUDIES[name].columns


IMPOSSIBLE = {  # what a table may hold although it is well-formed: study, column, value
    "no accuracy": ("one_or_many", "reading_accuracy", np.nan),
    "more than all": ("one_or_many", "reading_accuracy", 1.5),
    "of none": ("one_or_many", "scenes", 0),
    "an unknown backbone": ("transfer", "backbone", "oranges"),
    "an unknown freedom": ("transfer", "freedom", ""),
    "for nothing": ("cost", "latency_p50_ms", 0.0),
    "for ever": ("leaderboard", "latency_p50_ms", np.inf),
    "less than none": ("data_hunger", "accuracy", -0.1),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_numbers_that_cannot_be_get_a_sentence(changed, tables, what):
    name, column, value = IMPOSSIBLE[what]
    table = tables[name].copy()
    table.loc[0, column] = value
    with pytest.raises(ResultError, match="hold what this version cannot read"):
        changed(name, table)


@pytest.mark.parametrize("name", STUDIES)
def test_a_point_that_was_measured_twice_gets_a_sentence(changed, tables, name):
    with pytest.raises(ResultError, match="hold what this version cannot read"):
        changed(name, pd.concat([tables[name], tables[name].tail(1)]))


def exchanged(text: str, one: str, other: str) -> str:
    """With two networks' names in each other's place; "CNN" is none in "Faster R-CNN"."""
    return re.sub(rf"(?<!R-)\b({one}|{other})\b", lambda found: other if found[0] == one else one, text)


@pytest.mark.parametrize(("name", "one"), [("leaderboard", "cnn"), ("robustness", "vit"), ("cost", "cnn")])
def test_two_networks_rows_swapped_swap_their_names_in_the_sentences(changed, tables, name, one):
    other = "vgg16"
    swapped = tables[name].replace({column: {one: other, other: one} for column in ("network", "model")})
    before, after = (STUDIES[name].findings(table) for table in (tables[name], changed(name, swapped).table))
    titles = MODELS[one].title, MODELS[other].title
    assert " ".join(after.sentences) == exchanged(" ".join(before.sentences), *titles)
    assert after.sentences != before.sentences
    if name != "cost":  # whose answers name no network
        answers = STUDIES[name].answers
        assert answers[after.right] == exchanged(answers[before.right], *titles)


REVERSED = {  # study: which values of which column change places, and what is said before and after
    "data_hunger": ("network", "cnn", "vit", "The CNN is ahead", "The ViT is never behind the CNN"),
    "one_or_many": ("network", "cnn", "faster_rcnn", "A detector starts to pay", "A detector does not pay here"),
    "transfer": ("backbone", "glyphs", "none", r"on letters is worth, .*, \+.* \+.* \+", r"worth, .*, -.* -.* -"),
}


@pytest.mark.parametrize("name", REVERSED)
def test_rows_swapped_reverse_the_sentences(changed, tables, name):
    column, one, other, before, after = REVERSED[name]
    swapped = changed(name, tables[name].replace({column: {one: other, other: one}})).table
    (was, told), (now, says) = (
        (found.right, " ".join(found.sentences)) for found in map(STUDIES[name].findings, (tables[name], swapped))
    )
    assert re.search(before, told)
    assert not re.search(after, told)
    assert re.search(after, says)
    assert not re.search(before, says)
    if name != "transfer":  # where it is the worth of pretraining that is reversed
        assert was != now


# On this machine -----------------------------------------------------------------------------------------------------


def test_an_older_local_result_stands_in_for_a_damaged_one(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    seconds = iter(["20260101-120000", "20260101-120001"])
    monkeypatch.setattr(time, "strftime", lambda form: next(seconds))
    older, newer = (Run.create(results.studies_in(tmp_path), {"study": "cost", "model": "cost"}) for _ in range(2))
    for run in (older, newer):
        run.path("cost.csv").write_text(TABLE)
        run.path("cost.json").write_text(json.dumps(HEADER | {"seconds": 1 + (run is newer)}))
    assert results.local("cost").header["seconds"] == 2
    newer.path("cost.csv").write_text(TABLE[:-3])
    assert results.local("cost").header["seconds"] == 1
    older.path("cost.csv").write_text(TABLE[:-3])
    with pytest.raises(ResultError, match="damaged or only half written"):
        results.local("cost")


@pytest.fixture
def conducted(monkeypatch, tmp_path):
    """`conducted(study, text, **header)`: the run of a study that has left this table; each is newer than the last."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    seconds = iter(range(100))
    monkeypatch.setattr(time, "strftime", lambda form: f"20260101-1200{next(seconds):02}")

    def conduct(study, text, **header):
        run = Run.create(results.studies_in(tmp_path), {"study": study, "model": study})
        run.path(f"{study}.csv").write_text(text)
        run.path(f"{study}.json").write_text(json.dumps({"study": study, "device": "cpu"} | header))
        return run

    return conduct


def test_a_finished_local_result_comes_before_newer_ones_that_are_not(conducted):
    first, newer = TABLE, TABLE + "cnn,,0.99\n"
    conducted("cost", first, finished=False)
    conducted("cost", newer, finished=False)
    assert len(results.local("cost").table) == 3  # none is finished: the newest
    conducted("cost", first, finished=True)
    conducted("cost", newer, finished=False)
    assert len(results.local("cost").table) == 2


def board(table: pd.DataFrame, **accuracy: float) -> str:
    """A leaderboard with these networks."""
    rows = table.set_index("network").loc[["cnn"] * len(accuracy)]
    return rows.assign(network=list(accuracy), accuracy=list(accuracy.values())).to_csv(index=False)


def test_local_leaderboards_are_one_with_the_newest_row_of_each_network(conducted, tables, tmp_path):
    def measure(device="2 CPU cores (A)", **accuracy):
        measured = dict.fromkeys(accuracy, str(len(accuracy)))
        run = conducted(
            "leaderboard", board(tables["leaderboard"], **accuracy), device_name=device, weights=measured, commit=device
        )
        arrays = {f"{name}_guess": np.full(3, 100 * share, np.uint8) for name, share in accuracy.items()}
        np.savez_compressed(run.path("leaderboard.npz"), **arrays)

    measure(gone=0.5, **{"20260101-120000-cnn-abcd": 0.6})  # runs: one was deleted since
    Run(tmp_path / "20260101-120000-cnn-abcd").folder.mkdir()
    measure(cnn=0.7, vit=0.8)
    measure(device="96 CPU cores (B)", alexnet=0.99)
    measure(cnn=0.9)
    found = results.local("leaderboard")
    assert dict(zip(found.table.network, found.table.accuracy, strict=True)) == {
        "cnn": 0.9,
        "vit": 0.8,
        "20260101-120000-cnn-abcd": 0.6,
    }
    assert found.predictions["cnn_guess"].tolist() == [90] * 3
    assert found.predictions["vit_guess"].tolist() == [80] * 3
    assert (found.header["weights"]["cnn"], found.header["weights"]["vit"]) == ("1", "2")
    assert found.header["command"] == (
        "python -m atelier study leaderboard --device cpu --networks cnn vit 20260101-120000-cnn-abcd"
    )
    assert (found.header["points"], found.header["of"], found.header["rows"]) == (3, 3, 3)
    assert found.header["commit"] == "2 CPU cores (A)"  # the other's is left out
    measure(device="96 CPU cores (B)", vit=0.95)  # the newest decides which device
    assert set(results.local("leaderboard").table.network) == {"vit", "alexnet"}


def test_answers_are_read_with_the_table_and_damaged_ones_left_out(folder):
    np.savez_compressed(folder / "cost.npz", cnn_guess=np.arange(5, dtype=np.uint8))
    assert results.shipped("cost").predictions["cnn_guess"].tolist() == [0, 1, 2, 3, 4]
    (folder / "cost.npz").write_bytes((folder / "cost.npz").read_bytes()[:-40])
    assert results.shipped("cost").predictions == {}


@pytest.mark.parametrize("error", [zlib.error, TypeError, NotImplementedError, RuntimeError])
def test_whatever_is_wrong_with_answers_the_table_is_read(folder, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(np, "load", fail)
    assert results.shipped("cost").predictions == {}
