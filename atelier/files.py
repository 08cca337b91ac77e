"""Reading and writing of files, so that no reader finds a half-written one."""

import contextlib
import io
import json
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written in the block; after the block it replaces `path`.

    Readers find either the old or the new content. If the block fails, the old file stays.
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
    """Replace a file's content by a value as JSON."""
    write(path, json.dumps(content, indent=1))


def append_json_line(path: Path, value: Any) -> None:
    """Append a value as a line of JSON; a last line torn by a crash is closed first."""
    with open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(json.dumps(value).encode() + b"\n")


def read_json_lines(path: Path) -> list[Any]:
    """The values in a file of JSON lines, without torn lines; a missing file has none."""
    values = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                values.append(json.loads(line))
    return values


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Replace an NPZ file; LZMA makes it a tenth smaller than `np.savez_compressed`, and `np.load` reads it."""
    with replacing(path) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_LZMA)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an NPZ file; none if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # a damaged archive can fail in any way
        return {}
