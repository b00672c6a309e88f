"""Convolution on the processor: which algorithm computes it, and the bodies of the three operations.

`conv2d_direct.py` computes any convolution; `winograd.py` some of them with a fraction of the multiplications. By
default a rule chooses from the shapes: it counts the work of each. So the same program on the same kind of machine
computes the same bits. `mt.set_numerics("strict")` allows direct convolution alone, `mt.set_numerics("fast")` lets a
timing choose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minitorch_cv._numerics import numerics
from minitorch_cv.ops import _conv2d as portable

from . import conv2d_direct as direct
from . import winograd
from .matmul import product
from .memory import channels_last, contiguous, in_order
from .timing import timed_choice


@functools.lru_cache(maxsize=4096)
def chosen_by_rule(direction: str, x_shape: tuple, weight_shape: tuple, settings: tuple, itemsize: int) -> str:
    """The algorithm with the least work to "correlate", "spread" or "gather": "direct", or Winograd's by its name."""
    suiting = winograd.suiting(x_shape, weight_shape, settings, itemsize)
    if not suiting:
        return "direct"
    (n, _, h, w), (o, c, kh, kw), (stride, padding, dilation, _) = x_shape, weight_shape, settings
    size = tuple(map(portable.output_size, (h, w), (kh, kw), stride, padding, dilation))
    out_phases = stride[0] if direction == "spread" else 1
    work = {"direct": float(kh * kw * n * size[0] * size[1])}
    for name, transforms in suiting.items():
        work[name] = winograd.estimated_work(transforms, n, size, c, o, stride[0], out_phases)
    return min(work, key=work.__getitem__)


def _covers(x_shape: tuple, weight_shape: tuple, settings: tuple) -> bool:
    """Whether the window is as large as the image: then a convolution is a matrix product."""
    _, padding, _, groups = settings
    return groups == 1 and padding == (0, 0) and x_shape[2:] == weight_shape[2:] != (1, 1)


def _window_rows(weight: Any) -> Any:
    """The weight as a matrix (kh kw C, O), as it lies in memory if its outputs are last there."""
    return in_order(weight, (2, 3, 1, 0)).transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _compute(direction: str, x: Any, x_shape: tuple, weight_shape: tuple, settings: tuple, ways: Callable) -> Any:
    """The result by the chosen way: `ways(name, transforms)` computes it, directly where there are no transforms."""
    name = "direct"
    if numerics.mode == "fast":
        suiting = winograd.suiting(x_shape, weight_shape, settings, x.itemsize)
        key = f"{direction} {x.dtype.name} {x_shape} {weight_shape} {settings}"
        name = timed_choice(
            key, {"direct": lambda: ways(None), **{n: functools.partial(ways, f) for n, f in suiting.items()}}
        )
    elif numerics.mode == "default":
        name = chosen_by_rule(direction, x_shape, weight_shape, settings, x.itemsize)
    return ways(winograd.BY_NAME.get(name))


def correlate(x, weight, bias, stride, padding, dilation, groups):
    """The value of conv2d."""
    if _covers(x.shape, weight.shape, (stride, padding, dilation, groups)):
        n, o = x.shape[0], weight.shape[0]
        rows, matrix = channels_last(x).reshape(n, -1), _window_rows(weight)
        size = matrix.shape[0]
        bias = None if bias is None else np.ascontiguousarray(bias)
        return product(rows, (size, 1), matrix, (o, 1), (n, size, o), bias).reshape(n, o, 1, 1)

    def ways(transforms):
        if transforms is None:
            return direct.correlate(x, weight, bias, stride, padding, dilation, groups)
        return winograd.correlate(transforms, x, weight, bias, stride[0], padding[0])

    return _compute("correlate", x, x.shape, weight.shape, (stride, padding, dilation, groups), ways)


