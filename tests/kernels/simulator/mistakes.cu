// Kernels with one mistake each that stops them, and some without. The tests find the line of a mistake by its mark.

extern "C" __global__ void early_exit(const float* x, float* y) {
    __shared__ float s[64];
    if (threadIdx.x >= 60) return;
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();  // mistake: early_exit
    y[threadIdx.x] = s[59 - threadIdx.x];
}

extern "C" __global__ void two_barriers(const float* x, float* y) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();  // mistake: two_barriers
    }
    y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void half_a_shuffle(const float* x, float* y) {
    float v = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) v += __shfl_xor_sync(0xffffffffu, v, 1);  // mistake: half_a_shuffle
    y[threadIdx.x] = v;
}

extern "C" __global__ void lane_outside_of_mask(const float* x, float* y) {
    float v = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) v = __shfl_sync(0x0000ffffu, v, 20);  // mistake: lane_outside_of_mask
    y[threadIdx.x] = v;
}

extern "C" __global__ void not_in_its_mask(const float* x, float* y) {
    y[threadIdx.x] = __shfl_sync(0x0000ffffu, x[threadIdx.x], 0);  // mistake: not_in_its_mask
}

extern "C" __global__ void different_collectives(const float* x, float* y) {
    float v = x[threadIdx.x];
    if (threadIdx.x % 2) {
        v = __shfl_xor_sync(0xffffffffu, v, 1);
    } else {
        v = __any_sync(0xffffffffu, v > 0.0f);
    }
    y[threadIdx.x] = v;
}

extern "C" __global__ void never_waited_for(const float* x, float* y) {
    __shared__ __align__(16) float s[256];
    cp_async16(&s[4 * threadIdx.x], &x[4 * threadIdx.x], true);  // mistake: never_waited_for
    cp_async_commit();
    y[threadIdx.x] = 0.0f;
}

extern "C" __global__ void copy_off_its_alignment(const float* x, float* y) {
    __shared__ __align__(16) float s[256];
    cp_async16(&s[4 * threadIdx.x], &x[4 * threadIdx.x + 1], true);  // mistake: copy_off_its_alignment
    cp_async_commit();
    cp_async_wait<0>();
    y[threadIdx.x] = 0.0f;
}

__device__ __noinline__ float sum_of_all_below(const float* x, int i) {
    volatile float kept = x[i % 64];
    return sum_of_all_below(x, i + 1) + kept;
}
extern "C" __global__ void calls_itself_without_end(const float* x, float* y) {  // mistake: calls_itself_without_end
    y[threadIdx.x] = threadIdx.x == 5 ? sum_of_all_below(x, 0) : 0.0f;
}

extern "C" __global__ void too_much_local_memory(const float* x, float* y) {  // mistake: too_much_local_memory
    float local[1 << 20];
    for (int i = 0; i < 1 << 20; ++i) local[i] = x[i % 64];
    y[threadIdx.x] = local[(int)x[threadIdx.x]];
}

// ---- no mistakes

extern "C" __global__ void much_local_memory(const float* x, float* y) {
    float local[127 << 10];
    for (int i = 0; i < 127 << 10; ++i) local[i] = x[threadIdx.x] + i;
    __syncthreads();
    y[threadIdx.x] = local[(int)x[threadIdx.x]];
}

extern "C" __global__ void turned_round(const float* x, float* y) {
    extern __shared__ float s[];  // as CUDA C++ writes it
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void never_written(float* y) {
    __shared__ float s[64];
    if (threadIdx.x == 63) s[0] = 1.0f;
    y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void block_sum(const float* x, float* y, int size) {
    __shared__ float sums[32];
    float v = 0.0f;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) v += x[i];
    for (int delta = 16; delta > 0; delta /= 2) v += __shfl_down_sync(0xffffffffu, v, delta);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0.0f;
        for (int delta = 16; delta > 0; delta /= 2) v += __shfl_down_sync(0xffffffffu, v, delta);
        if (threadIdx.x == 0) atomicAdd(y, v);
    }
}

extern "C" __global__ void warp_words(const int* x, unsigned* votes, int* shifted) {
    const int i = threadIdx.x;
    votes[3 * i] = __ballot_sync(0xffffffffu, x[i] > 0);
    votes[3 * i + 1] = __any_sync(0xffffffffu, x[i] > 100);
    votes[3 * i + 2] = __all_sync(0xffffffffu, x[i] < 100);
    shifted[4 * i] = __shfl_sync(0xffffffffu, x[i], 5);
    shifted[4 * i + 1] = __shfl_up_sync(0xffffffffu, x[i], 3, 8);
    shifted[4 * i + 2] = __shfl_down_sync(0xffffffffu, x[i], 3, 8);
    shifted[4 * i + 3] = __shfl_xor_sync(0xffffffffu, x[i], 9);
}

extern "C" __global__ void in_stages(const float* x, float* y) {
    __shared__ __align__(16) float s[2][128];
    const int i = 4 * threadIdx.x;
    cp_async16(&s[0][i], &x[i], true);
    cp_async_commit();
    cp_async16(&s[1][i], &x[128 + i], threadIdx.x % 2);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    y[threadIdx.x] = s[0][127 - threadIdx.x];
    y[32 + threadIdx.x] = s[1][i];  // still under way
    cp_async_wait<0>();
    __syncthreads();
    y[64 + threadIdx.x] = s[1][i];
}

extern "C" __global__ void tensor_cores(const unsigned* a, const unsigned* b, float* tf32, float* bf16) {
    const int lane = threadIdx.x;
    unsigned A[4] = {a[4 * lane], a[4 * lane + 1], a[4 * lane + 2], a[4 * lane + 3]}, B[2] = {b[2 * lane], b[2 * lane + 1]};
    float D[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    mma_tf32(D, A, B);
    for (int i = 0; i < 4; ++i) tf32[4 * lane + i] = D[i], D[i] = 0.0f;
    mma_bf16(D, A, B);
    for (int i = 0; i < 4; ++i) bf16[4 * lane + i] = D[i];
}

extern "C" __global__ void __launch_bounds__(64) bounded(float* y) { y[blockIdx.x] = blockDim.x; }

extern "C" __global__ void places(int* y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    atomicAdd(&y[block * blockDim.x * blockDim.y * blockDim.z + thread], 1 + block);
}
