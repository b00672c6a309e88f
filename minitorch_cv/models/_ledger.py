"""A model's ledger: what each layer puts out, learns, computes, keeps in memory, and sees of the image."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import nn
from .._autograd import Node, recorded
from .._tensor import Tensor


@dataclass(frozen=True)
class Row:
    """One layer. `multiply_adds` counts convolutions and linear layers for the given input; `activation_bytes` is the
    output in float32; `receptive_field` is the height and width in input pixels that one output sees, None where it is
    the whole image (behind a linear layer) or where the grid of pixels was refined."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: tuple[int, int] | None


@dataclass(frozen=True, repr=False)
class Ledger:
    """The rows of a model's layers in the order of the forward pass, and their sums.

    What a model computes between its layers (a ReLU or a sum that is no module) has no row, and its memory is not
    counted: compare `activation_bytes` between models with that in mind.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    parameters: int

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        return sum(row.activation_bytes for row in self.rows)

    def to_json(self) -> str:
        totals = {
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
        }
        rows = [asdict(row) for row in self.rows]
        return json.dumps({"model": self.model, "input_shape": self.input_shape, **totals, "layers": rows}, indent=2)

    def table(self) -> Any:
        """The ledger as a table for the terminal (rich)."""
        from rich.table import Table

        table = Table(title=f"{self.model}, input {_by(self.input_shape)}")
        for heading in ("layer", "kind", "output", "parameters", "multiply-adds", "activation", "sees"):
            number = heading not in ("layer", "kind")
            table.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
        for row in self.rows:
            table.add_row(
                row.name,
                row.kind,
                _by(row.output_shape),
                f"{row.parameters:,}" if row.parameters else "",
                f"{row.multiply_adds:,}" if row.multiply_adds else "",
                f"{row.activation_bytes / 1024:,.0f} KiB",
                _by(row.receptive_field)
                if row.receptive_field
                else "all"
                if math.prod(row.output_shape[2:]) == 1
                else "",
            )
        table.add_section()
        total = f"{self.multiply_adds / 1e9:.3f} G"
        table.add_row("total", "", "", f"{self.parameters:,}", total, f"{self.activation_bytes / 2**20:,.1f} MiB", "")
        return table

    def __str__(self) -> str:
        from rich.console import Console

        table = self.table()
        console = Console(width=1000, no_color=True)
        console.width = table.__rich_measure__(console, console.options).maximum
        with console.capture() as captured:
            console.print(table)
        return captured.get()

    __repr__ = __str__  # what a notebook shows


def ledger(model: nn.Module, input_shape: Sequence[int], name: str | None = None) -> Ledger:
    """Count a model layer by layer, by running it once, in evaluation mode, on zeros of `input_shape`.

    `name` stands in the ledger's head, the class's name where it is None.

    Layers are the modules that hold no others. What a layer sees of the image is followed through the recorded graph,
    and so through branches and residual connections. A model of more inputs has them, for one image, in `other_inputs`.
    """
    rows: list[Row] = []
    fields = _ReceptiveFields()
    names = {id(m): name for name, m in model.named_modules()}
    leaves = [m for m in model.modules() if not any(True for _ in m.children())]

    def note(module: nn.Module, inputs: tuple, y: Any) -> None:
        y = y[0] if isinstance(y, tuple) else y
        rows.append(
            Row(
                names[id(module)],
                type(module).__name__,
                y.shape,
                sum(p.size for p in module.parameters()),
                multiply_adds(module, y.shape),
                y.size * 4,
                fields.of(y),
            )
        )

    like = next(model.parameters(), Tensor(0.0))
    zeros = Tensor(np.zeros(tuple(input_shape), like.dtype), requires_grad=True, device=like.device)
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with nn.evaluation(model), recorded():  # what a layer sees is read from the graph
            model(zeros, *getattr(model, "other_inputs", ()))
    finally:
        for handle in handles:
            handle.remove()
    return Ledger(name or type(model).__name__, tuple(input_shape), rows, sum(p.size for p in model.parameters()))


def multiply_adds(module: nn.Module, output_shape: tuple[int, ...]) -> int:
    """Multiply-adds of a convolution or linear layer with that output; 0 for other layers, biases not counted."""
    if isinstance(module, nn.Conv2d):
        return math.prod(output_shape) * math.prod(module.weight.shape[1:])
    if isinstance(module, nn.Linear):
        return math.prod(output_shape) * module.in_features
    if isinstance(module, nn.ConvTranspose2d):
        # Each input is spread through its weights; (H - 1) s - 2 P + d (k - 1) + e + 1 = oh gives the input's size.
        sizes = zip(
            output_shape[2:],
            module.kernel_size,
            module.stride,
            module.padding,
            module.output_padding,
            module.dilation,
            strict=True,
        )
        height, width = [(n - d * (k - 1) - e - 1 + 2 * p) // s + 1 for n, k, s, p, e, d in sizes]
        return output_shape[0] * height * width * math.prod(module.weight.shape)
    return 0


Field = tuple[tuple[int, int], tuple[int, int]]


class _ReceptiveFields:
    """Size and spacing, in input pixels, of what an output sees: r = r_in + (k - 1) d j, j = j_in s at each window.

    Source: Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks", distill.pub.
    """

    def __init__(self) -> None:
        self.known: dict[Node, Field | None] = {}

    def of(self, y: Tensor) -> tuple[int, int] | None:
        if y._node is None or y.ndim != 4:
            return None
        field = self._of_node(y._node)
        return None if field is None else field[0]

    def _of_node(self, node: Node) -> Field | None:
        """Inputs are older than outputs: each node that is not yet known waits on the stack for its inputs."""
        stack = [node]
        while stack:
            current = stack[-1]
            sources = [a._node for a in current.inputs if isinstance(a, Tensor) and a._node is not None]
            waiting = [source for source in sources if source not in self.known]
            if waiting:
                stack.extend(waiting)
            else:
                self.known[stack.pop()] = self._behind(current, [self.known[source] for source in sources])
        return self.known[node]

    def _behind(self, node: Node, before: list[Field | None]) -> Field | None:
        if None in before:
            return None
        known = [field for field in before if field is not None]
        sizes = [tuple(max(f[0][i] for f in known) for i in (0, 1)) if known else (1, 1)]
        spacing = known[0][1] if known else (1, 1)
        window = _window(node)
        if window is None:
            return None
        kernel, stride, dilation = window
        size = tuple(r + (k - 1) * d * j for r, k, d, j in zip(sizes[0], kernel, dilation, spacing, strict=True))
        return size, tuple(j * s for j, s in zip(spacing, stride, strict=True))  # pyright: ignore[reportReturnType]


def _window(node: Node) -> tuple | None:
    """Kernel, stride and dilation of the operation; None where an output sees all of its input, or a finer grid."""
    name, inputs = node.operation.__name__, dict(zip(node.operation.parameters, node.inputs, strict=False))
    inputs |= node.settings
    if name in _UNFOLLOWED:
        return None
    if name == "conv2d":
        return inputs["weight"].shape[2:], _pair(inputs.get("stride", 1)), _pair(inputs.get("dilation", 1))
    if name in ("max_pool2d", "avg_pool2d"):
        kernel, stride = _pair(inputs["kernel_size"]), inputs.get("stride")
        return kernel, kernel if stride is None else _pair(stride), _pair(inputs.get("dilation", 1))
    if name == "adaptive_avg_pool2d":
        image = inputs["x"].shape[2:]
        sizes = [n if m is None else m for n, m in zip(image, _pair(inputs["output_size"]), strict=True)]
        if image != (1, 1) and (sizes == [1, 1] or any(n % m for n, m in zip(image, sizes, strict=True))):
            return None
        kernel = tuple(n // m for n, m in zip(image, sizes, strict=True))
        return kernel, kernel, (1, 1)
    return (1, 1), (1, 1), (1, 1)


_UNFOLLOWED = frozenset(
    [
        "linear",
        "matmul",
        "reshape",
        "sum",
        "mean",
        "var",
        "max",
        "min",
        "conv_transpose2d",
        "max_unpool2d",
        "weigh_rows_and_columns",
    ]
)


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
