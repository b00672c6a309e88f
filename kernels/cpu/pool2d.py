r"""Pooling with channels last: a window's pixels are compared, or added, for a vector of channels at a time.

The winner of a window is remembered as one byte, its place in the window. The way back walks over the pixels of x, not
over the windows: each pixel asks the windows in which it lies whether it won there. So no two tasks ever add to the
same number, and overlapping windows need no second buffer.

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 0.78 (max_pool2d forward), 0.59
(max_pool2d backward), 1.07 (avg_pool2d forward), 0.95 (avg_pool2d backward).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minitorch_cv.ops import pool2d as portable

from .kernel import kernel
from .language import Bytes, Pointer, advanced, number
from .memory import CHANNELS_LAST, channels_last, empty, empty_channels_last


@kernel
def largest(
    task, worker, x: Pointer, y: Pointer, winners: Bytes, height: int, width: int, channels: int, out_height: int,
    out_width: int, kh: int, kw: int, row_stride: int, column_stride: int, top: int, left: int, row_step: int,
    column_step: int
):  # fmt: skip
    """One row of outputs of one image."""
    image, p = task // out_height, task % out_height
    lowest = number(x, -np.inf)
    for q in range(out_width):
        best = advanced(y, (task * out_width + q) * channels)
        place = advanced(winners, (task * out_width + q) * channels)
        first = True
        for i in range(kh):
            h = p * row_stride - top + i * row_step
            if h >= 0 and h < height:
                for j in range(kw):
                    v = q * column_stride - left + j * column_step
                    if v >= 0 and v < width:
                        here = advanced(x, ((image * height + h) * width + v) * channels)
                        at = np.int8(i * kw + j)
                        if first:
                            first = False
                            for c in range(channels):
                                best[c] = here[c]
                                place[c] = at
                        else:
                            for c in range(channels):
                                a, b = here[c], best[c]
                                wins = (a > b) | ((a != a) & (b == b))  # a NaN is the largest
                                best[c] = a if wins else b
                                place[c] = at if wins else place[c]
        if first:
            for c in range(channels):
                best[c] = lowest
                place[c] = np.int8(0)


@kernel
def to_winners(
    task, worker, dy: Pointer, winners: Bytes, dx: Pointer, height: int, width: int, channels: int, out_height: int,
    out_width: int, kh: int, kw: int, row_stride: int, column_stride: int, top: int, left: int, row_step: int,
    column_step: int
):  # fmt: skip
    """One row of pixels of one image."""
    image, h = task // height, task % height
    zero = number(dy, 0.0)
    for v in range(width):
        total = advanced(dx, (task * width + v) * channels)
        for c in range(channels):
            total[c] = zero
        for i in range(kh):
            p = (h + top - i * row_step) // row_stride
            if p >= 0 and p < out_height and p * row_stride == h + top - i * row_step:
                for j in range(kw):
                    q = (v + left - j * column_step) // column_stride
                    if q >= 0 and q < out_width and q * column_stride == v + left - j * column_step:
                        window = ((image * out_height + p) * out_width + q) * channels
                        upstream, place = advanced(dy, window), advanced(winners, window)
                        at = np.int8(i * kw + j)
                        for c in range(channels):
                            total[c] += upstream[c] if place[c] == at else zero


@kernel
def window_sums(
    task, worker, x: Pointer, share: Pointer, y: Pointer, height: int, width: int, channels: int, out_height: int,
    out_width: int, kh: int, kw: int, row_stride: int, column_stride: int, top: int, left: int
):  # fmt: skip
    """One row of outputs of one image: each window's sum times its share."""
    image, p = task // out_height, task % out_height
    zero = number(x, 0.0)
    for q in range(out_width):
        total = advanced(y, (task * out_width + q) * channels)
        for c in range(channels):
            total[c] = zero
        for i in range(kh):
            h = p * row_stride - top + i
            if h >= 0 and h < height:
                for j in range(kw):
                    v = q * column_stride - left + j
                    if v >= 0 and v < width:
                        here = advanced(x, ((image * height + h) * width + v) * channels)
                        for c in range(channels):
                            total[c] += here[c]
        part = share[p * out_width + q]
        for c in range(channels):
            total[c] *= part


