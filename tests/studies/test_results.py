"""Whatever lies in a results folder, a page gets a table or a sentence."""

import json
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest

from atelier.studies import STUDIES, results
from atelier.studies.results import ResultError
from atelier.training import runs
from atelier.training.runs import Run

TABLE = "network,backbone,accuracy\nvgg16,none,0.9\nalexnet,glyphs,\n"  # of no real study
HEADER = {"study": "cost", "rows": 2, "columns": {"network": "text", "backbone": "text", "accuracy": "number"}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "SHIPPED", tmp_path)
    monkeypatch.setitem(STUDIES, "cost", replace(STUDIES["cost"], findings=lambda table: None))
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


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("damage", ["a network that nobody knows", "columns missing"])
def test_a_table_without_findings_gets_a_sentence(folder, monkeypatch, name, damage):
    """Well-formed, but not what the study can have written."""
    monkeypatch.undo()
    whole = results.shipped(name)
    monkeypatch.setattr(results, "SHIPPED", folder)
    table = {
        "a network that nobody knows": whole.table.assign(network="resnet", model="resnet"),
        "columns missing": whole.table[["network"]],
    }[damage]
    table.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.json").write_text(json.dumps({"study": name}))
    with pytest.raises(ResultError, match="hold what this version cannot read"):
        results.shipped(name)


def test_an_older_local_result_stands_in_for_a_damaged_one(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
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


def test_answers_are_read_with_the_table_and_damaged_ones_left_out(folder):
    np.savez_compressed(folder / "cost.npz", cnn_guess=np.arange(5, dtype=np.uint8))
    assert results.shipped("cost").predictions["cnn_guess"].tolist() == [0, 1, 2, 3, 4]
    (folder / "cost.npz").write_bytes((folder / "cost.npz").read_bytes()[:-40])
    assert results.shipped("cost").predictions == {}


@pytest.mark.parametrize("error", [zlib.error, TypeError])
def test_whatever_is_wrong_with_answers_the_table_is_read(folder, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(np, "load", fail)
    assert results.shipped("cost").predictions == {}
