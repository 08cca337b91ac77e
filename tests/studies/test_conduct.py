"""A study loses no measured point when it is killed or paused, its files are torn or the disk is full."""

import os
import resource
import signal
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from plotly.graph_objects import Figure

from atelier import paths
from atelier.__main__ import main
from atelier.runs import jobs
from atelier.runs.folder import LOG, Run, RunError
from atelier.runs.worker import StopRequested, supervise
from atelier.studies import STUDIES, conduct, results
from atelier.studies.study import ACCURACY, NETWORK, SEED, Column, Findings, Study
from atelier.zoo import MODELS

NETWORKS = ("cnn", "vit")


def measure(point, device):
    """Random numbers: they are the same only if the state of the generator is."""
    yield None
    yield {"accuracy": torch.rand(()).item(), "note": "", "digits": 10, "guess": np.full(3, len(point["network"]))}


TINY = Study(
    name="tiny",
    title="Tiny",
    question="Is it small?",
    choices={"yes": "Yes", "no": "No"},
    method="We measure it.",
    columns={
        "network": NETWORK,
        "size": Column("Size"),
        "seed": SEED,
        "accuracy": ACCURACY,
        "note": Column("Note", "text"),
        "digits": Column("Digits"),
    },
    points=lambda quick: [{"network": n, "size": s, "seed": 0} for n in NETWORKS for s in ((1,) if quick else (1, 2))],
    measure=measure,
    findings=lambda table: Findings("yes", (f"{len(table)} rows.", "No more.")),
    figure=lambda table: Figure(),
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(STUDIES, "tiny", TINY)
    monkeypatch.setattr(paths, "RUNS", tmp_path)


def new_run(folder, **changes):
    return conduct.prepare(conduct.new_config("tiny", False, "cpu") | changes, folder)


def carry_out(run):
    """Conduct a study as the command line does."""
    return list(supervise(run, "cpu", lambda: conduct.conduct(run)))


@pytest.fixture
def undisturbed(tmp_path):
    """The results of a study without any problem."""
    run = new_run(tmp_path / "undisturbed")
    carry_out(run)
    return results.read(run.folder, "tiny")


def pause_after(run, done):
    """Conduct a study until so many points are measured, then pause it."""
    steps = supervise(run, "cpu", lambda: conduct.conduct(run))
    while next(steps).done < done:
        pass
    jobs.request(run, "pause")
    with pytest.raises(StopRequested):
        list(steps)


def check_same(run, undisturbed):
    assert run.status() == ("done", "")
    result = results.read(run.folder, "tiny")
    pd.testing.assert_frame_equal(result.table, undisturbed.table)
    assert result.predictions.keys() == undisturbed.predictions.keys() == {"cnn_guess", "vit_guess"}
    assert (result.provenance.points, result.provenance.of, result.provenance.finished) == (4, 4, True)
    assert not list(run.folder.glob("*.tmp"))


def test_finished_study_leaves_table_provenance_and_arrays(undisturbed):
    table, provenance = undisturbed.table, undisturbed.provenance
    assert list(table) == list(TINY.columns)
    assert table.network.tolist() == ["cnn", "cnn", "vit", "vit"]
    assert table.note.tolist() == [""] * 4
    assert (undisturbed.predictions["vit_guess"] == 3).all()
    assert (provenance.study, provenance.device, provenance.seeds, provenance.rows) == ("tiny", "cpu", [0], 4)
    assert provenance.weights.keys() == set(NETWORKS)
    assert provenance.versions.keys() >= {"python", "torch"}
    assert provenance.command == "python -m atelier study tiny --device cpu"
    assert results.outdated(provenance) == []
    assert results.outdated(replace(provenance, weights={"cnn": "others", "deleted run": "any"})) == ["cnn"]


@pytest.mark.slow
@pytest.mark.parametrize("within_a_point", [True, False])
def test_killed_study_resumes_to_the_same_table(within_a_point, tmp_path, undisturbed):
    run = new_run(tmp_path)
    for done in (1, 2):
        if (child := os.fork()) == 0:
            for progress in supervise(run, "cpu", lambda: conduct.conduct(run)):
                if progress.done == done and bool(progress.point) == within_a_point:
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert conduct.progress(run)[:3] == (done, 4, "interrupted")
        half = results.read(run.folder, "tiny")
        assert (len(half.table), half.provenance.finished) == (done, False)
    assert conduct.prepare(run.read("config.json"), tmp_path).id == run.id  # the same command resumes it
    carry_out(run)
    check_same(run, undisturbed)


def test_torn_line_and_damaged_results_are_measured_again(tmp_path, undisturbed):
    run = new_run(tmp_path)
    carry_out(run)
    points = run.path(conduct.POINTS)
    points.write_bytes(points.read_bytes()[:-30])
    run.path("tiny.csv").write_text("network,si")
    run.path("tiny.json").write_text("{")
    run.set_status("interrupted")
    assert conduct.progress(run)[:2] == (3, 4)
    carry_out(run)
    check_same(run, undisturbed)


def test_study_fails_on_a_full_disk_and_resumes_later(tmp_path, undisturbed):
    run = new_run(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))  # bytes a file may grow to
    try:
        with pytest.raises(OSError, match="too large"):
            carry_out(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.status()[0] == "failed"
    assert run.status()[1]
    carry_out(run)
    check_same(run, undisturbed)


def test_study_can_be_paused_and_resumed(tmp_path, undisturbed):
    run = new_run(tmp_path)
    pause_after(run, 2)
    assert conduct.progress(run) == (2, 4, "paused", "")
    carry_out(run)
    check_same(run, undisturbed)


def test_two_processes_do_not_conduct_the_same_run(tmp_path):
    run = new_run(tmp_path)
    with run.lock():
        with pytest.raises(RunError, match="by another process"):
            carry_out(run)
        other = conduct.prepare(run.read("config.json"), tmp_path)
    assert other.id != run.id


def test_study_started_twice_runs_once(tmp_path, monkeypatch):
    launched = []
    monkeypatch.setattr(conduct, "draw_ticket", lambda device: "ticket")
    monkeypatch.setattr(jobs, "in_background", lambda arguments, log: launched.append(arguments))
    first, second = (conduct.start("tiny", quick=True, device="cpu") for _ in range(2))
    assert first.id == second.id
    assert len(launched) == 1
    assert launched[0][:4] == ["study", "tiny", "--resume", first.id]
    assert conduct.progress(first) == (0, 2, "queued", "")
    first.set_status("paused")
    conduct.resume(first)
    assert len(launched) == 2
    first.set_status("done")
    with pytest.raises(RunError):
        conduct.resume(first)
    assert conduct.start("tiny", quick=True, device="cpu").id != first.id


def test_changed_weights_need_a_new_study(tmp_path):
    run = new_run(tmp_path, weights={"cnn": "others", "vit": "others"})
    run.set_status("paused")
    assert new_run(tmp_path).id != run.id
    with pytest.raises(RunError, match="its weights changed"):
        carry_out(run)


def test_points_of_another_device_are_measured_again(tmp_path, monkeypatch):
    environment = conduct.environment_of("cpu")
    monkeypatch.setattr(conduct, "environment_of", lambda device: environment | {"device_name": "Old"})
    run = new_run(tmp_path)
    pause_after(run, 2)
    monkeypatch.setattr(conduct, "environment_of", lambda device: environment | {"device_name": "New"})
    carry_out(run)
    assert [line["device_name"] for line in conduct.read_lines(run)] == ["Old"] * 2 + ["New"] * 4
    assert results.read(run.folder, "tiny").provenance.device_name == "New"


def test_resume_repeats_points_with_a_note(tmp_path, monkeypatch):
    available, tried = {"cnn"}, []

    def measure(point, device):
        tried.append(point["network"])
        note = "" if point["network"] in available else "Its weights are not here."
        yield {"accuracy": float("nan") if note else 0.5, "note": note, "digits": 10}

    monkeypatch.setitem(STUDIES, "tiny", replace(TINY, measure=measure))
    run = new_run(tmp_path)
    carry_out(run)
    assert conduct.progress(run) == (4, 4, "done", "")
    available.add("vit")
    carry_out(run)
    assert tried == ["cnn", "cnn", "vit", "vit", "vit", "vit"]
    assert results.read(run.folder, "tiny").table.accuracy.tolist() == [0.5] * 4


def test_networks_without_weights_are_left_out_unless_the_study_trains_its_own(monkeypatch):
    monkeypatch.setitem(MODELS, "new", replace(MODELS["cnn"], name="new"))
    points = [{"network": "cnn"}, {"network": "new"}]
    for trains in (False, True):
        monkeypatch.setitem(STUDIES, "tiny", replace(TINY, trains=trains, points=lambda quick: points))
        assert conduct.chosen_points("tiny", False, []) == points[: 1 + trains]


def test_numbers_keep_six_significant_digits():
    row = {"small": 1.23456789e-9, "large": 14_848_586, "array": np.zeros(3), "scalar": np.float32(0.1), "flag": True}
    (plain,), arrays = conduct.split([{"network": "cnn"} | row])
    assert plain == {"network": "cnn", "small": 1.23457e-09, "large": 14_848_586, "scalar": 0.1, "flag": True}
    assert arrays.keys() == {"cnn_array"}


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ([], "leaderboard, data_hunger"),
        (["weather"], "weather"),
        (["tiny", "--networks", "rnn"], "rnn"),
        (["tiny", "--networks", "alexnet"], "alexnet"),
        (["leaderboard", "--networks", "20200101-000000-cnn-abcd"], "20200101-000000-cnn-abcd"),
        (["tiny", "--device", "tpu"], "tpu"),
        (["leaderboard", "--networks", "{run}"], "has no weights"),
        (["--resume", "yesterday"], "yesterday"),
    ],
)
def test_impossible_commands_are_refused(arguments, culprit, tmp_path, capsys):
    run = Run.create(tmp_path, {"model": "cnn"})  # without weights
    arguments = [argument.format(run=run.id) for argument in arguments]
    assert main(["study", *arguments, "--runs", str(tmp_path)]) in (1, 2)
    assert culprit in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [run.folder]


