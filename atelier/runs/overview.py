"""Runs at a glance: the settings of each, its state and its result. For pages and notebooks.

Anybody may edit, truncate or delete a run's files at any moment. Damaged parts are left out and named in a sentence;
nothing here raises an error for them.
"""

from collections import Counter
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from atelier.recipe import NO_AUGMENTATION, Recipe
from atelier.runs import history
from atelier.runs.folder import UNFINISHED, Run, RunError, Stamp, read_recipe
from atelier.zoo import MODELS

ACTIVE = ("queued", "running")
PLACES = ("auto", "cpu", "cuda", "mps")
LABELS = {"train_size": "training digits", "validation_size": "validation digits"}  # where a field's name says less
COLUMNS = ("name", "accuracy", "state", "network", "changes", "seconds", "measured_on", "device", "date", "problem")


@dataclass(frozen=True)
class Summary:
    """A run at a glance."""

    run: Run
    name: str  # as a person calls it, else network and time; in `summaries`, no two are the same
    model: str  # a name in MODELS; "" for an unknown network
    network: str  # its title
    recipe: Recipe | None  # None if it is unknown
    sizes: dict[str, Any]  # those that the Train page offers, as this run has them
    changes: str  # the nearest preset, and the differences from it
    accuracy: float | None  # 0 to 1
    measured_on: str  # "test", "validation" (the best so far) or ""
    seconds: float | None  # of training and validation
    place: str  # the requested device, one of PLACES
    device: str  # its name
    date: datetime
    state: str  # one of STATES
    reason: str
    problem: str  # what is damaged, in a sentence; "" if nothing is
    has_weights: bool  # whether there is a best checkpoint

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def resumable(self) -> bool:
        return self.state in UNFINISHED and self.recipe is not None and bool(self.model)

    @property
    def usable(self) -> bool:
        """Whether its weights can answer."""
        return self.has_weights and bool(self.model)


def summaries(runs: Path) -> list[Summary]:
    """All runs of a folder, newest first. Runs with the same name get the last letters of their ids."""
    listed = [summary for run in Run.all(runs) if (summary := summarise(run))]
    names = Counter(summary.name for summary in listed)
    return [
        replace(summary, name=f"{summary.name[:53]} ({summary.id[-4:]})") if names[summary.name] > 1 else summary
        for summary in listed
    ]


def summarise(run: Run) -> Summary | None:
    """A run at a glance; None if its folder has just been deleted."""
    problems: list[str] = []
    config, result = _read(run, "config.json", problems), _read(run, "result.json", problems)
    model = str(config.get("model", ""))[:40]
    spec = MODELS.get(model)
    recipe = _recipe(run, config, problems)
    if config and spec is None:
        problems.append(f"The network {model!r} is unknown here.")
    past = history.read(run)
    problems += [past.problem] * bool(past.problem)
    network = spec.title if spec else model or "unknown"
    sizes = _sizes(spec.default_sizes, config.get("network")) if spec else {}
    accuracy, measured_on = _accuracy(result, past.events)
    seconds = _number(result.get("seconds")) or (float(past.events.seconds.iloc[-1]) if len(past.events) else None)
    state, reason = status(run)
    if not run.folder.is_dir():
        return None
    return Summary(
        run=run,
        name=name(run, network),
        model=model if spec else "",
        network=network,
        recipe=recipe,
        sizes=sizes,
        changes=changes(model, recipe, sizes) if spec and recipe else "unknown",
        accuracy=accuracy,
        measured_on=measured_on,
        seconds=seconds,
        place=config["device"] if config.get("device") in PLACES else "auto",
        device=str(config.get("device_name", ""))[:80],
        date=_date(run),
        state=state,
        reason=reason,
        problem=problems[0] if problems else "",
        has_weights=run.path("best.safetensors").is_file(),
    )


def name(run: Run, network: str) -> str:
    """The name that a person gave it; before that, its network's title and its time."""
    return run.name[:60] if run.name != run.id else f"{network} {_time(_date(run))}"


def signs(runs: Path) -> dict[str, tuple[str, Stamp, Stamp]]:
    """By run: its state, and the stamps of its best checkpoint and its name.

    Quick to read; while nothing of these changes, a page's buttons and its table stay the same.
    """
    return {run.id: (status(run)[0], run.stamp("best.safetensors"), run.stamp("name.json")) for run in Run.all(runs)}


