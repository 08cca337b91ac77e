"""One run while it trains: its buttons, its numbers and its figures."""

import shutil

import numpy as np
import pytest

from atelier import MODELS
from atelier.figures import panels
from atelier.runs import snapshots
from pages.views.train import run_figures, run_view
from tests.support.train_page import SNAPSHOT, enabled, fabricate, press, run_state

RUN_BUTTONS = {"run_pause", "run_resume", "run_stop", "run_use", "run_delete"}
ENABLED = {  # by state
    "queued": {"run_pause", "run_stop", "run_use"},
    "running": {"run_pause", "run_stop", "run_use"},
    "paused": {"run_resume", "run_use", "run_delete"},
    "interrupted": {"run_resume", "run_use", "run_delete"},
    "stopped": {"run_resume", "run_use", "run_delete"},
    "failed": {"run_resume", "run_use", "run_delete"},
    "done": {"run_use", "run_delete"},
}


@pytest.mark.parametrize("state", ENABLED)
def test_only_possible_actions_are_enabled(train, state):
    run = fabricate(state=state)
    with run.lock():
        train.run()
    assert not train.exception
    assert run_state(train) == state
    assert enabled(train) & RUN_BUTTONS == ENABLED[state]


@pytest.mark.parametrize("request_", ["pause", "stop"])
def test_running_run_receives_a_request(train, text, request_):
    run = fabricate(state="running")
    with run.lock():
        press(train.run(), f"run_{request_}")
        assert run.requested() == request_
        assert run_view.REQUESTED[request_] in text(train, "run_state")


def test_stopped_run_is_resumed(train, launched):
    run = fabricate(state="stopped")
    press(train.run(), "run_resume")
    assert launched == [run.id]
    assert run_state(train) == "queued"


def test_button_of_a_run_that_has_ended_meanwhile_gives_the_reason(train):
    run = fabricate(state="running")
    with run.lock():
        train.run()
    run.set_status("done")
    press(train, "run_pause")
    assert len(train.toast) == 1
    assert run.requested() == ""


def test_run_is_used_on_all_pages_and_the_ready_made_network_again(train, keys):
    other, run = fabricate("cnn"), fabricate("cnn")
    train.query_params["run"] = run.id
    press(train.run(), "run_use")
    assert train.query_params["cnn"] == run.id
    assert train.session_state["chosen_runs"] == {"cnn": run.id}
    assert "run_in_use" in keys(train)
    assert [bool(used) for used in train.dataframe[0].value.used[[run.id, other.id]]] == [True, False]
    train.selectbox(key="run").set_value(other.id).run()  # the way back is on every run of this network
    press(train, "run_use_ready_made")
    assert "cnn" not in train.query_params
    assert "used" not in train.dataframe[0].value
    assert "run_use" in enabled(train)


def test_running_run_of_another_visitor_is_one_click_away(train):
    running, done = fabricate("vit", "running"), fabricate("cnn")
    train.query_params["run"] = done.id
    with running.lock():
        press(train.run(), "run_watch")
        assert run_state(train) == "running"


@pytest.fixture
def drawn(monkeypatch):
    """The figures of the page, by key."""
    figures = {}
    monkeypatch.setattr(run_figures, "live_figure", lambda figure, key, *_: figures.update({key: figure}))
    return figures


def test_figures_follow_the_run_and_keep_their_keys(train, drawn):
    run = fabricate(state="running")
    with run.lock():
        train.run()
        before = dict(drawn)
        names = ("loss", "accuracy", "rate", "predictions", "confusion", "filters")
        assert before.keys() == {f"{name}_{run.id}" for name in names}
        train.run()
        assert drawn == before  # nothing is sent again
        event = {"step": 50, "epoch": 2.5, "seconds": 16.0, "loss": 0.1, "accuracy": 0.5, "learning_rate": 0.05}
        run.append({"split": "train", **event, "images_per_second": 10.0})
        run.append({"split": "val", **event, "images_per_second": 10.0, "confusion": [[1] * 10] * 10})
        snapshots.write(run, SNAPSHOT | {"filters": np.zeros((16, 5, 5), np.float32)})
        train.run()
    assert drawn.keys() == before.keys()
    assert [key.split("_")[0] for key in drawn if drawn[key] == before[key]] == ["predictions"]
    metrics = {metric.label: metric.value for metric in train.metric}
    shown = [metrics[run_view.METRICS[name]] for name in ("val", "elapsed", "images_per_second", "learning_rate")]
    assert shown == ["50.00%", "16 s", "10", "0.05"]
    assert metrics[run_view.METRICS["left"]] == "10 s"  # 1.5 epochs at the pace of the last: 7 s


