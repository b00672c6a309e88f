"""Cases of softmax and its logarithm."""

from __future__ import annotations

import math

import numpy as np

from ...ops import log_softmax, softmax
from ..case import Case, ErrorCase, Fault, wrong_gradient


def _naive_softmax(x, axis=-1):
    rows = np.moveaxis(x, axis, -1)
    y = np.zeros(rows.shape)
    for at in np.ndindex(*rows.shape[:-1]):
        total = math.fsum(math.exp(v) for v in rows[at])
        for i, v in enumerate(rows[at]):
            y[(*at, i)] = math.exp(v) / total
    return np.moveaxis(y, -1, axis)


def _naive_log_softmax(x, axis=-1):
    return np.log(_naive_softmax(x, axis))


def _logits(shape):
    return lambda rng: {"x": 1.5 * rng.standard_normal(shape)}


CASES = [
    Case("softmax", "last axis", _logits((3, 5)), {}, _naive_softmax),
    Case("softmax", "channels of images", _logits((2, 4, 3, 2)), {"axis": 1}, _naive_softmax),
    Case("softmax", "one vector", _logits((6,)), {"axis": 0}, _naive_softmax),
    Case("log_softmax", "last axis", _logits((3, 5)), {}, _naive_log_softmax),
    Case("log_softmax", "channels of images", _logits((2, 4, 3, 2)), {"axis": -3}, _naive_log_softmax),
]

ERRORS = [
    ErrorCase(
        "softmax",
        lambda: softmax(np.zeros((2, 3)), axis=2),
        ValueError,
        "softmax: axis expects a number in -2 .. 1; it is 2",
    ),
    ErrorCase(
        "log_softmax",
        lambda: log_softmax(np.zeros((2, 0))),
        ValueError,
        "log_softmax: x expects at least one element along axis 1; its shape is (2, 0)",
    ),
]


def _without_the_sum(grads, dy, x, axis=-1):
    return [dy * softmax(x, axis)]


def _diagonal_alone(grads, dy, x, axis=-1):
    y = softmax(x, axis)
    return [dy * (y * (1 - y))]


def _sum_over_everything(grads, dy, x, axis=-1):
    y = softmax(x, axis)
    return [y * (dy - (dy * y).sum())]


def _log_sum_without_softmax(grads, dy, x, axis=-1):
    return [dy - dy.sum(axis=axis, keepdims=True) * (1 / x.shape[axis])]


FAULTS = [
    Fault("softmax", "without the sum over the row", wrong_gradient(_without_the_sum)),
    Fault("softmax", "the diagonal of the Jacobian alone", wrong_gradient(_diagonal_alone)),
    Fault("softmax", "the sum over all rows", wrong_gradient(_sum_over_everything)),
    Fault("log_softmax", "dy passed on", wrong_gradient(lambda grads, dy, x, axis=-1: [dy])),
    Fault("log_softmax", "1 / n in place of softmax", wrong_gradient(_log_sum_without_softmax)),
]
