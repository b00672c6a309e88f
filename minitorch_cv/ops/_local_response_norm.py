r"""Local response normalisation: each channel against its neighbours at the same pixel."""

from __future__ import annotations

from typing import Any

from .._namespace import raw, xp_of
from .._op import op
from .elementwise import check_floating


@op
def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    r"""Each channel divided by a power of its neighbours' energy, in PyTorch's convention.

    Forward:   y_c = x_c s_c^(-beta), s_c = k + alpha / n \sum_{j in W(c)} x_j^2, with n = `size` and W(c) the channels
               from c - floor(n / 2) to c + ceil(n / 2) - 1 that there are
    Backward:  x_c acts through itself and through the s of each channel in whose window it lies:
               dx_c = dy_c s_c^(-beta) - 2 alpha beta / n x_c \sum_{j: c in W(j)} dy_j y_j / s_j
    Shapes:    x (N, C, ...), y as x
    Raises:    ValueError where x has fewer than three axes, or size < 1; TypeError where x is not floating
    Source:    Krizhevsky et al. 2012, section 3.3. There alpha weighs the sum, not the mean: the paper's k = 2, n = 5,
               alpha = 1e-4, beta = 0.75 are size = 5, alpha = 5e-4, beta = 0.75, k = 2 here
    Lesson:    lessons/01_alexnet.py
    Kernel:    kernels/cpu/local_response_norm.py, kernels/cuda/local_response_norm.cu
    """
    if x.ndim < 3:
        raise ValueError(f"local_response_norm: x expects at least three axes (N, C, ...); it is {x.shape}")
    if size < 1:
        raise ValueError(f"local_response_norm: size expects at least one channel; it is {size}")
    check_floating("local_response_norm", "x", x)
    before, after = size // 2, (size - 1) // 2
    s = channel_window_sum(x * x, before, after) * (alpha / size) + k
    scale = _inverse_power(s, beta)
    y = x * scale

    def backward(dy):
        # c lies in W(j) where j lies in the window of c that has `before` and `after` exchanged.
        through_neighbours = channel_window_sum(dy * y / s, after, before)
        return dy * scale - x * through_neighbours * (2 * alpha * beta / size)

    return y, backward


def _inverse_power(s: Any, beta: float) -> Any:
    """s^(-beta); for the usual beta = 3/4 by square roots, which are many times faster than a power."""
    if beta == 0.75:
        root = xp_of(s).sqrt(s)
        return 1 / (root * xp_of(s).sqrt(root))
    return s ** (-beta)


@op(linear_in=("x",))
def channel_window_sum(x, before, after):
    r"""For each channel the sum over itself, the `before` channels before it and the `after` channels after it.

    Forward:   y_c = \sum_j x_j over c - before <= j <= c + after, x = 0 where there is no channel
    Backward:  dx_j = \sum_c dy_c over j - after <= c <= j + before
    Shapes:    x (N, C, ...), y as x
    Lesson:    lessons/01_alexnet.py
    """

    def add_up(x):
        channels, y = x.shape[1], xp_of(x).array(x, copy=True, order="K")
        for shift in (*range(-before, 0), *range(1, after + 1)):
            first, end = max(0, -shift), min(channels, channels - shift)
            if first < end:
                y[:, first:end] += x[:, first + shift : end + shift]
        return y

    def backward(dy):
        return channel_window_sum(dy, after, before)

    return raw(add_up, x), backward
