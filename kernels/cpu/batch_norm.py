r"""Batch normalisation in two passes over memory each way, with ReLU and a residual in the same passes.

What a processor does in this layer is read and write, with some four arithmetic operations a number.
So passes are what counts. Forward: one that sums, one that writes y, which also adds the residual and rectifies.
Backward: one that sums, one that writes dx; neither xhat nor the rectifier's mask y > 0 is kept: both
are computed again from x, which costs less than to read them. PyTorch's three layers need twice the passes.

Channels are last in memory, and a row of 16 channels is one vector: too little to work on. Rows are folded: four
pixels of 16 channels are taken for one row of 64, whose sums are added up at the end.

Sums: x minus a first guess of its channel's mean, so that the variance is no difference of large numbers; in the
element type over some rows, those totals in float64.

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 1.13 (batch_norm_relu_train
forward), 1.23 (batch_norm_relu_train backward), 1.25 (batch_norm_relu_eval forward), 1.13 (batch_norm_relu_eval
backward).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .kernel import kernel
from .language import Doubles, Pointer, advanced, number
from .memory import in_order, layout, scratch
from .memory import pool as memory
from .threads import get_num_threads

ROWS = 64
"""Over so many rows sums stay in the element type."""


@kernel
def sum_powers(
    task, worker, x: Pointer, guess: Pointer, partial: Pointer, totals: Doubles, rows: int, width: int, tasks: int
):  # fmt: skip
    """The sums of x - guess and of its square over some of the rows: totals [task][2][width]."""
    own = advanced(totals, task * 2 * width)
    sums = advanced(partial, worker * 2 * width)
    squares = advanced(partial, worker * 2 * width + width)
    zero = number(x, 0.0)
    for c in range(2 * width):
        own[c] = 0.0
    end = (task + 1) * rows // tasks
    for first in range(task * rows // tasks, end, ROWS):
        for c in range(width):
            sums[c] = zero
            squares[c] = zero
        last = min(end, first + ROWS)
        row = first
        while row + 4 <= last:
            x0, x1 = advanced(x, row * width), advanced(x, (row + 1) * width)
            x2, x3 = advanced(x, (row + 2) * width), advanced(x, (row + 3) * width)
            for c in range(width):
                d0, d1, d2, d3 = x0[c] - guess[c], x1[c] - guess[c], x2[c] - guess[c], x3[c] - guess[c]
                sums[c] += (d0 + d1) + (d2 + d3)
                squares[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
            row += 4
        while row < last:
            here = advanced(x, row * width)
            for c in range(width):
                d = here[c] - guess[c]
                sums[c] += d
                squares[c] += d * d
            row += 1
        for c in range(width):
            own[c] += sums[c]
            own[width + c] += squares[c]


@kernel
def scale_rows(
    task, worker, x: Pointer, scale: Pointer, shift: Pointer, residual: Pointer, y: Pointer, rows: int, width: int,
    rectified: int, added: int, tasks: int
):  # fmt: skip
    """y = scale x + shift for some of the rows; a residual added, and rectified, where wanted."""
    zero = number(x, 0.0)
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        here, to, other = advanced(x, row * width), advanced(y, row * width), advanced(residual, row * width)
        if added:
            for c in range(width):
                v = here[c] * scale[c] + shift[c] + other[c]
                to[c] = zero if v <= zero else v
        elif rectified:
            for c in range(width):
                v = here[c] * scale[c] + shift[c]
                to[c] = zero if v <= zero else v
        else:
            for c in range(width):
                to[c] = here[c] * scale[c] + shift[c]


@kernel
def sum_gradients(
    task, worker, dy: Pointer, y: Pointer, x: Pointer, mean: Pointer, scale: Pointer, shift: Pointer, passed: Pointer,
    partial: Pointer, totals: Doubles, rows: int, width: int, mask: int, tasks: int
):  # fmt: skip
    """The sums of g and g (x - mean) over some of the rows. g is dy (mask 0), or dy where y > 0.

    Then y is computed again from x (mask 1): to read it would cost more. A residual was added to it (mask 2): it is
    read, and g, which is the residual's gradient, is written down.
    """
    own = advanced(totals, task * 2 * width)
    sums = advanced(partial, worker * 2 * width)
    products = advanced(partial, worker * 2 * width + width)
    zero = number(x, 0.0)
    for c in range(2 * width):
        own[c] = 0.0
    end = (task + 1) * rows // tasks
    for first in range(task * rows // tasks, end, ROWS):
        for c in range(width):
            sums[c] = zero
            products[c] = zero
        for row in range(first, min(end, first + ROWS)):
            g0, x0 = advanced(dy, row * width), advanced(x, row * width)
            if mask == 0:
                for c in range(width):
                    sums[c] += g0[c]
                    products[c] += g0[c] * (x0[c] - mean[c])
            elif mask == 1:
                for c in range(width):
                    g = g0[c] if x0[c] * scale[c] + shift[c] > zero else zero
                    sums[c] += g
                    products[c] += g * (x0[c] - mean[c])
            else:
                y0, g1 = advanced(y, row * width), advanced(passed, row * width)
                for c in range(width):
                    g = g0[c] if y0[c] > zero else zero
                    g1[c] = g
                    sums[c] += g
                    products[c] += g * (x0[c] - mean[c])
        for c in range(width):
            own[c] += sums[c]
            own[width + c] += products[c]


@kernel
def spread_gradients(
    task, worker, dy: Pointer, x: Pointer, scale: Pointer, shift: Pointer, of_x: Pointer, offset: Pointer, dx: Pointer,
    rows: int, width: int, masked: int, tasks: int
):  # fmt: skip
    """dx = scale g + of_x x + offset for some of the rows; g is dy, or where `masked` dy where y > 0."""
    zero = number(x, 0.0)
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        g0, x0, to = advanced(dy, row * width), advanced(x, row * width), advanced(dx, row * width)
        if masked:
            for c in range(width):
                g = g0[c] if x0[c] * scale[c] + shift[c] > zero else zero
                to[c] = scale[c] * g + of_x[c] * x0[c] + offset[c]
        else:
            for c in range(width):
                to[c] = scale[c] * g0[c] + of_x[c] * x0[c] + offset[c]


@functools.lru_cache(maxsize=1024)
def folding(channels: int, size: int, threads: int) -> tuple[int, int, int]:
    """How many pixels make a row, how many rows there are, and how many tasks they are shared by."""
    pixels = size // channels
    fold = next((f for f in (64 // channels, 32 // channels, 16 // channels) if f > 1 and pixels % f == 0), 1)
    return fold, pixels // fold, max(1, min(threads, size // 16384))


def _statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel, in float64."""
    channels = x.shape[1]
    fold, rows, tasks = folding(channels, x.size, get_num_threads())
    flat = x.transpose(0, *range(2, x.ndim), 1).reshape(-1, channels)
    guess = flat[: 16 * fold].mean(axis=0)
    totals = scratch("batch norm totals", 2 * tasks * channels * fold, np.float64)
    partial = scratch("batch norm sums", 2 * get_num_threads() * channels * fold, x.dtype)
    sum_powers(tasks, x, np.tile(guess, fold), partial, totals, rows, channels * fold, tasks)
    first, second = totals.reshape(tasks, 2, fold, channels).sum(axis=(0, 2)) / (rows * fold)
    return guess + first, np.maximum(second - first * first, 0.0)


