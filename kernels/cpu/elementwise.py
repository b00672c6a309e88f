"""Sums of two arrays: what residual networks and their gradients are made of. NumPy's are one thread's.

Of one shape, or an image and a number for each of its channels (a diffusion network's step in time, added to pixels).

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 1.04 (add forward).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .activation import add_forward, each
from .kernel import kernel
from .language import Pointer, advanced, number
from .memory import CHANNELS_LAST, channels_last, contiguous, empty_channels_last, order_in_memory


@kernel
def add_to_pixels(task, worker, x: Pointer, vector: Pointer, y: Pointer, pixels: int, channels: int):
    """An image's vector added to each of its pixels."""
    added = advanced(vector, task * channels)
    for p in range(pixels):
        here, to = advanced(x, (task * pixels + p) * channels), advanced(y, (task * pixels + p) * channels)
        for c in range(channels):
            to[c] = here[c] + added[c]


@kernel
def sum_of_pixels(task, worker, dy: Pointer, vector: Pointer, pixels: int, channels: int):
    """The sum over an image's pixels."""
    total = advanced(vector, task * channels)
    for c in range(channels):
        total[c] = number(dy, 0.0)
    for p in range(pixels):
        here = advanced(dy, (task * pixels + p) * channels)
        for c in range(channels):
            total[c] += here[c]


def add(a, b) -> Any:
    """`ops.add` on the processor."""
    if a.shape == b.shape:
        return each(add_forward, a, b), lambda dy: (dy, dy)
    n, c, h, w = a.shape
    y = empty_channels_last(a.shape, a.dtype)
    add_to_pixels(n, a, contiguous(b), y, h * w, c)

    def backward(dy):
        def db():
            total = np.empty((n, c, 1, 1), dy.dtype)
            sum_of_pixels(n, channels_last(dy), total, h * w, c)
            return total

        return dy, db

    return y, backward


def _large(a, b) -> bool:
    """Whether there is enough to add for more than one thread, and nothing to bring in order."""
    if getattr(a, "size", 0) < 16384 or getattr(b, "size", 0) == 0 or a.dtype != b.dtype:
        return False
    if a.shape == b.shape:
        return a.strides == b.strides and order_in_memory(a) is not None
    return a.ndim == 4 and b.shape == (*a.shape[:2], 1, 1) and a.transpose(CHANNELS_LAST).flags.c_contiguous


add.accepts = _large  # pyright: ignore[reportFunctionMemberAccess]
