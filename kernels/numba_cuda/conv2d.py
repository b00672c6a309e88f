"""A convolution of stride 1 without padding, once as the formula says it, once with the block's piece of image shared.

    y[n, o, p, q] = sum over c, i, j of x[n, c, p + i, q + j] w[o, c, i, j]

Neighbouring outputs need almost the same pixels: a block of TILE x TILE outputs needs (TILE + kh - 1) (TILE + kw - 1)
of a channel, where its threads by themselves read TILE TILE kh kw.
"""

from __future__ import annotations

from numba import cuda, float32

TILE = 8
MAX_KERNEL = 5
HALO = TILE + MAX_KERNEL - 1


@cuda.jit
def conv2d_naive(x, w, y):
    """One thread an output pixel of one image and output channel. Grid: (columns, rows, N O)."""
    q, p, plane = cuda.grid(3)
    N, C, _, _ = x.shape
    O, _, kh, kw = w.shape
    if plane < N * O and p < y.shape[2] and q < y.shape[3]:
        n, o = plane // O, plane % O
        total = float32(0.0)
        for c in range(C):
            for i in range(kh):
                for j in range(kw):
                    total += x[n, c, p + i, q + j] * w[o, c, i, j]
        y[n, o, p, q] = total


@cuda.jit
def conv2d_tiled(x, w, y):
    """The same by blocks of TILE x TILE threads, for windows up to MAX_KERNEL. Grid: (columns, rows, N O)."""
    piece = cuda.shared.array((HALO, HALO), float32)
    q, p, plane = cuda.grid(3)
    _, C, H, W = x.shape
    O, _, kh, kw = w.shape
    n, o = plane // O, plane % O
    top, left = cuda.blockIdx.y * TILE, cuda.blockIdx.x * TILE
    total = float32(0.0)
    for c in range(C):
        for i in range(cuda.threadIdx.y, TILE + kh - 1, TILE):
            for j in range(cuda.threadIdx.x, TILE + kw - 1, TILE):
                inside = top + i < H and left + j < W
                piece[i, j] = x[n, c, top + i, left + j] if inside else float32(0.0)
        cuda.syncthreads()
        for i in range(kh):
            for j in range(kw):
                total += piece[cuda.threadIdx.y + i, cuda.threadIdx.x + j] * w[o, c, i, j]
        cuda.syncthreads()
    if p < y.shape[2] and q < y.shape[3]:
        y[n, o, p, q] = total