def test_command_line_conducts_prints_and_copies(tmp_path, capsys):
    arguments = ["study", "tiny", "--quick", "--device", "cpu", "--runs", str(tmp_path), "--into", str(tmp_path / "in")]
    assert main([*arguments, "--networks", "vit"]) == 0
    out = capsys.readouterr().out
    (run,) = results.local_runs("tiny", tmp_path)
    assert out.splitlines()[0] == run.id
    assert out.splitlines()[-2:] == ["1 rows.", "No more."]
    assert {file.name for file in (tmp_path / "in").iterdir()} == {"tiny.csv", "tiny.json", "tiny.npz"}
    provenance = results.read(tmp_path / "in", "tiny").provenance
    assert provenance.command == "python -m atelier study tiny --quick --device cpu --networks vit"
    assert results.local("tiny").provenance == provenance
    for names, code in (["leaderboard"], 2), ([], 0):
        assert main(["study", *names, "--resume", run.id, "--runs", str(tmp_path)]) == code


def test_error_in_a_study_leaves_its_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(STUDIES, "tiny", replace(TINY, measure=lambda point, device: iter([{}["no such thing"]])))
    run = new_run(tmp_path)
    with pytest.raises(KeyError):
        carry_out(run)
    assert "KeyError" in conduct.progress(run)[3]


@pytest.mark.slow
def test_real_study_measures_a_real_network_in_the_background(tmp_path):
    run = conduct.start("cost", device="cpu", networks=["cnn"])
    until = time.monotonic() + 120
    while conduct.progress(run)[2] in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.1)
    assert conduct.progress(run) == (1, 1, "done", "")
    (row,) = results.local("cost").table.to_dict("records")
    assert row["network"] == "cnn"
    assert "Traceback" not in run.path(LOG).read_text()
