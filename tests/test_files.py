"""Files that are replaced at once, and readers that tolerate torn ones."""

import numpy as np
import pytest

from atelier import files


def test_failed_write_keeps_the_old_content(tmp_path):
    path = tmp_path / "note.txt"
    files.write(path, "old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as unfinished:  # noqa: PT012
        unfinished.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_line_after_a_torn_one_is_read(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert files.read_json_lines(path) == []
    files.append_json_line(path, {"step": 1})
    path.write_bytes(path.read_bytes() + b'{"step": 2')  # a process was killed here
    files.append_json_line(path, {"step": 3})
    assert files.read_json_lines(path) == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize("damage", [None, b"", b"PK\x03\x04half"])
def test_missing_or_damaged_arrays_are_empty(tmp_path, damage):
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.arange(3))
    assert files.read_npz(path)["a"].tolist() == [0, 1, 2]
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert files.read_npz(path) == {}


def test_written_arrays_are_those_that_numpy_loads(tmp_path):
    arrays = {
        "text": np.array("abc"),
        "half": np.linspace(0, 1, 7, dtype=np.float16),
        "none": np.zeros((0, 4), np.int8),
    }
    files.write_npz(tmp_path / "arrays.npz", arrays)
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as loaded:
        assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_npz(tmp_path / "arrays.npz", {"object": np.array([{}])})
    assert files.read_npz(tmp_path / "arrays.npz").keys() == arrays.keys()  # the old file stays
