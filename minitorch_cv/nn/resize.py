"""Layers that change height and width: interpolation and padding."""

from __future__ import annotations

from typing import Any

from .. import ops
from .module import Module


class Upsample(Module):
    """Interpolation to `size` or by `scale_factor`: see `ops.interpolate`."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
    ):
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Any) -> Any:
        return ops.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        where = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{where}, mode={self.mode!r}"


class _Pad2d(Module):
    mode = "constant"

    def __init__(self, padding: int | tuple[int, int, int, int]):
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 4:
            raise ValueError(
                f"{type(self).__name__}: padding expects a number, or (left, right, top, bottom); it is {padding!r}"
            )

    def forward(self, x: Any) -> Any:
        return ops.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """Zeros around the image, `padding` = (left, right, top, bottom): see `ops.pad`."""


class ConstantPad2d(_Pad2d):
    """`value` around the image: see `ops.pad`."""

    def __init__(self, padding: int | tuple[int, int, int, int], value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, x: Any) -> Any:
        return ops.pad(x, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}, value={self.value}"


class ReflectionPad2d(_Pad2d):
    """The image mirrored at its edges: see `ops.pad`."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """The edges repeated: see `ops.pad`."""

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """The opposite side's pixels around the image: see `ops.pad`."""

    mode = "circular"
