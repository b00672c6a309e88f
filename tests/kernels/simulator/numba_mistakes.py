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


def blocks_fenced_before_their_lanes_met(x, y, results, count):
    results[cuda.grid(1)] = x[cuda.threadIdx.x]
    if cuda.laneid == 0:
        cuda.threadfence()
    cuda.syncwarp()
    if cuda.laneid == 0 and cuda.atomic.add(count, 0, 1) == 2 * cuda.gridDim.x - 1:
        for i in range(64 * cuda.gridDim.x):
            y[0] += results[i]  # BUG: race


def added_to_what_was_never_written(x, y):
    sums = cuda.shared.array(64, float32)
    sums[cuda.threadIdx.x] += x[cuda.threadIdx.x]  # BUG: uninitialised-read
    y[cuda.threadIdx.x] = sums[cuda.threadIdx.x]


def only_half_counts(x, y):
    if cuda.threadIdx.x < 32:
        y[cuda.threadIdx.x] = cuda.syncthreads_count(x[cuda.threadIdx.x] > 3)  # BUG: divergent-barrier


def shuffle_from_outside_of_the_mask(x, y):
    if cuda.laneid < 16:
        y[cuda.threadIdx.x] = cuda.shfl_sync(0xFFFF, x[cuda.threadIdx.x], 20)  # BUG: warp-collective


def different_collectives(x, y):
    if cuda.laneid % 2:
        y[cuda.threadIdx.x] = cuda.shfl_xor_sync(ALL, x[cuda.threadIdx.x], 1)  # BUG: warp-collective
    else:
        y[cuda.threadIdx.x] = cuda.any_sync(ALL, x[cuda.threadIdx.x] > 3)  # BUG: warp-collective


def syncwarp_reaches_no_other_warp(x, y):
    tile = cuda.shared.array(64, float32)
    tile[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    cuda.syncwarp()
    y[cuda.threadIdx.x] = tile[63 - cuda.threadIdx.x]  # BUG: race


def negative_place_in_shared_memory(x, y):
    tile = cuda.shared.array(64, float32)
    tile[cuda.threadIdx.x - 1] = x[cuda.threadIdx.x]  # BUG: out-of-bounds


def atomic_out_of_bounds(x, y):
    cuda.atomic.add(y, cuda.threadIdx.x + 1, x[cuda.threadIdx.x])  # BUG: out-of-bounds


def divides_by_its_index(x, y):
    y[cuda.threadIdx.x] = 64 // cuda.threadIdx.x  # BUG: undefined-arithmetic


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


def right_last_warp_of_blocks(x, y, results, count):
    results[cuda.grid(1)] = x[cuda.threadIdx.x]
    cuda.syncwarp()
    before = 0
    if cuda.laneid == 0:
        cuda.threadfence()  # for the whole warp
        before = cuda.atomic.add(count, 0, 1)
    cuda.syncwarp()
    if cuda.shfl_sync(ALL, before, 0) == 2 * cuda.gridDim.x - 1:
        for i in range(cuda.laneid, 64 * cuda.gridDim.x, 32):
            y[cuda.laneid] += results[i]


def right_part_of_a_block(x, y, parts, results, count):
    if cuda.threadIdx.x == 32:
        parts[cuda.blockIdx.x] = x[1 + cuda.blockIdx.x]
        cuda.threadfence()
    results[cuda.grid(1)] = 1.0  # of no interest to the other blocks, and not behind a fence
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and cuda.atomic.add(count, 0, 1) == cuda.gridDim.x - 1:
        for block in range(cuda.gridDim.x):
            y[0] += parts[block]


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


def right_counts(x, y):
    many = cuda.syncthreads_count(x[cuda.threadIdx.x] > 3)
    all_or_any = cuda.syncthreads_and(x[cuda.threadIdx.x] > 3) + 2 * cuda.syncthreads_or(x[cuda.threadIdx.x] > 3)
    y[cuda.threadIdx.x] = 10 * many + all_or_any


def right_bits(x, y):
    bits = cuda.ballot_sync(ALL, cuda.laneid in (3, 31))
    y[cuda.threadIdx.x] = 100 * cuda.popc(bits) + cuda.ffs(bits)


def right_integer_atomics(x, y):
    if cuda.threadIdx.x < 1:
        y[0], y[1] = 6, 7
    cuda.syncthreads()
    cuda.atomic.sub(y, 0, 1)
    cuda.atomic.max(y, 1, cuda.threadIdx.x)


def right_overflow(x, y):
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x] * float32(3e38) * float32(3e38)


# ---- what is wrong before it is a mistake on a GPU


def half_an_index(x, y):
    y[cuda.threadIdx.x] = x[(cuda.threadIdx.x + 1) / 2]


def unknown_word(x):
    x[0] = cuda.match_any_sync(ALL, 1)


def right_half_warps(x, y):
    value = x[cuda.threadIdx.x]
    if cuda.laneid >= 16:
        cuda.syncwarp(0xFFFF0000)  # while the others wait below
    y[cuda.threadIdx.x] = cuda.shfl_sync(ALL, value, 31)
