"""Runs at a glance, whole ones and damaged ones."""

import json
import shutil
from dataclasses import asdict, fields, replace
from datetime import datetime

import pytest

from atelier import MODELS
from atelier.recipe import Recipe
from atelier.runs import history, overview, snapshots
from atelier.runs.folder import Run
from tests.support.made_runs import DEMO, config, event, stopped


@pytest.fixture
def run(tmp_path):
    return stopped(tmp_path)


def test_a_stopped_run_at_a_glance(run):
    summary = overview.summarise(run)
    assert (summary.id, summary.model, summary.network) == (run.id, "cnn", "CNN")
    assert (summary.accuracy, summary.measured_on) == (0.97, "validation")  # the best, not the last
    assert summary.seconds == 44
    assert (summary.state, summary.problem, summary.device) == ("stopped", "", "2 CPU cores")
    assert summary.resumable
    assert summary.usable
    assert not summary.active
    assert abs(datetime.now() - summary.date).total_seconds() < 60
    assert summary.name == f"CNN {summary.date:%H:%M:%S}"
    run.rename("Anna's")
    assert overview.summarise(run).name == "Anna's"


def test_a_finished_run_counts_on_test_digits(run):
    run.write("result.json", {"accuracy": 0.9921, "seconds": 33.5, "validation_accuracy": 0.99})
    summary = overview.summarise(run)
    assert (summary.accuracy, summary.measured_on, summary.seconds) == (0.9921, "test", 33.5)


@pytest.mark.parametrize(
    ("model", "recipe", "network", "told"),
    [
        ("cnn", DEMO, {}, "Demo"),
        ("cnn", MODELS["cnn"].presets["full"], {}, "Full"),
        ("cnn", replace(DEMO, epochs=2, seed=7), {}, "Demo, epochs 2, seed 7"),
        ("cnn", replace(DEMO, train_size=3_000), {}, "Demo, training digits 3,000"),
        ("vgg16", MODELS["vgg16"].presets["full"], {"backbone": "none", "thawed": 1}, "Full, backbone none"),
        ("vit", MODELS["vit"].presets["demo"], {"patch_size": 7}, "Demo, patch size 7"),
        ("cnn", replace(DEMO, augmentation=overview.NO_AUGMENTATION), {}, "Demo, no augmentation"),
    ],
)
def test_a_recipe_is_told_by_what_differs_from_the_nearest_preset(tmp_path, model, recipe, network, told):
    assert overview.summarise(Run.create(tmp_path, config(model, recipe, **network))).changes == told


def test_the_table_has_the_newest_run_first(tmp_path):
    for time in ("20260101-120000", "20260102-120000"):
        shutil.move(Run.create(tmp_path, config()).folder, tmp_path / f"{time}-cnn-abcd")
    table = overview.table(overview.summaries(tmp_path))
    assert list(table.date) == [datetime(2026, 1, 2, 12), datetime(2026, 1, 1, 12)]
    assert list(table.changes) == ["Demo", "Demo"]
    assert overview.table([]).empty


def test_runs_of_the_same_name_are_told_apart(run, tmp_path):
    twin, other = Run.create(tmp_path, config()), Run.create(tmp_path, config())
    twin.append(event(110))
    for each in (run, twin):
        each.rename("twin " + 60 * "i")
    other.rename("other")
    found = overview.summaries(tmp_path)
    names = {summary.id: summary.name for summary in found}
    assert len(set(names.values())) == 3
    assert names[twin.id].endswith(f"({twin.id[-4:]})")
    assert len(names[twin.id]) == 60  # what a name may have
    assert names[other.id] == "other"
    told = overview.curves(found)
    assert set(told.run) == {names[run.id], names[twin.id]}
    assert set(told.model) == {"cnn"}
    assert len(told) == 7
    assert overview.curves([]).empty


def test_a_run_of_another_day_has_the_date_in_its_name(tmp_path):
    shutil.move(Run.create(tmp_path, config()).folder, tmp_path / "20260102-120000-cnn-abcd")
    (summary,) = overview.summaries(tmp_path)
    assert summary.name == "CNN 2 Jan 12:00:00"


