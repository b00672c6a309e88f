// Kernels with one mistake each, at the line that is marked, and kernels without one that look as if they had.

extern __shared__ __align__(sizeof(float4)) float of_the_file[];

// ---- mistakes

extern "C" __global__ void neighbours_without_a_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    const int i = threadIdx.x;
    tile[i] = x[i];
    y[i] = tile[63 - i];  // BUG: race
}

template <class T> __device__ T turned_round(T value) {  // its shared memory is the template's
    __shared__ T tile[64];
    tile[threadIdx.x] = value;
    return tile[63 - threadIdx.x];  // BUG: race
}
extern "C" __global__ void in_a_template(const float* x, float* y) {
    y[threadIdx.x] = turned_round(x[threadIdx.x]);
}

extern "C" __global__ void shuffle_is_no_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    const float v = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
    y[threadIdx.x] = v + tile[threadIdx.x ^ 1];  // BUG: race
}

extern "C" __global__ void half_a_warp_in_order(const float* x, float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp(threadIdx.x < 16 ? 0xffffu : 0xffff0000u);
    y[threadIdx.x] = tile[31 - threadIdx.x];  // BUG: race
}

extern "C" __global__ void blocks_add(const float* x, float* y) {
    y[threadIdx.x] += x[threadIdx.x];  // BUG: race
}

extern "C" __global__ void last_block_without_fence(const float* x, float* y, float* parts, unsigned* count) {
    __shared__ bool is_last;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = x[blockIdx.x];
        is_last = atomicAdd(count, 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x == 0)
        for (int i = 0; i < gridDim.x; ++i) y[0] += parts[i];  // BUG: race
}

extern "C" __global__ void written_after_the_block_released(float* y, unsigned* count, float* parts) {
    __threadfence();
    const unsigned ticket = atomicAdd(count, 1);
    if (ticket == 0) *parts = 5.0f;
    else y[blockIdx.x * blockDim.x + threadIdx.x] = *parts;  // BUG: race
}

extern "C" __global__ void acquired_before_it_was_written(float* y, unsigned* count, float* parts) {
    if (threadIdx.x == 0) { __threadfence(); atomicAdd(count, 1); }
    __syncthreads();
    if (threadIdx.x == 0) { *parts = 1.0f; __threadfence(); atomicAdd(count, 1); }
    if (threadIdx.x == 63) *y = *parts;  // BUG: race
}

extern "C" __global__ void block_fenced_before_its_lanes_met(const float* x, float* y, float* parts, unsigned* count) {
    parts[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x % 32 == 0) __threadfence();
    __syncwarp();
    unsigned before = 0;
    if (threadIdx.x % 32 == 0) before = atomicAdd(count, 1);
    if (before == 3)
        for (int i = 0; i < 128; ++i) y[0] += parts[i];  // BUG: race
}

extern "C" __global__ void plain_beside_atomic(float* y) {
    __shared__ float sum;
    if (threadIdx.x == 0) sum = 0.0f;
    __syncthreads();
    atomicAdd(&sum, 1.0f);
    if (threadIdx.x == 0) y[0] = sum;  // BUG: race
}

extern "C" __global__ void never_written(const float* x, float* y) {
    __shared__ float tile[65];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x + 1];  // BUG: uninitialised-read
}

extern "C" __global__ void added_to_what_was_never_written(const float* x, float* y) {
    __shared__ float sums[64];
    sums[threadIdx.x] += x[threadIdx.x];  // BUG: uninitialised-read
    y[threadIdx.x] = sums[threadIdx.x];
}

extern "C" __global__ void counted_from_what_was_never_written(float* y) {
    __shared__ unsigned sum;
    atomicAdd(&sum, 1);  // BUG: uninitialised-read
    __syncthreads();
    y[threadIdx.x] = sum;
}

extern "C" __global__ void one_too_far(const float* x, float* y) {
    y[threadIdx.x] = x[threadIdx.x + 1];  // BUG: out-of-bounds
}

extern "C" __global__ void before_the_first(const float* x, float* y) {
    y[int(threadIdx.x) - 1] = x[threadIdx.x];  // BUG: out-of-bounds
}

