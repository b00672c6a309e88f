// y[i] = (x[i - 1] + x[i] + x[i + 1]) / 3, where what lies outside of x counts as 0. Mend it.
// Launch: block (64), grid (n / 64), rounded up.
/* harness
import numpy as np
from minitorch_cv.kernels.simulator.harness import Launch

def launches():
    rng = np.random.default_rng(0)
    for n in (128, 100, 1):
        x, y = rng.standard_normal(n, np.float32), np.full(n, np.nan, np.float32)
        padded = np.pad(x, 1)
        expected = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        yield Launch("blur", (-(-n // 64),), (64,), [x, y, n], expected={"y": expected})
*/
extern "C" __global__ void __launch_bounds__(64) blur(const float* x, float* y, int n) {
    const int i = blockIdx.x * 64 + threadIdx.x;
    if (i > n) return;
    const float left = i > 0 ? x[i - 1] : 0.0f;
    const float right = x[i + 1];
    y[i] = (left + x[i] + right) / 3.0f;
}
