"""A network's architecture: output shape, parameters, multiply-adds and time of each layer."""

import math
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pandas as pd
import torch
import torchinfo
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain.hooks import hookable_copy

WARM_UP, REPEATS = 1, 9  # passes
FLATTEN = ("FastRCNNPredictor", "Flatten")  # classes without a box in the diagram
PLAIN = (nn.Sequential, nn.ModuleList)  # containers without a computation of their own

NAMES = {  # textbook names of classes; other layers have the name of their class
    "AdaptiveAvgPool2d": "Average pooling",
    "AnchorGrid": "Anchors",
    "Attention": "Attention between tokens",
    "BatchNorm2d": "Batch norm",
    "Block": "Add to the tokens",
    "FastRCNNPredictor": "Flatten",
    "LayerNorm": "Layer norm",
    "Linear": "Fully connected",
    "Propose": "Proposals, non-maximum suppression",
    "TwoMLPHead": "Flatten, ReLU",
}


def layers(classifier: Classifier) -> pd.DataFrame:
    """Measure each layer that computes something for a digit, in order of computation.

    A container of layers has a row if it computes something besides its layers.

    Returns:
        a row for each layer:
            layer: name in the network; "" is the network itself.
            type: name of its class.
            kind: what it does, in words.
            part: name of the part of the network that it belongs to, see `boxes`.
            output: shape of its output for one digit (tuple of int): channels × height × width, or tokens × numbers, or
                proposals × …; for the network itself the shape of its prepared input.
            part_output: the same of the part.
            parameters: its own parameters, as torchinfo counts them.
            mult_adds: multiply-adds of convolutions and matrix products, by torch's formulas; the rest is negligible.
            milliseconds: median of REPEATS passes with one digit.
            share: of the total time, 0 to 1.
    """
    network, device = hookable_copy(classifier.network), classifier.device
    digit = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8, device=device)
    digit[:, 4:24, 12:16] = 255  # a 1
    summary = torchinfo.summary(network, input_data=digit, depth=99, verbose=0, mode="eval", device=device)
    infos = {info.module: info for info in summary.summary_list}
    executed = [info for info in infos.values() if info.executed]
    names = {module: name for name, module in network.named_modules()}
    meter = Meter(network)
    with torch.no_grad():
        with meter:
            network(digit)
        passes = [meter.time(network, digit) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    first = next(info for info in executed if info.module is not network)
    rows = []
    for module, work in meter.mult_adds.items():
        part = _part(names[module], network, {info.module for info in executed})
        output = first.input_size if module is network else infos[module].output_size
        rows.append(
            {
                "layer": names[module],
                "type": type(module).__name__,
                "kind": classifier.spec.input_step if module is network else kind(module),
                "part": part,
                "output": _shape(output),
                "part_output": _shape(infos[network.get_submodule(part)].output_size if part else output),
                "parameters": infos[module].leftover_params() if list(module.children()) else infos[module].num_params,
                "mult_adds": work,
                "milliseconds": 1000 * median(seconds[module] for seconds in passes),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(share=table.milliseconds / table.milliseconds.sum())


class Meter(TorchDispatchMode):
    """Multiply-adds and time of each module of a network, without the modules inside it.

    In a `with meter:` block it counts multiply-adds with the formulas of torch's FlopCounterMode. FlopCounterMode hooks
    all modules of the process, which also answer other visitors; this class hooks only those of one copy.

    Attributes:
        mult_adds: by module, in the order of computation.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.running: list[nn.Module] = []  # the innermost last
        self.mult_adds: dict[nn.Module, int] = {}
        self.seconds: defaultdict[nn.Module, float] = defaultdict(float)
        self.last = 0.0
        for module in network.modules():
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation; torch calls this for each one."""
        result = operation(*args, **(kwargs or {}))
        formula = flop_registry.get(operation.overloadpacket)
        work = formula(*args, **(kwargs or {}), out_val=result) // 2 if formula else 0
        self.mult_adds[self.running[-1]] = self.mult_adds.get(self.running[-1], 0) + work
        return result

    def time(self, network: nn.Module, digit: Tensor) -> dict[nn.Module, float]:
        """Measure the seconds of each module itself in one pass."""
        self.seconds = defaultdict(float)
        network(digit)
        return self.seconds

    def _enter(self, module: nn.Module, inputs: tuple) -> None:
        self._tick()
        self.running.append(module)

    def _leave(self, module: nn.Module, inputs: tuple, output: object) -> None:
        self._tick()
        self.running.pop()

    def _tick(self) -> None:
        """Add the time since the last tick to the module that runs."""
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        now = time.perf_counter()
        if self.running:
            self.seconds[self.running[-1]] += now - self.last
        self.last = now


def kind(module: nn.Module) -> str:
    """Describe what a layer does."""
    match module:
        case nn.Conv2d(kernel_size=(height, width)):
            return f"Convolution {height} × {width}"
        case nn.MaxPool2d(kernel_size=size):
            return f"Max pooling {size} × {size}"
    return NAMES.get(type(module).__name__, type(module).__name__)


def _part(name: str, network: nn.Module, executed: set[nn.Module]) -> str:
    """Name the outermost module around a layer, or the layer itself, that is not a plain container."""
    steps = name.split(".")
    for end in range(1, len(steps)):
        module = network.get_submodule(".".join(steps[:end]))
        if type(module) not in PLAIN and module in executed:
            return ".".join(steps[:end])
    return name


def _shape(size: list[int]) -> tuple[int, ...]:
    """Drop the batch size, which is 1."""
    return tuple(size[1:] if size[0] == 1 else size)


# Diagram -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """Successive layers in the diagram, drawn as their output."""

    kinds: tuple[str, ...]
    output: tuple[int, ...]
    parameters: int
    mult_adds: int
    share: float  # of the time
    pools: bool  # whether it ends with a pooling
    repeats: int = 1  # of the same part in a row


def boxes(layers: pd.DataFrame) -> list[Box]:
    """Group the rows of a network's table into the boxes of its diagram.

    Layers share a box while the shape stays the same, up to the next pooling. A part of several layers has a box of its
    own; the same parts in a row share one.
    """
    boxes: list[Box] = []
    for _, rows in layers[~layers.type.isin(FLATTEN)].groupby("part", sort=False):
        box = Box(
            kinds=tuple(rows.kind),
            output=rows.part_output.iloc[0],
            parameters=int(rows.parameters.sum()),
            mult_adds=int(rows.mult_adds.sum()),
            share=float(rows.share.sum()),
            pools="Pool" in rows.type.iloc[-1],
        )
        last = boxes[-1] if boxes else None
        if last and len(rows) > 1 and (last.kinds, last.output) == (box.kinds, box.output):
            boxes[-1] = _join(last, box, kinds=last.kinds, repeats=last.repeats + 1)
        elif last and len(rows) == 1 and _continues(last, box):
            boxes[-1] = _join(last, box, kinds=last.kinds + box.kinds, pools=box.pools)
        else:
            boxes.append(box)
    return boxes


def _continues(last: Box, layer: Box) -> bool:
    return not last.pools and (layer.pools or layer.output == last.output)


def _join(first: Box, second: Box, **changes: Any) -> Box:
    """`first` with the shape of `second` and the sums of both."""
    sums = {name: getattr(first, name) + getattr(second, name) for name in ("parameters", "mult_adds", "share")}
    return replace(first, output=second.output, **sums, **changes)


def drawing(output: tuple[int, ...], tallest: int, colour: str) -> str:
    """Draw the output of a box as SVG of 100 x 84 pixels.

    Maps are a stack of sheets, tokens a block of rows, ten scores ten circles, other numbers a bar. Heights of maps are
    to scale; all other sizes grow with the logarithm of a number.

    Args:
        output: shape of the output.
        tallest: height of the tallest maps in the diagram, which fill the drawing.
    """
    if len(output) >= 3:
        side, sheets = max(5.0, 56 * output[-2] / tallest), 1 + round(math.log2(output[-3]))
        corner = 50 - (side + 3 * sheets) / 2, 42 - (side + 3 * sheets) / 2
        shapes = [_rectangle(corner[0] + 3 * i, corner[1] + 3 * i, side, side) for i in range(sheets)]
    elif len(output) == 2:
        rows, width = min(output[0], 10), 8 * math.log2(output[1])
        shapes = [_rectangle(50 - width / 2, 42 - 3.5 * rows + 7 * i, width, 5) for i in range(rows)]
    elif output == (10,):
        shapes = [f'<circle cx="50" cy="{6 + 8 * i}" r="3"/>' for i in range(10)]
    else:
        height = 7 * math.log2(output[0])
        shapes = [_rectangle(44, 42 - height / 2, 12, height)]
    drawn = "".join(shapes)
    paint = f'fill="{colour}" fill-opacity="0.35" stroke="{colour}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 84" width="100" height="84" {paint}>{drawn}</svg>'


def _rectangle(left: float, top: float, width: float, height: float) -> str:
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1"/>'
