"""Runs at a glance: what each was asked to do, how it goes, and what came of it. For the pages, and for notebooks.

Anybody may edit, cut off or delete a run's files, at any moment. What is damaged is left out and said in a sentence;
nothing here raises an error for it.
"""

import math
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from atelier.recipe import NO_AUGMENTATION, Recipe
from atelier.runs import history
from atelier.runs.folder import UNFINISHED, Run, RunError, Stamp, read_recipe
from atelier.runs.history import EVENT, believable
from atelier.zoo import MODELS

ACTIVE = ("queued", "running")
PLACES = ("auto", "cpu", "cuda", "mps")

LABELS = {"train_size": "training digits", "validation_size": "validation digits"}  # where a field's name says less


@dataclass(frozen=True)
class Summary:
    """A run at a glance."""

    run: Run
    name: str  # what a person calls it; else network and time. In `summaries`, no two have the same
    model: str  # its name in MODELS; "" if that is not known
    network: str  # what it trains, for people
    recipe: Recipe | None  # None if it is not known
    sizes: dict[str, Any]  # those that the Train page offers, as this run has them
    changes: str  # the preset that is nearest, and what differs from it
    accuracy: float | None  # 0 to 1
    measured_on: str  # "test", "validation" (the best so far) or ""
    seconds: float | None  # of training and validation
    place: str  # the device that was asked for, one of PLACES
    device: str  # and its name
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
    """All runs of a folder, newest first. Runs of the same name have the last letters of their ids behind it."""
    found = [summary for run in Run.all(runs) if (summary := summarise(run))]
    names = Counter(summary.name for summary in found)
    return [
        replace(summary, name=f"{summary.name[:53]} ({summary.id[-4:]})") if names[summary.name] > 1 else summary
        for summary in found
    ]


def summarise(run: Run) -> Summary | None:
    """None if the run's folder has just been deleted."""
    problems: list[str] = []
    config, result = (_content(run, name, problems) for name in ("config.json", "result.json"))
    if not config and not problems:
        problems.append(f"config.json of run {run.id} is missing.")
    model = config.get("model") if isinstance(config.get("model"), str) else ""
    recipe = _recipe(config)
    if config and recipe is None and not config.get("uploaded"):
        problems.append(f"config.json of run {run.id} is damaged.")
    if config and model not in MODELS:
        problems.append(f"This page does not know the network {model!r}.")
    told = history.read(run)
    problems += [told.problem] * bool(told.problem)
    sizes = _sizes(model, config.get("network"))
    network = MODELS[model].title if model in MODELS else (model or "unknown")[:40]
    accuracy, measured_on = _accuracy(result, told.events)
    seconds = believable(result.get("seconds"), EVENT["seconds"])
    if seconds is None and len(told.events):
        seconds = float(told.events.seconds.iloc[-1])
    state, reason = status(run)
    if not run.folder.is_dir():
        return None
    return Summary(
        run=run,
        name=name(run, network),
        model=model if model in MODELS else "",
        network=network,
        recipe=recipe,
        sizes=sizes,
        changes=changes(model, recipe, sizes) if model in MODELS and recipe else "not known",
        accuracy=accuracy,
        measured_on=measured_on,
        seconds=seconds,
        place=config.get("device") if config.get("device") in PLACES else "auto",
        device=str(config.get("device_name", ""))[:80],
        date=_date(run),
        state=state,
        reason=reason,
        problem=problems[0] if problems else "",
        has_weights=run.path("best.safetensors").is_file(),
    )


def name(run: Run, network: str) -> str:
    """What a person calls it; until somebody has named it, its network (as people read it) and when it was created."""
    return run.name[:60] if run.name != run.id else f"{network} {_time(_date(run))}"


def signs(runs: Path) -> dict[str, tuple[str, Stamp, Stamp]]:
    """By run: its state, and the stamps of its best checkpoint and its name. Quickly told; if nothing of these has
    changed, a page's buttons and its table are as they were."""
    return {run.id: (status(run)[0], run.stamp("best.safetensors"), run.stamp("name.json")) for run in Run.all(runs)}


def status(run: Run) -> tuple[str, str]:
    """One of STATES, and the reason."""
    try:
        state, reason = run.status()
    except (OSError, RecursionError) as error:
        return "failed", f"The run's folder cannot be read ({getattr(error, 'strerror', None) or 'damaged'})."
    return state, str(reason)[:400]


