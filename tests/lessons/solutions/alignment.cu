// y[i] = x[i + shift] for i < n, four at a time; n is a multiple of 4, shift is not.
// Launch: block (64), grid (n / 256), rounded up.
extern "C" __global__ void __launch_bounds__(64) shifted(const float* x, float* y, int shift, int n) {
    const int i = 4 * (blockIdx.x * 64 + threadIdx.x);
    if (i >= n) return;
    const float* from = x + i + shift;
    const float4 four = {from[0], from[1], from[2], from[3]};
    *reinterpret_cast<float4*>(&y[i]) = four;
}
