"""The optimisers' updates on CUDA, in place: one launch for each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .arrays import in_layout_of, is_dense, order_in_memory
from .source import Source

SOURCE = Source("optim.cu")
THREADS = 256


def sgd_step(
    parameters: Sequence[Any],
    gradients: Sequence[Any],
    velocities: Sequence[Any] | None,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """`optim.SGD`'s update; `velocities` are written at the first step, then followed."""
    settings = (lr, momentum, 1.0 - dampening, weight_decay, int(nesterov), int(first))
    for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        v = None if velocities is None else velocities[i]
        SOURCE.launch("sgd_update", (_blocks(p),), (THREADS,), p, in_layout_of(g, p), v, *settings, p.size)


def adam_step(
    parameters: Sequence[Any],
    gradients: Sequence[Any],
    means: Sequence[Any],
    squares: Sequence[Any],
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """`optim.Adam`'s and `optim.AdamW`'s update at their step number `step`."""
    rate, correction = lr / (1 - betas[0] ** step), 1 / math.sqrt(1 - betas[1] ** step)
    decay, shrink = (0.0, 1.0 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    settings = (rate, betas[0], 1 - betas[0], betas[1], 1 - betas[1], correction, eps, decay, shrink)
    for p, g, m, s in zip(parameters, gradients, means, squares, strict=True):
        SOURCE.launch("adam_update", (_blocks(p),), (THREADS,), p, in_layout_of(g, p), m, s, *settings, p.size)


def _blocks(p: Any) -> int:
    return -(-p.size // THREADS)


def accepts(parameters: Sequence[Any], gradients: Sequence[Any], *states: Sequence[Any]) -> bool:
    """Whether the kernels can walk these arrays: parameters without gaps, states laid out as they are."""
    return all(0 < p.size < 2**31 - THREADS and is_dense(p, order_in_memory(p)) for p in parameters) and all(
        is_dense(s, order_in_memory(p)) for arrays in states for s, p in zip(arrays, parameters, strict=True)
    )


sgd_step.accepts = adam_step.accepts = accepts  # pyright: ignore[reportFunctionMemberAccess]
