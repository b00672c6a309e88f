"""The sum of an array: threads stride over it, the lanes of a warp add up by shuffles, warps through shared memory.

log2(32) = 5 shuffles replace 32 reads of shared memory and their barriers: a shuffle hands a register to another lane.
"""

from __future__ import annotations

from numba import cuda, float32

THREADS = 128
WARPS = THREADS // 32
ALL_LANES = 0xFFFFFFFF


@cuda.jit
def block_sums(x, sums):
    """sums[block], the sum of what the block's threads met; THREADS threads a block, any number of blocks."""
    of_warp = cuda.shared.array(WARPS, float32)
    total = float32(0.0)
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        total += x[i]
    distance = 16
    while distance > 0:
        total += cuda.shfl_down_sync(ALL_LANES, total, distance)
        distance //= 2
    if cuda.laneid == 0:
        of_warp[cuda.threadIdx.x // 32] = total
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        total = float32(0.0)
        for warp in range(WARPS):
            total += of_warp[warp]
        sums[cuda.blockIdx.x] = total
