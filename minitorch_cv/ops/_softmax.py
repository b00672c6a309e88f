r"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from .._namespace import output, xp_of
from .._op import op
from .shape import _axis


@op
def softmax(x, axis=-1):
    r"""Positive numbers that add up to one.

    Forward:   y_i = e^(x_i) / \sum_j e^(x_j) along `axis`, computed from x - max x so that nothing overflows
    Backward:  dx_i = y_i (dy_i - \sum_j dy_j y_j), since dy_j/dx_i = y_j ([i = j] - y_i)
    Shapes:    y as x
    Raises:    ValueError for an axis that x does not have, or that has no elements
    Source:    Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs"
    Lesson:    lessons/00_backprop.py
    Kernel:    kernels/cpu/softmax.py, kernels/cuda/softmax.cu
    """
    axis = _checked_axis("softmax", x, axis)

    def value(v):
        xp = xp_of(v)
        e = xp.exp(v - xp.max(v, axis=axis, keepdims=True))
        return e / xp.sum(e, axis=axis, keepdims=True)

    y = output(lambda v: softmax(v, axis), value, x)

    def backward(dy):
        return y * (dy - xp_of(dy).sum(dy * y, axis=axis, keepdims=True))

    return y, backward


@op
def log_softmax(x, axis=-1):
    r"""Logarithm of softmax, exact where softmax would round to 0 or 1.

    Forward:   y_i = x_i - m - ln \sum_j e^(x_j - m) along `axis`, with m = max x
    Backward:  dx_i = dy_i - e^(y_i) \sum_j dy_j, since dy_j/dx_i = [i = j] - e^(y_i)
    Shapes:    y as x
    Raises:    ValueError for an axis that x does not have, or that has no elements
    Lesson:    lessons/00_backprop.py
    """
    axis = _checked_axis("log_softmax", x, axis)

    def value(v):
        xp = xp_of(v)
        shifted = v - xp.max(v, axis=axis, keepdims=True)
        return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))

    y = output(lambda v: log_softmax(v, axis), value, x)

    def backward(dy):
        return dy - xp_of(dy).exp(y) * xp_of(dy).sum(dy, axis=axis, keepdims=True)

    return y, backward


def _checked_axis(name: str, x: Any, axis: int) -> int:
    axis = _axis(name, axis, x.ndim)
    if x.shape[axis] == 0:
        raise ValueError(f"{name}: x expects at least one element along axis {axis}; its shape is {x.shape}")
    return axis
