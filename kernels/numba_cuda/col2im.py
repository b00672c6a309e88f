"""col2im, the transpose of taking windows: every entry of every window is added to the pixel that it came from.

    dx[n, c, p + i, q + j] += columns[n, c, i, j, p, q]

Up to kh kw windows share a pixel, so the additions are atomic.
"""

from __future__ import annotations

from numba import cuda


@cuda.jit
def col2im(columns, dx):
    """One thread a window of an image's channel; dx is zero before. Grid: (columns, rows, N C)."""
    q, p, plane = cuda.grid(3)
    N, C, kh, kw, oh, ow = columns.shape
    if plane < N * C and p < oh and q < ow:
        n, c = plane // C, plane % C
        for i in range(kh):
            for j in range(kw):
                cuda.atomic.add(dx, (n, c, p + i, q + j), columns[n, c, i, j, p, q])
