"""Cases of the activations."""

from __future__ import annotations

import math

import numpy as np

from ...ops import gelu, softplus
from ...ops.activation import erf, sigmoid, tanh
from ..case import Case, ErrorCase, Fault, away_from_zero, wrong_gradient


def _each(function):
    """A reference: Python's `math` on one number after the other."""

    def reference(x, *settings, **named):
        values = [function(float(v), *settings, **named) for v in x.reshape(-1)]
        return np.array(values, dtype=np.float64).reshape(x.shape)

    return reference


def _normal_distribution(v):
    return 0.5 * (1 + math.erf(v / math.sqrt(2)))


def _naive_gelu(v, approximate="none"):
    if approximate == "none":
        return v * _normal_distribution(v)
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


def _naive_elu(v, alpha=1.0):
    return v if v > 0 else alpha * (math.exp(v) - 1)


def _naive_softplus(v, beta=1.0, threshold=20.0):
    return v if beta * v > threshold else math.log(1 + math.exp(beta * v)) / beta


def _naive_leaky_relu(v, negative_slope=0.01):
    return v if v > 0 else negative_slope * v


def _smooth(shape, scale=2.0):
    return lambda rng: {"x": scale * rng.standard_normal(shape)}


def _kinked(shape, scale=1.0):
    return lambda rng: {"x": scale * away_from_zero(rng, shape)}


def _away_from_both_kinks(rng):
    x = rng.uniform(-4, 10, (3, 2, 5))
    return {"x": x + 0.3 * np.sign(x) * (abs(x) < 0.2) + 0.3 * np.sign(x - 6) * (abs(x - 6) < 0.2)}


def _all_ranges_of_erf(rng):
    """Both signs of the three ranges, away from where one formula takes over from the next."""
    ranges = [rng.uniform(low, high, 5) for low, high in ((0.02, 0.45), (0.55, 3.9), (4.1, 4.8))]
    return {"x": np.stack(ranges) * rng.choice([-1.0, 1.0], (3, 5))}


CASES = [
    Case("relu", "both signs", _kinked((3, 2, 5)), {}, _each(lambda v: v if v > 0 else 0.0)),
    Case("relu6", "three pieces", _away_from_both_kinks, {}, _each(lambda v: min(max(v, 0.0), 6.0))),
    Case("leaky_relu", "default slope", _kinked((3, 5)), {}, _each(_naive_leaky_relu)),
    Case("leaky_relu", "slope 0.2", _kinked((2, 3, 4, 1)), {"negative_slope": 0.2}, _each(_naive_leaky_relu)),
    Case("elu", "default alpha", _kinked((3, 5)), {}, _each(_naive_elu)),
    Case("elu", "alpha 0.5", _kinked((2, 3, 4, 1), 2.0), {"alpha": 0.5}, _each(_naive_elu)),
    Case("sigmoid", "both signs", _smooth((3, 7)), {}, _each(lambda v: 1 / (1 + math.exp(-v)))),
    Case("log_sigmoid", "both signs", _smooth((3, 7)), {}, _each(lambda v: -math.log(1 + math.exp(-v)))),
    Case("tanh", "both signs", _smooth((3, 7), 1.0), {}, _each(math.tanh)),
    Case("softplus", "default beta and threshold", _smooth((3, 7)), {}, _each(_naive_softplus)),
    Case(
        "softplus",
        "beta 3, threshold 2: a part is straight",
        lambda rng: {"x": rng.permutation(np.linspace(-2.0, 2.5, 15)).reshape(3, 5)},
        {"beta": 3.0, "threshold": 2.0},
        _each(_naive_softplus),
    ),
    Case("silu", "both signs", _smooth((3, 7)), {}, _each(lambda v: v / (1 + math.exp(-v)))),
    Case("gelu", "exact", _smooth((3, 7), 1.5), {}, _each(_naive_gelu)),
    Case("gelu", "with tanh", _smooth((2, 3, 5), 1.5), {"approximate": "tanh"}, _each(_naive_gelu)),
    Case("gelu_erf", "one axis", _smooth((7,)), {}, _each(_naive_gelu)),
    Case("gelu_tanh", "one axis", _smooth((7,)), {}, _each(lambda v: _naive_gelu(v, "tanh"))),
    Case("erf", "each of its approximations", _all_ranges_of_erf, {}, _each(math.erf)),
]

ERRORS = [
    ErrorCase(
        "softplus",
        lambda: softplus(np.zeros(3), beta=0),
        ValueError,
        "softplus: beta expects a number > 0; it is 0",
    ),
    ErrorCase(
        "gelu",
        lambda: gelu(np.zeros(3), approximate="fast"),
        ValueError,
        "gelu: approximate expects 'none' or 'tanh'; it is 'fast'",
    ),
]


def _tanh_argument_without_cube(grads, dy, x):
    t = tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    return [dy * ((1 + t) * 0.5 + x * (1 - t * t) * (0.5 * math.sqrt(2 / math.pi)))]


FAULTS = [
    Fault("relu", "the gradient passes everywhere", wrong_gradient(lambda grads, dy, x: [dy])),
    Fault("relu", "the gradient passes where dy > 0, not x", wrong_gradient(lambda grads, dy, x: [dy * (dy > 0)])),
    Fault("relu6", "no limit at 6", wrong_gradient(lambda grads, dy, x: [dy * (x > 0)])),
    Fault(
        "leaky_relu",
        "the slope on the positive side",
        wrong_gradient(lambda grads, dy, x, negative_slope=0.01: [dy * (x < 0) + dy * (x > 0) * negative_slope]),
    ),
    Fault(
        "elu",
        "y in place of y + alpha on the negative side",
        wrong_gradient(lambda grads, dy, x, alpha=1.0: [grads[0] - dy * (x < 0) * alpha]),
    ),
    Fault("sigmoid", "1 - y forgotten", wrong_gradient(lambda grads, dy, x: [dy * sigmoid(x)])),
    Fault("sigmoid", "1 - y^2, as for tanh", wrong_gradient(lambda grads, dy, x: [dy * (1 - sigmoid(x) * sigmoid(x))])),
    Fault("log_sigmoid", "sigmoid(x), not of -x", wrong_gradient(lambda grads, dy, x: [dy * sigmoid(x)])),
    Fault("tanh", "1 - y, not squared", wrong_gradient(lambda grads, dy, x: [dy * (1 - tanh(x))])),
    Fault(
        "softplus",
        "a factor beta",
        wrong_gradient(lambda grads, dy, x, beta=1.0, threshold=20.0: [grads[0] * (beta if beta != 1 else 1.5)]),
    ),
    Fault("silu", "the term through the sigmoid missing", wrong_gradient(lambda grads, dy, x: [dy * sigmoid(x)])),
    Fault(
        "gelu_erf",
        "the term through the distribution missing",
        wrong_gradient(lambda grads, dy, x: [dy * (erf(x * math.sqrt(0.5)) + 1) * 0.5]),
    ),
    Fault("gelu_tanh", "the cube missing in u'", wrong_gradient(_tanh_argument_without_cube)),
    Fault(
        "erf",
        "2 / sqrt(pi) missing",
        wrong_gradient(lambda grads, dy, x: [grads[0] * (math.sqrt(math.pi) / 2)]),
    ),
]
