"""Bodies of `ops/pool2d.py` on CUDA; what comes out has its channels last in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._device import device_of, to_device
from ...ops import pool2d as portable
from .arrays import channels_last, empty
from .source import Source

SOURCE = Source("pool2d.cu")
THREADS = 256
CHANNELS_LAST = (0, 2, 3, 1)


def _launch(kernel: str, written: Any, *arguments: Any) -> None:
    """One thread for each number of the array that is written."""
    if written.size:
        SOURCE.launch(kernel, (-(-written.size // THREADS),), (THREADS,), *arguments)


def _sizes(x_shape: tuple, y_shape: tuple, *pairs: tuple) -> list[int]:
    """C, H, W, oh, ow and the settings, in the order in which the kernels take them."""
    return [*x_shape[1:], *y_shape[2:], *(n for two in pairs for n in two)]


# ---- the largest value


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False) -> Any:
    """`max_pool2d` on CUDA."""
    kernel, *settings, shape = portable.pool_geometry(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode
    )
    x_shape, y = x.shape, empty(shape, x, CHANNELS_LAST)
    winners = empty(shape, x, CHANNELS_LAST, np.uint8)
    _launch("max_forward", y, channels_last(x), y, winners, y.size, *_sizes(x_shape, shape, kernel, *settings))

    def backward(dy):
        return portable.max_pool2d_input_gradient(dy, winners, x_shape, kernel, *settings)

    if return_indices:
        return (y, portable.plane_indices(winners, x_shape, kernel, *settings)), backward
    return y, backward


def max_pool2d_input_gradient(dy, winners, x_shape, kernel_size, stride, padding, dilation) -> Any:
    """`max_pool2d_input_gradient` on CUDA."""
    settings = kernel_size, stride, padding, dilation
    dx, sizes = empty(x_shape, dy, CHANNELS_LAST), _sizes(x_shape, dy.shape, *settings)
    _launch("max_backward", dx, channels_last(dy), channels_last(winners), dx, dx.size, *sizes)

    def backward(u):
        return portable.max_pool2d_pick(u, winners, *settings)

    return dx, backward


# ---- the mean


def _shares(like: Any, x_shape: tuple, y_shape: tuple, *settings: Any) -> Any:
    """1 / (number of elements) of each window, (oh, ow), on the device of `like`."""
    share = np.asarray(portable.share_of_window(like.dtype, x_shape, y_shape, *settings), like.dtype)
    return to_device(np.ascontiguousarray(np.broadcast_to(share, y_shape[2:])), device_of(like))


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Any:
    """`avg_pool2d` on CUDA."""
    kernel, stride, padding, _, shape = portable.pool_geometry(
        "avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override expects a number other than 0; it is 0")
    x_shape, y = x.shape, empty(shape, x, CHANNELS_LAST)
    share = _shares(x, x_shape, shape, kernel, stride, padding, count_include_pad, divisor_override)
    sizes = _sizes(x_shape, shape, kernel, stride, padding)
    _launch("mean_forward", y, channels_last(x), share, y, y.size, *sizes)
    settings = kernel, stride, padding, ceil_mode, count_include_pad, divisor_override

    def backward(dy):
        return portable.avg_pool2d_input_gradient(dy, x_shape, *settings)

    return y, backward


def avg_pool2d_input_gradient(
    dy, x_shape, kernel_size, stride, padding, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Any:
    """`avg_pool2d_input_gradient` on CUDA."""
    settings = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    share = _shares(dy, x_shape, dy.shape, *settings[:3], *settings[4:])
    dx, sizes = empty(x_shape, dy, CHANNELS_LAST), _sizes(x_shape, dy.shape, kernel_size, stride, padding)
    _launch("mean_backward", dx, channels_last(dy), share, dx, dx.size, *sizes)

    def backward(u):
        return portable.avg_pool2d(u, *settings)

    return dx, backward


def adaptive_avg_pool2d(x, output_size) -> Any:
    """`adaptive_avg_pool2d` on CUDA."""
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    wanted = tuple(n if o is None else o for o, n in zip(given, (*x.shape[2:], 0)))
    x_shape, size = x.shape, portable.pair("adaptive_avg_pool2d", "output_size", wanted, 1)
    y = empty((*x_shape[:2], *size), x, CHANNELS_LAST)
    _launch("adaptive_forward", y, channels_last(x), y, y.size, *_sizes(x_shape, y.shape))

    def backward(dy):
        return portable.adaptive_avg_pool2d_input_gradient(dy, x_shape)

    return y, backward


def adaptive_avg_pool2d_input_gradient(dy, x_shape) -> Any:
    """`adaptive_avg_pool2d_input_gradient` on CUDA."""
    dx, size = empty(x_shape, dy, CHANNELS_LAST), dy.shape[2:]
    _launch("adaptive_backward", dx, channels_last(dy), dx, dx.size, *_sizes(x_shape, dy.shape))

    def backward(u):
        return portable.adaptive_avg_pool2d(u, size)

    return dx, backward


# ---- what the bodies take


def _images(x: Any, *_: Any, **__: Any) -> bool:
    return x.ndim == 4 and 0 < x.size < 2**31


def _gradient_of_images(dy: Any, x_shape: tuple, *_: Any, **__: Any) -> bool:
    return _images(dy) and 0 < math.prod(x_shape) < 2**31


def _small_windows(x, kernel_size, *_, **__) -> bool:
    """Whether a byte can hold a place in the window."""
    sizes = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
    return _images(x) and len(sizes) == 2 and all(isinstance(k, int) for k in sizes) and sizes[0] * sizes[1] < 256


def _small_given_windows(dy, winners, x_shape, kernel_size, *_, **__) -> bool:
    return _gradient_of_images(dy, x_shape) and _small_windows(dy, kernel_size) and winners.dtype == np.uint8


max_pool2d.accepts = _small_windows  # pyright: ignore[reportFunctionMemberAccess]
max_pool2d_input_gradient.accepts = _small_given_windows  # pyright: ignore[reportFunctionMemberAccess]
for _body in (avg_pool2d, adaptive_avg_pool2d):
    _body.accepts = _images  # pyright: ignore[reportFunctionMemberAccess]
for _body in (avg_pool2d_input_gradient, adaptive_avg_pool2d_input_gradient):
    _body.accepts = _gradient_of_images  # pyright: ignore[reportFunctionMemberAccess]
