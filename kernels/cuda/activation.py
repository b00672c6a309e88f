"""Bodies of `ops/activation.py` on CUDA."""

from __future__ import annotations

from typing import Any

from .arrays import empty_like, in_layout_of
from .source import Source

SOURCE = Source("activation.cu")
THREADS = 256


def relu(x) -> Any:
    """`relu` on CUDA."""
    x = in_layout_of(x, x)
    y, blocks = empty_like(x), -(-x.size // THREADS)
    SOURCE.launch("relu_forward", (blocks,), (THREADS,), x, y, x.size)

    def backward(dy):
        dy, dx = in_layout_of(dy, y), empty_like(y)
        SOURCE.launch("relu_backward", (blocks,), (THREADS,), y, dy, dx, y.size)
        return dx

    return y, backward


def _not_empty(x) -> bool:
    return x.size > 0


relu.accepts = _not_empty  # pyright: ignore[reportFunctionMemberAccess]
