r"""Local response normalisation with channels last: a pixel's channels and their neighbours lie side by side.

So the sum over a window of channels is the sum of a few shifted reads of one row, which stays in the first-level cache:
the squares, their window sums, s^(-3/4) by two square roots, and the product, each a vector at a time, and memory is
read and written once each way. The power -beta other than 3/4 is left to the portable body.

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 0.25 (local_response_norm forward),
0.36 (local_response_norm backward).
"""

from __future__ import annotations

import math
from typing import Any

from .kernel import kernel
from .language import Pointer, advanced, number
from .memory import CHANNELS_LAST, channels_last, empty_channels_last, scratch
from .threads import get_num_threads


@kernel
def normalize_pixels(
    task, worker, x: Pointer, y: Pointer, rows_memory: Pointer, pixels: int, channels: int, before: int, after: int,
    alpha: float, k: float, tasks: int
):  # fmt: skip
    """y = x s^(-3/4) for some of the pixels."""
    part, floor, one = number(x, alpha), number(x, k), number(x, 1.0)
    squares = advanced(rows_memory, worker * 2 * (channels + before + after))
    wide = channels + before + after
    sums = advanced(squares, wide)
    for c in range(wide):
        squares[c] = number(x, 0.0)
    for p in range(task * pixels // tasks, (task + 1) * pixels // tasks):
        here, to = advanced(x, p * channels), advanced(y, p * channels)
        for c in range(channels):
            squares[before + c] = here[c] * here[c]
        for c in range(channels):
            sums[c] = squares[c]
        for j in range(1, before + after + 1):
            for c in range(channels):
                sums[c] += squares[c + j]
        for c in range(channels):
            root = math.sqrt(floor + part * sums[c])
            to[c] = here[c] * (one / (root * math.sqrt(root)))


@kernel
def normalize_pixels_gradient(
    task, worker, dy: Pointer, x: Pointer, dx: Pointer, rows_memory: Pointer, pixels: int, channels: int, before: int,
    after: int, alpha: float, k: float, tasks: int
):  # fmt: skip
    """dx = dy s^(-3/4) - 3/2 alpha x (the sum of dy y / s over the windows that hold the channel)."""
    part, floor, one = number(x, alpha), number(x, k), number(x, 1.0)
    wide = channels + before + after
    squares = advanced(rows_memory, worker * 4 * wide)
    sums, scales, ratios = advanced(squares, wide), advanced(squares, 2 * wide), advanced(squares, 3 * wide)
    factor = number(x, 1.5 * alpha)
    for c in range(wide):
        squares[c] = number(x, 0.0)
        ratios[c] = number(x, 0.0)
    for p in range(task * pixels // tasks, (task + 1) * pixels // tasks):
        here, g, to = advanced(x, p * channels), advanced(dy, p * channels), advanced(dx, p * channels)
        for c in range(channels):
            squares[before + c] = here[c] * here[c]
        for c in range(channels):
            sums[c] = squares[c]
        for j in range(1, before + after + 1):
            for c in range(channels):
                sums[c] += squares[c + j]
        for c in range(channels):
            s = floor + part * sums[c]
            root = math.sqrt(s)
            scale = one / (root * math.sqrt(root))
            scales[c] = scale
            ratios[after + c] = g[c] * here[c] * scale / s
        for c in range(channels):
            sums[c] = ratios[c]
        for j in range(1, before + after + 1):
            for c in range(channels):
                sums[c] += ratios[c + j]
        for c in range(channels):
            to[c] = g[c] * scales[c] - factor * here[c] * sums[c]


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0) -> Any:
    """`ops.local_response_norm` on the processor."""
    channels, before, after, threads = x.shape[1], size // 2, (size - 1) // 2, get_num_threads()
    pixels = x.size // channels
    tasks = max(1, min(4 * threads, x.size // 8192))
    settings = (pixels, channels, before, after, alpha / size, float(k), tasks)
    y = empty_channels_last(x.shape, x.dtype)
    rows = scratch("channel windows", 4 * threads * (channels + size), x.dtype)
    normalize_pixels(tasks, x, y, rows, *settings)

    def backward(dy):
        dx = empty_channels_last(x.shape, x.dtype)
        rows = scratch("channel windows", 4 * threads * (channels + size), x.dtype)
        normalize_pixels_gradient(tasks, channels_last(dy), x, dx, rows, *settings)
        return dx

    return y, backward


def _images(x, size, alpha=1e-4, beta=0.75, k=1.0) -> bool:
    return beta == 0.75 and size >= 1 and x.ndim == 4 and x.size > 0 and x.transpose(CHANNELS_LAST).flags.c_contiguous


local_response_norm.accepts = _images  # pyright: ignore[reportFunctionMemberAccess]
