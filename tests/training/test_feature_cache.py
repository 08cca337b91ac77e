"""The disk cache of frozen features: its content, its limit, and that no error of it stops a training."""

import errno
import os
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors import SafetensorError

from atelier.recipe import Augmentation
from atelier.training import feature_cache
from atelier.training.feature_cache import HEADER, FeatureCache, content_key

SIZE = 100_000  # bytes
FILE = SIZE + HEADER


def tensor(number: int) -> torch.Tensor:
    return torch.full((SIZE // 200, 100), number, dtype=torch.float16)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features", limit=3 * FILE)


def bytes_on_disk(cache) -> int:
    return sum(file.stat().st_size for file in cache.folder.iterdir())


def use(cache, *numbers):
    """Get or put each entry, and make all files a second older after each."""
    for number in numbers:
        if cache.get(f"{number}") is None:
            cache.put(f"{number}", tensor(number))
        for file in cache.folder.glob("*.safetensors"):
            status = file.stat()
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))


def entries(cache) -> set[int]:
    return {number for number in range(10) if (cache.folder / f"{number}.safetensors").exists()}


TENSORS = {
    "half": torch.randn(50, 3, 2, 2).half(),
    "bfloat16": torch.randn(()).bfloat16(),
    "empty": torch.zeros(0, 3),
    "view": torch.arange(10_000).reshape(100, 100).T[:2],
}


@pytest.mark.parametrize("features", TENSORS.values(), ids=TENSORS)
def test_tensors_are_restored(cache, features):
    cache.put("a", features)
    restored = FeatureCache(cache.folder).get("a")
    assert restored.dtype == features.dtype
    assert torch.equal(restored, features)
    assert bytes_on_disk(cache) <= features.nbytes + HEADER  # a view without the rest of its tensor
    restored.fill_(2)
    assert torch.equal(cache.get("a"), features)
    assert cache.get("b") is None


def test_least_recently_used_files_are_deleted_at_the_limit(cache):
    use(cache, 0, 1, 2)
    use(cache, 0, 3)
    assert entries(cache) == {0, 2, 3}
    use(cache, 4)
    assert entries(cache) == {0, 3, 4}
    assert bytes_on_disk(cache) <= cache.limit
    cache.put("huge", torch.zeros(3 * FILE, dtype=torch.uint8))  # it never fits, and deletes nothing
    assert cache.get("huge") is None
    assert entries(cache) == {0, 3, 4}
    FeatureCache(cache.folder, limit=0).put("5", tensor(5))
    assert entries(cache) == set()


def test_two_thirds_of_the_free_disk_stay_free(cache, monkeypatch):
    total = 6 * FILE
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(total, 0, total - bytes_on_disk(cache))
    )
    use(cache, 0, 1, 2)
    assert entries(cache) == {1, 2}


@pytest.mark.parametrize(
    ("value", "limit", "warned"), [("0.5", 2**29, 0), ("-1", 0, 0), ("much", 6 * 2**30, 1), ("inf", 6 * 2**30, 1)]
)
def test_environment_sets_the_limit(tmp_path, monkeypatch, value, limit, warned):
    monkeypatch.setenv("ATELIER_CACHE_GB", value)
    with warnings.catch_warnings(record=True) as caught:
        assert FeatureCache(tmp_path).limit == limit
    assert len(caught) == warned


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "zeros after a power cut": lambda content: bytes(len(content)),
    "no checksum": lambda content: content.replace(b"checksum", b"checksun"),
    "no tensor": lambda content: content.replace(b'"features"', b'"feature5"'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_deleted_and_can_be_replaced(cache, damage):
    for _ in range(2):
        cache.put("0", tensor(0))
        assert torch.equal(cache.get("0"), tensor(0))
        file = cache.folder / "0.safetensors"
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
        assert cache.get("0") is None
        assert not file.exists()


PUT = """
import sys, warnings
from pathlib import Path
import torch
from atelier.training.feature_cache import FeatureCache

warnings.simplefilter("error")
cache = FeatureCache(Path(sys.argv[1]), limit=int(sys.argv[2]))
print("ready", flush=True)
input()
for number in 10 * list(range(10)):
    content = torch.full((500, 100), number, dtype=torch.float16)
    stored = cache.get(str(number))
    assert stored is None or torch.equal(stored, content)
    cache.put(str(number), content)
"""


@pytest.mark.slow
def test_two_processes_keep_the_limit_and_read_whole_tensors(cache):
    command = [sys.executable, "-c", PUT, str(cache.folder), str(cache.limit)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(entries(cache)) == 3
    assert bytes_on_disk(cache) <= cache.limit
    assert all(torch.equal(cache.get(f"{number}"), tensor(number)) for number in entries(cache))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from atelier.training import feature_cache

def save_file(tensors, path, metadata):
    path.write_bytes(b"half")
    path.with_name(".tmpRuSt").write_bytes(b"half")  # newer versions of safetensors write to such a name first
    os.kill(os.getpid(), signal.SIGKILL)

feature_cache.save_file = save_file
feature_cache.FeatureCache(Path(sys.argv[1]), limit=1000_000).put("0", torch.zeros(5))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_files_of_a_killed_process_are_deleted(cache):
    assert subprocess.run([sys.executable, "-c", KILLED, str(cache.folder)]).returncode == -9
    assert len(list(cache.folder.glob("*.tmp*"))) == 2
    cache.put("1", tensor(1))
    assert entries(cache) == {1}
    assert not list(cache.folder.glob("*.tmp*"))


@pytest.mark.parametrize("error", [OSError, SafetensorError])
def test_full_disk_gives_one_warning(cache, monkeypatch, error):
    def save_half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise error("No space left on device")

    monkeypatch.setattr(feature_cache, "save_file", save_half)
    with pytest.warns(UserWarning, match="No space left on device"):
        cache.put("1", tensor(1))
    with warnings.catch_warnings(action="error"):
        cache.put("2", tensor(2))
    assert not list(cache.folder.glob("*.tmp*"))
    monkeypatch.undo()
    cache.put("1", tensor(1))  # now there is space
    assert entries(cache) == {1}


def test_folder_that_cannot_be_made_gives_a_warning(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = FeatureCache(tmp_path / "file" / "features")
    with pytest.warns(UserWarning, match="cannot keep features"):
        cache.put("0", tensor(0))
    assert cache.get("0") is None


def test_read_only_folder_is_read(cache, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    cache.put("0", tensor(0))
    for name in ("utime", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(feature_cache.Path, "unlink", refuse)
    assert torch.equal(cache.get("0"), tensor(0))
    (cache.folder / "1.safetensors").write_bytes(b"damaged")
    assert cache.get("1") is None


def test_key_is_the_hash_of_canonical_json():
    # printf '{"a": 1, "b": [2, "x"]}' | sha256sum
    assert content_key(b=(2, "x"), a=1) == "aaced0ddb24456d4e60a4b05bdf436d37aa562ea7ea64deaef6b84bf2dc8d4ff"
    assert content_key(augmentation=Augmentation()) != content_key(augmentation=Augmentation(bend=0.8))