def _scaled(x, scale, shift, residual, rectified: bool) -> np.ndarray:
    """scale x + shift (+ residual), rectified where wanted, in x's layout."""
    axes = layout(x)
    fold, rows, tasks = folding(x.shape[1], x.size, get_num_threads())
    y = memory.empty(x.shape, x.dtype, axes)
    scale, shift = (_folded(v, fold, x.dtype) for v in (scale, shift))
    residual = None if residual is None else in_order(residual, axes)
    scale_rows(
        4 * tasks,
        *(x, scale, shift, residual, y, rows, len(scale), int(rectified), int(residual is not None), 4 * tasks),
    )
    return y


PLAIN, RECTIFIED, RESIDUAL = range(3)
"""What a gradient is masked by: see `sum_gradients`."""


def _sums_of_gradients(dy, y, x, mean, scale, shift, mask: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """The sums of g and of g (x - mean) for each channel, in float64, and g itself where there is a residual."""
    channels = x.shape[1]
    fold, rows, tasks = folding(channels, x.size, get_num_threads())
    passed = memory.empty(x.shape, x.dtype, layout(x)) if mask == RESIDUAL else None
    totals = scratch("batch norm totals", 2 * tasks * channels * fold, np.float64)
    partial = scratch("batch norm sums", 2 * get_num_threads() * channels * fold, x.dtype)
    vectors = [_folded(v, fold, x.dtype) for v in (mean, scale, shift)]
    sum_gradients(tasks, dy, y, x, *vectors, passed, partial, totals, rows, channels * fold, mask, tasks)
    sum_g, sum_gx = totals.reshape(tasks, 2, fold, channels).sum(axis=(0, 2))
    return sum_g, sum_gx, passed


def _spread(dy, x, scale, shift, of_x, offset, masked: bool) -> np.ndarray:
    fold, rows, tasks = folding(x.shape[1], x.size, get_num_threads())
    dx = memory.empty(x.shape, x.dtype, layout(x))
    vectors = [_folded(v, fold, x.dtype) for v in (scale, shift, of_x, offset)]
    spread_gradients(4 * tasks, dy, x, *vectors, dx, rows, x.shape[1] * fold, int(masked), 4 * tasks)
    return dx


def _folded(vector: np.ndarray, fold: int, dtype: Any) -> np.ndarray:
    """A vector over the channels, once for each pixel of a row."""
    return np.tile(vector.astype(dtype), fold)


def _normalized(x, residual, weight, bias, eps, rectified: bool) -> tuple[Any, Any]:
    """Value and backward of a batch norm over the batch. `backward` gives dx, g, dw and db."""
    mean, var = _statistics(x)
    r = 1 / np.sqrt(var + eps)
    scale = r if weight is None else weight * r
    shift = -mean * scale if bias is None else bias - mean * scale
    y = _scaled(x, scale, shift, residual, rectified)
    mask = PLAIN if not rectified else RECTIFIED if residual is None else RESIDUAL
    m, dtype, axes, output = x.size // x.shape[1], x.dtype, layout(x), y if mask == RESIDUAL else None

    def backward(dy):
        dy = in_order(dy, axes)
        db, sum_gx, g = _sums_of_gradients(dy, output, x, mean, scale, shift, mask)
        dw = sum_gx * r
        # dx = w r (g - db / m - xhat dw / m), with xhat = (x - mean) r
        of_x = -scale * r * dw / m
        offset = -scale * db / m - of_x * mean
        dx = _spread(dy if g is None else g, x, scale, shift, of_x, offset, mask == RECTIFIED)
        return dx, g, dw.astype(dtype), db.astype(dtype)

    return (y, mean.astype(dtype), var.astype(dtype)), backward


def batch_norm_train(x, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_train` on the processor."""
    values, gradients = _normalized(x, None, weight, bias, eps, rectified=False)

    def backward(dy):
        dx, _, dw, db = gradients(dy)
        return dx, lambda: dw, lambda: db

    return values, backward


def batch_norm_relu_train(x, residual=None, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_relu_train` on the processor."""
    return _normalized(x, residual, weight, bias, eps, rectified=True)


def batch_norm_eval(x, mean, var, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_eval` on the processor."""
    y, gradients = _by_statistics(x, None, mean, var, weight, bias, eps, rectified=False)

    def backward(dy):
        dx, _, *others = gradients(dy)
        return dx, *others

    return y, backward


def batch_norm_relu_eval(x, residual, mean, var, weight=None, bias=None, eps=1e-5) -> Any:
    """`batch_norm_relu_eval` on the processor."""
    return _by_statistics(x, residual, mean, var, weight, bias, eps, rectified=True)


def _by_statistics(x, residual, mean, var, weight, bias, eps, rectified: bool) -> tuple[Any, Any]:
    """Value and backward of a batch norm by given statistics. `backward` gives dx, g, dmean, dvar, dw and db."""
    mean, var = mean.astype(np.float64), var.astype(np.float64)
    r = 1 / np.sqrt(var + eps)
    scale = r if weight is None else weight * r
    shift = -mean * scale if bias is None else bias - mean * scale
    y = _scaled(x, scale, shift, residual, rectified)
    axes, dtype, mask = layout(x), x.dtype, RESIDUAL if rectified else PLAIN

    def backward(dy):
        dy = in_order(dy, axes)
        db, sum_gx, g = _sums_of_gradients(dy, y if rectified else None, x, mean, scale, shift, mask)
        dw = sum_gx * r
        g = dy if g is None else g
        return (
            lambda: _scaled(g, scale, np.zeros_like(scale), None, rectified=False),
            lambda: g,
            lambda: (-db * scale).astype(dtype),
            lambda: (dw * scale * r * -0.5).astype(dtype),
            lambda: dw.astype(dtype),
            lambda: db.astype(dtype),
        )

    return y, backward


def _channels_are_last(x, *others, eps=1e-5) -> bool:
    """Whether a pixel's channels are neighbours in memory, and there are some."""
    last = x if x.ndim == 2 else x.transpose(0, 2, 3, 1) if x.ndim == 4 else None
    return x.size > 0 and last is not None and last.flags.c_contiguous


for _body in (batch_norm_train, batch_norm_relu_train, batch_norm_eval, batch_norm_relu_eval):
    _body.accepts = _channels_are_last  # pyright: ignore[reportFunctionMemberAccess]
