"""Cases of matrix products."""

from __future__ import annotations

import numpy as np

from ..._namespace import unbroadcast, xp_of
from ...ops import linear, matmul
from ..case import Case, ErrorCase, Fault, wrong_gradient


def _normal(**shapes):
    return lambda rng: {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def naive_matmul(a, b):
    """The index formula, one product at a time."""
    left, right = a.reshape(1, -1) if a.ndim == 1 else a, b.reshape(-1, 1) if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    n, k, m = left.shape[-2], left.shape[-1], right.shape[-1]
    left, right = np.broadcast_to(left, (*batch, n, k)), np.broadcast_to(right, (*batch, k, m))
    y = np.zeros((*batch, n, m))
    for *at, i, j in np.ndindex(*y.shape):
        for inner in range(k):
            y[(*at, i, j)] += left[(*at, i, inner)] * right[(*at, inner, j)]
    return y.reshape([*batch, *([] if a.ndim == 1 else [n]), *([] if b.ndim == 1 else [m])])


def naive_linear(x, weight, bias=None):
    """Each output of each row by itself."""
    y = np.zeros((*x.shape[:-1], len(weight)))
    for *at, i in np.ndindex(*y.shape):
        y[(*at, i)] = sum(x[(*at, j)] * weight[i, j] for j in range(weight.shape[1]))
        y[(*at, i)] += 0.0 if bias is None else bias[i]
    return y


CASES = [
    Case("matmul", "matrices", _normal(a=(3, 4), b=(4, 5)), {}, naive_matmul),
    Case("matmul", "square matrices", _normal(a=(3, 3), b=(3, 3)), {}, naive_matmul),
    Case("matmul", "vectors", _normal(a=(4,), b=(4,)), {}, naive_matmul),
    Case("matmul", "vector and matrix", _normal(a=(4,), b=(4, 3)), {}, naive_matmul),
    Case("matmul", "matrix and vector", _normal(a=(3, 4), b=(4,)), {}, naive_matmul),
    Case("matmul", "batch and vector", _normal(a=(2, 3, 4), b=(4,)), {}, naive_matmul),
    Case("matmul", "vector and batch", _normal(a=(4,), b=(2, 4, 3)), {}, naive_matmul),
    Case("matmul", "a batch of each", _normal(a=(2, 3, 4), b=(2, 4, 5)), {}, naive_matmul),
    Case("matmul", "batches that broadcast", _normal(a=(2, 1, 3, 4), b=(3, 4, 2)), {}, naive_matmul),
    Case("matmul", "one matrix for a batch", _normal(a=(3, 4), b=(2, 1, 4, 5)), {}, naive_matmul),
    Case("linear", "rows", _normal(x=(5, 3), weight=(4, 3), bias=(4,)), {}, naive_linear),
    Case("linear", "no bias", _normal(x=(5, 3), weight=(4, 3)), {}, naive_linear),
    Case("linear", "as many outputs as inputs", _normal(x=(4, 3), weight=(3, 3), bias=(3,)), {}, naive_linear),
    Case("linear", "two axes in front", _normal(x=(2, 3, 4), weight=(5, 4), bias=(5,)), {}, naive_linear),
    Case("linear", "one row without its axis", _normal(x=(3,), weight=(4, 3), bias=(4,)), {}, naive_linear),
]

_x, _weight = np.zeros((5, 3)), np.zeros((4, 3))

ERRORS = [
    ErrorCase(
        "matmul",
        lambda: matmul(np.zeros((2, 3)), np.zeros((4, 5))),
        ValueError,
        "matmul: b (4, 5) expects 4 columns of a; a is (2, 3)",
    ),
    ErrorCase(
        "matmul",
        lambda: matmul(np.zeros(()), np.zeros((4, 5))),
        ValueError,
        "matmul: a and b expect at least one axis; they are () and (4, 5)",
    ),
    ErrorCase(
        "matmul",
        lambda: matmul(np.zeros((2, 3, 4)), np.zeros((5, 4, 3))),
        ValueError,
        "matmul: b expects axes before the last two that broadcast with a (2, 3, 4); it is (5, 4, 3)",
    ),
    ErrorCase(
        "linear",
        lambda: linear(_x, np.zeros((2, 4, 3))),
        ValueError,
        "linear: weight expects shape (out, in); it is (2, 4, 3)",
    ),
    ErrorCase(
        "linear",
        lambda: linear(np.zeros((5, 4)), _weight),
        ValueError,
        "linear: weight (4, 3) expects 3 features; x is (5, 4)",
    ),
    ErrorCase(
        "linear",
        lambda: linear(_x, _weight, np.zeros(3)),
        ValueError,
        "linear: bias expects shape (4,); it is (3,)",
    ),
]


def _not_transposed(grads, dy, a, b):
    """da = dy b where the shapes allow it: what square matrices hide."""
    return [unbroadcast(dy @ b, a) if a.ndim == b.ndim == 2 and len(a) == len(b) == b.shape[1] else grads[0], grads[1]]


def _first_of_batch(grads, dy, a, b):
    """The gradient of a matrix that serves a whole batch from one product of the batch alone."""
    if a.ndim != 2 or b.ndim < 3:
        return grads
    first = (0,) * (b.ndim - 2)
    return [xp_of(dy).matmul(dy[first], xp_of(b).swapaxes(b[first], -1, -2)), grads[1]]


def _bias_averaged(grads, dy, x, weight, bias=None):
    return [*grads[:2], None if bias is None else grads[2] * (weight.shape[0] / dy.size)]


def _weight_of_last_row(grads, dy, x, weight, bias=None):
    """dw overwritten by each row in place of their sum."""
    last_dy, last_x = dy.reshape((-1, weight.shape[0]))[-1:], x.reshape((-1, weight.shape[1]))[-1:]
    return [grads[0], xp_of(dy).matmul(xp_of(dy).swapaxes(last_dy, 0, 1), last_x), *grads[2:]]


FAULTS = [
    Fault("matmul", "da with b not transposed", wrong_gradient(_not_transposed)),
    Fault("matmul", "da of the batch's first product alone", wrong_gradient(_first_of_batch)),
    Fault("linear", "db averaged over the rows", wrong_gradient(_bias_averaged)),
    Fault("linear", "dw of the last row alone", wrong_gradient(_weight_of_last_row)),
]