def test_figure_is_drawn_once_for_all_visitors(train, drawn, monkeypatch):
    run = fabricate()
    train.run()
    before = dict(drawn)
    monkeypatch.setattr(run_figures, "curve_figures", None)
    monkeypatch.setattr(run_figures, "figures", None)
    train.run()
    assert not train.exception
    assert drawn == before
    assert f"loss_{run.id}" in drawn


@pytest.mark.parametrize("changes", [{"vgg16": True}, {"cnn": False}])
def test_filters_of_fine_tuned_networks_are_changes_since_the_start(train, drawn, changes):
    ((model, expected),) = changes.items()
    run, filters = fabricate(model, epochs=1), np.zeros((24, 3, 3), np.float32)
    snapshots.write(run, {"filters": filters})
    train.run()
    assert not train.exception
    assert drawn[f"filters_{run.id}"] == panels.filters(filters, MODELS[model].colour, expected).to_json()


ODD = {  # arrays of a snapshot: the figure that cannot be drawn from them
    "digits in another unit": (SNAPSHOT | {"digits": np.zeros((12, 28, 28))}, "predictions"),
    "fewer labels": (SNAPSHOT | {"labels": np.arange(3)}, "predictions"),
    "no filters": ({"filters": np.zeros((0, 5, 5), np.float32)}, "filters"),
    "filters of text": ({"filters": np.array([[["a"]]])}, "filters"),
    "positions that make no square": ({"positions": np.zeros((5, 3), np.float32)}, "positions"),
    "attention without patches": (SNAPSHOT | {"attention": np.zeros(12, np.float32)}, "attention"),
    "a box with three corners": (
        {
            "scene": np.zeros((40, 90), np.uint8),
            "boxes": np.ones((2, 3)),
            "box_labels": np.ones(2),
            "scores": np.ones(2),
        },
        "boxes",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_snapshot_is_named_and_other_figures_stay(train, keys, what):
    arrays, damaged = ODD[what]
    run = fabricate()
    snapshots.write(run, arrays)
    train.run()
    assert not train.exception
    assert f"damaged_{damaged}" in keys(train)
    assert f"confusion_{run.id}" in keys(train)


def test_other_runs_are_compared_and_the_link_carries_ids_and_keys(train, drawn):
    other, run = fabricate("vit"), fabricate("cnn")
    train.query_params["run"] = run.id
    train.run()
    loss = f"loss_{run.id}"
    assert MODELS["vit"].colour not in drawn[loss]
    train.multiselect(key="compare").set_value([other.id]).run()
    assert MODELS["vit"].colour in drawn[loss]
    before = drawn[loss]
    train.segmented_control(key="over").set_value("step").run()
    assert drawn[loss] != before
    train.toggle(key="log").set_value(True).run()
    assert '"type":"log"' in drawn[loss].replace(" ", "")
    assert train.query_params["compare"] == other.id
    assert train.query_params["over"] == "step"
    shutil.rmtree(other.folder)
    train.run()
    assert not train.exception
    assert train.multiselect(key="compare").value == []
    assert "compare" not in train.query_params


@pytest.mark.parametrize("state", ["queued", "running"])
def test_run_without_events_shows_its_reason(train, text, state):
    run = fabricate(state=state, epochs=0)
    run.set_status(state, "Computes frozen features.")
    with run.lock():
        train.run()
    assert not train.exception
    assert run_state(train) == state
    assert text(train, "run_state").endswith("Computes frozen features.")
    assert not train.metric


def test_bar_shows_preparations_only_before_the_first_step(train):
    run = fabricate(state="running", epochs=0)

    def bar():
        (progress,) = train.run().get("progress")
        assert not train.exception
        return progress.proto.value, "220" in progress.proto.text

    with run.lock():
        assert bar() == (0, False)
        run.set_status("running", "Downloads the ImageNet weights.", 132 / 528)
        assert bar() == (25, False)
        run.append({"split": "train", "step": 220, "epoch": 1, "seconds": 3.0, "loss": 1.0, "accuracy": 0.9})
        run.set_status("running", "Computes frozen features.", 0.5)  # of the next epoch
        assert bar() == (25, True)
