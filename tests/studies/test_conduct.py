"""A study that is killed, paused, torn or without room loses nothing that it has measured."""

import json
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
from atelier.runs import jobs, recorder
from atelier.runs.folder import LOG, Run, RunError
from atelier.runs.worker import StopRequested, supervise
from atelier.studies import STUDIES, conduct, results
from atelier.studies.study import SKIPPED, Findings, Study

NETWORKS = ("cnn", "vit")


def measure(point, device):
    """Random numbers: only if the state of the generator is the same, these are."""
    yield None
    yield {"accuracy": torch.rand(()).item(), "note": "", "digits": 10, "guess": np.full(3, len(point["network"]))}


TINY = Study(
    name="tiny",
    title="Tiny",
    question="Is it small?",
    answers=("yes", "no"),
    method="By looking.",
    columns=("network", "accuracy"),
    points=lambda quick: [{"network": n, "size": s, "seed": 0} for n in NETWORKS for s in ((1,) if quick else (1, 2))],
    measure=measure,
    findings=lambda table: Findings(0, (f"{len(table)} rows.", "That is all.")),
    figure=lambda table: Figure(),
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(STUDIES, "tiny", TINY)
    monkeypatch.setattr(paths, "RUNS", tmp_path)


def new_run(folder, **changes):
    return conduct.prepare(conduct.new_config("tiny", False, "cpu") | changes, folder)


def carry_out(run):
    """As the command line does."""
    return list(supervise(run, "cpu", lambda: conduct.conduct(run)))


@pytest.fixture
def undisturbed(tmp_path):
    """The table and the arrays of a study that nothing went wrong with."""
    run = new_run(tmp_path / "undisturbed")
    carry_out(run)
    return results.read(run.folder, "tiny")


def check_same(run, undisturbed):
    assert run.status() == ("done", "")
    found = results.read(run.folder, "tiny")
    pd.testing.assert_frame_equal(found.table, undisturbed.table)
    assert found.predictions.keys() == undisturbed.predictions.keys() == {"cnn_guess", "vit_guess"}
    assert (found.header["points"], found.header["of"], found.header["finished"]) == (4, 4, True)
    assert not list(run.folder.glob("*.tmp"))


def test_a_finished_study_leaves_table_header_and_arrays(undisturbed):
    table, header = undisturbed.table, undisturbed.header
    assert list(table) == ["network", "size", "seed", "accuracy", "note", "digits"]
    assert table.network.tolist() == ["cnn", "cnn", "vit", "vit"]
    assert table.note.tolist() == [""] * 4
    assert (undisturbed.predictions["vit_guess"] == 3).all()
    assert header["study"] == "tiny"
    assert (header["device"], header["seeds"], header["rows"]) == ("cpu", [0], 4)
    assert header["weights"].keys() == set(NETWORKS)
    assert header["versions"].keys() >= {"python", "torch"}
    assert header["command"] == "python -m atelier study tiny --device cpu"
    assert results.outdated(header) == []
    assert results.outdated(header | {"weights": {"cnn": "others"}}) == ["cnn"]


@pytest.mark.parametrize("within_a_point", [True, False])
def test_killed_it_goes_on_to_the_same_table(within_a_point, tmp_path, undisturbed):
    run = new_run(tmp_path)
    for done in (1, 2):
        if (child := os.fork()) == 0:
            for progress in supervise(run, "cpu", lambda: conduct.conduct(run)):
                if progress.done == done and bool(progress.point) == within_a_point:
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert conduct.progress(run)[:3] == (done, 4, "interrupted")
        assert "can go on" in conduct.progress(run)[3]
        half = results.read(run.folder, "tiny")  # what is there already can be shown
        assert (len(half.table), half.header["finished"]) == (done, False)
    assert conduct.prepare(run.read("config.json"), tmp_path).id == run.id  # by itself
    carry_out(run)
    check_same(run, undisturbed)


def test_a_torn_line_and_damaged_results_are_measured_again(tmp_path, undisturbed):
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


def test_a_full_disk_stops_it_with_the_reason_and_room_lets_it_go_on(tmp_path, undisturbed):
    run = new_run(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))  # bytes a file may grow to
    try:
        with pytest.raises(OSError, match="too large"):
            carry_out(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.status()[0] == "failed"
    assert "Make room, then resume" in run.status()[1]
    carry_out(run)
    check_same(run, undisturbed)


def test_a_person_pauses_and_resumes_it(tmp_path, undisturbed):
    run = new_run(tmp_path)
    steps = supervise(run, "cpu", lambda: conduct.conduct(run))
    while next(steps).done < 2:
        pass
    jobs.request(run, "pause")
    with pytest.raises(StopRequested):
        list(steps)
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


def test_started_twice_at_once_it_is_conducted_once(tmp_path, monkeypatch):
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
    with pytest.raises(RunError, match="nothing to resume"):
        conduct.resume(first)
    assert conduct.start("tiny", quick=True, device="cpu").id != first.id


def test_other_weights_are_another_study(tmp_path):
    run = new_run(tmp_path, weights={"cnn": "others", "vit": "others"})
    run.set_status("paused")
    assert new_run(tmp_path).id != run.id
    with pytest.raises(RunError, match="weights changed: start a new one"):
        carry_out(run)


def test_what_another_device_has_measured_is_measured_again(tmp_path, undisturbed):
    run = new_run(tmp_path)
    carry_out(run)
    lines = [json.loads(line) for line in run.path(conduct.POINTS).read_text().splitlines()]
    lines[0] |= {"device_name": "96 CPU cores", "rows": [lines[0]["rows"][0] | {"accuracy": 2}]}
    run.path(conduct.POINTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    carry_out(run)
    check_same(run, undisturbed)


def test_points_of_another_cpu_with_as_many_cores_are_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "_processor", lambda: "Old 1000")
    run = new_run(tmp_path)
    steps = supervise(run, "cpu", lambda: conduct.conduct(run))
    while next(steps).done < 2:
        pass
    jobs.request(run, "pause")
    with pytest.raises(StopRequested):
        list(steps)
    monkeypatch.setattr(recorder, "_processor", lambda: "New 2000")
    carry_out(run)
    lines = [line["device_name"] for line in conduct.read_lines(run)]
    assert [line.partition("(")[2] for line in lines] == ["Old 1000)"] * 2 + ["New 2000)"] * 4
    assert results.read(run.folder, "tiny").header["device_name"] == lines[-1]


def test_what_was_skipped_is_tried_again_by_a_resume_and_else_counts_as_done(tmp_path, monkeypatch):
    here, tried = set(), []

    def measure(point, device):
        tried.append(point["network"])
        note = "" if point["network"] in here else f"{SKIPPED}its weights are not here."
        yield {"accuracy": float("nan") if note else 0.5, "note": note}

    monkeypatch.setitem(STUDIES, "tiny", replace(TINY, measure=measure))
    here.add("cnn")
    run = new_run(tmp_path)
    carry_out(run)
    assert conduct.progress(run) == (4, 4, "done", "")
    here.add("vit")
    carry_out(run)
    assert tried == ["cnn", "cnn", "vit", "vit", "vit", "vit"]
    assert results.read(run.folder, "tiny").table.accuracy.tolist() == [0.5] * 4
    assert conduct.progress(run) == (4, 4, "done", "")


def test_numbers_keep_six_significant_digits():
    row = {"small": 1.23456789e-9, "large": 14_848_586, "array": np.zeros(3), "scalar": np.float32(0.1), "flag": True}
    assert conduct.rounded(row) == {"small": 1.23457e-09, "large": 14_848_586, "scalar": 0.1, "flag": True}


REFUSED = [
    (["study"], "Which study?"),
    (["study", "weather"], "There is no study 'weather'"),
    (["study", "tiny", "--networks", "rnn"], "There is no network 'rnn'"),
    (["study", "tiny", "--networks", "alexnet"], "measures none of alexnet"),
    (["study", "leaderboard", "--networks", "20200101-000000-cnn-abcd"], "There is no run"),
    (["study", "tiny", "--device", "tpu"], "no device 'tpu'"),
    (["study", "--resume", "yesterday"], "no run 'yesterday'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_done_gets_a_sentence(arguments, sentence, tmp_path, capsys):
    assert main([*arguments, "--runs", str(tmp_path)]) in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_run_whose_weights_are_gone_is_not_measured(tmp_path, capsys):
    run = Run.create(tmp_path, {"model": "cnn"})
    assert main(["study", "leaderboard", "--networks", run.id]) == 2
    assert f"Run {run.id} has no weights to measure." in capsys.readouterr().err


def test_the_command_line_conducts_shows_and_copies(tmp_path, capsys):
    arguments = ["study", "tiny", "--quick", "--device", "cpu", "--runs", str(tmp_path), "--into", str(tmp_path / "in")]
    assert main([*arguments, "--networks", "vit"]) == 0
    out = capsys.readouterr().out
    (run,) = results.local_runs("tiny", tmp_path)
    assert out.splitlines()[0] == run.id
    assert out.splitlines()[-2:] == ["1 rows.", "That is all."]
    assert {file.name for file in (tmp_path / "in").iterdir()} == {"tiny.csv", "tiny.json", "tiny.npz"}
    header = results.read(tmp_path / "in", "tiny").header
    assert header["command"] == "python -m atelier study tiny --quick --device cpu --networks vit"
    assert results.local("tiny").header == header
    for names, sentence in (["leaderboard"], "is the study tiny, not leaderboard"), ([], ""):
        code = main(["study", *names, "--resume", run.id, "--runs", str(tmp_path)])
        assert (code == 2) == bool(sentence)
        assert sentence in capsys.readouterr().err


def test_a_mistake_in_a_study_leaves_its_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(STUDIES, "tiny", replace(TINY, measure=lambda point, device: iter([{}["no such thing"]])))
    run = new_run(tmp_path)
    with pytest.raises(KeyError):
        carry_out(run)
    assert "unexpected happened (KeyError" in conduct.progress(run)[3]


def test_in_the_background_a_real_study_measures_a_real_network(tmp_path):
    run = conduct.start("cost", device="cpu", networks=["cnn"])
    until = time.monotonic() + 120
    while conduct.progress(run)[2] in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.1)
    assert conduct.progress(run) == (1, 1, "done", "")
    (row,) = results.local("cost").table.to_dict("records")
    assert row["network"] == "cnn"
    assert "Traceback" not in run.path(LOG).read_text()
