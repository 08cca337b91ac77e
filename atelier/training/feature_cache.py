"""Features of frozen layers, kept on disk: the next run with the same frozen layers need not compute them.

A file is named by the hash of everything that decides its content, so no entry is ever out of date. The cache keeps to
its limit by deleting the least recently used files. No error of the cache stops a training.
"""

import contextlib
import hashlib
import json
import os
import shutil
import warnings
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

LIMIT = 6.0  # GiB; the environment variable ATELIER_CACHE_GB overrides it, and 0 keeps nothing
HEADER = 1024  # bytes that a file may have beside its tensor
PATIENCE = 30.0  # seconds to wait while another process writes


def content_key(**parts: Any) -> str:
    """The name of a content: SHA-256, in hexadecimal, of everything that decides it, in any order.

    Args:
        parts: values that JSON can hold, or dataclasses of them.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=asdict).encode()).hexdigest()


class FeatureCache:
    """Tensors on disk by `content_key`, shared by all processes of a user."""

    def __init__(self, folder: Path | None = None, limit: int | None = None):
        """`limit` is in bytes; the cache also takes at most a third of the disk space that is free without it."""
        self.folder = folder or user_cache_path("deep-learning-atelier") / "features"
        self.limit = _limit() if limit is None else limit
        self.warned = False

    def get(self, key: str) -> Tensor | None:
        """The tensor with this key, on the CPU; None if there is none. A damaged file is deleted."""
        file, intact = self._file(key), False
        try:
            with safe_open(file, framework="pt") as content:
                tensor, checksum = content.get_tensor("features"), content.metadata()["checksum"]
            intact = checksum == _checksum(tensor)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError):
            pass
        with contextlib.suppress(OSError):  # the folder may be read-only
            if intact:
                os.utime(file)  # now it is the most recently used
            else:
                file.unlink()
        return tensor if intact else None

    def put(self, key: str, tensor: Tensor) -> None:
        """Keep a tensor if there is room for it; the first failure to write gives a warning."""
        file, unfinished = self._file(key), self.folder / f"{key}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock", timeout=PATIENCE):
                if file.exists() or not self._make_room(tensor.nbytes + HEADER):
                    return
                try:
                    tensor = tensor.detach().cpu().contiguous()
                    save_file({"features": tensor}, unfinished, {"checksum": _checksum(tensor)})
                    os.replace(unfinished, file)
                finally:
                    unfinished.unlink(missing_ok=True)
        # safetensors reports a full disk with its own type, and filelock a disk without locks as not implemented.
        except (OSError, SafetensorError, NotImplementedError) as error:
            if not self.warned:
                warnings.warn(
                    f"The folder {self.folder} cannot keep features ({error}). Training continues.", stacklevel=2
                )
            self.warned = True

    def _make_room(self, wanted: int) -> bool:
        """Delete the least recently used files until the rest and `wanted` bytes keep to the limit.

        The caller holds the lock.

        Returns:
            whether `wanted` bytes fit at all; if not, only the rest keeps to the limit.
        """
        for leftover in self.folder.glob("*.tmp*"):  # of a killed process: a running one would hold the lock
            leftover.unlink(missing_ok=True)
        statuses = [(file.stat(), file) for file in self.folder.glob("*.safetensors")]
        files = sorted((status.st_mtime_ns, status.st_size, file) for status, file in statuses)
        used = sum(size for _, size, _ in files)
        limit = min(self.limit, (shutil.disk_usage(self.folder).free + used) // 3)
        allowed = limit - wanted if wanted <= limit else limit
        for _, size, file in files:
            if used <= allowed:
                break
            file.unlink(missing_ok=True)
            used -= size
        return wanted <= limit

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def _limit() -> int:
    value = os.environ.get("ATELIER_CACHE_GB", LIMIT)
    try:
        return max(0, int(float(value) * 2**30))
    except (ValueError, OverflowError):
        warnings.warn(f"ATELIER_CACHE_GB is {value!r}, not a number. The limit stays {LIMIT:g} GiB.", stacklevel=3)
        return int(LIMIT * 2**30)


def _checksum(tensor: Tensor) -> str:
    return f"{zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data):08x}"
