// y[i] = x[i] - x[i - 1], and y[0] = x[0]. A block reads its numbers once, and each thread its neighbour's from shared
// memory. Mend it.
// Launch: block (64), grid (n / 64), rounded up.
/* harness
import numpy as np
from minitorch_cv.kernels.simulator.harness import Launch

def launches():
    rng = np.random.default_rng(0)
    for n in (128, 100, 1):
        x, y = rng.standard_normal(n, np.float32), np.full(n, np.nan, np.float32)
        expected = np.diff(x, prepend=np.float32(0))
        yield Launch("differences", (-(-n // 64),), (64,), [x, y, n], expected={"y": expected})
*/
extern "C" __global__ void __launch_bounds__(64) differences(const float* x, float* y, int n) {
    __shared__ float tile[64];
    const int t = threadIdx.x, i = blockIdx.x * 64 + t;
    if (i < n) {
        tile[t] = x[i];
        __syncthreads();
        const float before = t > 0 ? tile[t - 1] : i > 0 ? x[i - 1] : 0.0f;
        y[i] = tile[t] - before;
    }
}
