"""Cases of the embedding."""

from __future__ import annotations

import numpy as np

from ...ops import embedding, scatter_add
from ..case import Case, ErrorCase, Fault, wrong_gradient


def _naive_embedding(x, weight, padding_idx=None):
    y = np.zeros((*x.shape, weight.shape[1]))
    for at in np.ndindex(*x.shape):
        for j in range(weight.shape[1]):
            y[(*at, j)] = weight[x[at], j]
    return y


def _repeated(rng):
    return {"x": np.array([[1, 4, 1], [0, 1, 3]]), "weight": rng.standard_normal((5, 3))}


CASES = [
    Case("embedding", "repeated indices, a row without any", _repeated, {}, _naive_embedding),
    Case(
        "embedding",
        "a padding row that is not looked up",
        lambda rng: {"x": np.array([[0, 3], [1, 0]]), "weight": rng.standard_normal((4, 3))},
        {"padding_idx": 2},
        _naive_embedding,
    ),
    Case(
        "embedding",
        "one axis",
        lambda rng: {"x": np.array([2, 0, 2, 2]), "weight": rng.standard_normal((3, 2))},
        {},
        _naive_embedding,
    ),
]

_weight = np.zeros((5, 3))

ERRORS = [
    ErrorCase(
        "embedding",
        lambda: embedding(np.array([0, 5]), _weight),
        IndexError,
        "embedding: x expects indices 0 .. 4; it has 5",
    ),
    ErrorCase(
        "embedding",
        lambda: embedding(np.array([0.0, 1.0]), _weight),
        TypeError,
        "embedding: x expects integer indices; it is of type float64",
    ),
    ErrorCase(
        "embedding",
        lambda: embedding(np.array([0]), np.zeros(5)),
        ValueError,
        "embedding: weight expects shape (K, D); it is (5,)",
    ),
    ErrorCase(
        "embedding",
        lambda: embedding(np.array([0]), _weight, padding_idx=5),
        ValueError,
        "embedding: padding_idx expects a row of weight (5, 3); it is 5",
    ),
]


def _overwritten(grads, dy, x, weight, *settings):
    """dw[x] = dy in place of +=: the last of the repeated indices wins."""
    rows = x.reshape(-1).tolist()
    last = np.array([i for i, row in enumerate(rows) if row not in rows[i + 1 :]])
    each = dy.reshape((-1, dy.shape[-1]))
    return [None, scatter_add(embedding(last, each), np.array(rows)[last], weight.shape)]


FAULTS = [
    Fault("embedding", "repeated indices overwrite each other", wrong_gradient(_overwritten)),
]
