"""Cases of the end of a residual block."""

from __future__ import annotations

import numpy as np

from ...ops import add_relu
from ..case import Case, ErrorCase, Fault, away_from_zero, wrong_gradient


def _branches(shape):
    """Two branches whose sum keeps away from the kink."""

    def draw(rng):
        x = rng.standard_normal(shape)
        return {"x": x, "residual": away_from_zero(rng, shape) - x}

    return draw


def _naive_add_relu(x, residual):
    y = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        y[at] = max(x[at] + residual[at], 0.0)
    return y


CASES = [
    Case("add_relu", "images", _branches((2, 3, 5, 4)), {}, _naive_add_relu),
    Case("add_relu", "vectors", _branches((3, 7)), {}, _naive_add_relu),
]

ERRORS = [
    ErrorCase(
        "add_relu",
        lambda: add_relu(np.zeros((2, 3, 4, 4)), np.zeros((2, 6, 4, 4))),
        ValueError,
        "add_relu: residual expects the shape of x (2, 3, 4, 4); it is (2, 6, 4, 4)",
    ),
]

FAULTS = [
    Fault("add_relu", "the shortcut not masked", wrong_gradient(lambda grads, dy, x, residual: [grads[0], dy])),
    Fault(
        "add_relu",
        "masked by x, not by the sum",
        wrong_gradient(lambda grads, dy, x, residual: [dy * (x > 0), dy * (x > 0)]),
    ),
    Fault("add_relu", "no gradient to the shortcut", wrong_gradient(lambda grads, dy, x, residual: [grads[0], None])),
]
