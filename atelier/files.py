"""Files that a reader never finds half written."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`: write it in the block, and at its end it takes the place of `path`.

    A reader finds the old content or the new one. If the block fails, the old file stays and the temporary one goes.
    """
    path = Path(path)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.{threading.get_ident()}.tmp{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write(path: Path, content: bytes | str) -> None:
    """Replace a file's content."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    """Replace a file's content by a value in JSON."""
    write(path, json.dumps(content, indent=1))


def append_json_line(path: Path, value: Any) -> None:
    """Append a value in JSON as a line; a last line that a crash tore is closed first."""
    with open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(json.dumps(value).encode() + b"\n")


def read_json_lines(path: Path) -> list[Any]:
    """The values of a file of JSON lines; torn lines are left out, and a missing file has none."""
    values = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                values.append(json.loads(line))
    return values


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file; none if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # a damaged archive can fail in any way
        return {}
