"""Cases of sums, means, variances and extremes."""

from __future__ import annotations

import numpy as np

from ..._namespace import raw, xp_of
from ...ops import argmax, argmin, max, mean, min, sum, var
from ..case import Case, ErrorCase, Fault, apart, wrong_gradient


def _normal(*shape):
    return lambda rng: {"x": rng.standard_normal(shape)}


def _apart(*shape):
    return lambda rng: {"x": apart(rng, shape)}


def _tied(rng):
    """Whole numbers, many of them equal: an index of the first extreme is well defined, a gradient is not asked for."""
    return {"x": rng.integers(0, 3, (4, 5)).astype(float)}


def _reduced(function):
    """The reference: `function` of the list of numbers along the reduced axes, one output at a time."""

    def naive(x, axis=None, keepdims=False, **settings):
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = {a % x.ndim for a in axes}
        groups: dict[tuple, list[float]] = {}
        for at in np.ndindex(*x.shape):
            kept = tuple(0 if i in axes else n for i, n in enumerate(at))
            groups.setdefault(kept, []).append(float(x[at]))
        y = np.zeros([1 if i in axes else n for i, n in enumerate(x.shape)])
        for at, numbers in groups.items():
            y[at] = function(numbers, **settings)
        return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axes])

    return naive


def _total(numbers):
    total = 0.0
    for number in numbers:
        total += number
    return total


def _average(numbers):
    return _total(numbers) / len(numbers)


def _variance(numbers, correction=0):
    centre = _average(numbers)
    return _total([(number - centre) ** 2 for number in numbers]) / (len(numbers) - correction)


def _largest(numbers):
    return sorted(numbers)[-1]


def _smallest(numbers):
    return sorted(numbers)[0]


def _first_of(extreme):
    return lambda numbers: numbers.index(extreme(numbers))


CASES = [
    *[
        Case(function, title, _normal(*shape), settings, _reduced(naive))
        for function, naive in (("sum", _total), ("mean", _average), ("var", _variance))
        for title, shape, settings in (
            ("all", (3, 5), {}),
            ("first axis", (3, 5), {"axis": 0}),
            ("last axis, kept", (2, 3, 5), {"axis": -1, "keepdims": True}),
            ("outer axes of three", (2, 3, 5), {"axis": (0, -1)}),
            ("batch and space, kept", (2, 3, 4, 5), {"axis": (0, 2, 3), "keepdims": True}),
        )
    ],
    Case("sum", "no axes", _normal(), {}, _reduced(_total)),
    Case("sum", "no axis reduced", _normal(3, 2), {"axis": ()}, _reduced(_total)),
    Case("sum", "along an empty axis", _normal(3, 0), {"axis": 1}, _reduced(_total)),
    Case("mean", "along an axis of one element", _normal(3, 1), {"axis": 1}, _reduced(_average)),
    Case("var", "unbiased", _normal(4, 5), {"axis": 0, "correction": 1}, _reduced(_variance)),
    Case("var", "unbiased over two axes", _normal(2, 3, 4), {"axis": (-1, 0), "correction": 1}, _reduced(_variance)),
    *[
        Case(function, title, _apart(*shape), settings, _reduced(naive))
        for function, naive in (("max", _largest), ("min", _smallest))
        for title, shape, settings in (
            ("all", (3, 5), {}),
            ("first axis", (3, 5), {"axis": 0}),
            ("last axis, kept", (2, 3, 5), {"axis": -1, "keepdims": True}),
            ("outer axes of three", (2, 3, 5), {"axis": (-1, 0)}),
        )
    ],
    *[
        Case(function, title, inputs, settings, _reduced(_first_of(extreme)), wrt=())
        for function, extreme in (("argmax", _largest), ("argmin", _smallest))
        for title, inputs, settings in (
            ("all", _apart(3, 5), {}),
            ("last axis", _apart(2, 3, 5), {"axis": -1}),
            ("ties go to the first", _tied, {"axis": 0}),
        )
    ],
]

_x = np.zeros((2, 3))

ERRORS = [
    *[
        ErrorCase(
            function.__name__,
            lambda function=function: function(_x, axis=2),
            ValueError,
            f"{function.__name__}: axis expects different numbers in -2 .. 1; it is 2",
        )
        for function in (sum, mean, var, max, min, argmax, argmin)
    ],
    ErrorCase(
        "sum",
        lambda: sum(_x, axis=(0, -2)),
        ValueError,
        "sum: axis expects different numbers in -2 .. 1; it is (0, -2)",
    ),
    *[
        ErrorCase(
            function.__name__,
            lambda function=function: function(np.zeros((3, 0)), axis=1),
            ValueError,
            f"{function.__name__}: x expects at least one element along axis 1; its shape is (3, 0)",
        )
        for function in (mean, max, min)
    ],
    *[
        ErrorCase(
            function.__name__,
            lambda function=function: function(np.zeros((3, 0)), axis=1),
            ValueError,
            f"{function.__name__}: x expects at least one element along axis 1; its shape is (3, 0)",
        )
        for function in (argmax, argmin)
    ],
    ErrorCase(
        "var",
        lambda: var(np.zeros((3, 1)), axis=1, correction=1),
        ValueError,
        "var: x expects more than correction = 1 elements along axis 1; it has 1",
    ),
]


def _without_mean(grads, dy, x, *settings):
    """The factor 1 / n of a mean forgotten."""
    return [grads[0] * (x.size / dy.size), *grads[1:]]


def _wrong_divisor(grads, dy, x, axis=None, correction=0, *settings):
    """n in place of n - 1, and the other way round."""
    n = x.size // dy.size
    return [grads[0] * ((n - correction) / (n - (1 - correction))), *grads[1:]]


def _without_centring(grads, dy, x, axis=None, correction=0, *settings):
    """x in place of x - mean."""
    shape = [1 if n == 1 or axis is None else n for n in xp_of(x).sum(x, axis=axis, keepdims=True).shape]
    return [x * dy.reshape(shape) * (2 / (x.size // dy.size - correction)), *grads[1:]]


def _to_every_element(grads, dy, x, axis=None, keepdims=False):
    """Broadcast to all elements in place of the extreme one."""
    shape = raw(lambda v: v.sum(axis=axis, keepdims=True), x).shape
    return [xp_of(dy).broadcast_to(dy.reshape(shape), x.shape)]


def _first_group_only(grads, dy, x, axis=None, keepdims=False):
    """The gradient of the first output spread over all elements: broadcast along the wrong axes."""
    return [xp_of(dy).broadcast_to(dy.reshape((-1,))[0], x.shape) if dy.size else grads[0]]


FAULTS = [
    Fault("sum", "broadcast of the first output's gradient", wrong_gradient(_first_group_only)),
    Fault("mean", "without 1 / n", wrong_gradient(_without_mean)),
    Fault("var", "n for n - 1, n - 1 for n", wrong_gradient(_wrong_divisor)),
    Fault("var", "x in place of x - m", wrong_gradient(_without_centring)),
    Fault("max", "to every element", wrong_gradient(_to_every_element)),
    Fault("min", "to every element", wrong_gradient(_to_every_element)),
]
