"""Cases of arithmetic, powers, exponentials, choice and conversion."""

from __future__ import annotations

import math

import numpy as np

from ..._namespace import unbroadcast
from ...ops import add, clip, divide, maximum, minimum, multiply, power, subtract, to_device, where
from ..case import Case, ErrorCase, Fault, apart, away_from_zero, wrong_gradient


def _normal(**shapes):
    return lambda rng: {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def _positive(**shapes):
    return lambda rng: {name: rng.uniform(0.3, 2.5, shape) for name, shape in shapes.items()}


def _each(function):
    """The reference for an operation on each element: `function` on Python numbers, one element at a time."""

    def naive(x, **settings):
        y = np.empty(x.shape)
        for at in np.ndindex(*x.shape):
            y[at] = function(float(x[at]), **settings)
        return y

    return naive


def _pairwise(function):
    """The reference for an operation on pairs, which broadcasts: indices along axes of one element stay 0."""

    def naive(*operands, **named):
        a, b = (np.asarray(v, dtype=float) for v in (*operands, *named.values()))
        y = np.empty(np.broadcast_shapes(a.shape, b.shape))
        for at in np.ndindex(*y.shape):
            y[at] = function(float(a[_index_into(a, at)]), float(b[_index_into(b, at)]))
        return y

    return naive


def _index_into(operand, at):
    return tuple(0 if n == 1 else i for n, i in zip(operand.shape, at[len(at) - operand.ndim :], strict=True))


def _naive_where(condition, a, b):
    shape = np.broadcast_shapes(condition.shape, a.shape, np.shape(b))
    y = np.empty(shape)
    for at in np.ndindex(*shape):
        chosen = a if condition[_index_into(condition, at)] else np.asarray(b)
        y[at] = chosen[_index_into(chosen, at)]
    return y


def _interleaved(a_shape, b_shape):
    """Operands whose values never come close to each other, also where they broadcast."""

    def draw(rng):
        sizes = math.prod(a_shape), math.prod(b_shape)
        values = apart(rng, (sum(sizes),))
        return {"a": values[: sizes[0]].reshape(a_shape), "b": values[sizes[0] :].reshape(b_shape)}

    return draw


def _tied(rng):
    """Two thirds of the values apart, one third equal."""
    a, b = _interleaved((15,), (15,))(rng).values()
    return {"a": a, "b": np.where(np.arange(15) % 3 == 0, a, b)}


CASES = [
    Case("add", "same shape", _normal(a=(3, 5), b=(3, 5)), {}, _pairwise(lambda a, b: a + b)),
    Case("add", "row and column", _normal(a=(3, 1), b=(1, 4)), {}, _pairwise(lambda a, b: a + b)),
    Case("add", "channel against image", _normal(a=(2, 3, 4, 5), b=(3, 1, 1)), {}, _pairwise(lambda a, b: a + b)),
    Case("add", "no axes", _normal(a=(), b=(4, 3)), {}, _pairwise(lambda a, b: a + b)),
    Case("add", "empty", _normal(a=(0, 3), b=(3,)), {}, _pairwise(lambda a, b: a + b)),
    Case("subtract", "same shape", _normal(a=(3, 5), b=(3, 5)), {}, _pairwise(lambda a, b: a - b)),
    Case("subtract", "vector from matrix", _normal(a=(4, 3), b=(3,)), {}, _pairwise(lambda a, b: a - b)),
    Case("subtract", "matrix from column", _normal(a=(4, 1), b=(2, 1, 3)), {}, _pairwise(lambda a, b: a - b)),
    Case("multiply", "same shape", _normal(a=(3, 5), b=(3, 5)), {}, _pairwise(lambda a, b: a * b)),
    Case("multiply", "both stretched", _normal(a=(2, 1, 4), b=(3, 1)), {}, _pairwise(lambda a, b: a * b)),
    Case("multiply", "by a number", _normal(a=(3, 5)), {"b": -1.5}, _pairwise(lambda a, b: a * b)),
    Case(
        "divide",
        "same shape",
        lambda rng: {"a": rng.standard_normal((3, 5)), "b": away_from_zero(rng, (3, 5), 0.5)},
        {},
        _pairwise(lambda a, b: a / b),
    ),
    Case(
        "divide",
        "by a column of negative and positive numbers",
        lambda rng: {"a": rng.standard_normal((2, 3, 4)), "b": away_from_zero(rng, (3, 1), 0.5)},
        {},
        _pairwise(lambda a, b: a / b),
    ),
    Case(
        "divide",
        "both stretched",
        lambda rng: {"a": rng.standard_normal((2, 1, 4)), "b": away_from_zero(rng, (3, 1), 0.5)},
        {},
        _pairwise(lambda a, b: a / b),
    ),
    Case("divide", "by a number", _normal(a=(3, 5)), {"b": 4}, _pairwise(lambda a, b: a / b)),
    Case("power", "square", _normal(x=(3, 5)), {"exponent": 2}, _pairwise(lambda x, p: x**p)),
    Case("power", "cube of negative numbers", _normal(x=(3, 5)), {"exponent": 3}, _pairwise(lambda x, p: x**p)),
    Case("power", "exponent 0", _normal(x=(4,)), {"exponent": 0}, _pairwise(lambda x, p: x**p)),
    Case(
        "power",
        "exponent 0, also of zero",
        lambda rng: {"x": np.array([0.0, 1.3, -0.4])},
        {"exponent": 0},
        _pairwise(lambda x, p: x**p),
    ),
    Case("power", "exponent 1", _normal(x=(4,)), {"exponent": 1}, _pairwise(lambda x, p: x**p)),
    Case("power", "exponent -1/2", _positive(x=(3, 5)), {"exponent": -0.5}, _pairwise(lambda x, p: x**p)),
    Case(
        "power",
        "exponents that broadcast",
        lambda rng: {"x": rng.uniform(0.3, 2.5, (3, 4)), "exponent": rng.standard_normal((3, 1))},
        {},
        _pairwise(lambda x, p: x**p),
    ),
    Case(
        "power",
        "both stretched",
        lambda rng: {"x": rng.uniform(0.3, 2.5, (1, 4)), "exponent": rng.standard_normal((3, 1))},
        {},
        _pairwise(lambda x, p: x**p),
    ),
    Case(
        "power",
        "zeros to the power 0 and others",
        lambda rng: {"x": np.array([0.0, 1.3, 0.0, 0.8, 1.0]), "exponent": np.array([0.0, 2.0, 2.0, 0.0, 3.0])},
        {},
        _pairwise(lambda x, p: x**p),
        wrt=("x",),  # 0^p has no derivative in p at p = 0
    ),
    Case(
        "power",
        "zeros to powers that move",
        lambda rng: {"x": np.array([0.0, 1.5, 0.0, 0.7]), "exponent": np.array([2.0, 0.5, 1.5, 3.0])},
        {},
        _pairwise(lambda x, p: x**p),
        wrt=("exponent",),
    ),
    Case(
        "power",
        "positive numbers to the power 0 and others",  # where d2y / dx dp = 1/x at p = 0
        lambda rng: {"x": np.array([0.4, 1.3, 2.2, 0.7]), "exponent": np.array([0.0, 2.0, 0.0, -1.5])},
        {},
        _pairwise(lambda x, p: x**p),
    ),
    Case(
        "power",
        "of the number 0",
        lambda rng: {"exponent": rng.uniform(0.5, 2.0, (5,))},
        {"x": 0.0},
        lambda x, exponent: np.zeros(5),
    ),
    Case("power", "of a number", _normal(exponent=(3, 4)), {"x": 2.5}, lambda x, exponent: 2.5**exponent),
    Case("maximum", "same shape", _interleaved((3, 5), (3, 5)), {}, _pairwise(max)),
    Case("maximum", "broadcast", _interleaved((2, 1, 4), (3, 1)), {}, _pairwise(max)),
    Case("maximum", "with ties", _tied, {}, _pairwise(max), second_order=False),
    Case("maximum", "with a number", lambda rng: {"a": away_from_zero(rng, (3, 5))}, {"b": 0.0}, _pairwise(max)),
    Case("minimum", "same shape", _interleaved((3, 5), (3, 5)), {}, _pairwise(min)),
    Case("minimum", "with ties", _tied, {}, _pairwise(min), second_order=False),
    Case("minimum", "broadcast", _interleaved((4, 1), (2, 1, 3)), {}, _pairwise(min)),
    Case(
        "where",
        "same shape",
        lambda rng: {
            "condition": rng.random((3, 5)) < 0.5,
            "a": rng.standard_normal((3, 5)),
            "b": rng.standard_normal((3, 5)),
        },
        {},
        _naive_where,
    ),
    Case(
        "where",
        "all three broadcast",
        lambda rng: {
            "condition": rng.random((3, 1)) < 0.5,
            "a": rng.standard_normal((2, 1, 4)),
            "b": rng.standard_normal((4,)),
        },
        {},
        _naive_where,
    ),
    Case(
        "where",
        "a number elsewhere",
        lambda rng: {"condition": rng.random((3, 5)) < 0.5, "a": rng.standard_normal((3, 5))},
        {"b": -2.0},
        _naive_where,
    ),
    Case("negative", "three axes", _normal(x=(2, 3, 5)), {}, _each(lambda v: -v)),
    Case("exp", "three axes", _normal(x=(2, 3, 5)), {}, _each(math.exp)),
    Case("exp", "no axes", _normal(x=()), {}, _each(math.exp)),
    Case("expm1", "three axes", _normal(x=(2, 3, 5)), {}, _each(math.expm1)),
    Case("expm1", "small", lambda rng: {"x": 1e-3 * rng.standard_normal((4, 3))}, {}, _each(math.expm1)),
    Case("log", "three axes", _positive(x=(2, 3, 5)), {}, _each(math.log)),
    Case("log1p", "three axes", _positive(x=(2, 3, 5)), {}, _each(math.log1p)),
    Case("log1p", "small", lambda rng: {"x": 1e-3 * rng.standard_normal((4, 3))}, {}, _each(math.log1p)),
    Case("sqrt", "three axes", _positive(x=(2, 3, 5)), {}, _each(math.sqrt)),
    Case("abs", "both signs", lambda rng: {"x": away_from_zero(rng, (3, 5))}, {}, _each(math.fabs)),
    Case(
        "abs",
        "also at zero",
        lambda rng: {"x": np.array([1.5, 0.0, -0.7, 0.0, 0.3])},
        {},
        _each(math.fabs),
        second_order=False,
    ),
    Case("sin", "three axes", _normal(x=(2, 3, 5)), {}, _each(math.sin)),
    Case("cos", "three axes", _normal(x=(2, 3, 5)), {}, _each(math.cos)),
    Case(
        "clip",
        "both bounds",
        lambda rng: {"x": apart(rng, (3, 5))},
        {"min": -0.8, "max": 1.2},
        _each(lambda v, min, max: min if v < min else max if v > max else v),
    ),
    Case(
        "clip",
        "lower bound",
        lambda rng: {"x": away_from_zero(rng, (3, 5))},
        {"min": 0.0},
        _each(lambda v, min: v if v > min else min),
    ),
    Case(
        "clip",
        "upper bound",
        lambda rng: {"x": away_from_zero(rng, (3, 5))},
        {"max": 0.0},
        _each(lambda v, max: v if v < max else max),
    ),
    Case("clone", "three axes", _normal(x=(2, 3, 5)), {}, _each(lambda v: v)),
    Case("astype", "to the dtype it has", _normal(x=(3, 5)), {"dtype": np.float64}, lambda x, dtype: x + 0.0),
    Case(
        "astype",
        "to single precision",
        _normal(x=(3, 5)),
        {"dtype": np.float32},
        lambda x, dtype: x.astype(dtype),
        second_order=False,
    ),
    Case("to_device", "to the device where it is", _normal(x=(3, 5)), {"device": "cpu"}, lambda x, device: x + 0.0),
]

_a, _b = np.zeros((2, 3)), np.zeros((4, 3))


def _does_not_broadcast(function):
    name = function.__name__
    return ErrorCase(
        name,
        lambda: function(_a, _b),
        ValueError,
        f"{name}: operands expect shapes that broadcast; they are (2, 3) and (4, 3)",
    )


ERRORS = [
    *map(_does_not_broadcast, (add, subtract, multiply, divide, power, maximum, minimum)),
    ErrorCase(
        "where",
        lambda: where(_a, _a, _a),
        TypeError,
        "where: condition expects booleans; it is of type float64",
    ),
    ErrorCase(
        "where",
        lambda: where(_a > 0, _a, _b),
        ValueError,
        "where: a and b expect shapes that broadcast with condition (2, 3); they are (2, 3) and (4, 3)",
    ),
    ErrorCase("clip", lambda: clip(_a), ValueError, "clip: min and max expect at least one bound; both are None"),
    ErrorCase(
        "to_device",
        lambda: to_device(_a, "tpu"),
        ValueError,
        "to: device expects one of cpu, cuda, cuda-sim; it is 'tpu'",
    ),
]


def _first_row_only(grads, dy, a, b):
    """The sum over a broadcast axis forgotten: one element of it is taken instead."""
    if dy.size == 0:
        return grads

    def take_first(full, operand):
        extra = full.ndim - operand.ndim
        return full[(0,) * extra + tuple(slice(0, n) for n in operand.shape)]

    return [take_first(dy, a), take_first(dy, b)]


def _averaged_over_broadcast(grads, dy, a, b):
    """The mean over a broadcast axis in place of its sum."""
    return [g * (g.size / dy.size) for g in grads] if dy.size else grads


def _exchanged_choice(grads, dy, a, b):
    """The operand that was not chosen takes the gradient."""
    complement = [unbroadcast(dy, a), unbroadcast(dy, b)]
    return [None if whole is None else whole - g for whole, g in zip(complement, grads, strict=True)]


def _times(gradient, factor):
    """The product, or None where there is no gradient; for a fault where the shapes agree."""
    return None if gradient is None else unbroadcast(gradient * factor, gradient)


def _scaled(factor):
    """A unary operation's gradient times `factor(x)`."""
    return wrong_gradient(lambda grads, dy, x, *settings: [grads[0] * factor(x), *grads[1:]])


FAULTS = [
    Fault("add", "one element of a broadcast axis in place of its sum", wrong_gradient(_first_row_only)),
    Fault("add", "mean over a broadcast axis in place of its sum", wrong_gradient(_averaged_over_broadcast)),
    Fault("subtract", "db without its sign", wrong_gradient(lambda grads, dy, a, b: [grads[0], -grads[1]])),
    Fault(
        "multiply",
        "da = a dy",
        wrong_gradient(lambda grads, dy, a, b: [unbroadcast(dy * a, a), *grads[1:]]),
    ),
    Fault(
        "divide",
        "db = -a dy / b",
        wrong_gradient(lambda grads, dy, a, b: [grads[0], *(_times(g, b) for g in grads[1:])]),
    ),
    Fault("divide", "da not divided", wrong_gradient(lambda grads, dy, a, b: [unbroadcast(dy, a), *grads[1:]])),
    Fault(
        "power",
        "dx = p x^p dy",
        wrong_gradient(lambda grads, dy, x, p: [_times(grads[0], x), *grads[1:]]),
    ),
    Fault(
        "power",
        "dx without the factor p",
        wrong_gradient(
            lambda grads, dy, x, p: [None if grads[0] is None else unbroadcast(dy * x ** (p - 1), x), *grads[1:]]
        ),
    ),
    Fault("maximum", "the smaller value takes the gradient", wrong_gradient(_exchanged_choice)),
    Fault("minimum", "the larger value takes the gradient", wrong_gradient(_exchanged_choice)),
    Fault(
        "where",
        "a takes the gradient everywhere",
        wrong_gradient(lambda grads, dy, condition, a, b: [None, unbroadcast(dy, a), *grads[2:]]),
    ),
    Fault("exp", "dx = x dy", wrong_gradient(lambda grads, dy, x: [dy * x])),
    Fault("expm1", "dx = y dy, without the 1", wrong_gradient(lambda grads, dy, x: [grads[0] - dy])),
    Fault("log", "dx = x dy", wrong_gradient(lambda grads, dy, x: [dy * x])),
    Fault("log1p", "dx = dy / x", wrong_gradient(lambda grads, dy, x: [dy / x])),
    Fault("sqrt", "the factor 1/2 is missing", _scaled(lambda x: 2.0)),
    Fault("abs", "dx = dy", wrong_gradient(lambda grads, dy, x: [dy])),
    Fault("sin", "dx = -cos(x) dy", _scaled(lambda x: -1.0)),
    Fault("cos", "dx = sin(x) dy", _scaled(lambda x: -1.0)),
    Fault("clip", "dx = dy beyond the bounds as well", wrong_gradient(lambda grads, dy, x, *bounds: [dy])),
]
