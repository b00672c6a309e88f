"""Operations on each element by itself: arithmetic, powers, exponentials, choice, and conversion."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .._device import is_array
from .._device import to_device as _array_to_device
from .._namespace import output, raw, unbroadcast, xp_of
from .._op import op


def _arithmetic(name: str, function: Callable, a: Any, b: Any) -> Any:
    try:
        return function(a, b)
    except ValueError:
        raise ValueError(
            f"{name}: operands expect shapes that broadcast; they are {np.shape(a)} and {np.shape(b)}"
        ) from None


def one_dtype(a: Any, b: Any) -> tuple[Any, Any]:
    """The operands; integers and lists take the floating dtype of the other, where NumPy would make float64 of both."""
    a_dtype, b_dtype = getattr(a, "dtype", None), getattr(b, "dtype", None)
    if a_dtype is not b_dtype:
        if a_dtype is not None and a_dtype.kind == "f":
            b = _converted(b, b_dtype, a_dtype)
        elif b_dtype is not None and b_dtype.kind == "f":
            a = _converted(a, a_dtype, b_dtype)
    return a, b


def _converted(value: Any, before: Any, dtype: Any) -> Any:
    if before is None:
        return np.asarray(value, dtype) if isinstance(value, (list, tuple)) else value
    return value if before.kind == "f" else value.astype(dtype)


def check_floating(name: str, argument: str, operand: Any) -> None:
    """Refuse integers where means and sums of them would be rounded, or overflow, without a word."""
    if operand.dtype.kind != "f":
        raise TypeError(f"{name}: {argument} expects floating values; it is of type {operand.dtype}")


def _shape(operand: Any) -> tuple[int, ...] | None:
    """What a backward keeps of an operand whose values it does not need; None for a number."""
    return getattr(operand, "shape", None)


@op
def add(a, b):
    r"""Elementwise sum.

    Forward:   y = a + b
    Backward:  da = dy, db = dy, each summed over the axes along which it was broadcast
    Shapes:    a and b broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    Kernel:    kernels/cpu/elementwise.py
    """
    a, b = one_dtype(a, b)
    a_shape, b_shape = _shape(a), _shape(b)

    def backward(dy):
        return unbroadcast(dy, a_shape), unbroadcast(dy, b_shape)

    return raw(_arithmetic, "add", operator.add, a, b), backward


@op
def subtract(a, b):
    r"""Elementwise difference.

    Forward:   y = a - b
    Backward:  da = dy, db = -dy, each summed over the axes along which it was broadcast
    Shapes:    a and b broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    """
    a, b = one_dtype(a, b)
    a_shape, b_shape = _shape(a), _shape(b)

    def backward(dy):
        return unbroadcast(dy, a_shape), lambda: unbroadcast(-dy, b_shape)

    return raw(_arithmetic, "subtract", operator.sub, a, b), backward


@op
def multiply(a, b):
    r"""Elementwise product.

    Forward:   y = a b
    Backward:  da = b dy, db = a dy, each summed over the axes along which it was broadcast
    Shapes:    a and b broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    """
    a, b = one_dtype(a, b)
    a_shape, b_shape = _shape(a), _shape(b)

    def backward(dy):
        return lambda: unbroadcast(dy * b, a_shape), lambda: unbroadcast(dy * a, b_shape)

    if b_shape is None:  # a number: its own function, so that x is not saved for nothing
        backward = lambda dy: unbroadcast(dy * b, a_shape)

    return raw(_arithmetic, "multiply", operator.mul, a, b), backward


@op
def divide(a, b):
    r"""Elementwise quotient.

    Forward:   y = a / b
    Backward:  da = dy / b, db = -a dy / b^2, each summed over the axes along which it was broadcast
    Shapes:    a and b broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    """
    a, b = one_dtype(a, b)
    a_shape, b_shape = _shape(a), _shape(b)

    def backward(dy):
        return lambda: unbroadcast(dy / b, a_shape), lambda: unbroadcast(-dy * a / (b * b), b_shape)

    if b_shape is None:  # a number: its own function, so that x is not saved for nothing
        backward = lambda dy: unbroadcast(dy / b, a_shape)

    return raw(_arithmetic, "divide", operator.truediv, a, b), backward


@op
def power(x, exponent):
    r"""Elementwise power; the exponent is a number or an array.

    Forward:   y = x^p
    Backward:  dx = p x^(p-1) dy, dp = log(x) x^p dy (0 where x = 0), each summed over the axes of its broadcast
    Shapes:    x and exponent broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    """
    x, exponent = one_dtype(x, exponent)

    def backward(dy):
        xp = xp_of(dy)

        def dx():
            if isinstance(exponent, (int, float)):
                return xp.zeros_like(dy) if exponent == 0 else dy * (x ** (exponent - 1) * exponent)
            base = xp.where((x == 0) & (exponent == 0), 1.0, x)  # 0^0 is constant, and 0^-1 is not wanted
            return unbroadcast(dy * (base ** (exponent - 1) * exponent), x)

        def dexponent():
            if isinstance(x, (int, float)):
                logarithm = math.log(x) if x else 0.0
            else:
                logarithm = xp.log(xp.where(x == 0, 1.0, x))
            return unbroadcast(dy * (x**exponent * logarithm), exponent)

        return dx, None if isinstance(exponent, (int, float)) else dexponent

    return raw(_arithmetic, "power", operator.pow, x, exponent), backward


@op
def maximum(a, b):
    r"""Elementwise larger value.

    Forward:   y = max(a, b)
    Backward:  da = dy where a > b, dy / 2 where a = b, else 0; db the same with a and b exchanged
    Shapes:    a and b broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    """
    a, b = one_dtype(a, b)
    return raw(_arithmetic, "maximum", np.maximum, a, b), _chosen_gets_the_gradient(operator.gt, a, b)


@op
def minimum(a, b):
    r"""Elementwise smaller value.

    Forward:   y = min(a, b)
    Backward:  da = dy where a < b, dy / 2 where a = b, else 0; db the same with a and b exchanged
    Shapes:    a and b broadcast to y
    Raises:    ValueError where the shapes do not broadcast
    """
    a, b = one_dtype(a, b)
    return raw(_arithmetic, "minimum", np.minimum, a, b), _chosen_gets_the_gradient(operator.lt, a, b)


def _chosen_gets_the_gradient(wins: Callable, a: Any, b: Any) -> Callable:
    def backward(dy):
        xp = xp_of(dy)

        def share(of, other):
            return unbroadcast(xp.where(wins(of, other), dy, xp.where(of == other, dy * 0.5, xp.zeros_like(dy))), of)

        return lambda: share(a, b), lambda: share(b, a)

    return backward


@op
def where(condition, a, b):
    r"""Choice by a boolean array.

    Forward:   y = a where condition, else b
    Backward:  da = dy where condition, else 0; db = 0 where condition, else dy;
               each summed over the axes of its broadcast
    Shapes:    condition, a and b broadcast to y
    Raises:    TypeError where condition is not boolean; ValueError where the shapes do not broadcast
    """
    kind = getattr(condition, "dtype", np.dtype(type(condition)))
    if kind != np.bool_:
        raise TypeError(f"where: condition expects booleans; it is of type {kind}")

    def choose(mask, a, b):
        floating = [v.dtype for v in (a, b) if is_array(v) and v.dtype.kind == "f"]
        try:
            y = xp_of(mask).where(mask, a, b)
        except ValueError:
            raise ValueError(
                f"where: a and b expect shapes that broadcast with condition {np.shape(mask)}; "
                f"they are {np.shape(a)} and {np.shape(b)}"
            ) from None
        return y.astype(floating[0], copy=False) if floating else y

    a_shape, b_shape = _shape(a), _shape(b)

    def backward(dy):
        xp = xp_of(dy)
        nothing = xp.zeros_like(dy)
        return (
            None,
            lambda: unbroadcast(xp.where(condition, dy, nothing), a_shape),
            lambda: unbroadcast(xp.where(condition, nothing, dy), b_shape),
        )

    return raw(choose, condition, a, b), backward


@op
def negative(x):
    r"""Elementwise negation.

    Forward:   y = -x
    Backward:  dx = -dy
    Shapes:    y as x
    """
    return raw(operator.neg, x), lambda dy: -dy


@op
def exp(x):
    r"""Elementwise exponential.

    Forward:   y = e^x
    Backward:  dx = y dy
    Shapes:    y as x
    """
    y = output(exp, lambda v: xp_of(v).exp(v), x)
    return y, lambda dy: dy * y


@op
def expm1(x):
    r"""e^x - 1, exact for small x.

    Forward:   y = e^x - 1
    Backward:  dx = (y + 1) dy
    Shapes:    y as x
    """
    y = output(expm1, lambda v: xp_of(v).expm1(v), x)
    return y, lambda dy: dy * (y + 1)


@op
def log(x):
    r"""Elementwise natural logarithm.

    Forward:   y = ln x
    Backward:  dx = dy / x
    Shapes:    y as x
    """
    return raw(lambda v: xp_of(v).log(v), x), lambda dy: dy / x


@op
def log1p(x):
    r"""ln(1 + x), exact for small x.

    Forward:   y = ln(1 + x)
    Backward:  dx = dy / (1 + x)
    Shapes:    y as x
    """
    return raw(lambda v: xp_of(v).log1p(v), x), lambda dy: dy / (x + 1)


@op
def sqrt(x):
    r"""Elementwise square root.

    Forward:   y = x^(1/2)
    Backward:  dx = dy / (2 y)
    Shapes:    y as x
    """
    y = output(sqrt, lambda v: xp_of(v).sqrt(v), x)
    return y, lambda dy: dy / (y * 2)


@op
def abs(x):
    r"""Elementwise absolute value.

    Forward:   y = |x|
    Backward:  dx = sign(x) dy, 0 where x = 0
    Shapes:    y as x
    """
    return raw(operator.abs, x), lambda dy: dy * xp_of(x).sign(x)


@op
def sin(x):
    r"""Elementwise sine.

    Forward:   y = sin x
    Backward:  dx = cos(x) dy
    Shapes:    y as x
    Units:     x in radians
    """
    return raw(lambda v: xp_of(v).sin(v), x), lambda dy: dy * xp_of(x).cos(x)


@op
def cos(x):
    r"""Elementwise cosine.

    Forward:   y = cos x
    Backward:  dx = -sin(x) dy
    Shapes:    y as x
    Units:     x in radians
    """
    return raw(lambda v: xp_of(v).cos(v), x), lambda dy: -dy * xp_of(x).sin(x)


@op
def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    r"""Values held between two bounds, either of which may be None.

    Forward:   y = min(max(x, lower), upper)
    Backward:  dx = dy where lower <= x <= upper, else 0
    Shapes:    y as x; the bounds are numbers
    Raises:    ValueError where both bounds are None, TypeError where one is an array
    """
    bounds: tuple[Any, Any] = (min, max)
    if all(bound is None for bound in bounds):
        raise ValueError("clip: min and max expect at least one bound; both are None")
    if any(is_array(bound) or np.ndim(bound) for bound in bounds):
        raise TypeError(
            f"clip: min and max expect numbers, which get no gradient; they are {min!r} and {max!r}. "
            "Arrays are for maximum() and minimum()"
        )
    inside = raw(lambda v: (v >= (-np.inf if min is None else min)) & (v <= (np.inf if max is None else max)), x)

    def backward(dy):
        return xp_of(dy).where(inside, dy, xp_of(dy).zeros_like(dy))

    return raw(lambda v: xp_of(v).clip(v, min, max), x), backward


@op
def clone(x):
    r"""A copy in memory of its own, with the same layout.

    Forward:   y = x
    Backward:  dx = dy
    Shapes:    y as x
    """
    return raw(lambda v: xp_of(v).array(v, copy=True, order="K"), x), lambda dy: dy


@op
def astype(x, dtype):
    r"""The same values in another dtype.

    Forward:   y = x, rounded to dtype
    Backward:  dx = dy, rounded to the dtype of x
    Shapes:    y as x
    """
    before = x.dtype
    return raw(lambda v: v.astype(dtype), x), lambda dy: dy.astype(before)


@op
def to_device(x, device):
    r"""The same values on another device.

    Forward:   y = x, on device
    Backward:  dx = dy, on the device of x
    Shapes:    y as x
    Raises:    ValueError for an unknown device, RuntimeError with the reason where there is no usable GPU
    """
    from .._device import device_of

    before = raw(device_of, x)

    def backward(dy):
        return to_device(dy, before)

    return raw(_array_to_device, x, device), backward
