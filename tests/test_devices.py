import platform

import pytest
import torch

from atelier import devices

CPUINFO = {
    "Linux": (
        "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz\n",
        "Intel Xeon Gold 6230 CPU @ 2.10GHz",
    ),
    "Linux on ARM": ("processor\t: 0\nBogoMIPS\t: 50.00\n", "aarch64"),  # does not name the model
    "another system": (None, "aarch64"),
}


@pytest.mark.parametrize("system", CPUINFO)
def test_cpu_is_described_by_its_cores_and_its_model(system, tmp_path, monkeypatch):
    content, model = CPUINFO[system]
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    if content is not None:
        devices.CPUINFO.write_text(content)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert devices.describe_device(torch.device("cpu")) == f"2 CPU cores ({model})"
