r"""Mend a kernel: a convolution along rows, with a barrier that not all threads reach.

The kernel below gives y[r][c] = w[0] x[r][c - 1] + w[1] x[r][c] + w[2] x[r][c + 1] for each row of x (rows x columns),
where what lies outside of the row counts as 0. A block has 64 threads and takes 64 columns of one row: it reads them,
and their neighbours on the left and right, into shared memory once, and each thread takes what it needs from there.

The rows are seldom multiples of 64, and the surplus threads of the last block go home early. Run the check to see what
comes of it, and mend the kernel. What it computes, and how it is launched, stays as it is; x is read once.

Launch: block (64), grid (columns / 64, rounded up; rows).
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(64) convolve(const float* x, const float* w, float* y, int columns) {
    __shared__ float tile[66];  // one more on each side
    const int t = threadIdx.x, c = blockIdx.x * 64 + t;
    const float* row = x + blockIdx.y * columns;
    // begin solution
    tile[t + 1] = c < columns ? row[c] : 0.0f;
    if (t == 0) tile[0] = c > 0 ? row[c - 1] : 0.0f;
    if (t == 63) tile[65] = c + 1 < columns ? row[c + 1] : 0.0f;
    __syncthreads();
    if (c < columns) y[blockIdx.y * columns + c] = w[0] * tile[t] + w[1] * tile[t + 1] + w[2] * tile[t + 2];
    // instead
    // if (c >= columns) return;
    // tile[t + 1] = row[c];
    // if (t == 0) tile[0] = c > 0 ? row[c - 1] : 0.0f;
    // if (t == 63 || c + 1 == columns) tile[t + 2] = c + 1 < columns ? row[c + 1] : 0.0f;
    // __syncthreads();
    // y[blockIdx.y * columns + c] = w[0] * tile[t] + w[1] * tile[t + 1] + w[2] * tile[t + 2];
    // end solution
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """Rows that end within a block: the first, the second and the third."""
    for blocks in (1, 2, 3):
        rows, columns = int(rng.integers(1, 4)), int(64 * blocks - rng.integers(3, 60))
        x, w = rng.standard_normal((rows, columns), np.float32), rng.standard_normal(3, np.float32)
        y = np.full_like(x, np.nan)
        padded = np.pad(x, ((0, 0), (1, 1))).astype(float)
        expected = w[0] * padded[:, :-2] + w[1] * padded[:, 1:-1] + w[2] * padded[:, 2:]
        yield Launch("convolve", (blocks, rows), (64,), [x, w, y, columns], expected={"y": expected})


about = About(
    lesson="08_kernels",
    source="CUDA C++ Programming Guide, section on synchronization functions",
    operations=("conv2d",),
    points=3,
    difficulty=2,
    language="cuda",
    imports=(),
)
checks = [Kernel("convolve", draw)]
_IN_THE_IF = "The surplus threads still do not come to the barrier. Let them skip the work, not the barrier: the tests "
_IN_THE_IF += "belong around the load and around the store, with __syncthreads() between the two, outside of both."
mistakes = [
    Mistake(
        "return before the barrier",
        "    __syncthreads();\n    if (c < columns)",
        "    if (c >= columns) return;\n    __syncthreads();\n    if (c < columns)",
        _IN_THE_IF,
    ),
    Mistake(
        "barrier in the if",
        "    __syncthreads();\n    if (c < columns) y",
        "    if (c < columns) __syncthreads();\n    if (c < columns) y",
        _IN_THE_IF,
    ),
    Mistake(
        "no barrier",
        "    __syncthreads();\n",
        "",
        "Without any barrier a thread may read its neighbour's number before the neighbour has brought it.",
    ),
    Mistake(
        "the padding is not written",
        "    tile[t + 1] = c < columns ? row[c] : 0.0f;",
        "    if (c < columns) tile[t + 1] = row[c];",
        "The last column has a neighbour on the right, too: it counts as 0, and somebody has to write that 0. A "
        "surplus thread has time for it.",
    ),
    Mistake(
        "unguarded store",
        "    if (c < columns) y[",
        "    y[",
        "The surplus threads come to the barrier now, but they must not store: y has no place for them, and in all "
        "rows but the last they write into the next row.",
    ),
]
hints = [
    "How many threads of the last block come to __syncthreads()? How many does it wait for?",
    "No thread may return before the barrier. What should a thread with c >= columns bring, and what not do?",
]
