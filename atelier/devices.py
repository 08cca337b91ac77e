"""The choice of device and precision."""

import contextlib
import platform
import re
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")  # only Linux has it


def pick_device(device: str = "auto") -> torch.device:
    """The device with this name; "auto" is a GPU if there is one, else the CPU.

    Raises:
        ValueError: if this machine does not have the device.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if present[name])
    if device not in present:
        raise ValueError(f"There is no device {device!r}. Choose auto, cpu, cuda or mps.")
    if not present[device]:
        raise ValueError(f"This machine has no {device} device that PyTorch can use. Choose auto or cpu.")
    return torch.device(device)


def pick_precision(precision: str, device: torch.device) -> str:
    """Lightning Fabric's name for a precision; "auto" is bfloat16 if the device has units for it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        return "bf16-mixed" if torch.cpu.get_capabilities().get("amx_bf16") else "32-true"
    return "32-true"


def describe_device(device: torch.device) -> str:
    """The device's name with its model, such as "NVIDIA H200" or "2 CPU cores (AMD EPYC 7763)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    if device.type == "mps":
        return "Apple GPU"
    count = torch.get_num_threads()
    return f"{count} CPU core{'s' if count > 1 else ''} ({_processor()})"


def _processor() -> str:
    """The CPU's model; if the system does not report it, its architecture, such as "arm64"."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        if model := re.search(r"^model name\s*:(.+)$", CPUINFO.read_text(), re.MULTILINE):
            name = model[1]
    return " ".join(re.sub(r"\((R|TM)\)", " ", name, flags=re.IGNORECASE).split())
