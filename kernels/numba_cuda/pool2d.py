"""Max pooling, with the place where each maximum lay, and its backward.

    y[n, c, p, q] = max over i, j of x[n, c, s p + i, s q + j]    dx at that place += dy[n, c, p, q]

Windows that overlap (size > stride) can have one maximum in common; so the backward adds atomically. The order of those
additions, and with it the last bit, is left to the GPU: kernels/cuda/pool2d.cu gathers instead.
"""

from __future__ import annotations

from numba import cuda


@cuda.jit
def max_pool2d(x, y, winners, size, stride):
    """One thread an output; `winners` gets the flat place h W + v in the image. Grid: (columns, rows, N C)."""
    q, p, plane = cuda.grid(3)
    N, C, _, W = x.shape
    if plane < N * C and p < y.shape[2] and q < y.shape[3]:
        n, c = plane // C, plane % C
        winner_h, winner_v = p * stride, q * stride
        best = x[n, c, winner_h, winner_v]
        for i in range(size):
            for j in range(size):
                value = x[n, c, p * stride + i, q * stride + j]
                if value > best:
                    best, winner_h, winner_v = value, p * stride + i, q * stride + j
        y[n, c, p, q] = best
        winners[n, c, p, q] = winner_h * W + winner_v


@cuda.jit
def max_pool2d_backward(dy, winners, dx):
    """One thread an output; dx is zero before. Grid: (columns, rows, N C)."""
    q, p, plane = cuda.grid(3)
    N, C, _, W = dx.shape
    if plane < N * C and p < dy.shape[2] and q < dy.shape[3]:
        n, c = plane // C, plane % C
        winner = winners[n, c, p, q]
        cuda.atomic.add(dx, (n, c, winner // W, winner % W), dy[n, c, p, q])
