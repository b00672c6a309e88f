"""Reductions: sum, mean, variance, extremes. `axis` is None (all), a number or a tuple; `keepdims` as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._namespace import raw, xp_of
from .._op import op
from .._pytorch_names import unknown_argument
from .._tensor import Tensor


def all_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes as numbers in 0 .. ndim - 1."""
    given = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    if not all(isinstance(a, (int, np.integer)) for a in given):
        raise TypeError(f"{name}: axis expects None, a whole number or several; it is {axis!r}")
    axes = tuple(sorted({int(a) + ndim if a < 0 else int(a) for a in given}))
    if len(axes) != len(given) or any(not 0 <= a < ndim for a in axes):
        raise ValueError(f"{name}: axis expects different numbers in {-ndim} .. {ndim - 1}; it is {axis}")
    return axes


def _restore(dy: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """`dy` with its reduced axes back, one element long."""
    return xp_of(dy).reshape(dy, tuple(1 if i in axes else n for i, n in enumerate(shape)))


@op(linear_in=("x",))
def sum(x, axis=None, keepdims=False):
    r"""Sum over axes.

    Forward:   y = \sum_i x_i over the elements i along the reduced axes
    Backward:  dx_i = dy
    Shapes:    y as x without the reduced axes (with 1 in their place where keepdims)
    Raises:    ValueError for an axis that x does not have, or has twice
    """
    shape, axes = x.shape, all_axes("sum", axis, x.ndim)

    def backward(dy):
        return xp_of(dy).broadcast_to(_restore(dy, shape, axes), shape)

    return raw(lambda v: v.sum(axis=axes, keepdims=keepdims), x), backward


@op(linear_in=("x",))
def mean(x, axis=None, keepdims=False):
    r"""Mean over axes.

    Forward:   y = 1/n \sum_i x_i over the n elements i along the reduced axes
    Backward:  dx_i = dy / n
    Shapes:    y as x without the reduced axes (with 1 in their place where keepdims)
    Raises:    ValueError for an axis that x does not have, or has twice, and for no element to take the mean of
    """
    shape, axes = x.shape, all_axes("mean", axis, x.ndim)
    n = math.prod(shape[a] for a in axes)
    if n == 0:
        raise ValueError(f"mean: x expects at least one element along axis {axis}; its shape is {shape}")

    def backward(dy):
        return xp_of(dy).broadcast_to(_restore(dy * (1 / n), shape, axes), shape)

    return raw(lambda v: v.mean(axis=axes, keepdims=keepdims), x), backward


@op
def var(x: Any, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    r"""Variance over axes; `correction=1` gives the unbiased one.

    Forward:   y = \sum_i (x_i - m)^2 / (n - correction), m the mean of the n elements
    Backward:  dx_i = 2 (x_i - m) dy / (n - correction); the part through m vanishes, since \sum_i (x_i - m) = 0
    Shapes:    y as x without the reduced axes (with 1 in their place where keepdims)
    Raises:    ValueError for an axis that x does not have, or has twice, and unless n > correction
    """
    shape, axes = x.shape, all_axes("var", axis, x.ndim)
    n = math.prod(shape[a] for a in axes)
    if not n > correction:
        raise ValueError(f"var: x expects more than correction = {correction} elements along axis {axis}; it has {n}")
    centred = x - xp_of(x).mean(x, axis=axes, keepdims=True)

    def backward(dy):
        return centred * (_restore(dy, shape, axes) * (2 / (n - correction)))

    return xp_of(x).sum(centred * centred, axis=axes, keepdims=keepdims) * (1 / (n - correction)), backward


@op
def max(x, axis=None, keepdims=False):
    r"""Largest value over axes. Of equal values the first takes the gradient.

    Forward:   y = max_i x_i over the elements i along the reduced axes
    Backward:  dx_i = dy for the first i with x_i = y, else 0
    Shapes:    y as x without the reduced axes (with 1 in their place where keepdims)
    Raises:    ValueError for an axis that x does not have, or has twice, and for no element to choose from
    """
    return _extreme("max", x, axis, keepdims)


@op
def min(x, axis=None, keepdims=False):
    r"""Smallest value over axes. Of equal values the first takes the gradient.

    Forward:   y = min_i x_i over the elements i along the reduced axes
    Backward:  dx_i = dy for the first i with x_i = y, else 0
    Shapes:    y as x without the reduced axes (with 1 in their place where keepdims)
    Raises:    ValueError for an axis that x does not have, or has twice, and for no element to choose from
    """
    return _extreme("min", x, axis, keepdims)


def _extreme(name: str, x: Any, axis: Any, keepdims: bool) -> Any:
    shape, axes = x.shape, all_axes(name, axis, x.ndim)
    if math.prod(shape[a] for a in axes) == 0:
        raise ValueError(f"{name}: x expects at least one element along axis {axis}; its shape is {shape}")

    def backward(dy):
        xp = xp_of(dy)
        return xp.where(raw(_first_extreme, name, x, axes), xp.broadcast_to(_restore(dy, shape, axes), shape), 0.0)

    return raw(lambda v: getattr(v, name)(axis=axes, keepdims=keepdims), x), backward


def _first_extreme(name: str, x: Any, axes: tuple[int, ...]) -> Any:
    """True at the first extreme along the axes."""
    xp = xp_of(x)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    rows = x.transpose(kept + axes).reshape(*(x.shape[i] for i in kept), -1)
    index = getattr(rows, "arg" + name)(axis=-1)
    first = (xp.arange(rows.shape[-1]) == index[..., None]).reshape([x.shape[i] for i in kept + axes])
    return first.transpose(np.argsort(kept + axes).tolist())


def argmax(x, axis=None, keepdims=False, **unknown):
    r"""Index of the first largest value, along an axis or in the flattened array. Integers, without a gradient."""
    return _index_of_extreme("argmax", x, axis, keepdims, unknown)


def argmin(x, axis=None, keepdims=False, **unknown):
    r"""Index of the first smallest value, along an axis or in the flattened array. Integers, without a gradient."""
    return _index_of_extreme("argmin", x, axis, keepdims, unknown)


def _index_of_extreme(name: str, x: Any, axis: int | None, keepdims: bool, unknown: dict[str, Any]) -> Any:
    if unknown:
        raise unknown_argument(name, unknown)
    if isinstance(axis, (tuple, list)):
        raise ValueError(f"{name}: axis expects one number, or None for the flattened array; it is {axis}")
    axes = all_axes(name, axis, x.ndim)
    if math.prod(x.shape[a] for a in axes) == 0:
        raise ValueError(f"{name}: x expects at least one element along axis {axis}; its shape is {x.shape}")
    along = None if axis is None else axes[0]
    index = raw(lambda v: xp_of(v).asarray(getattr(v, name)(axis=along, keepdims=keepdims)), x)
    return Tensor(index) if isinstance(x, Tensor) else index
