// sums[w] = the sum of the 32 numbers of x that belong to warp w; after the last number of x come zeros. The lanes add by
// shuffles, without shared memory.
// Launch: block (128), grid (n / 128), rounded up.
extern "C" __global__ void __launch_bounds__(128) warp_sums(const float* x, float* sums, int n) {
    const int i = blockIdx.x * 128 + threadIdx.x;
    float sum = i < n ? x[i] : 0.0f;
    for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half);
    if (threadIdx.x % 32 == 0 && i < n) sums[i / 32] = sum;
}
