r"""Softmax and cross-entropy, a row at a time: the largest, the exponentials with their sum, the result.

A row of a thousand classes stays in the first-level cache, so its three walks cost one reading of memory. The
exponential is `activation.exponential`, a polynomial that fills vectors; the C library's, called number by number, made
the prototype 2.4 times slower than PyTorch.

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 0.76 (softmax_cross_entropy
forward), 1.03 (softmax_cross_entropy backward).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .activation import exponential
from .kernel import kernel
from .language import Pointer, advanced, number
from .memory import empty
from .threads import get_num_threads


@kernel
def softmax_rows(task, worker, x: Pointer, y: Pointer, rows: int, width: int, tasks: int):
    """e^(x - max) over its sum, for some of the rows."""
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        here, to = advanced(x, row * width), advanced(y, row * width)
        high = here[0]
        for c in range(width):
            high = here[c] if here[c] > high else high
        total = number(x, 0.0)
        for c in range(width):
            e = exponential(x, here[c] - high)
            to[c] = e
            total += e
        scale = number(x, 1.0) / total
        for c in range(width):
            to[c] *= scale


@kernel
def softmax_rows_gradient(task, worker, dy: Pointer, y: Pointer, dx: Pointer, rows: int, width: int, tasks: int):
    """y (dy - sum of dy y), for some of the rows."""
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        g, p, to = advanced(dy, row * width), advanced(y, row * width), advanced(dx, row * width)
        total = number(y, 0.0)
        for c in range(width):
            total += g[c] * p[c]
        for c in range(width):
            to[c] = p[c] * (g[c] - total)


@kernel
def cross_entropy_rows(
    task, worker, x: Pointer, q: Pointer, log_p: Pointer, y: Pointer, rows: int, width: int, tasks: int
):
    """ln softmax of x, and minus its sum weighed by q, for some of the rows."""
    zero = number(x, 0.0)
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        here, weights, to = advanced(x, row * width), advanced(q, row * width), advanced(log_p, row * width)
        high = here[0]
        for c in range(width):
            high = here[c] if here[c] > high else high
        total = zero
        for c in range(width):
            total += exponential(x, here[c] - high)
        shift = high + math.log(total)
        loss = zero
        for c in range(width):
            v = here[c] - shift
            to[c] = v
            loss += weights[c] * v if weights[c] != zero else zero
        y[row] = -loss


@kernel
def cross_entropy_rows_gradient(
    task, worker, log_p: Pointer, q: Pointer, dy: Pointer, dx: Pointer, rows: int, width: int, tasks: int
):
    """(e^(log p) sum of q - q) dy, for some of the rows."""
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        here, weights, to = advanced(log_p, row * width), advanced(q, row * width), advanced(dx, row * width)
        total = number(log_p, 0.0)
        for c in range(width):
            total += weights[c]
        for c in range(width):
            to[c] = (exponential(log_p, here[c]) * total - weights[c]) * dy[row]


def _sizes(x: np.ndarray) -> tuple[int, int, int]:
    width = x.shape[-1]
    rows = x.size // width
    return rows, width, max(1, min(4 * get_num_threads(), rows, x.size // 4096))


def softmax(x, axis=-1) -> Any:
    """`ops.softmax` on the processor, over the last axis."""
    y, (rows, width, tasks) = empty(x.shape, x.dtype), _sizes(x)
    softmax_rows(tasks, x, y, rows, width, tasks)

    def backward(dy):
        dx = empty(y.shape, y.dtype)
        softmax_rows_gradient(tasks, np.ascontiguousarray(dy), y, dx, rows, width, tasks)
        return dx

    return y, backward


def softmax_cross_entropy(x, target) -> Any:
    """`softmax_cross_entropy` on the processor, of samples by classes."""
    log_p, y, (rows, width, tasks) = empty(x.shape, x.dtype), empty(x.shape[:1], x.dtype), _sizes(x)
    cross_entropy_rows(tasks, x, target, log_p, y, rows, width, tasks)

    def backward(dy):
        def dx():
            gradient = empty(log_p.shape, log_p.dtype)
            upstream = np.ascontiguousarray(dy)
            cross_entropy_rows_gradient(tasks, log_p, target, upstream, gradient, rows, width, tasks)
            return gradient

        return dx, lambda: -dy[:, None] * log_p

    return y, backward


def _over_last_axis(x, axis=-1) -> bool:
    return x.size > 0 and axis in (-1, x.ndim - 1) and x.flags.c_contiguous


def _samples_by_classes(x, target) -> bool:
    return (
        x.ndim == 2
        and x.size > 0
        and x.shape == target.shape
        and x.dtype == target.dtype
        and x.flags.c_contiguous
        and target.flags.c_contiguous
    )


softmax.accepts = _over_last_axis  # pyright: ignore[reportFunctionMemberAccess]
softmax_cross_entropy.accepts = _samples_by_classes  # pyright: ignore[reportFunctionMemberAccess]
