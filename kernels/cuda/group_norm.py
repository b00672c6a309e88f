"""Bodies of `ops/_group_norm.py` on CUDA; what comes out has its channels last in memory."""

from __future__ import annotations

from typing import Any

from ..._device import array_namespace
from .arrays import channels_last, empty, empty_like
from .source import Source

SOURCE = Source("group_norm.cu")
THREADS = 256


def _blocks(size: int) -> tuple[tuple[int], tuple[int]]:
    """Grid and block with a thread for each of `size` things."""
    return (-(-size // THREADS),), (THREADS,)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5) -> Any:
    """`group_norm` on CUDA."""
    weight, bias = (v if v is None else array_namespace(v).ascontiguousarray(v) for v in (weight, bias))
    x = channels_last(x)
    (n, channels), groups = x.shape[:2], x.shape[0] * num_groups
    sizes = x.size // (n * channels), channels, channels // num_groups
    y, mean, r = empty_like(x), empty((groups,), x), empty((groups,), x)
    SOURCE.launch("group_forward", (groups,), (THREADS,), x, weight, bias, y, mean, r, *sizes, eps)
    across = min(32, 1 << (channels - 1).bit_length())

    def backward(dy):
        dy, dx, sums, means = channels_last(dy), empty_like(x), empty((n, 2, channels), x), empty((groups, 2), x)
        dw, db = empty((channels,), x), empty((channels,), x)
        grid, block = (-(-channels // across), n), (across, THREADS // across)
        SOURCE.launch("sum_over_pixels", grid, block, dy, x, mean, r, sums, *sizes)
        SOURCE.launch("means_of_groups", *_blocks(groups), sums, weight, means, groups, *sizes)
        SOURCE.launch("sum_over_batch", *_blocks(channels), sums, db, dw, n, channels)
        SOURCE.launch("group_backward", *_blocks(x.size), dy, x, weight, mean, r, means, dx, x.size, *sizes)
        return dx, None, dw, db

    return y, backward


def _fits(x, num_groups, weight=None, bias=None, eps=1e-5) -> bool:
    """Whether the portable body has nothing to object, and the sizes suit a grid."""
    channels = x.shape[1] if x.ndim > 1 else 0
    return (
        0 < x.size < 2**31
        and channels > 0
        and num_groups > 0
        and channels % num_groups == 0
        and x.shape[0] < 2**16
        and all(v is None or v.shape == (channels,) for v in (weight, bias))
    )


group_norm.accepts = _fits  # pyright: ignore[reportFunctionMemberAccess]