@kernel
def to_windows(
    task, worker, dy: Pointer, share: Pointer, dx: Pointer, height: int, width: int, channels: int, out_height: int,
    out_width: int, kh: int, kw: int, row_stride: int, column_stride: int, top: int, left: int
):  # fmt: skip
    """One row of pixels of one image: its shares of the windows in which it lies."""
    image, h = task // height, task % height
    zero = number(dy, 0.0)
    for v in range(width):
        total = advanced(dx, (task * width + v) * channels)
        for c in range(channels):
            total[c] = zero
        for i in range(kh):
            p = (h + top - i) // row_stride
            if p >= 0 and p < out_height and p * row_stride == h + top - i:
                for j in range(kw):
                    q = (v + left - j) // column_stride
                    if q >= 0 and q < out_width and q * column_stride == v + left - j:
                        upstream = advanced(dy, ((image * out_height + p) * out_width + q) * channels)
                        part = share[p * out_width + q]
                        for c in range(channels):
                            total[c] += part * upstream[c]


@kernel
def image_means(task, worker, x: Pointer, y: Pointer, pixels: int, channels: int):
    """The mean over an image's pixels."""
    zero = number(x, 0.0)
    total = advanced(y, task * channels)
    for c in range(channels):
        total[c] = zero
    for p in range(pixels):
        here = advanced(x, (task * pixels + p) * channels)
        for c in range(channels):
            total[c] += here[c]
    part = number(x, 1.0 / pixels)
    for c in range(channels):
        total[c] *= part


@kernel
def to_pixels(task, worker, dy: Pointer, dx: Pointer, pixels: int, channels: int):
    """An image's gradient, the same share for each pixel."""
    part = number(dy, 1.0 / pixels)
    upstream = advanced(dy, task * channels)
    for p in range(pixels):
        here = advanced(dx, (task * pixels + p) * channels)
        for c in range(channels):
            here[c] = upstream[c] * part


def _sizes(x_shape: tuple, y_shape: tuple, *pairs: tuple) -> list[int]:
    _, channels, height, width = x_shape
    return [height, width, channels, *y_shape[2:], *(n for pair in pairs for n in pair)]


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False) -> Any:
    """`ops.max_pool2d` on the processor."""
    kernel, *settings, shape = portable.pool_geometry(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode
    )
    y, winners = empty_channels_last(shape, x.dtype), empty(shape, np.int8, CHANNELS_LAST)
    largest(shape[0] * shape[2], channels_last(x), y, winners, *_sizes(x.shape, shape, kernel, *settings))
    x_shape = x.shape

    def backward(dy):
        return portable.max_pool2d_input_gradient(dy, winners, x_shape, kernel, *settings)

    if return_indices:
        return (y, portable.plane_indices(winners, x_shape, kernel, *settings)), backward
    return y, backward


def max_pool2d_input_gradient(dy, winners, x_shape, kernel_size, stride, padding, dilation) -> Any:
    """`max_pool2d_input_gradient` on the processor."""
    settings = kernel_size, stride, padding, dilation
    dx = empty_channels_last(x_shape, dy.dtype)
    sizes = _sizes(x_shape, dy.shape, *settings)
    to_winners(x_shape[0] * x_shape[2], channels_last(dy), channels_last(winners), dx, *sizes)

    def backward(u):
        return portable.max_pool2d_pick(u, winners, *settings)

    return dx, backward


