import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from atelier.bench import estimate as module
from atelier.bench import throughput
from atelier.bench.estimate import estimate, load_throughput, save_throughput, throughput_file
from atelier.recipe import Recipe
from atelier.zoo import MODELS, Family

MEASURED = {
    "startup_seconds": 5.0,
    "networks": {
        name: {
            "train_digits_per_second": 1000.0,
            "frozen_digits_per_second": 500.0 if MODELS[name].family is Family.FINE_TUNED else None,
            "predict_digits_per_second": 2000.0,
        }
        for name in MODELS
    },
}
RECIPE = Recipe(epochs=6, train_size=20_000, variations=4)


def test_estimate_is_the_sum_of_its_parts():
    # 5 s to start, 6 epochs of 20,000 digits and 5,000 to validate, 10,000 to test
    assert estimate("cnn", {}, RECIPE, MEASURED) == pytest.approx(5 + 6 * (20 + 2.5) + 5)


def test_frozen_part_is_computed_once_for_each_copy():
    # 5 s to start; 4 x 20,000 + 5,000 digits through the frozen part; 6 epochs of 20,000 digits, and 5,000 of a third
    # of a step to validate; 10,000 to test
    assert estimate("vgg16", {}, RECIPE, MEASURED) == pytest.approx(5 + 170 + 6 * (20 + 5 / 3) + 5)
    fewer = replace(RECIPE, epochs=2)  # the third and fourth variation are never made
    assert estimate("vgg16", {}, fewer, MEASURED) == pytest.approx(5 + 90 + 2 * (20 + 5 / 3) + 5)


def test_twice_the_depth_takes_twice_the_time():
    usual, deep = (estimate("vit", {"depth": depth}, RECIPE, MEASURED) - 5 for depth in (6, 12))
    assert usual == pytest.approx(estimate("vit", {}, RECIPE, MEASURED) - 5)
    assert deep / usual == pytest.approx(2, rel=0.02)  # the embedding and the head do not grow


def test_operations_of_thawed_layers_count_as_trained():
    frozen, trained = module.count_operations("alexnet", "{}")
    all_thawed = module.count_operations("alexnet", '{"thawed": 5}')
    assert all_thawed == (0, frozen + trained)
    # AlexNet's last convolution at 64 x 64 pixels: 3 x 3 places, 3 x 3 x 256 weights in each of 256 filters; the head
    # 256 x 256 and 256 x 10; a product and a sum each
    assert trained == 2 * (9 * 9 * 256 * 256 + 256 * 256 + 256 * 10)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of heads"):
        estimate("vit", {"heads": 5}, RECIPE, MEASURED)


def test_saved_throughput_is_loaded_unless_it_is_damaged(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "user_cache_path", lambda _: tmp_path / "cache")
    assert load_throughput("cpu") is None
    assert save_throughput(MEASURED, "cpu") == throughput_file("cpu")
    assert load_throughput("cpu") == MEASURED
    assert load_throughput("cuda") is None
    for damaged in ("", "[]", '{"networks": {"cnn": {}}}', '{"networks": 3}'):
        throughput_file("cpu").write_text(damaged)
        assert load_throughput("cpu") is None


def test_estimate_is_imported_without_pytorch():
    code = "import atelier.bench.estimate, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=throughput.ROOT).returncode == 0


def test_every_number_of_a_network_is_measured(monkeypatch):
    monkeypatch.setattr(throughput, "SECONDS", 0.02)
    cnn, alexnet = (throughput.measure_throughput(name, torch.device("cpu")) for name in ("cnn", "alexnet"))
    assert cnn.keys() == alexnet.keys() == module.SPEEDS
    assert cnn["frozen_digits_per_second"] is None
    assert min(cnn["predict_digits_per_second"], cnn["train_digits_per_second"]) > 100
    assert alexnet["frozen_digits_per_second"] > 10


@pytest.mark.slow
def test_start_of_a_process_is_measured():
    assert 0.1 < throughput.startup_seconds("cpu") < 60
