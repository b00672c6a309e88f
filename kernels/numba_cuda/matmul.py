"""C = A B, once as the formula says it, once with tiles in shared memory.

    C[i, j] = sum over k of A[i, k] B[k, j]    2 M N K operations on 4 (M K + K N + M N) bytes

A thread of `matmul_naive` reads two numbers for each two operations, so memory sets its speed: 1/4 operation a byte. In
`matmul_tiled` a block reads a TILE x TILE piece of A and of B once and multiplies each number TILE times: TILE/4.
"""

from __future__ import annotations

from numba import cuda, float32

TILE = 16


@cuda.jit
def matmul_naive(A, B, C):
    """One thread an element of C. Threads side by side in x read neighbours of B, and the same number of A."""
    column, row = cuda.grid(2)
    if row < C.shape[0] and column < C.shape[1]:
        total = float32(0.0)
        for k in range(A.shape[1]):
            total += A[row, k] * B[k, column]
        C[row, column] = total


@cuda.jit
def matmul_tiled(A, B, C):
    """A block of TILE x TILE threads computes as many elements of C; zeros stand for what lies outside."""
    left = cuda.shared.array((TILE, TILE), float32)
    right = cuda.shared.array((TILE, TILE), float32)
    column, row = cuda.grid(2)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0.0)
    for first in range(0, A.shape[1], TILE):
        left[y, x] = A[row, first + x] if row < A.shape[0] and first + x < A.shape[1] else float32(0.0)
        right[y, x] = B[first + y, column] if first + y < B.shape[0] and column < B.shape[1] else float32(0.0)
        cuda.syncthreads()  # the tiles are whole
        for k in range(TILE):
            total += left[y, k] * right[k, x]
        cuda.syncthreads()  # nobody reads them any more
    if row < C.shape[0] and column < C.shape[1]:
        C[row, column] = total
