"""Bodies of `ops/loss.py` on CUDA."""

from __future__ import annotations

from typing import Any

from .arrays import empty_like, in_layout_of
from .source import Source

SOURCE = Source("loss.cu")
THREADS = 256


def binary_cross_entropy_with_logits(x, target, weight=None, reduction="mean", pos_weight=None) -> Any:
    """`ops.binary_cross_entropy_with_logits` on CUDA, without weights; the losses are added up by the array library."""
    x = in_layout_of(x, x)
    target, each, n, grid = in_layout_of(target, x), empty_like(x), x.size, (-(-x.size // THREADS),)
    SOURCE.launch("logit_losses", grid, (THREADS,), x, target, each, n)
    value = each if reduction == "none" else each.mean() if reduction == "mean" else each.sum()
    scale = 1.0 / n if reduction == "mean" else 1.0

    def backward(dy):
        def dx():
            gradient, single = empty_like(x), reduction != "none"
            upstream = dy.reshape(1) if single else in_layout_of(dy, x)
            SOURCE.launch(
                "logit_loss_gradients", grid, (THREADS,), x, target, upstream, gradient, int(single), scale, n
            )
            return gradient

        return dx, lambda: x * (-dy * scale)

    return value, backward


def _plain(x, target, weight=None, reduction="mean", pos_weight=None) -> bool:
    return (
        weight is None
        and pos_weight is None
        and reduction in ("mean", "sum", "none")
        and getattr(target, "shape", None) == x.shape
        and target.dtype == x.dtype
        and 0 < x.size < 2**31 - THREADS
    )


binary_cross_entropy_with_logits.accepts = _plain  # pyright: ignore[reportFunctionMemberAccess]
