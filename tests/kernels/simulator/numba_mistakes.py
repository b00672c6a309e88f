"""Kernels in Numba CUDA with one mistake each, at the line that is marked, and some that only look as if they had."""

from numba import cuda, float32, int32

ALL = 0xFFFFFFFF


def neighbours_without_a_barrier(x, y):
    tile = cuda.shared.array(64, float32)
    tile[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    y[cuda.threadIdx.x] = tile[63 - cuda.threadIdx.x]  # BUG: race


def overwritten_in_the_next_turn(x, y):
    tile = cuda.shared.array(64, float32)
    for turn in range(2):
        tile[cuda.threadIdx.x] = x[cuda.threadIdx.x] + turn
        cuda.syncthreads()
        y[cuda.threadIdx.x] = tile[63 - cuda.threadIdx.x]  # BUG: race


def counted_without_an_atomic(x, y):
    y[0] = y[0] + x[cuda.threadIdx.x]  # BUG: race


def shuffle_is_no_barrier(x, y):
    tile = cuda.shared.array(64, float32)
    tile[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    value = cuda.shfl_xor_sync(ALL, x[cuda.threadIdx.x], 1)
    y[cuda.threadIdx.x] = value + tile[cuda.threadIdx.x ^ 1]  # BUG: race


def blocks_share_an_output(x, y):
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x] + cuda.blockIdx.x  # BUG: race


def last_block_without_a_fence(x, y, parts, count):
    last = cuda.shared.array(1, int32)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = x[cuda.blockIdx.x]
        last[0] = cuda.atomic.add(count, 0, 1) == cuda.gridDim.x - 1
    cuda.syncthreads()
    if last[0] and cuda.threadIdx.x == 0:
        for block in range(cuda.gridDim.x):
            y[0] += parts[block]  # BUG: race


def never_written(x, y):
    tile = cuda.shared.array(65, float32)
    tile[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    cuda.syncthreads()
    y[cuda.threadIdx.x] = tile[cuda.threadIdx.x + 1]  # BUG: uninitialised-read


def one_too_far(x, y):
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x + 1]  # BUG: out-of-bounds


def negative_index(x, y):
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x - 1]  # BUG: out-of-bounds


def row_of_a_tile(x, y):
    tile = cuda.shared.array((8, 8), float32)
    i = cuda.threadIdx.x
    tile[i // 8, i % 8] = x[i]
    cuda.syncthreads()
    y[i] = tile[i // 8, i % 8 + 1]  # BUG: out-of-bounds


def barrier_in_a_branch(x, y):
    if cuda.threadIdx.x < 40:
        cuda.syncthreads()  # BUG: divergent-barrier
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x]


def two_barriers(x, y):
    if cuda.threadIdx.x < 40:
        cuda.syncthreads()  # BUG: divergent-barrier
    else:
        cuda.syncthreads()  # BUG: divergent-barrier
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x]


def early_return(x, y):
    if cuda.threadIdx.x >= 40:
        return
    cuda.syncthreads()  # BUG: divergent-barrier
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x]


def shuffle_in_a_branch(x, y):
    if cuda.laneid < 16:
        y[cuda.threadIdx.x] = cuda.shfl_down_sync(ALL, x[cuda.threadIdx.x], 8)  # BUG: warp-collective


def mask_without_the_lane(x, y):
    y[cuda.threadIdx.x] = cuda.shfl_sync(0xFFFF, x[cuda.threadIdx.x], 0)  # BUG: warp-collective


def counts_that_nobody_cleared(x, y):
    counts = cuda.shared.array(4, int32)
    cuda.atomic.add(counts, cuda.threadIdx.x % 4, 1)  # BUG: uninitialised-read
    cuda.syncthreads()
    if cuda.threadIdx.x < 4:
        y[cuda.threadIdx.x] = counts[cuda.threadIdx.x]


def in_place(x, same):
    if cuda.threadIdx.x > 0:
        same[cuda.threadIdx.x] = x[cuda.threadIdx.x - 1]  # BUG: race


def dynamic_arrays_lie_on_each_other(x, y):
    first = cuda.shared.array(0, float32)
    second = cuda.shared.array(0, int32)
    first[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    second[63 - cuda.threadIdx.x] = cuda.threadIdx.x  # BUG: race
    cuda.syncthreads()
    y[cuda.threadIdx.x] = first[cuda.threadIdx.x]


def dynamic_memory_too_small(x, y):
    tile = cuda.shared.array(0, float32)
    tile[cuda.threadIdx.x + 1] = x[cuda.threadIdx.x]  # BUG: out-of-bounds


def more_shared_memory_than_there_is(x, y):
    tile = cuda.shared.array((112, 112), float32)  # BUG: launch
    tile[0, cuda.threadIdx.x] = x[cuda.threadIdx.x]


def written_behind_the_fence_of_blocks(x, y, count):
    if cuda.threadIdx.x == 0:
        cuda.threadfence()
        if cuda.atomic.add(count, 0, 1) == 0:
            y[0] = x[0]  # BUG: race
        else:
            y[1 + cuda.blockIdx.x] = y[0]  # BUG: race


def right_in_warps(x, y):
    tile = cuda.shared.array(64, float32)
    other = cuda.shared.array(64, float32)
    tile[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    cuda.syncwarp()
    other[cuda.threadIdx.x] = tile[cuda.threadIdx.x ^ 1]
    cuda.syncwarp()
    y[cuda.threadIdx.x] = other[cuda.threadIdx.x ^ 3]


def right_last_block(x, y, parts, count):
    last = cuda.shared.array(1, int32)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = x[cuda.blockIdx.x]
        cuda.threadfence()
        last[0] = cuda.atomic.add(count, 0, 1) == cuda.gridDim.x - 1
    cuda.syncthreads()
    if last[0] and cuda.threadIdx.x < 2:
        for block in range(cuda.gridDim.x):
            y[cuda.threadIdx.x] += parts[block]


def right_votes(x, y):
    local = cuda.local.array(2, float32)
    local[0] = cuda.ballot_sync(ALL, x[cuda.threadIdx.x] > 40) != 0
    local[1] = cuda.all_sync(ALL, x[cuda.threadIdx.x] >= 0) and cuda.any_sync(ALL, x[cuda.threadIdx.x] >= 0)
    y[cuda.threadIdx.x] = local[0] + 2 * local[1]


def right_dynamic(x, y):
    tile = cuda.shared.array(0, float32)
    tile[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    cuda.syncthreads()
    cuda.atomic.max(y, 0, tile[63 - cuda.threadIdx.x])
    cuda.atomic.cas(y, 1, 0, 5)


def right_two_on_one_line(x, y):
    first, second = cuda.shared.array(64, float32), cuda.shared.array(64, float32)
    first[cuda.threadIdx.x], second[cuda.threadIdx.x] = x[cuda.threadIdx.x], -1
    y[cuda.threadIdx.x] = first[cuda.threadIdx.x]


def right_bytes(pixels, sums):
    total = 0
    for i in range(pixels.shape[0]):
        total += pixels[i]
    if cuda.threadIdx.x == 0:
        sums[0] = total
        sums[1] = 64 * total
