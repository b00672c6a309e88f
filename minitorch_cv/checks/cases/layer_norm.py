"""Cases of layer normalisation."""

from __future__ import annotations

import numpy as np

from ...ops import layer_norm
from ..case import Case, ErrorCase, Fault, wrong_gradient


def naive_layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """One group of last axes after the other."""
    ending = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    y = np.zeros(x.shape)
    for at in np.ndindex(*x.shape[: x.ndim - len(ending)]):
        mean = x[at].sum() / x[at].size
        var = ((x[at] - mean) ** 2).sum() / x[at].size
        y[at] = (x[at] - mean) / (var + eps) ** 0.5
        y[at] = y[at] * (1 if weight is None else weight) + (0 if bias is None else bias)
    return y


def _inputs(shape, ending, *names):
    def draw(rng):
        return {"x": rng.standard_normal(shape) * 2 + 1} | {name: rng.standard_normal(ending) for name in names}

    return draw


CASES = [
    Case(
        "layer_norm",
        "vectors",
        _inputs((3, 7), (7,), "weight", "bias"),
        {"normalized_shape": 7},
        naive_layer_norm,
    ),
    Case(
        "layer_norm",
        "the last two of four axes",
        _inputs((2, 3, 4, 2), (4, 2), "weight", "bias"),
        {"normalized_shape": (4, 2), "eps": 1e-2},
        naive_layer_norm,
    ),
    Case(
        "layer_norm", "every axis, no bias", _inputs((5,), (5,), "weight"), {"normalized_shape": (5,)}, naive_layer_norm
    ),
    Case("layer_norm", "no weight", _inputs((2, 3, 4), (3, 4), "bias"), {"normalized_shape": (3, 4)}, naive_layer_norm),
    Case("layer_norm", "neither", _inputs((2, 3, 5), (5,)), {"normalized_shape": (5,)}, naive_layer_norm),
]

ERRORS = [
    ErrorCase(
        "layer_norm",
        lambda: layer_norm(np.zeros((2, 5)), 4),
        ValueError,
        "layer_norm: normalized_shape expects the last sizes of x (2, 5); it is 4",
    ),
    ErrorCase(
        "layer_norm",
        lambda: layer_norm(np.zeros((2, 5)), 5, np.ones((2, 5))),
        ValueError,
        "layer_norm: weight expects shape (5,), normalized_shape; it is (2, 5)",
    ),
]


def _parts(dy, x, normalized_shape, weight, eps):
    """xhat, r, w dy and its means."""
    axes = tuple(range(x.ndim - (1 if isinstance(normalized_shape, int) else len(normalized_shape)), x.ndim))
    mean = lambda a: a.mean(axis=axes, keepdims=True)
    centred = x - mean(x)
    r = (mean(centred * centred) + eps) ** -0.5
    return centred * r, r, dy if weight is None else dy * weight, mean


def _without_mean(grads, dy, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    xhat, r, g, mean = _parts(dy, x, normalized_shape, weight, eps)
    return [r * (g - xhat * mean(g * xhat)), *grads[1:]]


def _without_var(grads, dy, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    _, r, g, mean = _parts(dy, x, normalized_shape, weight, eps)
    return [r * (g - mean(g)), *grads[1:]]


def _weight_after_the_means(grads, dy, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    if weight is None:
        return grads
    xhat, r, g, mean = _parts(dy, x, normalized_shape, None, eps)
    return [r * weight * (g - mean(g) - xhat * mean(g * xhat)), *grads[1:]]


FAULTS = [
    Fault("layer_norm", "the path through the mean missing", wrong_gradient(_without_mean)),
    Fault("layer_norm", "the path through the variance missing", wrong_gradient(_without_var)),
    Fault("layer_norm", "the weight taken out of the sums, as if constant", wrong_gradient(_weight_after_the_means)),
]
