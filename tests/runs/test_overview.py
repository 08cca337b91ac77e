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


def test_stopped_run_is_summarised(run):
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


def test_finished_run_has_its_test_accuracy(run):
    run.write("result.json", {"accuracy": 0.9921, "seconds": 33.5, "validation_accuracy": 0.99})
    summary = overview.summarise(run)
    assert (summary.accuracy, summary.measured_on, summary.seconds) == (0.9921, "test", 33.5)


@pytest.mark.parametrize(
    ("model", "recipe", "network", "changes"),
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
def test_changes_name_the_nearest_preset_and_the_differences(tmp_path, model, recipe, network, changes):
    assert overview.summarise(Run.create(tmp_path, config(model, recipe, **network))).changes == changes


def test_table_has_the_newest_run_first(tmp_path):
    for time in ("20260101-120000", "20260102-120000"):
        shutil.move(Run.create(tmp_path, config()).folder, tmp_path / f"{time}-cnn-abcd")
    table = overview.table(overview.summaries(tmp_path))
    assert list(table.date) == [datetime(2026, 1, 2, 12), datetime(2026, 1, 1, 12)]
    assert list(table.changes) == ["Demo", "Demo"]
    assert overview.table([]).empty


def test_runs_with_the_same_name_get_different_ones(run, tmp_path):
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
    curves = overview.curves(found)
    assert set(curves.run) == {names[run.id], names[twin.id]}
    assert set(curves.model) == {"cnn"}
    assert len(curves) == 7
    assert overview.curves([]).empty


def test_run_of_another_day_has_the_date_in_its_name(tmp_path):
    shutil.move(Run.create(tmp_path, config()).folder, tmp_path / "20260102-120000-cnn-abcd")
    (summary,) = overview.summaries(tmp_path)
    assert summary.name == "CNN 2 Jan 12:00:00"


def test_signs_change_with_name_and_weights_only(run, tmp_path):
    signs = [overview.signs(tmp_path)]
    run.rename("Anna's")
    signs.append(overview.signs(tmp_path))
    run.path("best.safetensors").write_bytes(b"better weights")
    signs.append(overview.signs(tmp_path))
    run.append(event(450))  # the curve is followed without
    assert overview.signs(tmp_path) == signs[2] != signs[1] != signs[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min"), (150, "2 min 30 s"), (3599.6, "1 h"), (3900, "1 h 5 min")],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert overview.duration(seconds) == text


# Damage --------------------------------------------------------------------------------------------------------------

DAMAGED_CONFIGS = {
    "cut off": '{"model": "cnn", "recipe"',
    "empty": "",
    "a list": "[1, 2]",
    "deep": "[" * 100_000,
    "no recipe": json.dumps({"model": "cnn"}),
    "model a list": json.dumps(config() | {"model": ["cnn"]}),
    "another model": json.dumps(config() | {"model": "vgg16-backbone"}),
    "recipe a list": json.dumps(config() | {"recipe": [1]}),
    "recipe of words": json.dumps(config() | {"recipe": {field.name: "many" for field in fields(Recipe)}}),
    "epochs not a number": json.dumps(config() | {"recipe": asdict(DEMO) | {"epochs": float("nan")}}),
    "epochs half": json.dumps(config() | {"recipe": asdict(DEMO) | {"epochs": 2.5}}),
    "endless epochs": json.dumps(config() | {"recipe": asdict(DEMO) | {"epochs": 10**400}}),
    "augmentation of words": json.dumps(config() | {"recipe": asdict(DEMO) | {"augmentation": {"rotation": "x"}}}),
    "network a word": json.dumps(config() | {"network": "deep", "recipe": None}),
}


@pytest.mark.parametrize("content", DAMAGED_CONFIGS.values(), ids=DAMAGED_CONFIGS)
def test_damaged_config_is_a_problem_in_the_table(run, tmp_path, content):
    run.path("config.json").write_text(content)
    (summary,) = overview.summaries(tmp_path)
    assert summary.problem
    assert not (summary.model and summary.recipe)
    assert not summary.resumable
    overview.table([summary])
    overview.curves([summary])


def test_recipe_of_an_older_version_is_read(run):
    recipe = asdict(DEMO)
    recipe["averaging"] = recipe.pop("ema_decay")
    run.write("config.json", config() | {"recipe": recipe})
    assert overview.summarise(run).recipe == DEMO


FILES = ("config.json", "result.json", "status.json", "name.json", "metrics.jsonl", "lock")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"null", b'{"a": NaN}', None], ids=range(7)
)
def test_every_file_may_be_damaged_missing_or_a_folder(run, tmp_path, content):
    run.set_status("running")
    for name in FILES:
        path, before = run.path(name), run.path(name).read_bytes() if run.path(name).is_file() else None
        path.unlink(missing_ok=True)
        assert len(overview.summaries(tmp_path)) == 1
        path.unlink(missing_ok=True)
        path.mkdir() if content is None else path.write_bytes(content)
        (summary,) = overview.summaries(tmp_path)
        assert overview.signs(tmp_path)[run.id][0] == summary.state
        assert history.to_csv(run).startswith("split,")
        path.rmdir() if content is None else path.unlink()
        if before is not None:
            path.write_bytes(before)


def test_reason_of_another_type_becomes_text(run):
    run.write("status.json", {"state": "failed", "reason": {"why": [1]}})
    assert overview.status(run) == ("failed", "{'why': [1]}")


def test_run_deleted_meanwhile_is_left_out(run):
    shutil.rmtree(run.folder)
    assert overview.summarise(run) is None
    assert history.read(run).events.empty
    assert snapshots.read(run) == {}


def test_folder_of_runs_may_be_missing(tmp_path):
    assert overview.summaries(tmp_path / "nowhere") == []
    assert overview.signs(tmp_path / "nowhere") == {}
