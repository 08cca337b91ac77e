"""What frozen layers make of the digits, kept on disk: the next run that freezes the same layers need not compute it.

A file is named by the hash of everything that decides its content, so nothing in it ever goes out of date. The cache
keeps itself small, longest unused first; whatever goes wrong with it, training goes on without.
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

LIMIT = 6.0  # GiB; the environment's ATELIER_CACHE_GB says otherwise, 0 keeps nothing
HEADER = 1024  # bytes that a file may have beside its tensor
PATIENCE = 30.0  # seconds to wait while another process writes


def content_key(**parts: Any) -> str:
    """The name of a content: SHA-256, in hexadecimal, of everything that decides it, in any order.

    Args:
        parts: what JSON can hold, or dataclasses of it. For features: the fingerprint of the frozen weights, where the
            network was cut, input size, precision, device, augmentation, seed, which variation of which digits, and
            the fingerprint of the data.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=asdict).encode()).hexdigest()


class FeatureCache:
    """Tensors on disk by `content_key`, for all processes of a user at once."""

    def __init__(self, folder: Path | None = None, limit: int | None = None):
        """`limit` is in bytes; it never exceeds a third of what the disk would have free without the cache."""
        self.folder = folder or user_cache_path("deep-learning-atelier") / "features"
        self.limit = _limit() if limit is None else limit
        self.complained = False

    def get(self, key: str) -> Tensor | None:
        """The tensor kept under this key, on the CPU, or None. What is damaged is deleted."""
        file, intact = self._file(key), False
        try:
            with safe_open(file, framework="pt") as content:
                tensor, checksum = content.get_tensor("features"), content.metadata()["checksum"]
            intact = checksum == _checksum(tensor)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError):
            pass
        with contextlib.suppress(OSError):  # of a folder that may only be read
            if intact:
                os.utime(file)  # now it is the one used last
            else:
                file.unlink()
        return tensor if intact else None

    def put(self, key: str, tensor: Tensor) -> None:
        """Keep a tensor, if it has room. If it cannot be written, that is said in one warning, and no more."""
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
            if not self.complained:
                warnings.warn(f"Features cannot be kept in {self.folder} ({error}); training goes on.", stacklevel=2)
            self.complained = True

    def _make_room(self, wanted: int) -> bool:
        """Delete what has gone unused longest until the limit is kept, with `wanted` bytes more if these can fit at
        all; whether they can. Whoever calls holds the lock."""
        for leftover in self.folder.glob("*.tmp*"):  # of a process that was killed: a living one would hold the lock
            leftover.unlink(missing_ok=True)
        statuses = [(file.stat(), file) for file in self.folder.glob("*.safetensors")]
        files = sorted((status.st_mtime_ns, status.st_size, file) for status, file in statuses)
        held = sum(size for _, size, _ in files)
        limit = min(self.limit, (shutil.disk_usage(self.folder).free + held) // 3)
        spare = limit - wanted if wanted <= limit else limit
        for _, size, file in files:
            if held <= spare:
                break
            file.unlink(missing_ok=True)
            held -= size
        return wanted <= limit

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def _limit() -> int:
    asked = os.environ.get("ATELIER_CACHE_GB", LIMIT)
    try:
        return max(0, int(float(asked) * 2**30))
    except (ValueError, OverflowError):
        warnings.warn(f"ATELIER_CACHE_GB is {asked!r}, not a number: features take up to {LIMIT:g}.", stacklevel=3)
        return int(LIMIT * 2**30)


def _checksum(tensor: Tensor) -> str:
    return f"{zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy()):08x}"