def _shares(dtype: Any, x_shape: tuple, y_shape: tuple, *settings: Any) -> np.ndarray:
    share = portable.share_of_window(dtype, x_shape, y_shape, *settings)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(share, dtype), y_shape[2:]))


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Any:
    """`ops.avg_pool2d` on the processor."""
    kernel, stride, padding, _, shape = portable.pool_geometry(
        "avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override expects a number other than 0; it is 0")
    share = _shares(x.dtype, x.shape, shape, kernel, stride, padding, count_include_pad, divisor_override)
    y = empty_channels_last(shape, x.dtype)
    sizes = _sizes(x.shape, shape, kernel, stride, padding)
    window_sums(shape[0] * shape[2], channels_last(x), share, y, *sizes)
    x_shape, settings = x.shape, (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def backward(dy):
        return portable.avg_pool2d_input_gradient(dy, x_shape, *settings)

    return y, backward


def avg_pool2d_input_gradient(
    dy, x_shape, kernel_size, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Any:
    """`avg_pool2d_input_gradient` on the processor."""
    settings = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    share = _shares(dy.dtype, x_shape, dy.shape, *settings[:3], *settings[4:])
    dx = empty_channels_last(x_shape, dy.dtype)
    sizes = _sizes(x_shape, dy.shape, kernel_size, stride, padding)
    to_windows(x_shape[0] * x_shape[2], channels_last(dy), share, dx, *sizes)

    def backward(u):
        return portable.avg_pool2d(u, *settings)

    return dx, backward


def adaptive_avg_pool2d(x, output_size) -> Any:
    """`ops.adaptive_avg_pool2d` on the processor, to one pixel."""
    n, c, h, w = x_shape = x.shape
    y = empty_channels_last((n, c, 1, 1), x.dtype)
    image_means(n, channels_last(x), y, h * w, c)

    def backward(dy):
        return portable.adaptive_avg_pool2d_input_gradient(dy, x_shape)

    return y, backward


def adaptive_avg_pool2d_input_gradient(dy, x_shape) -> Any:
    """`adaptive_avg_pool2d_input_gradient` on the processor, from one pixel."""
    n, c, h, w = x_shape
    dx = empty_channels_last(x_shape, dy.dtype)
    to_pixels(n, channels_last(dy), dx, h * w, c)

    def backward(u):
        return portable.adaptive_avg_pool2d(u, (1, 1))

    return dx, backward


def _images(x: Any, *_: Any) -> bool:
    """Whether there are images with their channels last: for others the portable bodies keep the layout."""
    return x.ndim == 4 and x.size > 0 and x.transpose(CHANNELS_LAST).flags.c_contiguous


def _small_windows(x, kernel_size, *_, **__) -> bool:
    """Whether a byte can hold a place in the window."""
    sizes = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
    return _images(x) and len(sizes) == 2 and all(isinstance(k, int) for k in sizes) and sizes[0] * sizes[1] < 128


def _small_given_windows(dy, winners, x_shape, kernel_size, *_) -> bool:
    return _small_windows(dy, kernel_size) and winners.dtype == np.int8


def _to_one_pixel(x, output_size) -> bool:
    return _images(x) and output_size in (1, (1, 1), [1, 1])


def _from_one_pixel(dy, x_shape) -> bool:
    return dy.ndim == 4 and dy.size > 0 and dy.shape[2:] == (1, 1) and x_shape[2] * x_shape[3] > 0


max_pool2d.accepts = _small_windows  # pyright: ignore[reportFunctionMemberAccess]
max_pool2d_input_gradient.accepts = _small_given_windows  # pyright: ignore[reportFunctionMemberAccess]
avg_pool2d.accepts = lambda x, *_, **__: _images(x)  # pyright: ignore[reportFunctionMemberAccess]
avg_pool2d_input_gradient.accepts = lambda dy, *_, **__: _images(dy)  # pyright: ignore[reportFunctionMemberAccess]
adaptive_avg_pool2d.accepts = _to_one_pixel  # pyright: ignore[reportFunctionMemberAccess]
adaptive_avg_pool2d_input_gradient.accepts = _from_one_pixel  # pyright: ignore[reportFunctionMemberAccess]
