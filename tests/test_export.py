"""Exported files, read by other programs than the one that wrote them."""

import json

import numpy as np
import pytest
import torch

import atelier
from atelier import checkpoint, export, paths, zoo
from atelier.__main__ import main
from atelier.classifier import THRESHOLD
from atelier.data import mnist, scenes
from atelier.export import ExportError

SMALL = {
    "cnn": {"channels": [2, 2, 2, 2], "hidden": 4},
    "vit": {"patch_size": 14, "dim": 8, "depth": 1, "heads": 2},
    "alexnet": {"input_size": 63, "backbone": "none", "thawed": 0, "hidden": 4},
}
slow = pytest.mark.slow


@pytest.fixture
def small(tmp_path):
    """`small(name)`: the checkpoint of an untrained network of unusual sizes."""

    def save(name):
        torch.manual_seed(0)
        path = tmp_path / f"small-{name}.safetensors"
        network = zoo.MODELS[name].build(SMALL[name])
        checkpoint.save(path, network.state_dict(), {"model": name, "config": SMALL[name]})
        return path

    return save


@pytest.fixture
def few(monkeypatch):
    """Check with few digits and scenes."""
    monkeypatch.setattr(export, "DIGITS", 35)
    monkeypatch.setattr(export, "SCENES", 3)


@pytest.fixture(scope="module")
def detector():
    return atelier.load("faster_rcnn", "cpu")


def test_onnx_runtime_gives_the_probabilities_of_the_shipped_cnn(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "cnn.onnx"
    (written,) = export.export("cnn", "onnx", file)
    assert (written.path, list(tmp_path.iterdir())) == (file, [file])
    session = onnxruntime.InferenceSession(file)
    assert [part.name for part in (*session.get_inputs(), *session.get_outputs())] == ["digits", "probabilities"]
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    assert card["accuracy"] == checkpoint.read_card(atelier.MODELS["cnn"].checkpoint)["accuracy"]
    digits = mnist.load("test")[0][-7:]  # not those of the check
    (probabilities,) = session.run(None, {"digits": digits})
    assert np.abs(probabilities - atelier.load("cnn", "cpu").predict_proba(digits)).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "format"),
    [("vit", "pt2"), ("alexnet", "onnx"), *(pytest.param(*case, marks=slow) for case in [("vit", "onnx"),
     ("cnn", "pt2")])],
)  # fmt: skip
def test_networks_of_other_sizes_are_exported(small, few, tmp_path, name, format):
    source, file = small(name), tmp_path / f"it.{format}"
    export.export(source, format, file)
    digits = mnist.load("test")[0][-5:]
    if format == "pt2":
        extra = {"card.json": ""}
        probabilities = torch.export.load(file, extra_files=extra).module()(torch.tensor(digits)).numpy()
        assert json.loads(extra["card.json"])["model"] == name
    else:
        (probabilities,) = export.read(file, format)(digits)
    assert np.abs(probabilities - atelier.load(str(source), "cpu").predict_proba(digits)).max() < 1e-4


@slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_shipped_vgg16_is_exported(few, tmp_path, format):
    (written,) = export.export("vgg16", format, tmp_path / f"it.{format}")
    digits = mnist.load("test")[0][-2:]
    (probabilities,) = export.read(written.path, format)(digits)
    assert np.abs(probabilities - atelier.load("vgg16", "cpu").predict_proba(digits)).max() < 1e-4


@pytest.mark.parametrize("format", [pytest.param("onnx", marks=slow), pytest.param("pt2", marks=slow), "safetensors"])
def test_shipped_detector_finds_the_same_boxes_in_every_format(detector, few, tmp_path, format):
    written = export.export("faster_rcnn", format, tmp_path / f"it.{format}")
    assert len(written) == 2  # checks: of digits and of scenes
    assert {one.path for one in written} == set(tmp_path.iterdir())
    run = export.read(written[1].path, format)
    for scene in scenes.measuring_scenes()[-3:]:  # not those of the check
        (boxes, labels, scores), expected = run(scene.picture), detector.detect(scene.picture)
        assert np.array_equal(labels, expected.labels)
        assert np.allclose(boxes, expected.boxes, atol=0.05)
        assert np.allclose(scores, expected.scores, atol=1e-4)


