r"""Group normalisation with channels last: an image at a time, its channels' sums first, its groups' after them.

An image of a diffusion network, 32 x 32 with 64 channels, is 256 KB: it is read from memory once, and the second walk,
which writes y, finds it in the second-level cache. The same on the way back. The sums of each channel are taken first,
whole vectors of neighbouring channels, and then added up by groups, so groups of any width cost the same.

Sums as in `batch_norm.py`: of x minus a first guess, in the element type over a row of pixels, in float64 beyond.

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 1.53 (group_norm forward), 1.59
(group_norm backward).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .kernel import kernel
from .language import Doubles, Pointer, advanced, number
from .memory import CHANNELS_LAST, channels_last, empty_channels_last, scratch
from .threads import get_num_threads


@kernel
def normalize_images(
    task, worker, x: Pointer, weight: Pointer, bias: Pointer, y: Pointer, means: Doubles, inverses: Doubles,
    rows_memory: Pointer, sums_memory: Doubles, pixels: int, channels: int, groups: int, eps: float
):  # fmt: skip
    """One image: mean and 1 / sqrt(var + eps) of each group, and y."""
    image, to = advanced(x, task * pixels * channels), advanced(y, task * pixels * channels)
    sums = advanced(sums_memory, worker * 2 * channels)
    squares = advanced(sums, channels)
    guess = advanced(rows_memory, worker * 4 * channels)
    row_sums, row_squares = advanced(guess, channels), advanced(guess, 2 * channels)
    size = channels // groups
    for c in range(2 * channels):
        sums[c] = 0.0
    for g in range(groups):
        for c in range(g * size, (g + 1) * size):
            guess[c] = image[g * size]
    zero = number(x, 0.0)
    for first in range(0, pixels, 64):
        for c in range(channels):
            row_sums[c] = zero
            row_squares[c] = zero
        for p in range(first, min(pixels, first + 64)):
            here = advanced(image, p * channels)
            for c in range(channels):
                d = here[c] - guess[c]
                row_sums[c] += d
                row_squares[c] += d * d
        for c in range(channels):
            sums[c] += row_sums[c]
            squares[c] += row_squares[c]
    scale, shift = row_sums, row_squares
    count = 1.0 / (pixels * size)
    for g in range(groups):
        total, square = 0.0, 0.0
        for c in range(g * size, (g + 1) * size):
            total += sums[c]
            square += squares[c]
        mean = total * count
        inverse = 1.0 / math.sqrt(max(square * count - mean * mean, 0.0) + eps)
        mean += image[g * size]
        means[task * groups + g] = mean
        inverses[task * groups + g] = inverse
        for c in range(g * size, (g + 1) * size):
            scale[c] = number(x, inverse) * weight[c]
            shift[c] = bias[c] - number(x, mean) * scale[c]
    for p in range(pixels):
        here, there = advanced(image, p * channels), advanced(to, p * channels)
        for c in range(channels):
            there[c] = here[c] * scale[c] + shift[c]


@kernel
def normalize_images_gradient(
    task, worker, dy: Pointer, x: Pointer, weight: Pointer, dx: Pointer, means: Doubles, inverses: Doubles,
    dws: Doubles, dbs: Doubles, rows_memory: Pointer, pixels: int, channels: int, groups: int
):  # fmt: skip
    """One image: its shares of dw and db, and dx."""
    image, upstream = advanced(x, task * pixels * channels), advanced(dy, task * pixels * channels)
    to = advanced(dx, task * pixels * channels)
    dw, db = advanced(dws, task * channels), advanced(dbs, task * channels)
    mean = advanced(rows_memory, worker * 4 * channels)
    of_dy, row_sums, row_products = (
        advanced(mean, channels), advanced(mean, 2 * channels), advanced(mean, 3 * channels)
    )  # fmt: skip
    size = channels // groups
    zero = number(x, 0.0)
    for g in range(groups):
        for c in range(g * size, (g + 1) * size):
            mean[c] = number(x, means[task * groups + g])
    for c in range(channels):
        dw[c] = 0.0
        db[c] = 0.0
    for first in range(0, pixels, 64):
        for c in range(channels):
            row_sums[c] = zero
            row_products[c] = zero
        for p in range(first, min(pixels, first + 64)):
            here, g0 = advanced(image, p * channels), advanced(upstream, p * channels)
            for c in range(channels):
                row_sums[c] += g0[c]
                row_products[c] += g0[c] * (here[c] - mean[c])
        for c in range(channels):
            db[c] += row_sums[c]
            dw[c] += row_products[c]
    of_x, shift = row_sums, row_products
    count = 1.0 / (pixels * size)
    for g in range(groups):
        r = inverses[task * groups + g]
        total, product = 0.0, 0.0
        for c in range(g * size, (g + 1) * size):
            dw[c] *= r
            total += weight[c] * db[c]
            product += weight[c] * dw[c]
        for c in range(g * size, (g + 1) * size):
            of_dy[c] = number(x, r) * weight[c]
            of_x[c] = number(x, -r * r * product * count)
            shift[c] = number(x, -r * total * count) - of_x[c] * mean[c]
    for p in range(pixels):
        here, g0, there = advanced(image, p * channels), advanced(upstream, p * channels), advanced(to, p * channels)
        for c in range(channels):
            there[c] = of_dy[c] * g0[c] + of_x[c] * here[c] + shift[c]


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5) -> Any:
    """`ops.group_norm` on the processor."""
    n, channels, h, w = x.shape
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != (channels,):
            raise ValueError(f"group_norm: {name} expects shape {(channels,)}, the channels of x; it is {value.shape}")
    weights = np.ones(channels, x.dtype) if weight is None else np.ascontiguousarray(weight)
    shifts = np.zeros(channels, x.dtype) if bias is None else np.ascontiguousarray(bias)
    y = empty_channels_last(x.shape, x.dtype)
    means, inverses = np.empty((n, num_groups)), np.empty((n, num_groups))
    sizes = (h * w, channels, num_groups)

    def rows():
        return scratch("group norm rows", 4 * get_num_threads() * channels, x.dtype)

    sums = scratch("group norm sums", 2 * get_num_threads() * channels, np.float64)
    normalize_images(n, x, weights, shifts, y, means, inverses, rows(), sums, *sizes, float(eps))

    def backward(dy):
        dx = empty_channels_last(x.shape, x.dtype)
        dw, db = np.empty((n, channels)), np.empty((n, channels))
        normalize_images_gradient(n, channels_last(dy), x, weights, dx, means, inverses, dw, db, rows(), *sizes)
        return dx, None, lambda: dw.sum(axis=0).astype(x.dtype), lambda: db.sum(axis=0).astype(x.dtype)

    return y, backward


def _images(x, num_groups, weight=None, bias=None, eps=1e-5) -> bool:
    return (
        x.ndim == 4
        and x.size > 0
        and num_groups >= 1
        and x.shape[1] % num_groups == 0
        and x.transpose(CHANNELS_LAST).flags.c_contiguous
    )


group_norm.accepts = _images  # pyright: ignore[reportFunctionMemberAccess]
