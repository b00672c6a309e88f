"""Matrix products."""

from __future__ import annotations

import operator

from .._namespace import raw, unbroadcast, xp_of
from .._op import op
from .elementwise import one_dtype


@op(linear_in=("a", "b"))
def matmul(a, b):
    r"""Matrix product over the last two axes, the axes before them broadcast; one-dimensional operands as in NumPy.

    Forward:   y_ij = \sum_k a_ik b_kj
    Backward:  da_ik = \sum_j dy_ij b_kj, that is da = dy b^T; db_kj = \sum_i a_ik dy_ij, that is db = a^T dy;
               each summed over the axes along which it was broadcast
    Shapes:    a (..., n, k), b (..., k, m), y (..., n, m)
    Raises:    ValueError where the inner sizes differ or the axes before do not broadcast
    Lesson:    lessons/08_kernels.py
    Kernel:    kernels/cpu/matmul.py
    """
    if a.dtype is not b.dtype:
        a, b = one_dtype(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: a and b expect at least one axis; they are {a.shape} and {b.shape}")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: b {b.shape} expects {b.shape[-2 if b.ndim > 1 else 0]} columns of a; a is {a.shape}")

    def product(a, b):
        try:
            return operator.matmul(a, b)
        except ValueError:
            raise ValueError(
                f"matmul: b expects axes before the last two that broadcast with a {a.shape}; it is {b.shape}"
            ) from None

    def backward(dy):
        xp = xp_of(dy)
        if a.ndim == b.ndim == 2:
            return lambda: xp.matmul(dy, b.T), lambda: xp.matmul(a.T, dy)
        # A vector is a matrix of one row (a) or one column (b) whose axis was dropped from y.
        left = xp_of(a).reshape(a, (1, -1)) if a.ndim == 1 else a
        right = xp_of(b).reshape(b, (-1, 1)) if b.ndim == 1 else b
        if b.ndim == 1:
            dy = xp.expand_dims(dy, -1)
        if a.ndim == 1:
            dy = xp.expand_dims(dy, -2)

        def da():
            return xp.reshape(unbroadcast(xp.matmul(dy, xp.swapaxes(right, -1, -2)), left), a.shape)

        def db():
            return xp.reshape(unbroadcast(xp.matmul(xp.swapaxes(left, -1, -2), dy), right), b.shape)

        return da, db

    return raw(product, a, b), backward


@op(linear_in=("x", "weight"))
def linear(x, weight, bias=None):
    r"""Affine map of the last axis.

    Forward:   y_ni = \sum_j x_nj w_ij + b_i, that is y = x w^T + b
    Backward:  dx = dy w, dw = dy^T x, db_i = \sum_n dy_ni
    Shapes:    x (..., in), weight (out, in), bias (out,), y (..., out)
    Raises:    ValueError where weight is not two-dimensional or the sizes do not fit
    Lesson:    lessons/00_backprop.py
    Kernel:    kernels/cpu/matmul.py
    """
    if weight.ndim != 2:
        raise ValueError(f"linear: weight expects shape (out, in); it is {weight.shape}")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"linear: weight {weight.shape} expects {weight.shape[1]} features; x is {x.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias expects shape {weight.shape[:1]}; it is {bias.shape}")

    if x.dtype is not weight.dtype:
        x, weight = one_dtype(x, weight)
    outputs, features = weight.shape
    has_bias = bias is not None

    def affine(x, weight, bias):
        y = x @ weight.T
        if bias is not None:
            y += bias
        return y

    def backward(dy):
        xp = xp_of(dy)
        rows = xp.reshape(dy, (-1, outputs))

        def dx():
            return xp.matmul(dy, weight)

        def dweight():
            return xp.matmul(xp.swapaxes(rows, 0, 1), xp_of(x).reshape(x, (-1, features)))

        return dx, dweight, (lambda: xp.sum(rows, axis=0)) if has_bias else None

    return raw(affine, x, weight, bias), backward
