"""The array functions that a body may use: NumPy's, CuPy's, or the same on Tensors.

`xp_of(x).exp(x)` computes on an array and records on a Tensor, so that a body written with it can be replayed on
Tensors and its backward differentiated again. What may be used is what `TensorNamespace` has, with NumPy's signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._device import array_namespace
from ._tensor import Tensor


def xp_of(x: Any) -> Any:
    """The namespace for `x`: NumPy or CuPy for an array, `TensorNamespace` for a Tensor."""
    if isinstance(x, np.ndarray):
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
    """NumPy's functions on Tensors, with NumPy's signatures. Internal: what users call is `minitorch_cv.ops`."""

    @staticmethod
    def exp(x: Tensor) -> Tensor:
        from . import ops

        return ops.exp(x)

    @staticmethod
    def log(x: Tensor) -> Tensor:
        from . import ops

        return ops.log(x)

    @staticmethod
    def log1p(x: Tensor) -> Tensor:
        from . import ops

        return ops.log1p(x)

    @staticmethod
    def expm1(x: Tensor) -> Tensor:
        from . import ops

        return ops.expm1(x)

    @staticmethod
    def sqrt(x: Tensor) -> Tensor:
        from . import ops

        return ops.sqrt(x)

    @staticmethod
    def abs(x: Tensor) -> Tensor:
        from . import ops

        return ops.abs(x)

    @staticmethod
    def sign(x: Tensor) -> Tensor:
        """Constant wherever it has a derivative, so nothing is recorded."""
        return Tensor(np.sign(x.data) if isinstance(x.data, np.ndarray) else array_namespace(x.data).sign(x.data))

    @staticmethod
    def sin(x: Tensor) -> Tensor:
        from . import ops

        return ops.sin(x)

    @staticmethod
    def cos(x: Tensor) -> Tensor:
        from . import ops

        return ops.cos(x)

    @staticmethod
    def tanh(x: Tensor) -> Tensor:
        from . import ops

        return ops.tanh(x)

    @staticmethod
    def maximum(a: Any, b: Any) -> Tensor:
        from . import ops

        return ops.maximum(a, b)

    @staticmethod
    def minimum(a: Any, b: Any) -> Tensor:
        from . import ops

        return ops.minimum(a, b)

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Tensor:
        from . import ops

        return ops.where(condition, a, b)

    @staticmethod
    def clip(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
        from . import ops

        return ops.clip(x, min, max)

    @staticmethod
    def sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        from . import ops

        return ops.sum(x, axis, keepdims)

    @staticmethod
    def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        from . import ops

        return ops.mean(x, axis, keepdims)

    @staticmethod
    def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        from . import ops

        return ops.max(x, axis, keepdims)

    @staticmethod
    def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        from . import ops

        return ops.min(x, axis, keepdims)

    @staticmethod
    def reshape(x: Tensor, shape: Any) -> Tensor:
        from . import ops

        return ops.reshape(x, shape)

    @staticmethod
    def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
        from . import ops

        return ops.permute(x, tuple(axes))

    @staticmethod
    def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
        from . import ops

        return ops.transpose(x, axis1, axis2)

    @staticmethod
    def broadcast_to(x: Tensor, shape: Any) -> Tensor:
        from . import ops

        return ops.expand(x, shape)

    @staticmethod
    def expand_dims(x: Tensor, axis: int) -> Tensor:
        from . import ops

        return ops.unsqueeze(x, axis)

    @staticmethod
    def squeeze(x: Tensor, axis: Any = None) -> Tensor:
        from . import ops

        return ops.squeeze(x, axis)

    @staticmethod
    def flip(x: Tensor, axis: Any) -> Tensor:
        from . import ops

        return ops.flip(x, axis)

    @staticmethod
    def concatenate(arrays: Sequence[Any], axis: int = 0) -> Tensor:
        from . import ops

        return ops.concatenate(arrays, axis)

    @staticmethod
    def stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
        from . import ops

        return ops.stack(arrays, axis)

    @staticmethod
    def matmul(a: Any, b: Any) -> Tensor:
        from . import ops

        return ops.matmul(a, b)

    @staticmethod
    def take_along_axis(x: Tensor, indices: Any, axis: int) -> Tensor:
        from . import ops

        return ops.take_along_axis(x, indices, axis)

    @staticmethod
    def zeros_like(x: Tensor) -> Tensor:
        return Tensor(array_namespace(x.data).zeros_like(x.data))

    @staticmethod
    def ones_like(x: Tensor) -> Tensor:
        return Tensor(array_namespace(x.data).ones_like(x.data))
