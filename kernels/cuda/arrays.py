"""Arrays for kernels: new ones, and copies in the order in memory that a kernel expects."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._device import array_namespace


def order_in_memory(x: Any) -> tuple[int, ...]:
    """The axes from the slowest to the fastest: (0, 2, 3, 1) for an image whose channels are last in memory."""
    return tuple(sorted(range(x.ndim), key=lambda axis: (-abs(x.strides[axis]), axis)))


def empty(shape: tuple[int, ...], like: Any, axes: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
    """A new array on the device of `like`, dense, with its axes in that order in memory."""
    axes = tuple(range(len(shape))) if axes is None else axes
    dense = array_namespace(like).empty([shape[a] for a in axes], like.dtype if dtype is None else dtype)
    return dense.transpose([axes.index(a) for a in range(len(shape))])


def empty_like(x: Any) -> Any:
    """A new array of the shape, type, device and order in memory of `x`."""
    return empty(x.shape, x, order_in_memory(x))


def address_of(x: Any) -> int:
    """Where the first element of `x` lies."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def is_dense(x: Any, axes: tuple[int, ...]) -> bool:
    """Whether the elements of `x` are neighbours in memory in the order of `axes`."""
    return x.transpose(axes).flags.c_contiguous


def in_order(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` itself if it is dense in the order of `axes`, or a copy that is."""
    if is_dense(x, axes):
        return x
    copy = empty(x.shape, x, axes)
    copy[...] = x
    return copy


def in_layout_of(x: Any, like: Any) -> Any:
    """`x` in the order in memory of `like`: itself, or a copy."""
    return in_order(x, order_in_memory(like))


def channels_last(x: Any) -> Any:
    """An image (N, C, H, W) with its channels last in memory: itself, or a copy."""
    return in_order(x, (0, *range(2, x.ndim), 1))