def test_safetensors_need_no_backbone(few, tmp_path, monkeypatch):
    digits = mnist.load("test")[0][:5]
    expected = atelier.load("alexnet", "cpu").predict_proba(digits)
    export.export("alexnet", "safetensors", tmp_path / "alexnet.safetensors")
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "nowhere")
    loaded = atelier.load(tmp_path / "alexnet.safetensors", "cpu")
    assert np.allclose(loaded.predict_proba(digits), expected, atol=1e-6)
    assert {tensor.dtype for tensor in loaded.network.parameters()} == {torch.float32}
    assert loaded.card["backbone"]["backbone"] == "glyphs"
    assert len(loaded.card["backbone"]["fingerprint"]) == 16


@torch.no_grad()
def test_suppression_in_the_graph_changes_no_answer(detector):
    network, digits = export.with_suppression_in_graph(detector.network), mnist.load("test")[0][:40]
    assert np.allclose(export.Digits(network)(torch.tensor(digits)), detector.predict_proba(digits), atol=1e-6)
    scene = scenes.measuring_scenes()[1].picture
    for picture in (scene, scene[:, :-1], scene[:, :-2], scene[:, :-3]):  # the width need not be a multiple of 4
        boxes, labels, scores = export.Scenes(network)(torch.tensor(picture))
        expected = detector.detect(picture, THRESHOLD)
        assert len(labels) > 1
        assert np.array_equal(labels, expected.labels)
        assert np.allclose(boxes, expected.boxes, atol=1e-3)
        assert np.allclose(scores, expected.scores, atol=1e-6)


# What is refused -----------------------------------------------------------------------------------------------------


def test_file_with_other_probabilities_does_not_replace_the_old_one(small, tmp_path, monkeypatch):
    source, file = small("cnn"), tmp_path / "it.safetensors"
    file.write_bytes(b"old")
    monkeypatch.setattr(export, "read", lambda path, format: lambda digits: [np.full((len(digits), 10), 0.1)])
    with pytest.raises(ExportError, match="probability"):
        export.export(source, "safetensors", file)
    assert file.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {source.name, file.name}


@pytest.mark.parametrize(("shift", "factor", "reason"), [(1, 1, "boxes"), (0, 0.9, "score")])
def test_file_with_other_boxes_or_scores_is_not_written(detector, few, tmp_path, monkeypatch, shift, factor, reason):
    def run(pixels):
        if pixels.ndim == 3:
            return [detector.predict_proba(pixels)]
        detections = detector.detect(pixels)
        return [detections.boxes + shift, detections.labels, detections.scores * factor]

    monkeypatch.setattr(export, "read", lambda path, format: run)
    with pytest.raises(ExportError, match=reason):
        export.export("faster_rcnn", "safetensors", tmp_path / "it.safetensors")
    assert not list(tmp_path.iterdir())


def test_error_of_onnx_runtime_becomes_one_line(small, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    source = small("cnn")
    monkeypatch.setattr(export, "write", lambda classifier, format, path, trace: path.write_bytes(b"no graph"))
    with pytest.raises(ExportError, match="Protobuf") as caught:
        export.export(source, "onnx", tmp_path / "it.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("format", ["safetensors", "pt2"])
def test_full_disk_leaves_no_file(small, tmp_path, format):
    resource = pytest.importorskip("resource")  # not on Windows
    source, limits = small("cnn"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # bytes in a file
    try:
        with pytest.raises(ExportError, match="File too large"):
            export.export(source, format, tmp_path / f"it.{format}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [source]


def test_command_reports_the_check_or_the_reason(small, few, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no network")
    own = small("cnn")
    for source, out, reason in (
        ("rnn", "it.safetensors", "'rnn'"),
        (tmp_path / "notes.txt", "it.safetensors", "notes.txt"),
        (own, own.name, "own file"),
        (own, "nowhere/it.safetensors", "No such file or directory"),
    ):
        assert main(["export", str(source), "--format", "safetensors", "--out", str(tmp_path / out)]) == 2
        assert reason in capsys.readouterr().err
    assert main(["export", str(own), "--format", "safetensors", "--out", str(tmp_path / "it.safetensors")]) == 0
    assert "35 digits" in capsys.readouterr().out
