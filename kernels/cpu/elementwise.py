"""Sums of two arrays of one shape: what a residual network's gradients are made of. NumPy's are one thread's."""

from __future__ import annotations

from typing import Any

from .activation import add_forward, each
from .memory import order_in_memory


def add(a, b) -> Any:
    """`ops.add` on the processor."""
    return each(add_forward, a, b), lambda dy: (dy, dy)


def _alike(a, b) -> bool:
    """Whether there is enough to add for more than one thread, and nothing to broadcast or to bring in order."""
    return (
        getattr(a, "size", 0) >= 16384
        and getattr(b, "shape", None) == a.shape
        and a.dtype == b.dtype
        and a.strides == b.strides
        and order_in_memory(a) is not None
    )


add.accepts = _alike  # pyright: ignore[reportFunctionMemberAccess]
