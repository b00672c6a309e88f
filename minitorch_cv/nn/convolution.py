"""Convolution layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from .._arguments import whole_number
from .._random import Generator
from ..ops._conv2d import pair
from .linear import default_weights
from .module import Module


class Conv2d(Module):
    """Two-dimensional convolution: see `ops.conv2d`.

    `padding` may also be "valid" (none) or "same" (as much as keeps height and width, the odd pixel at the end; stride
    1). `padding_mode` is zeros, reflect, replicate or circular.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = np.float32,
        *,
        generator: Generator | None = None,
    ):
        _check_channels("Conv2d", in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair("Conv2d", "stride", stride, 1), pair("Conv2d", "dilation", dilation, 1)
        self.padding = padding if padding in ("same", "valid") else pair("Conv2d", "padding", padding, 0)
        if padding == "same" and self.stride != (1, 1):
            raise ValueError(f"Conv2d: padding 'same' expects stride 1; it is {self.stride}")
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"Conv2d: padding_mode expects one of {', '.join(modes)}; it is {padding_mode!r}")
        self.padding_mode = padding_mode
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        fan_in = shape[1] * shape[2] * shape[3]
        self.weight, self.bias = default_weights(
            shape, out_channels if bias else None, fan_in, generator, device, dtype
        )

    def forward(self, x: Any) -> Any:
        (top, bottom), (left, right) = self._edges()
        if self.padding_mode == "zeros" and top == bottom and left == right:
            return ops.conv2d(x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        x = ops.pad(x, (left, right, top, bottom), mode)
        return ops.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def _edges(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels to add above and below, and left and right."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding == "same":
            high, wide = (d * (k - 1) for k, d in zip(self.kernel_size, self.dilation, strict=True))
            return (high // 2, high - high // 2), (wide // 2, wide - wide // 2)
        vertical, horizontal = pair("Conv2d", "padding", self.padding, 0)
        return (vertical, vertical), (horizontal, horizontal)

    def extra_repr(self) -> str:
        return _describe(self, padding=(0, 0), dilation=(1, 1), groups=1, padding_mode="zeros")


class ConvTranspose2d(Module):
    """Transposed two-dimensional convolution: see `ops.conv_transpose2d`."""

    stride: Any  # pairs (height, width), as the next three
    padding: Any
    output_padding: Any
    dilation: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        device: str | None = None,
        dtype: Any = np.float32,
        *,
        generator: Generator | None = None,
    ):
        name = "ConvTranspose2d"
        _check_channels(name, in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride, self.padding = pair(name, "stride", stride, 1), pair(name, "padding", padding, 0)
        self.output_padding = pair(name, "output_padding", output_padding, 0)
        self.dilation = pair(name, "dilation", dilation, 1)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        fan_in = shape[1] * shape[2] * shape[3]
        self.weight, self.bias = default_weights(
            shape, out_channels if bias else None, fan_in, generator, device, dtype
        )

    def forward(self, x: Any) -> Any:
        return ops.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )

    def extra_repr(self) -> str:
        return _describe(self, padding=(0, 0), output_padding=(0, 0), dilation=(1, 1), groups=1)


def _check_channels(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    for argument, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        whole_number(f"{name}: {argument}", value, 0)
    whole_number(f"{name}: groups", groups, 1)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{name}: groups expects a divisor of in_channels = {in_channels} and out_channels = {out_channels}; "
            f"it is {groups}"
        )


def _describe(layer: Any, **defaults: Any) -> str:
    """The settings of a layer, those at their default left out."""
    parts = [f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}, stride={layer.stride}"]
    parts += [f"{name}={getattr(layer, name)}" for name, value in defaults.items() if getattr(layer, name) != value]
    return ", ".join(parts + ["bias=False"] * (layer.bias is None))
