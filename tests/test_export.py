"""Exported files, read by other programs than the one that wrote them."""

import json
import resource

import numpy as np
import pytest
import torch
from torchvision.ops import nms

import atelier
from atelier import checkpoint, export, paths, zoo
from atelier.__main__ import main
from atelier.data import mnist, scenes
from atelier.export import ExportError

SMALL = {
    "cnn": {"channels": [2, 2, 2, 2], "hidden": 4},
    "vit": {"patch_size": 14, "dim": 8, "depth": 1, "heads": 2},
    "alexnet": {"input_size": 63, "backbone": "none", "thawed": 0, "hidden": 4},
}


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


@pytest.fixture(scope="module")
def detector():
    return atelier.load("faster_rcnn", "cpu")


@pytest.fixture(scope="module")
def graphs(detector):
    detector.network.requires_grad_(False)
    return {trace.__name__: trace(detector.network) for trace in (export.trace_digits, export.trace_scenes)}


@pytest.fixture
def traced_once(monkeypatch, graphs):
    """The detector's graphs are the same for each format, and take longest."""
    for name, graph in graphs.items():
        monkeypatch.setattr(export, name, lambda network, graph=graph: graph)


def test_onnx_runtime_answers_as_the_shipped_cnn(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "cnn.onnx"
    (written,) = export.export("cnn", "onnx", file)
    assert (written.path, list(tmp_path.iterdir())) == (file, [file])
    session = onnxruntime.InferenceSession(file)
    assert [taken.name for taken in session.get_inputs()] == ["digits"]
    assert [given.name for given in session.get_outputs()] == ["probabilities"]
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    assert card["accuracy"] == checkpoint.read_card(atelier.MODELS["cnn"].checkpoint)["accuracy"]
    digits = mnist.load("test")[0][-7:]  # others than those that the check takes
    (given,) = session.run(None, {"digits": digits})
    assert np.abs(given - atelier.load("cnn", "cpu").predict_proba(digits)).max() < 1e-4


def test_onnx_runtime_finds_the_digits_that_the_shipped_detector_finds(tmp_path, monkeypatch, detector, traced_once):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(export, "SCENES", 10)
    written = export.export("faster_rcnn", "onnx", tmp_path / "it.onnx")
    assert [one.path.name for one in written] == ["it.onnx", "it-scenes.onnx"]
    session = onnxruntime.InferenceSession(written[1].path)
    for scene in scenes.measuring_scenes()[-3:]:  # others than those that the check takes
        boxes, labels, scores = session.run(["boxes", "labels", "scores"], {"scene": scene.picture})
        found = detector.detect(scene.picture)
        assert np.array_equal(labels, found.labels)
        assert np.allclose(boxes, found.boxes, atol=0.05)
        assert np.allclose(scores, found.scores, atol=1e-4)


@pytest.mark.parametrize(("name", "format"), [("vit", "onnx"), ("vit", "pt2"), ("alexnet", "onnx"), ("cnn", "pt2")])
def test_networks_of_other_sizes_are_exported(small, tmp_path, name, format):
    source, file = small(name), tmp_path / f"it.{format}"
    export.export(source, format, file)
    digits = mnist.load("test")[0][-5:]
    if format == "pt2":
        extra = {"card.json": ""}
        given = torch.export.load(file, extra_files=extra).module()(torch.tensor(digits)).numpy()
        assert json.loads(extra["card.json"])["model"] == name
    else:
        (given,) = export.read(file, format)(digits)
    assert np.abs(given - atelier.load(str(source), "cpu").predict_proba(digits)).max() < 1e-4


@pytest.mark.parametrize("format", ["pt2", "safetensors"])
def test_the_shipped_detector_is_checked_in_scenes_in_every_format(tmp_path, monkeypatch, traced_once, format):
    monkeypatch.setattr(export, "DIGITS", 35)  # few: it is slow
    monkeypatch.setattr(export, "SCENES", 3)
    written = export.export("faster_rcnn", format, tmp_path / f"it.{format}")
    assert [one.compared for one in written] == ["probabilities of 35 digits", "boxes and scores in 3 scenes"]
    assert {one.path for one in written} == set(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_the_shipped_vgg16_is_exported(tmp_path, monkeypatch, format):
    monkeypatch.setattr(export, "DIGITS", 35)
    (written,) = export.export("vgg16", format, tmp_path / f"it.{format}")
    digits = mnist.load("test")[0][-2:]
    (given,) = export.read(written.path, format)(digits)
    assert np.abs(given - atelier.load("vgg16", "cpu").predict_proba(digits)).max() < 1e-4


def test_safetensors_need_no_backbone(tmp_path, monkeypatch):
    digits = mnist.load("test")[0][:5]
    expected = atelier.load("alexnet", "cpu").predict_proba(digits)
    export.export("alexnet", "safetensors", tmp_path / "alexnet.safetensors")
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path / "nowhere")
    alone = atelier.load(tmp_path / "alexnet.safetensors", "cpu")
    assert np.allclose(alone.predict_proba(digits), expected, atol=1e-6)
    assert {tensor.dtype for tensor in alone.network.parameters()} == {torch.float32}
    assert alone.card["backbone"]["backbone"] == "glyphs"  # it still tells where its layers learnt to see
    assert len(alone.card["backbone"]["fingerprint"]) == 16


# The detector's graphs, before they are graphs -----------------------------------------------------------------------


@torch.no_grad()
def test_the_detectors_graph_for_digits_answers_as_the_network(detector):
    digits = mnist.load("test")[0][:40]
    given = export.Digits(export.with_suppression_in_graph(detector.network))(torch.tensor(digits))
    assert np.allclose(given, detector.predict_proba(digits), atol=1e-6)


@pytest.mark.parametrize("missing", range(4))  # columns: then the width is no whole number of the map's places
@torch.no_grad()
def test_the_detectors_graph_for_scenes_answers_as_the_network(detector, missing):
    scene = scenes.measuring_scenes()[1]
    picture = scene.picture[:, : scene.picture.shape[1] - missing]
    boxes, labels, scores = export.Scenes(export.with_suppression_in_graph(detector.network))(torch.tensor(picture))
    found = detector.detect(picture)
    assert len(labels) > 1
    assert np.array_equal(labels, found.labels)
    assert np.allclose(boxes, found.boxes, atol=1e-3)
    assert np.allclose(scores, found.scores, atol=1e-6)


def test_the_surest_boxes_are_those_of_torchvision():
    rng = np.random.default_rng(0)
    corners = torch.tensor(rng.integers(0, 30, (3, 50, 2)), dtype=torch.float32)
    sizes = torch.tensor(rng.integers(0, 20, (3, 50, 2)), dtype=torch.float32)  # some without an area
    boxes, scores = torch.cat([corners, corners + sizes], 2), torch.arange(50, 0, -1.0)
    candidates = torch.tensor(rng.random((3, 50)) < 0.8)
    places, found = export.suppress_in_graph(boxes, candidates, overlap=0.3, most=20)
    for picture in range(3):
        likely = torch.nonzero(candidates[picture]).flatten()
        expected = likely[nms(boxes[picture, likely], scores[likely], 0.3)][:20]
        assert places[picture, found[picture]].tolist() == expected.tolist()


# What cannot be done -------------------------------------------------------------------------------------------------


def test_a_file_that_answers_otherwise_is_not_handed_over(small, tmp_path, monkeypatch):
    source, file = small("cnn"), tmp_path / "it.safetensors"
    file.write_bytes(b"from before")
    monkeypatch.setattr(export, "read", lambda path, format: lambda digits: [np.full((len(digits), 10), 0.1)])
    with pytest.raises(ExportError, match="differs by"):
        export.export(source, "safetensors", file)
    assert file.read_bytes() == b"from before"
    assert {path.name for path in tmp_path.iterdir()} == {source.name, file.name}


@pytest.mark.parametrize(("moved", "factor", "sentence"), [(1, 1, "finds other boxes"), (0, 0.9, "in a score")])
def test_a_detector_that_finds_something_else_is_not_handed_over(
    detector, tmp_path, monkeypatch, moved, factor, sentence
):
    def run(pixels):
        if pixels.ndim == 3:
            return [detector.predict_proba(pixels)]
        found = detector.detect(pixels)
        return [found.boxes + moved, found.labels, found.scores * factor]

    monkeypatch.setattr(export, "read", lambda path, format: run)
    monkeypatch.setattr(export, "DIGITS", 35)
    monkeypatch.setattr(export, "SCENES", 2)
    with pytest.raises(ExportError, match=sentence):
        export.export("faster_rcnn", "safetensors", tmp_path / "it.safetensors")
    assert not list(tmp_path.iterdir())


def test_what_onnx_runtime_refuses_is_said_in_a_sentence(small, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    source = small("cnn")
    monkeypatch.setattr(export, "write", lambda classifier, format, path, trace: path.write_bytes(b"no graph"))
    with pytest.raises(ExportError, match=r"could not be exported to onnx: .*Protobuf"):
        export.export(source, "onnx", tmp_path / "it.onnx")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("format", ["safetensors", "pt2"])
def test_a_full_disk_is_said_and_leaves_nothing(small, tmp_path, format):
    source, before = small("cnn"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # no file may be larger
    try:
        with pytest.raises(ExportError, match="could not be written: File too large"):
            export.export(source, format, tmp_path / f"it.{format}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [source]


def test_what_cannot_be_exported_gets_a_sentence(small, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no network")
    own = small("cnn")
    for source, out, sentence in (
        ("rnn", "it.safetensors", "no network, checkpoint file or run 'rnn'"),
        (tmp_path / "notes.txt", "it.safetensors", "notes.txt is not a safetensors file"),
        (own, own.name, "is the network's own file"),
        (own, "nowhere/it.safetensors", "could not be written: No such file or directory"),
    ):
        assert main(["export", str(source), "--format", "safetensors", "--out", str(tmp_path / out)]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["export", str(own), "--format", "safetensors", "--out", str(tmp_path / "it.safetensors")]) == 0
    assert "probabilities of 256 digits equal to" in capsys.readouterr().out
