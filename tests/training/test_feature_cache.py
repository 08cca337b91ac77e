"""The disk cache of frozen features: what it keeps, what it lets go, and that nothing stops a training."""

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


def held(cache) -> int:
    return sum(file.stat().st_size for file in cache.folder.iterdir())


def use(cache, *numbers):
    """Put what is not there yet, and make it or its last use a second younger than the one before."""
    for number in numbers:
        if cache.get(f"{number}") is None:
            cache.put(f"{number}", tensor(number))
        for file in cache.folder.glob("*.safetensors"):
            status = file.stat()
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))


def there(cache) -> set[int]:
    return {number for number in range(10) if (cache.folder / f"{number}.safetensors").exists()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(50, 3, 2, 2), (0, 3), ()])
def test_what_was_put_comes_back(cache, dtype, shape):
    features = torch.randn(shape).to(dtype)
    cache.put("a", features)
    again = FeatureCache(cache.folder).get("a")
    assert again.dtype == dtype
    assert torch.equal(again, features)
    assert cache.get("b") is None


def test_a_tensor_from_the_cache_may_be_changed_without_changing_the_cache(cache):
    cache.put("a", tensor(1))
    cache.get("a").fill_(2)
    assert torch.equal(cache.get("a"), tensor(1))


def test_a_view_is_kept_alone(cache):
    cache.put("a", torch.arange(10_000).reshape(100, 100).T[:2])
    assert torch.equal(cache.get("a"), torch.arange(10_000).reshape(100, 100).T[:2])
    assert held(cache) < 2 * 100 * 8 + HEADER


def test_never_more_than_the_limit_and_longest_unused_first(cache):
    use(cache, 0, 1, 2)
    assert there(cache) == {0, 1, 2}
    use(cache, 0, 3)  # 0 was used again: 1 has waited longest
    assert there(cache) == {0, 2, 3}
    use(cache, 4)
    assert there(cache) == {0, 3, 4}
    assert held(cache) <= cache.limit


def test_what_is_too_large_is_not_kept_and_evicts_nothing(cache):
    use(cache, 0, 1, 2)
    cache.put("huge", torch.zeros(3 * FILE, dtype=torch.uint8))
    assert cache.get("huge") is None
    assert there(cache) == {0, 1, 2}


def test_a_lower_limit_is_kept_from_the_next_put_on(cache):
    use(cache, 0, 1, 2)
    FeatureCache(cache.folder, limit=0).put("3", tensor(3))
    assert there(cache) == set()


def test_a_third_of_what_is_free_without_it_is_the_most(cache, monkeypatch):
    total = 6 * FILE
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(total, 0, total - held(cache)))
    use(cache, 0, 1, 2)
    assert there(cache) == {1, 2}


@pytest.mark.parametrize(("asked", "limit"), [("0.5", 2**29), ("0", 0), ("-1", 0)])
def test_the_environment_sets_the_limit(tmp_path, monkeypatch, asked, limit):
    monkeypatch.setenv("ATELIER_CACHE_GB", asked)
    assert FeatureCache(tmp_path).limit == limit


@pytest.mark.parametrize("asked", ["much", "", "nan", "inf"])
def test_a_limit_that_is_no_number_is_said_and_the_usual_one_holds(tmp_path, monkeypatch, asked):
    monkeypatch.setenv("ATELIER_CACHE_GB", asked)
    with pytest.warns(UserWarning, match="ATELIER_CACHE_GB"):
        assert FeatureCache(tmp_path).limit == 6 * 2**30


def test_it_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ATELIER_CACHE_GB", raising=False)
    monkeypatch.setattr(feature_cache, "user_cache_path", lambda name: tmp_path / name)
    cache = FeatureCache()
    assert cache.folder == tmp_path / "deep-learning-atelier" / "features"
    assert cache.limit == 6 * 2**30


