"""Bodies of `ops/_softmax.py` and of the fused cross-entropy on CUDA: one warp a row."""

from __future__ import annotations

from typing import Any

from .arrays import empty, in_order
from .source import Source

SOURCE = Source("softmax.cu")
THREADS = 128


def _rows(x: Any) -> tuple[Any, tuple, tuple[int, int]]:
    """The array with its last axis fastest in memory; the grid; rows and width."""
    rows, width = x.size // x.shape[-1], x.shape[-1]
    return _contiguous(x), (-(-rows // (THREADS // 32)),), (rows, width)


def _contiguous(x: Any) -> Any:
    return in_order(x, tuple(range(x.ndim)))


def softmax(x, axis=-1) -> Any:
    """`ops.softmax` on CUDA, over the last axis."""
    x, grid, sizes = _rows(x)
    y = empty(x.shape, x)
    SOURCE.launch("softmax_forward", grid, (THREADS,), x, y, *sizes)

    def backward(dy):
        dx = empty(y.shape, y)
        SOURCE.launch("softmax_backward", grid, (THREADS,), y, _contiguous(dy), dx, *sizes)
        return dx

    return y, backward


def softmax_cross_entropy(x, target) -> Any:
    """`softmax_cross_entropy` on CUDA, of samples by classes."""
    x, grid, sizes = _rows(x)
    target, log_p, y = _contiguous(target), empty(x.shape, x), empty(x.shape[:1], x)
    SOURCE.launch("cross_entropy_forward", grid, (THREADS,), x, target, log_p, y, *sizes)

    def backward(dy):
        def dx():
            gradient = empty(log_p.shape, log_p)
            SOURCE.launch("cross_entropy_backward", grid, (THREADS,), log_p, target, _contiguous(dy), gradient, *sizes)
            return gradient

        return dx, lambda: -dy[:, None] * log_p

    return y, backward


def _over_last_axis(x, axis=-1) -> bool:
    return x.size > 0 and axis in (-1, x.ndim - 1)


def _samples_by_classes(x, target) -> bool:
    return x.ndim == 2 and x.size > 0 and x.shape == target.shape and x.dtype == target.dtype


softmax.accepts = _over_last_axis  # pyright: ignore[reportFunctionMemberAccess]
softmax_cross_entropy.accepts = _samples_by_classes  # pyright: ignore[reportFunctionMemberAccess]