extern "C" __global__ void through_null(const float* x, float* y, const float* z) {
    y[threadIdx.x] = x[threadIdx.x] + z[threadIdx.x];  // BUG: out-of-bounds
}

extern "C" __global__ void row_of_a_tile(const float* x, float* y) {
    __shared__ float tile[8][8];
    const int i = threadIdx.x;
    tile[i / 8][i % 8] = x[i];
    __syncthreads();
    y[i] = tile[i / 8][i % 8 + 1];  // BUG: out-of-bounds
}

extern "C" __global__ void too_little_dynamic(const float* x, float* y) {
    extern __shared__ float s[];
    s[threadIdx.x] = x[threadIdx.x];  // BUG: out-of-bounds
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void too_little_for_the_file(const float* x, float* y) {
    of_the_file[threadIdx.x] = x[threadIdx.x];  // BUG: out-of-bounds
    __syncthreads();
    y[threadIdx.x] = of_the_file[threadIdx.x];
}

extern "C" __global__ void atomic_too_far(float* y) {
    atomicAdd(&y[64 + threadIdx.x], 1.0f);  // BUG: out-of-bounds
}

extern "C" __global__ void set_too_far(float* y, int bits) {
    if (threadIdx.x == 0) memset(y, 0, 257 * sizeof(float) * bits);  // BUG: out-of-bounds
}

extern "C" __global__ void set_without_a_barrier(float* y) {
    __shared__ float tile[64];
    if (threadIdx.x == 0) memset(tile, 0, sizeof tile);
    y[threadIdx.x] = tile[threadIdx.x];  // BUG: race
}

extern "C" __global__ void copied_before_it_was_written(float* y, int bits) {
    __shared__ float tile[64];
    if (threadIdx.x == 0) std::memcpy(y, tile, sizeof(float) * bits);  // BUG: uninitialised-read
}

extern "C" __global__ void vector_off_its_alignment(const float* x, float* y) {
    const float4 v = *reinterpret_cast<const float4*>(x + 1);  // BUG: misaligned
    y[threadIdx.x] = v.x + v.y + v.z + v.w;
}

extern "C" __global__ void read_before_the_wait(const float* x, float* y) {
    __shared__ __align__(16) float stage[256];
    const int i = 4 * threadIdx.x;
    cp_async16(&stage[i], &x[i], true);
    cp_async_commit();
    y[i] = stage[i];  // BUG: stale-copy
    cp_async_wait<0>();
}

extern "C" __global__ void waited_for_no_barrier(const float* x, float* y) {
    __shared__ __align__(16) float stage[256];
    const int i = 4 * threadIdx.x;
    cp_async16(&stage[i], &x[i], true);
    cp_async_commit();
    cp_async_wait<0>();
    y[i] = stage[252 - i];  // BUG: race
}

extern "C" __global__ void overwritten_while_read(const float* x, float* y) {
    __shared__ __align__(16) float stage[256];
    const int i = 4 * threadIdx.x;
    for (int step = 0; step < 2; ++step) {
        cp_async16(&stage[i], &x[i], true);  // BUG: race
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        y[i] = stage[252 - i];
    }
}

extern "C" __global__ void index_overflows(const float* x, float* y, int rows) {
    const int i = (rows + int(threadIdx.x)) * 65536;  // BUG: undefined-arithmetic
    y[threadIdx.x] = x[i & 63];
}

extern "C" __global__ void shifts_too_far(const float* x, float* y, int bits) {
    y[threadIdx.x] = x[(1u << (bits + threadIdx.x)) & 63];  // BUG: undefined-arithmetic
}

extern "C" __global__ void divides_by_zero(const float* x, float* y, int width) {
    y[threadIdx.x] = x[threadIdx.x % width];  // BUG: undefined-arithmetic
}

// ---- no mistakes

extern "C" __global__ void right_in_warps(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    const float v = tile[threadIdx.x ^ 1];
    __syncwarp();
    tile[threadIdx.x ^ 1] = v + 1.0f;
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void right_last_block(const float* x, float* y, float* parts, unsigned* count) {
    __shared__ bool is_last;
    parts[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicAdd(count, 1) == gridDim.x - 1;
    __syncthreads();
    if (is_last)
        for (int b = 0; b < gridDim.x; ++b) y[threadIdx.x] += parts[b * blockDim.x + threadIdx.x];
}

extern "C" __global__ void right_last_warp_of_blocks(const float* x, float* y, float* parts, unsigned* count) {
    parts[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    unsigned before = 0;
    if (threadIdx.x % 32 == 0) {
        __threadfence();  // for the whole warp
        before = atomicAdd(count, 1);
    }
    __syncwarp();
    before = __shfl_sync(0xffffffffu, before, 0);
    if (before == 2 * gridDim.x - 1)
        for (int i = threadIdx.x % 32; i < 128; i += 32) y[threadIdx.x % 32] += parts[i];
}

extern "C" __global__ void right_part_of_a_block(const float* x, float* y, float* parts, unsigned* count) {
    if (threadIdx.x == 32) {
        parts[blockIdx.x] = x[1 + blockIdx.x];
        __threadfence();
    }
    y[blockIdx.x * blockDim.x + threadIdx.x] = 1.0f;  // of no interest to the other block, and not behind a fence
    __syncthreads();
    if (threadIdx.x == 0 && atomicAdd(count, 1) == 1) y[blockIdx.x * blockDim.x] = parts[0] + parts[1];
}

extern "C" __global__ void right_words_of_c(const float* x, float* y, int rows) {
    __shared__ float tile[64];
    if (threadIdx.x == 0) {
        memset(tile, 0, rows % 64 * sizeof(float));
        memcpy(&tile[63], &x[63], sizeof(float));
    }
    __syncthreads();
    float own;
    std::memmove(&own, &tile[threadIdx.x], sizeof own);
    y[threadIdx.x] = own + 1.0f;
}

extern "C" __global__ void right_bytes(unsigned char* y) {
    __shared__ unsigned char flags[64];
    flags[threadIdx.x] = threadIdx.x % 2;  // neighbours in one word
    __syncthreads();
    y[threadIdx.x] = flags[63 - threadIdx.x];
}

extern "C" __global__ void right_reuse(const float* x, float* y) {
    extern __shared__ float s[];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    const float v = s[63 - threadIdx.x];
    __syncthreads();
    int* words = reinterpret_cast<int*>(s);
    words[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = v + words[63 - threadIdx.x];
}

__device__ float turned_round_of_the_file() { return of_the_file[31 - threadIdx.x % 32]; }
extern "C" __global__ void right_for_the_file(const float* x, float* y) {
    if (threadIdx.x < 32) of_the_file[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = turned_round_of_the_file() + reinterpret_cast<float4*>(of_the_file + 4)->x;
}

extern "C" __global__ void right_vectors(const float4* x, float4* y) {
    __shared__ float4 tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[63 - threadIdx.x];
}

extern "C" __global__ void right_half_warps(const float* x, float* y) {
    float v = x[threadIdx.x];
    if (threadIdx.x % 32 >= 16) v += __shfl_down_sync(0xffff0000u, v, 8, 16);  // while the others wait below
    y[threadIdx.x] = __shfl_sync(0xffffffffu, v, 31);
}

struct Large { float v[40]; };
extern "C" __global__ void right_large_elements(const float* x, float* y) {
    __shared__ Large s[2];
    if (threadIdx.x == 0) {
        Large one;
        for (int i = 0; i < 40; ++i) one.v[i] = x[i];
        s[1] = one;
    }
    __syncthreads();
    y[threadIdx.x] = s[1].v[threadIdx.x % 40];
}

extern "C" __global__ void __launch_bounds__((4 + (4)) * 16, 1) right_bounds(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

// ---- counted

extern "C" __global__ void copied(const float* x, float* y, int stride) {
    y[threadIdx.x] = x[threadIdx.x * stride];  // COUNT
}

extern "C" __global__ void by_columns(float* y, int pitch) {
    extern __shared__ float s[];
    s[threadIdx.x * pitch] = 1.0f;  // COUNT
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x * pitch];
}

extern "C" __global__ void as_vectors(const float4* x, float4* y) {
    y[threadIdx.x] = x[threadIdx.x];  // COUNT
}
