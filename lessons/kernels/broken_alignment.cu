// y[i] = x[i + shift] for i < n, four at a time; n is a multiple of 4, shift is not. Mend it.
// Launch: block (64), grid (n / 256), rounded up.
/* harness
import numpy as np
from minitorch_cv.kernels.simulator.harness import Launch

def launches():
    rng = np.random.default_rng(0)
    for shift, n in ((1, 256), (3, 300), (2, 4)):
        x, y = rng.standard_normal(n + shift, np.float32), np.full(n, np.nan, np.float32)
        yield Launch("shifted", (-(-n // 256),), (64,), [x, y, shift, n], expected={"y": x[shift:]})
*/
extern "C" __global__ void __launch_bounds__(64) shifted(const float* x, float* y, int shift, int n) {
    const int i = 4 * (blockIdx.x * 64 + threadIdx.x);
    if (i >= n) return;
    const float4 four = *reinterpret_cast<const float4*>(&x[i + shift]);
    *reinterpret_cast<float4*>(&y[i]) = four;
}
