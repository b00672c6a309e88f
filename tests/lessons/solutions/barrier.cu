// y[i] = x[i] - x[i - 1], and y[0] = x[0]. A block reads its numbers once, and each thread its neighbour's from shared
// memory.
// Launch: block (64), grid (n / 64), rounded up.
extern "C" __global__ void __launch_bounds__(64) differences(const float* x, float* y, int n) {
    __shared__ float tile[64];
    const int t = threadIdx.x, i = blockIdx.x * 64 + t;
    if (i < n) tile[t] = x[i];
    __syncthreads();
    if (i < n) {
        const float before = t > 0 ? tile[t - 1] : i > 0 ? x[i - 1] : 0.0f;
        y[i] = tile[t] - before;
    }
}
