"""A run is a folder: its settings, its events and its weights.

    runs/<id>/config.json        network, recipe, device, versions
             metrics.jsonl       one event a line, appended
             status.json         running, done, …, with the reason
             request.json        a person's request to its process: pause or stop
             name.json           the name that a person gave it
             watch.npz           the last snapshot of the network, see `snapshots.py`
             worker.log          the output of its process, if that runs in the background
             last.safetensors    weights and training state, for a resume
             best.safetensors    the best weights on validation
             result.json         their results on the test digits

Every other file is written under a temporary name and renamed: a reader finds the old content or the new one, even
after a crash. The process that trains a run holds its `lock`.
"""

import contextlib
import json
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from atelier import files
from atelier.recipe import Augmentation, Recipe

STATES = ("queued", "running", "paused", "interrupted", "stopped", "failed", "done")
UNFINISHED = ("paused", "interrupted", "stopped", "failed")  # states from which a run can be resumed
REQUESTS = {"pause": "paused", "stop": "stopped"}  # and the states that they lead to
SPLITS = ("train", "val", "test")  # of events, in their order within one step
NUMBERS = ("step", "epoch", "seconds", "loss", "accuracy")  # of every event, at least 0; accuracy at most 1
LARGEST = 1e9
LOG = "worker.log"  # in the run's folder
HEAD_START = 60  # seconds: a new run's process must lock it within this time
Stamp = tuple[int, int] | None  # of a file: time of writing in ns, and size in bytes; None if there is none


def read_recipe(config: dict[str, Any]) -> Recipe:
    """The recipe in a run's config.

    Raises:
        RunError: if it is damaged.
    """
    try:
        recipe = dict(config["recipe"])
        if "averaging" in recipe:  # its name in older runs and checkpoints
            recipe["ema_decay"] = recipe.pop("averaging")
        return Recipe(**{**recipe, "augmentation": Augmentation(**recipe["augmentation"])})
    except (KeyError, TypeError, ValueError):
        raise RunError("The run's config.json is damaged. Start a new run.") from None


class RunError(ValueError):
    """A run that cannot be opened or resumed; the message gives the reason."""


