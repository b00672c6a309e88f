"""The optimisers' updates on CUDA, in place: all parameters in one launch."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitorch_cv._device import device_of, to_device

from .arrays import address_of, in_layout_of, is_dense, order_in_memory
from .source import Source

SOURCE = Source("optim.cu")
THREADS = 256
PIECE = 4096
"""Numbers that a block updates."""


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
    states = [] if velocities is None else [velocities]
    settings = (lr, momentum, 1.0 - dampening, weight_decay, int(nesterov), int(first), len(states))
    _launch("sgd_update", parameters, gradients, states, settings)


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
    _launch("adam_update", parameters, gradients, [means, squares], settings)


def _launch(
    kernel: str, parameters: Sequence, gradients: Sequence, states: Sequence[Sequence], settings: tuple
) -> None:
    device = device_of(parameters[0])
    gradients = [in_layout_of(g, p) for g, p in zip(gradients, parameters, strict=True)]
    addresses = [[address_of(a) for a in arrays] for arrays in (parameters, gradients, *states)]
    pieces = _pieces(tuple(p.size for p in parameters), device)
    table = to_device(np.array(addresses, np.int64), device)
    reached = [array for arrays in (parameters, gradients, *states) for array in arrays]
    SOURCE.launch(kernel, (len(pieces),), (THREADS,), table, pieces, len(parameters), *settings, reached=reached)


@functools.lru_cache(maxsize=64)
def _pieces(sizes: tuple[int, ...], device: str) -> Any:
    """On the device, of each piece: the number of its array, its begin, its end."""
    pieces = [(i, k, min(k + PIECE, size)) for i, size in enumerate(sizes) for k in range(0, size, PIECE)]
    return to_device(np.array(pieces, np.int32), device)


def accepts(parameters: Sequence[Any], gradients: Sequence[Any], *states: Sequence[Any]) -> bool:
    """Whether the kernels can walk these arrays: parameters without gaps, states laid out as they are."""
    return all(0 < p.size < 2**31 - PIECE and is_dense(p, order_in_memory(p)) for p in parameters) and all(
        is_dense(s, order_in_memory(p)) for arrays in states for s, p in zip(arrays, parameters, strict=True)
    )


sgd_step.accepts = adam_step.accepts = accepts  # pyright: ignore[reportFunctionMemberAccess]
