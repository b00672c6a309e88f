// Kernels that misuse a thread's memory, for the tests of the report.

// More values alive at once than its launch bounds leave registers for.
extern "C" __global__ void __launch_bounds__(1024, 2) spills(const float* x, float* y) {
    float kept[96];
#pragma unroll
    for (int i = 0; i < 96; ++i) kept[i] = x[threadIdx.x + i * 1024];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 96; ++i) y[threadIdx.x + i * 1024] = kept[95 - i] * kept[(7 * i) % 96];
}

// An array whose index only the run knows cannot lie in registers.
extern "C" __global__ void indexes(const float* x, const int* at, float* y) {
    float kept[64];
    for (int i = 0; i < 64; ++i) kept[i] = x[threadIdx.x + i];
    for (int i = 0; i < 64; ++i) kept[at[i] & 63] += kept[at[i + 64] & 63];
    for (int i = 0; i < 64; ++i) y[threadIdx.x + i] = kept[i];
}

// Registers alone, and 16 bytes in one load.
extern "C" __global__ void copies(const float4* x, float4* y) {
    __shared__ float4 passed[64];
    passed[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = passed[63 - threadIdx.x];
}
