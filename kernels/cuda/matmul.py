"""Bodies of `ops/_matmul.py` on CUDA: a product of two matrices is a convolution of images of one pixel.

With x_nj as the channel j of image n, y_ni = sum_j x_nj w_ij is conv2d with a kernel of 1 x 1, and its two gradients
are conv2d's. So linear layers run on conv2d's tiles, in each of its precisions. And a training step can be captured as
a CUDA graph: CuPy refuses cuBLAS within a capture.
"""

from __future__ import annotations

from typing import Any

from minitorch_cv._device import array_namespace

from .conv2d import correlate, gather, spread

ONE_PIXEL = (1, 1), (0, 0), (1, 1), 1
"""Stride, padding, dilation, groups."""


def _image(rows: Any) -> Any:
    return rows.reshape(*rows.shape, 1, 1)


def product(x, weight, bias=None) -> Any:
    """x (n, k) times the transpose of weight (m, k)."""
    return correlate(_image(x), _image(weight), bias, *ONE_PIXEL).reshape(x.shape[0], weight.shape[0])


def product_with_rows(dy, weight) -> Any:
    """dy (n, m) times weight (m, k)."""
    shape = (dy.shape[0], weight.shape[1])
    return spread(_image(dy), _image(weight), (*shape, 1, 1), *ONE_PIXEL).reshape(shape)


def product_over_rows(dy, x) -> Any:
    """The transpose of dy (n, m) times x (n, k)."""
    shape = (dy.shape[1], x.shape[1])
    return gather(_image(dy), _image(x), (*shape, 1, 1), *ONE_PIXEL).reshape(shape)


def matmul(a, b) -> Any:
    """`ops.matmul` of two matrices on CUDA."""

    def backward(dy):
        return lambda: product(dy, b), lambda: product_over_rows(a, dy)

    return product(a, b.T), backward


def linear(x, weight, bias=None) -> Any:
    """`ops.linear` on CUDA."""
    outputs, features = weight.shape
    x_shape, rows = x.shape, x.reshape(-1, features)
    has_bias = bias is not None

    def backward(dy):
        dy = dy.reshape(-1, outputs)
        return (
            lambda: product_with_rows(dy, weight).reshape(x_shape),
            lambda: product_over_rows(dy, rows),
            (lambda: array_namespace(dy).sum(dy, axis=0)) if has_bias else None,
        )

    return product(rows, weight, bias).reshape(*x_shape[:-1], outputs), backward


# What does not fit together goes to the portable bodies, which say so.
def _two_matrices(a, b) -> bool:
    return a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] and a.size > 0 and b.size > 0


def _rows_and_matrix(x, weight, bias=None) -> bool:
    fits = x.ndim > 0 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
    return fits and x.size > 0 and weight.size > 0 and (bias is None or bias.shape == weight.shape[:1])


matmul.accepts = _two_matrices  # pyright: ignore[reportFunctionMemberAccess]
linear.accepts = _rows_and_matrix  # pyright: ignore[reportFunctionMemberAccess]