def test_a_new_name_or_better_weights_are_noticed(run, tmp_path):
    seen = [overview.signs(tmp_path)]
    run.rename("Anna's")
    seen.append(overview.signs(tmp_path))
    run.path("best.safetensors").write_bytes(b"better weights")
    seen.append(overview.signs(tmp_path))
    run.append(event(450))  # the curve is followed without
    assert overview.signs(tmp_path) == seen[2] != seen[1] != seen[0]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min"), (150, "2 min 30 s"), (3599.6, "1 h"), (3900, "1 h 5 min")],
)
def test_durations_are_told_as_people_do(seconds, told):
    assert overview.duration(seconds) == told


# Damage --------------------------------------------------------------------------------------------------------------

BAD_CONFIGS = {
    "cut off": '{"model": "cnn", "recipe"',
    "empty": "",
    "a list": "[1, 2]",
    "no text": b"\xff\xfe\x00",
    "deep": "[" * 100_000,
    "no recipe": json.dumps({"model": "cnn"}),
    "no model": json.dumps(config() | {"model": None}),
    "model a list": json.dumps(config() | {"model": ["cnn"]}),
    "another model": json.dumps(config() | {"model": "vgg16-backbone"}),
    "recipe a list": json.dumps(config() | {"recipe": [1]}),
    "recipe of words": json.dumps(config() | {"recipe": {field.name: "many" for field in fields(Recipe)}}),
    "epochs not a number": json.dumps(config() | {"recipe": asdict(DEMO) | {"epochs": float("nan")}}),
    "epochs half": json.dumps(config() | {"recipe": asdict(DEMO) | {"epochs": 2.5}}),
    "endless epochs": json.dumps(config() | {"recipe": asdict(DEMO) | {"epochs": 10**400}}),
    "augmentation of words": json.dumps(config() | {"recipe": asdict(DEMO) | {"augmentation": {"rotation": "x"}}}),
    "network a word": json.dumps(config() | {"network": "deep", "recipe": None}),
    "device a list": json.dumps(config() | {"device_name": [1], "recipe": {}}),
}


@pytest.mark.parametrize("content", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_damaged_config_is_a_sentence_in_the_table(run, tmp_path, content):
    run.path("config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    (summary,) = overview.summaries(tmp_path)
    assert summary.problem.endswith(".")
    assert not (summary.model and summary.recipe)
    assert not summary.resumable
    overview.table([summary])
    overview.curves([summary])


@pytest.mark.parametrize("step", ["many", None, [1], {}, float("nan"), -1, 10**400], ids=lambda step: str(step)[:9])
def test_a_damaged_step_raises_nothing(run, step):
    run.append(event(441) | {"step": step})
    run.append(event(450))
    summary, told = overview.summarise(run), history.read(run)
    assert summary.state == "stopped"
    assert summary.problem or told.events.step.iloc[-1] == 450


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"null", b'{"a": NaN}'])
@pytest.mark.parametrize("name", ["config.json", "result.json", "status.json", "name.json", "metrics.jsonl"])
def test_any_file_may_hold_anything(run, tmp_path, name, content):
    run.path(name).write_bytes(content)
    (summary,) = overview.summaries(tmp_path)
    assert overview.signs(tmp_path)[run.id][0] == summary.state
    assert summary.problem or name in ("status.json", "name.json", "metrics.jsonl") or content == b'{"a": NaN}'


@pytest.mark.parametrize("name", ["config.json", "result.json", "status.json", "name.json", "metrics.jsonl", "lock"])
def test_any_file_may_be_a_folder_or_gone(run, tmp_path, name):
    run.set_status("running")
    run.path(name).unlink(missing_ok=True)
    assert len(overview.summaries(tmp_path)) == 1
    run.path(name).unlink(missing_ok=True)
    run.path(name).mkdir()
    assert len(overview.summaries(tmp_path)) == 1
    assert overview.signs(tmp_path).keys() == {run.id}
    assert history.to_csv(run).startswith("split,")


def test_a_reason_that_is_no_text_is_told(run):
    run.write("status.json", {"state": "failed", "reason": {"why": [1]}})
    assert overview.status(run) == ("failed", "{'why': [1]}")


def test_a_run_deleted_while_it_is_read_is_left_out(run):
    shutil.rmtree(run.folder)
    assert overview.summarise(run) is None
    assert history.read(run).events.empty
    assert snapshots.read(run) == {}


def test_there_may_be_no_folder_of_runs(tmp_path):
    assert overview.summaries(tmp_path / "nowhere") == []
    assert overview.signs(tmp_path / "nowhere") == {}
