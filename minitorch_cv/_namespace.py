"""The array functions that a body may use: NumPy's, CuPy's, or the same on Tensors.

`xp_of(x).exp(x)` computes on an array and records on a Tensor, so that a body written with it can be replayed on
Tensors and its backward differentiated again. What may be used is what `TensorNamespace` has, with NumPy's signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ._device import array_namespace
from ._tensor import Tensor


def xp_of(x: Any) -> Any:
    """The namespace for `x`: NumPy or CuPy for an array, `TensorNamespace` for a Tensor."""
    if type(x) is np.ndarray:
        return np
    return TensorNamespace if isinstance(x, Tensor) else array_namespace(x)


def raw(function: Callable, *args: Any) -> Any:
    """`function` on the arrays beneath the arguments, recording nothing: how a primitive computes its value."""
    for a in args:
        if isinstance(a, Tensor):
            return function(*[a.data if isinstance(a, Tensor) else a for a in args])
    return function(*args)


def output(operation: Callable, compute: Callable, *args: Any) -> Any:
    """A primitive's value where its own backward needs it: computed on arrays, recorded where the body is replayed."""
    return operation(*args) if any(isinstance(a, Tensor) for a in args) else compute(*args)


def unbroadcast(gradient: Any, operand: Any) -> Any:
    """Sum a gradient over the axes along which `operand` was broadcast; None where the operand is a number.

    The operand's shape will do in its place: a backward that keeps the shape alone does not keep the values.
    """
    shape = operand if type(operand) is tuple else getattr(operand, "shape", None)
    if shape is None:
        return None
    if gradient.shape == shape:
        return gradient
    xp = xp_of(gradient)
    extra = gradient.ndim - len(shape)
    if extra > 0:
        gradient = xp.sum(gradient, axis=tuple(range(extra)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return xp.sum(gradient, axis=stretched, keepdims=True) if stretched else gradient


class TensorNamespace:
    """NumPy's functions on Tensors, with NumPy's signatures. Internal: what users call is `minitorch_cv.ops`.

    Most are operations, and stand here once `use_operations` has put them in.
    """

    @staticmethod
    def sign(x: Tensor) -> Tensor:
        """Constant wherever it has a derivative, so nothing is recorded."""
        return Tensor(array_namespace(x.data).sign(x.data))

    @staticmethod
    def zeros_like(x: Tensor) -> Tensor:
        return Tensor(array_namespace(x.data).zeros_like(x.data))

    @staticmethod
    def ones_like(x: Tensor) -> Tensor:
        return Tensor(array_namespace(x.data).ones_like(x.data))


_LIKE_NUMPY = (
    *("abs", "clip", "cos", "exp", "expm1", "log", "log1p", "maximum", "minimum", "sin", "sqrt", "tanh", "where"),
    *("max", "mean", "min", "sum"),
    *("concatenate", "flip", "reshape", "squeeze", "stack", "take_along_axis"),
    "matmul",
)
_NAMED_OTHERWISE = {
    "broadcast_to": "expand",
    "expand_dims": "unsqueeze",
    "swapaxes": "transpose",
    "transpose": "permute",
}


def use_operations(ops: ModuleType) -> None:
    """Put the operations into `TensorNamespace` under NumPy's names; called once, when all of them are there."""
    for name in (*_LIKE_NUMPY, *_NAMED_OTHERWISE):
        setattr(TensorNamespace, name, staticmethod(getattr(ops, _NAMED_OTHERWISE.get(name, name))))