class Run:
    """One run's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.id = folder.name

    @classmethod
    def create(cls, runs: Path, config: dict[str, Any]) -> "Run":
        """A new folder `<time>-<model>-<four random letters>`: ids sort by age and are unique."""
        Path(runs).mkdir(parents=True, exist_ok=True)
        while True:
            run = cls(Path(runs) / f"{time.strftime('%Y%m%d-%H%M%S')}-{config['model']}-{secrets.token_hex(2)}")
            with contextlib.suppress(FileExistsError):
                run.folder.mkdir()
                break
        run.write("config.json", config)
        run.set_status("queued")
        return run

    @classmethod
    def open(cls, runs: Path, id: str) -> "Run":
        """An existing run.

        Raises:
            RunError: if there is none of that id.
        """
        run = cls(Path(runs) / id)
        if not re.fullmatch(r"\w[\w.-]{0,99}", id, re.ASCII) or not (run.folder / "config.json").is_file():
            raise RunError(f"There is no run {id!r} in {runs}.")
        return run

    @classmethod
    def all(cls, runs: Path) -> list["Run"]:
        """Every run in a folder of runs, newest first; with damaged ones, so that a person can delete them."""
        folders = (folder for folder in Path(runs).glob("*-*-*") if folder.is_dir())
        return [cls(folder) for folder in sorted(folders, reverse=True)]

    def path(self, name: str) -> Path:
        return self.folder / name

    def stamp(self, name: str) -> Stamp:
        """The stamp of a file; it changes with the file."""
        try:
            stat = self.path(name).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def write(self, name: str, content: dict[str, Any]) -> None:
        files.write_json(self.path(name), content)

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; empty if it is missing.

        Raises:
            RunError: if it is damaged.
        """
        try:
            content = json.loads(self.path(name).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RunError(f"{name} of run {self.id} is damaged.")
        return content

    # Status ------------------------------------------------------------------------------------------------------

    def set_status(self, state: str, reason: str = "", share: float | None = None) -> None:
        """Write the state; `share`, 0 to 1, is the progress of a preparation before training."""
        content = {"state": state, "reason": reason} | ({} if share is None else {"share": share})
        try:
            self.write("status.json", content)
        except OSError:  # a full disk takes no new file, but an existing one can be overwritten
            with open(self.path("status.json"), "r+") as file:
                file.truncate(file.write(json.dumps(content)))

    def status(self) -> tuple[str, str]:
        """One of STATES, and the reason.

        A run that is running or queued, but that no process has locked, was interrupted.
        """
        content = {}
        with contextlib.suppress(RunError):
            content = self.read("status.json")
        state, reason = content.get("state"), content.get("reason", "")
        if state not in STATES:
            return "failed", "The run's status is missing or damaged."
        waited = time.time() - self.path("status.json").stat().st_mtime
        if (state == "running" or (state == "queued" and waited > HEAD_START)) and not self.is_locked():
            return "interrupted", "Its process has ended."
        return state, reason

    def request(self, what: str) -> None:
        """Ask the run's process to "pause" or to "stop"; it does so after its current step."""
        self.write("request.json", {"request": what})

    def requested(self) -> str:
        """One of REQUESTS, or ""."""
        request = None
        with contextlib.suppress(RunError):
            request = self.read("request.json").get("request")
        return request if request in tuple(REQUESTS) else ""

    def clear_request(self) -> None:
        self.path("request.json").unlink(missing_ok=True)

    @property
    def name(self) -> str:
        """The name that a person gave it; before that, its id."""
        given = None
        with contextlib.suppress(RunError):
            given = self.read("name.json").get("name")
        return given if given and isinstance(given, str) else self.id

    def rename(self, name: str) -> None:
        self.write("name.json", {"name": name.strip()[:60]})

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run while training it; the lock ends with the process, however that ends.

        Raises:
            RunError: if another process trains it.
        """
        self.check_exists()
        try:
            with FileLock(self.path("lock"), timeout=1):  # `is_locked` in another process holds it for an instant
                yield
        except Timeout:
            raise RunError(f"Run {self.id} is being trained by another process.") from None

    def check_exists(self) -> None:
        """Refuse to go on without a folder.

        Raises:
            RunError: if the run's folder has been deleted.
        """
        if not self.path("config.json").is_file():
            raise RunError(f"The folder of run {self.id} has been deleted.")

    def is_locked(self) -> bool:
        if not self.folder.is_dir():  # a lock would create it again
            return False
        try:
            with FileLock(self.path("lock"), timeout=0):
                return False
        except Timeout:
            return True

    # Metrics -----------------------------------------------------------------------------------------------------

    def append(self, event: dict[str, Any]) -> None:
        files.append_json_line(self.path("metrics.jsonl"), event)

    def metrics(self) -> list[dict[str, Any]]:
        """The events so far, in the order of time; see NUMBERS.

        A torn or damaged line is left out, and so are the points that a resume supersedes: an event ends all that was
        recorded of its step or its time, and later.
        """
        events: list[dict[str, Any]] = []
        for line in files.read_json_lines(self.path("metrics.jsonl")):
            if (event := _checked_event(line)) is None:
                continue
            while events and (_place(events[-1]) >= _place(event) or events[-1]["seconds"] > event["seconds"]):
                events.pop()
            events.append(event)
        return events


def _checked_event(line: Any) -> dict[str, Any] | None:
    """A line of metrics.jsonl whose numbers are plausible; None for another one."""
    try:
        event = line | {name: float(line[name]) for name in NUMBERS}
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    plausible = all(0 <= event[name] <= LARGEST for name in NUMBERS) and event["accuracy"] <= 1
    return event | {"step": int(event["step"])} if plausible and event.get("split") in SPLITS else None


def _place(event: dict[str, Any]) -> tuple[int, int]:
    return event["step"], SPLITS.index(event["split"])
