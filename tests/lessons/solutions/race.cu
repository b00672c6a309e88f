// sums[b] = the sum of the 256 numbers of x that belong to block b; after the last number of x come zeros.
// A tree: in each round half of the threads add the upper half to the lower.
// Launch: block (256), grid (n / 256), rounded up.
extern "C" __global__ void __launch_bounds__(256) block_sums(const float* x, float* sums, int n) {
    __shared__ float part[256];
    const int t = threadIdx.x, i = blockIdx.x * 256 + t;
    part[t] = i < n ? x[i] : 0.0f;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    if (t == 0) sums[blockIdx.x] = part[0];
}