DAMAGES = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "zeros, as after a power cut": lambda content: bytes(len(content)),
    "something else": lambda content: b"hello" * 1000,
    "its checksum renamed": lambda content: content.replace(b"checksum", b"checksun"),
    "its tensor renamed": lambda content: content.replace(b'"features"', b'"feature5"'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_absent_and_can_be_put_again(cache, damage):
    cache.put("0", tensor(0))
    file = cache.folder / "0.safetensors"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert cache.get("0") is None
    assert not file.exists()
    cache.put("0", tensor(0))
    assert torch.equal(cache.get("0"), tensor(0))


PUT = """
import sys, warnings
from pathlib import Path
import torch
from atelier.training.feature_cache import FeatureCache

warnings.simplefilter("error")
cache = FeatureCache(Path(sys.argv[1]), limit=int(sys.argv[2]))
print("ready", flush=True)
input()
for round in range(10):
    for number in range(10):
        content = torch.full((500, 100), number, dtype=torch.float16)
        found = cache.get(str(number))
        assert found is None or torch.equal(found, content)
        cache.put(str(number), content)
"""


def test_processes_at_once_keep_the_limit_and_see_whole_tensors_only(cache):
    command = [sys.executable, "-c", PUT, str(cache.folder), str(cache.limit)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        for process in (one, other):
            assert process.stdout.readline() == b"ready\n"
        for process in (one, other):
            process.stdin.write(b"\n")
            process.stdin.flush()
    assert (one.returncode, other.returncode) == (0, 0)
    assert len(there(cache)) == 3
    assert held(cache) <= cache.limit
    assert all(torch.equal(cache.get(f"{number}"), tensor(number)) for number in there(cache))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from atelier.training import features

def save_file(tensors, path, metadata):
    path.write_bytes(b"half")
    path.with_name(".tmpRuSt").write_bytes(b"half")  # as newer versions of safetensors call theirs
    os.kill(os.getpid(), signal.SIGKILL)

feature_cache.save_file = save_file
feature_cache.FeatureCache(Path(sys.argv[1]), limit=1000_000).put("0", torch.zeros(5))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_what_a_killed_process_left_is_cleaned_and_holds_up_nobody(cache):
    assert subprocess.run([sys.executable, "-c", KILLED, str(cache.folder)]).returncode < 0
    assert len(list(cache.folder.glob("*.tmp*"))) == 2
    cache.put("1", tensor(1))
    assert there(cache) == {1}
    assert not list(cache.folder.glob("*.tmp*"))


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_is_said_once_and_stops_nothing(cache, monkeypatch, error):
    def save_half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise error

    use(cache, 0)
    monkeypatch.setattr(feature_cache, "save_file", save_half)
    with pytest.warns(UserWarning, match="No space left on device"):
        cache.put("1", tensor(1))
    with warnings.catch_warnings(action="error"):
        cache.put("2", tensor(2))
    assert there(cache) == {0}
    assert not list(cache.folder.glob("*.tmp*"))
    monkeypatch.undo()
    cache.put("1", tensor(1))  # somebody has made room
    assert there(cache) == {0, 1}


def test_a_folder_that_cannot_be_made_is_said_once_and_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = FeatureCache(tmp_path / "file" / "features")
    with pytest.warns(UserWarning, match="cannot be kept"):
        cache.put("0", tensor(0))
    with warnings.catch_warnings(action="error"):
        cache.put("0", tensor(0))
    assert cache.get("0") is None


def test_a_folder_that_may_only_be_read_is_read(cache, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    cache.put("0", tensor(0))
    for name in ("utime", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(feature_cache.Path, "unlink", refuse)
    assert torch.equal(cache.get("0"), tensor(0))
    (cache.folder / "1.safetensors").write_bytes(b"damaged")
    assert cache.get("1") is None


def test_a_key_names_content_whatever_the_order_and_notices_every_change():
    parts = {"fingerprint": "1d0404a40a8f8668", "size": 48, "augmentation": Augmentation(), "seed": 0}
    key = content_key(**parts)
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert content_key(**dict(reversed(parts.items()))) == key
    changes = ({"size": 64}, {"augmentation": Augmentation(bend=0.8)}, {"seed": 1}, {"seed": "0"}, {"chunk": 0})
    assert len({key, *(content_key(**parts | change) for change in changes)}) == 6


def test_a_key_is_the_hash_of_canonical_json():
    # printf '{"a": 1, "b": [2, "x"]}' | sha256sum
    assert content_key(b=(2, "x"), a=1) == "aaced0ddb24456d4e60a4b05bdf436d37aa562ea7ea64deaef6b84bf2dc8d4ff"
