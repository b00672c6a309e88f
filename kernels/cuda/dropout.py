"""Bodies of `ops/_dropout.py` on CUDA."""

from __future__ import annotations

from typing import Any

from .arrays import empty_like, in_layout_of
from .source import Source

SOURCE = Source("dropout.cu")
THREADS = 256


def scale_kept(x, mask, p) -> Any:
    """`scale_kept` on CUDA, with a mask of the shape of x."""
    scale = 1 / (1 - p) if p < 1 else 0.0

    def scaled(v):
        v = in_layout_of(v, v)
        y = empty_like(v)
        SOURCE.launch("scale_kept", (-(-v.size // THREADS),), (THREADS,), v, in_layout_of(mask, v), y, scale, v.size)
        return y

    return scaled(x), scaled


def _whole_mask(x, mask, p) -> bool:
    return 0 < x.size < 2**31 - THREADS and mask.shape == x.shape and mask.dtype == bool


scale_kept.accepts = _whole_mask  # pyright: ignore[reportFunctionMemberAccess]