def prepared(run: Run) -> float | None:
    """How far a run is with what it has to prepare, 0 to 1; None if it prepares nothing."""
    return believable(_content(run, "status.json", []).get("share"), 1.0)


def table(summaries: list[Summary]) -> pd.DataFrame:
    """A row a run, with the fields of Summary that people want to compare."""
    shown = ("name", "accuracy", "state", "network", "changes", "seconds", "measured_on", "device", "date", "problem")
    rows = [[getattr(summary, field) for field in shown] for summary in summaries]
    return pd.DataFrame(rows, columns=shown, index=[summary.id for summary in summaries])


def changes(model: str, recipe: Recipe, sizes: dict[str, Any]) -> str:
    """The preset that a recipe is nearest to, and where it differs: "Demo, epochs 2, training digits 3,000"."""
    told = {preset: _differences(recipe, usual) for preset, usual in MODELS[model].presets.items()}
    preset = min(told, key=lambda preset: len(told[preset]))
    sized = [
        f"{size.replace('_', ' ')} {sizes[size]}"
        for size, usual in MODELS[model].default_sizes.items()
        if sizes[size] != usual
    ]
    return ", ".join([preset.capitalize(), *told[preset], *sized])


def _differences(recipe: Recipe, usual: Recipe) -> list[str]:
    told = []
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if value == getattr(usual, field.name):
            continue
        if field.name == "augmentation":
            told.append("no augmentation" if value == NO_AUGMENTATION else "other augmentation")
        else:
            name = LABELS.get(field.name, field.name.replace("_", " "))
            told.append(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}")
    return told


def curves(summaries: list[Summary]) -> pd.DataFrame:
    """The events of several runs, as `figures.curves` takes them."""
    told = [pd.DataFrame(columns=["split", *EVENT, "run", "model"])]
    for summary in summaries:
        events = history.read(summary.run).events
        if summary.model and len(events):
            told.append(events.assign(run=summary.name, model=summary.model))
    return pd.concat(told[1:] or told)


# Parts ---------------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """For people: "8 s", "2 min 30 s", "1 h 5 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def _content(run: Run, name: str, problems: list[str]) -> dict[str, Any]:
    """A JSON file of a run; what is wrong with it goes to `problems`."""
    try:
        return run.read(name)
    except RunError as error:
        problems.append(str(error))
        return {}


def _recipe(config: dict[str, Any]) -> Recipe | None:
    """None if it is missing or damaged."""
    try:
        recipe = read_recipe(config)
    except RunError:
        return None
    usual = Recipe(epochs=1)
    pairs = [(getattr(recipe, f.name), getattr(usual, f.name)) for f in fields(Recipe) if f.name != "augmentation"]
    pairs += [(limit, 0.0) for limit in asdict(recipe.augmentation).values()]
    return recipe if all(_is_like(value, like) for value, like in pairs) else None


def _sizes(model: str, built: object) -> dict[str, Any]:
    """What a config's "network" says of the sizes that the Train page offers."""
    said = built if isinstance(built, dict) else {}
    return {
        size: said[size] if type(said.get(size)) is type(usual) else usual
        for size, usual in (MODELS[model].default_sizes if model in MODELS else {}).items()
    }


def _accuracy(result: dict[str, Any], events: pd.DataFrame) -> tuple[float | None, str]:
    """On the test digits; before there is that, the best on the validation digits."""
    if (tested := believable(result.get("accuracy"), 1.0)) is not None:
        return tested, "test"
    validated = events[events.split == "val"].accuracy
    best = float(validated.max()) if len(validated) else believable(result.get("validation_accuracy"), 1.0)
    return best, "" if best is None else "validation"


def _is_like(value: object, like: object) -> bool:
    if isinstance(like, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(like) and (not isinstance(value, int) or abs(value) < 10**9)


def _time(date: datetime) -> str:
    """Of today the time alone."""
    return f"{date:%H:%M:%S}" if date.date() == datetime.now().date() else f"{date.day} {date:%b %H:%M:%S}"


def _date(run: Run) -> datetime:
    """When it was created: its id says so, else its folder."""
    try:
        return datetime.strptime("-".join(run.id.split("-")[:2]), "%Y%m%d-%H%M%S")
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp(run.folder.stat().st_mtime)
    except OSError:
        return datetime.fromtimestamp(0)
