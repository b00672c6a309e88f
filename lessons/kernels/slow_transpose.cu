// y (columns x rows) = the transpose of x (rows x columns). It is right, and slow: the stores of a warp lie `rows` floats
// apart. Make it need no more sectors than there are, with no bank conflicts. Both sizes are multiples of 32.
// Launch: block (32, 8), grid (columns / 32, rows / 32).
/* harness
import numpy as np
from minitorch_cv.kernels.simulator.harness import Launch

def launches():
    rng = np.random.default_rng(0)
    for rows, columns in ((64, 32), (32, 96)):
        x, y = rng.standard_normal((rows, columns), np.float32), np.full((columns, rows), np.nan, np.float32)
        yield Launch("transpose", (columns // 32, rows // 32), (32, 8), [x, y, rows, columns], expected={"y": x.T})
*/
extern "C" __global__ void __launch_bounds__(256) transpose(const float* x, float* y, int rows, int columns) {
    const int column = blockIdx.x * 32 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) {
        const int row = blockIdx.y * 32 + i;
        y[column * rows + row] = x[row * columns + column];
    }
}
