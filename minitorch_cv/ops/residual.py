r"""The end of a residual block."""

from __future__ import annotations

from .._namespace import raw, xp_of
from .._op import op


@op
def add_relu(x, residual):
    r"""Sum of a block's two branches, rectified.

    Forward:   y = max(x + r, 0)
    Backward:  dx = dr = dy where y > 0, else 0
    Shapes:    x, residual and y alike
    Raises:    ValueError where the shapes differ: a residual sum does not broadcast
    Source:    He et al. 2015, arXiv 1512.03385, equation 1 and figure 2
    Lesson:    lessons/04_resnet.py
    Kernel:    kernels/cpu/residual.py, kernels/cuda/residual.cu
    """
    if x.shape != residual.shape:
        raise ValueError(f"add_relu: residual expects the shape of x {x.shape}; it is {residual.shape}")

    def rectified_sum(x, residual):
        return xp_of(x).maximum(x + residual, 0)

    y = raw(rectified_sum, x, residual)
    positive = y > 0

    def backward(dy):
        gradient = xp_of(dy).where(positive, dy, 0.0)
        return gradient, gradient

    return y, backward
