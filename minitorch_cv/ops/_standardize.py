r"""What batch, group and layer normalisation share: zero mean and unit variance over some axes, and the way back.

    mean = 1/m \sum_i x_i      var = 1/m \sum_i (x_i - mean)^2      r = (var + eps)^(-1/2)      xhat_i = (x_i - mean) r

over the m elements i that belong together. Each x_i acts through its own xhat_i, through var and through mean. With
g = dL/dxhat, line by line as in Ioffe and Szegedy 2015, arXiv 1502.03167, section 3:

    dvar  = \sum_i g_i (x_i - mean) (-1/2) r^3
    dmean = -r \sum_i g_i       (the term through var is zero, since \sum_i (x_i - mean) is)
    dx_i  = r g_i + 2/m (x_i - mean) dvar + 1/m dmean
          = r (g_i - 1/m \sum_j g_j - xhat_i 1/m \sum_j g_j xhat_j)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._namespace import xp_of
from .._tensor import Tensor


def standardize(x: Any, total: Callable, m: int, eps: float) -> tuple[Any, Any, Any, Any]:
    """xhat, r, mean and var. `total(a)`, `total(a, b)`: sums of a, of a b, over the m elements that belong together."""
    mean = total(x) * (1 / m)
    centred = _combine("subtract", x, mean)
    var = total(centred, centred) * (1 / m)
    r = 1 / xp_of(x).sqrt(var + eps)
    if isinstance(x, Tensor):
        return centred * r, r, mean, var
    centred *= r
    return centred, r, mean, var


def standardize_gradient(g: Any, xhat: Any, r: Any, sum_g: Any, sum_g_xhat: Any, m: int) -> Any:
    """dx from g = dL/dxhat, or from g = dL/dxhat / w with w r for r where w is constant along the axes."""
    if isinstance(g, Tensor):
        return (g - sum_g * (1 / m) - xhat * (sum_g_xhat * (1 / m))) * r
    dx = _combine("multiply", xhat, sum_g_xhat * (-1 / m))
    dx += g
    dx -= sum_g * (1 / m)
    dx *= r
    return dx


def scale_and_shift(xhat: Any, weight: Any, bias: Any) -> Any:
    """xhat * weight + bias; either may be None."""
    if weight is None and bias is None:
        return xhat
    y = _combine("add", xhat, bias) if weight is None else _combine("multiply", xhat, weight)
    if weight is None or bias is None:
        return y
    if isinstance(y, Tensor) or isinstance(bias, Tensor):
        return y + bias
    y += bias
    return y


def sum_over(axes: tuple[int, ...], a: Any, b: Any = None) -> Any:
    """The sum of a, or of a b, over the axes, which keep length 1.

    First over the last two axes, an image's rows and columns, in the dtype of a; then in float64, since long sums in
    float32 lose digits.
    """
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return xp_of(a if isinstance(a, Tensor) else b).sum(a if b is None else a * b, axis=axes, keepdims=True)
    within = tuple(axis for axis in axes if axis and axis >= a.ndim - 2)
    beyond = tuple(axis for axis in axes if axis not in within)
    if b is None:
        total = a.sum(axis=within, keepdims=True)
    else:
        every = list(range(a.ndim))
        total = xp_of(a).einsum(a, every, b, every, [i for i in every if i not in within])
        total = total.reshape(tuple(1 if i in within else n for i, n in enumerate(a.shape)))
    return total.sum(axis=beyond, keepdims=True, dtype=np.float64).astype(a.dtype) if beyond else total


def per_channel(value: Any, ndim: int) -> Any:
    """A vector over the channels, in a shape that broadcasts along axis 1; None stays None."""
    return None if value is None else xp_of(value).reshape(value, (1, -1) + (1,) * (ndim - 2))


def _combine(name: str, full: Any, other: Any) -> Any:
    """A new array in the order of `full` in memory, which NumPy does not keep where an operand is broadcast."""
    if isinstance(full, Tensor) or isinstance(other, Tensor):
        return {"add": full.__add__, "subtract": full.__sub__, "multiply": full.__mul__}[name](other)
    return getattr(xp_of(full), name)(full, other, out=xp_of(full).empty_like(full))