def spread(dy, weight, x_shape, stride, padding, dilation, groups):
    """The value of conv2d_input_gradient."""
    if _covers(x_shape, weight.shape, (stride, padding, dilation, groups)):
        n, c, h, w = x_shape
        o = weight.shape[0]
        dx = product(contiguous(dy).reshape(n, o), (o, 1), _window_rows(weight), (1, o), (n, o, c * h * w))
        return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2)

    def ways(transforms):
        if transforms is None:
            return direct.spread(dy, weight, x_shape, stride, padding, dilation, groups)
        return winograd.spread(transforms, dy, weight, x_shape, stride[0], padding[0])

    return _compute("spread", dy, x_shape, weight.shape, (stride, padding, dilation, groups), ways)


def gather(dy, x, weight_shape, stride, padding, dilation, groups):
    """The value of conv2d_weight_gradient."""
    if _covers(x.shape, weight_shape, (stride, padding, dilation, groups)):
        n, (o, c, kh, kw) = x.shape[0], weight_shape
        rows = channels_last(x).reshape(n, -1)
        size = rows.shape[1]
        dw = product(rows, (1, size), contiguous(dy).reshape(n, o), (o, 1), (size, n, o))
        return dw.reshape(kh, kw, c, o).transpose(3, 2, 0, 1)

    def ways(transforms):
        if transforms is None:
            return direct.gather(dy, x, weight_shape, stride, padding, dilation, groups)
        return winograd.gather(transforms, dy, x, weight_shape, stride[0], padding[0])

    return _compute("gather", x, x.shape, weight_shape, (stride, padding, dilation, groups), ways)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Any:
    """`ops.conv2d` on the processor."""
    settings = portable.geometry("conv2d", x, weight, stride, padding, dilation, groups)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv2d: bias expects shape {weight.shape[:1]}; it is {bias.shape}")
    x_shape, weight_shape, has_bias = x.shape, weight.shape, bias is not None

    def backward(dy):
        return (
            lambda: portable.conv2d_input_gradient(dy, weight, x_shape, *settings),
            lambda: portable.conv2d_weight_gradient(dy, x, weight_shape, *settings),
            (lambda: direct.sum_over_pixels(dy)) if has_bias else None,
        )

    return correlate(x, weight, bias, *settings), backward


def conv2d_input_gradient(dy, weight, x_shape, stride=1, padding=0, dilation=1, groups=1) -> Any:
    """`ops.conv2d_input_gradient` on the processor."""
    settings = portable.gradient_geometry(
        "conv2d_input_gradient", dy, "weight", weight, x_shape, weight.shape, stride, padding, dilation, groups
    )
    weight_shape = weight.shape

    def backward(u):
        return (
            lambda: portable.conv2d(u, weight, None, *settings),
            lambda: portable.conv2d_weight_gradient(dy, u, weight_shape, *settings),
        )

    return spread(dy, weight, x_shape, *settings), backward


def conv2d_weight_gradient(dy, x, weight_shape, stride=1, padding=0, dilation=1, groups=1) -> Any:
    """`ops.conv2d_weight_gradient` on the processor."""
    settings = portable.gradient_geometry(
        "conv2d_weight_gradient", dy, "x", x, x.shape, weight_shape, stride, padding, dilation, groups
    )
    x_shape = x.shape

    def backward(u):
        return (
            lambda: portable.conv2d(x, u, None, *settings),
            lambda: portable.conv2d_input_gradient(dy, u, x_shape, *settings),
        )

    return gather(dy, x, weight_shape, *settings), backward


def _not_empty(x, weight, *_, **__) -> bool:
    return x.size > 0 and weight.size > 0


def _not_empty_shapes(first, second, shape, *_, **__) -> bool:
    return first.size > 0 and second.size > 0 and 0 not in shape


conv2d.accepts = _not_empty  # pyright: ignore[reportFunctionMemberAccess]
conv2d_input_gradient.accepts = _not_empty_shapes  # pyright: ignore[reportFunctionMemberAccess]
conv2d_weight_gradient.accepts = _not_empty_shapes  # pyright: ignore[reportFunctionMemberAccess]
