import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _caches_of_their_own(tmp_path_factory):
    """Tests, and the processes they start, keep features and queues apart from those of whoever runs them."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before
