r"""Optimiser steps: all parameters in one launch, each number read once and written once.

Weight decay, momentum, the moments and the step are one walk over parameter, gradient and state, where NumPy walks once
for each of them. A network has hundreds of small arrays beside its large ones, so the kernel is given a table of
addresses and sizes and is cut into tasks of equal length over all of them together: what one flat buffer would give,
without binding anyone's arrays to it.

Measured, in shares of the speed of a copy (`python benchmarks/cpu.py --streams`): 1.96 (Adam), 2.00 (SGD with
momentum).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from .kernel import kernel
from .language import Longs, Pointer, array_at, number
from .memory import address_of, in_order

PIECE = 16384
"""Numbers in a task."""


@kernel
def sgd_pieces(
    task, worker, like: Pointer, parameters: Longs, gradients: Longs, velocities: Longs, pieces: Longs, sizes: Longs,
    lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: int, first: int
):  # fmt: skip
    """One piece of one array: pieces [task] = (array, begin)."""
    which, begin = pieces[2 * task], pieces[2 * task + 1]
    p, g, v = array_at(like, parameters[which]), array_at(like, gradients[which]), array_at(like, velocities[which])
    end = min(sizes[which], begin + PIECE)
    rate, decay = number(like, lr), number(like, weight_decay)
    keep, add = number(like, momentum), number(like, 1.0 - dampening)
    if momentum == 0.0:
        for i in range(begin, end):
            p[i] -= rate * (g[i] + decay * p[i])
    elif first:
        for i in range(begin, end):
            d = g[i] + decay * p[i]
            v[i] = d
            p[i] -= rate * (d + keep * d if nesterov else d)
    elif nesterov:
        for i in range(begin, end):
            d = g[i] + decay * p[i]
            u = keep * v[i] + add * d
            v[i] = u
            p[i] -= rate * (d + keep * u)
    else:
        for i in range(begin, end):
            u = keep * v[i] + add * (g[i] + decay * p[i])
            v[i] = u
            p[i] -= rate * u


@kernel
def adam_pieces(
    task, worker, like: Pointer, parameters: Longs, gradients: Longs, means: Longs, squares: Longs, pieces: Longs,
    sizes: Longs, rate: float, beta1: float, beta2: float, correction: float, eps: float, weight_decay: float,
    shrink: float
):  # fmt: skip
    """One piece of one array: `rate` is lr / (1 - beta1^t), `correction` 1 / sqrt(1 - beta2^t)."""
    which, begin = pieces[2 * task], pieces[2 * task + 1]
    p, g = array_at(like, parameters[which]), array_at(like, gradients[which])
    m, s = array_at(like, means[which]), array_at(like, squares[which])
    b1, a1, b2, a2 = number(like, beta1), number(like, 1.0 - beta1), number(like, beta2), number(like, 1.0 - beta2)
    step, root, small = number(like, rate), number(like, correction), number(like, eps)
    decay, kept = number(like, weight_decay), number(like, shrink)
    for i in range(begin, min(sizes[which], begin + PIECE)):
        w = p[i] * kept
        d = g[i] + decay * w
        mean = b1 * m[i] + a1 * d
        square = b2 * s[i] + a2 * d * d
        m[i] = mean
        s[i] = square
        p[i] = w - step * mean / (math.sqrt(square) * root + small)


class _Table:
    """Arrays as the kernels see them: addresses, sizes, and the pieces into which they are cut."""

    def __init__(self, parameters: Sequence[np.ndarray], *others: Sequence[np.ndarray]):
        self.keep = [list(parameters)]
        for arrays in others:
            # Walked in the order of the parameter's memory, so each must lie in that order.
            pairs = zip(arrays, parameters, strict=True)
            self.keep.append([a if a.strides == p.strides else in_order(a, _axes(p)) for a, p in pairs])
        self.addresses = [np.array([address_of(a) for a in arrays], dtype=np.int64) for arrays in self.keep]
        self.tasks, self.sizes, self.pieces = _cut(tuple(p.size for p in parameters))


@functools.lru_cache(maxsize=64)
def _cut(sizes: tuple[int, ...]) -> tuple[int, np.ndarray, np.ndarray]:
    """How many pieces, the sizes, and of which array each piece is and where it begins."""
    pieces = [(which, begin) for which, size in enumerate(sizes) for begin in range(0, size, PIECE)]
    return len(pieces), np.array(sizes, dtype=np.int64), np.array(pieces, dtype=np.int64)


def _axes(x: np.ndarray) -> tuple[int, ...]:
    """The order of the axes in memory; those of length 1 first, where their strides say nothing."""
    return tuple(sorted(range(x.ndim), key=lambda axis: (x.shape[axis] > 1, -x.strides[axis], axis)))


def sgd_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray] | None,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """`optim.SGD`'s update of many parameters, in place; `velocities` are written at the first step, then followed."""
    table = _Table(parameters, gradients, *([] if velocities is None else [velocities]))
    addresses = table.addresses if velocities is not None else [*table.addresses, table.addresses[0]]
    sgd_pieces(
        table.tasks,
        *(parameters[0], *addresses, table.pieces, table.sizes, lr, momentum, dampening, weight_decay),
        *(int(nesterov), int(first)),
    )


def adam_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    squares: Sequence[np.ndarray],
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """`optim.Adam`'s and `optim.AdamW`'s update of many parameters at their step number `step`, in place."""
    table = _Table(parameters, gradients, means, squares)
    rate, correction = lr / (1 - betas[0] ** step), 1 / math.sqrt(1 - betas[1] ** step)
    decay, shrink = (0.0, 1.0 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    adam_pieces(
        table.tasks,
        *(parameters[0], *table.addresses, table.pieces, table.sizes, rate, *betas, correction, eps, decay, shrink),
    )


def _dense(x: np.ndarray) -> bool:
    """Whether an array fills its memory, in whatever order of its axes."""
    return x.size > 0 and (x.flags.c_contiguous or x.transpose(_axes(x)).flags.c_contiguous)


def accepts(parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray], *states: Sequence[np.ndarray]) -> bool:
    """Whether the kernels can walk these arrays: one dtype, parameters without gaps, states laid out as they are."""
    dtype = parameters[0].dtype
    return (
        all(array.dtype == dtype for arrays in (parameters, gradients, *states) for array in arrays)
        and all(_dense(p) and p.flags.writeable for p in parameters)
        and all(_alike(s, p) for arrays in states for s, p in zip(arrays, parameters, strict=True))
    )


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether equal indices lie at equal places. Along an axis of length 1 there is but one index."""
    return a.strides == b.strides or all(s == t for s, t, n in zip(a.strides, b.strides, a.shape, strict=True) if n > 1)


sgd_step.accepts = adam_step.accepts = accepts  # pyright: ignore[reportFunctionMemberAccess]