def status(run: Run) -> tuple[str, str]:
    """One of STATES, and the reason."""
    try:
        state, reason = run.status()
    except OSError as error:
        return "failed", f"The run's folder cannot be read ({error.strerror or error})."
    return state, str(reason)[:400]


def prepared(run: Run) -> float | None:
    """The progress of a run's preparations, 0 to 1; None if it prepares nothing."""
    return _number(_read(run, "status.json", []).get("share"), 1.0)


def table(summaries: list[Summary]) -> pd.DataFrame:
    """A row for each run, with the fields of Summary that people compare."""
    rows = [[getattr(summary, column) for column in COLUMNS] for summary in summaries]
    return pd.DataFrame(rows, columns=COLUMNS, index=[summary.id for summary in summaries])


def changes(model: str, recipe: Recipe, sizes: dict[str, Any]) -> str:
    """The nearest preset and the differences from it: "Demo, epochs 2, training digits 3,000"."""
    by_preset = {name: _differences(recipe, preset) for name, preset in MODELS[model].presets.items()}
    nearest = min(by_preset, key=lambda name: len(by_preset[name]))
    default = MODELS[model].default_sizes
    sized = [f"{size.replace('_', ' ')} {value}" for size, value in sizes.items() if value != default[size]]
    return ", ".join([nearest.capitalize(), *by_preset[nearest], *sized])


def curves(summaries: list[Summary]) -> pd.DataFrame:
    """The events of several runs, as `figures.curves` takes them."""
    tables = [pd.DataFrame(columns=[*history.COLUMNS, "run", "model"])]
    for summary in summaries:
        events = history.read(summary.run).events
        if summary.model and len(events):
            tables.append(events.assign(run=summary.name, model=summary.model))
    return pd.concat(tables[1:] or tables)


def duration(seconds: float) -> str:
    """A time for people: "8 s", "2 min 30 s", "1 h 5 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


# What may be damaged -------------------------------------------------------------------------------------------------


def _read(run: Run, file: str, problems: list[str]) -> dict[str, Any]:
    try:
        content = run.read(file)
    except RunError as error:
        problems.append(str(error))
        return {}
    if file == "config.json" and not content:
        problems.append(f"config.json of run {run.id} is missing.")
    return content


def _recipe(run: Run, config: dict[str, Any], problems: list[str]) -> Recipe | None:
    try:
        return read_recipe(config)
    except RunError:
        if config and not config.get("uploaded"):
            problems.append(f"config.json of run {run.id} is damaged.")
        return None


def _sizes(defaults: dict[str, Any], network: object) -> dict[str, Any]:
    """The offered sizes in a config's "network", where they have the right type."""
    sizes = network if isinstance(network, dict) else {}
    return {
        size: sizes[size] if type(sizes.get(size)) is type(default) else default for size, default in defaults.items()
    }


def _accuracy(result: dict[str, Any], events: pd.DataFrame) -> tuple[float | None, str]:
    """On the test digits; before that, the best on the validation digits."""
    if (accuracy := _number(result.get("accuracy"), 1.0)) is not None:
        return accuracy, "test"
    validated = events[events.split == "val"].accuracy
    best = float(validated.max()) if len(validated) else _number(result.get("validation_accuracy"), 1.0)
    return best, "" if best is None else "validation"


def _number(value: object, largest: float = 1e9) -> float | None:
    """A number from 0 to the largest; None for anything else."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= largest else None


def _differences(recipe: Recipe, preset: Recipe) -> list[str]:
    differences = []
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if value == getattr(preset, field.name):
            continue
        if field.name == "augmentation":
            differences.append("no augmentation" if value == NO_AUGMENTATION else "other augmentation")
        else:
            label = LABELS.get(field.name, field.name.replace("_", " "))
            differences.append(f"{label} {value:,}" if isinstance(value, int) else f"{label} {value}")
    return differences


def _time(date: datetime) -> str:
    """The time for people, without the day if it is today."""
    return f"{date:%H:%M:%S}" if date.date() == datetime.now().date() else f"{date.day} {date:%b %H:%M:%S}"


def _date(run: Run) -> datetime:
    """The run's start according to its id, else its folder."""
    try:
        return datetime.strptime("-".join(run.id.split("-")[:2]), "%Y%m%d-%H%M%S")
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp(run.folder.stat().st_mtime)
    except OSError:
        return datetime.fromtimestamp(0)
