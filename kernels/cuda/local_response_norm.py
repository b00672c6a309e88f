"""Bodies of `ops/_local_response_norm.py` on CUDA; what comes out has its channels last in memory."""

from __future__ import annotations

from typing import Any

from .arrays import channels_last, empty_like
from .source import Source

SOURCE = Source("local_response_norm.cu")
THREADS = 256


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0) -> Any:
    """`local_response_norm` on CUDA."""
    x = channels_last(x)
    y, s, blocks = empty_like(x), empty_like(x), (-(-x.size // THREADS),)
    sizes = x.size, x.shape[1], size // 2, (size - 1) // 2, alpha / size, beta
    SOURCE.launch("lrn_forward", blocks, (THREADS,), x, y, s, *sizes, k)

    def backward(dy):
        dx = empty_like(x)
        SOURCE.launch("lrn_backward", blocks, (THREADS,), channels_last(dy), x, y, s, dx, *sizes)
        return dx

    return y, backward


def _fits(x, size, *_: Any, **__: Any) -> bool:
    return x.ndim >= 3 and size >= 1 and 0 < x.size < 2**31


local_response_norm.accepts = _fits  # pyright: ignore[reportFunctionMemberAccess]
