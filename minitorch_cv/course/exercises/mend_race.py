r"""Mend a kernel: softmax, with a race.

The kernel below gives y = softmax(x) for each row of x (rows x columns): y[r][c] = exp(x[r][c] - m) / s, where m is the
largest number of the row and s the sum of exp(x[r][c] - m) over the row. A block has 128 threads and takes one row;
`largest` and `sum` are found by trees in the same shared memory.

Run the check: the simulator says which threads touch the same memory with nothing between them that says who comes
first. In some orders of threads the results are right all the same, which is what makes races hard to find. Mend the
kernel; what it computes, and how it is launched, stays as it is.

Launch: block (128), grid (rows).
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(128) softmax(const float* x, float* y, int columns) {
    __shared__ float part[128];
    const int t = threadIdx.x;
    const float* row = x + blockIdx.x * columns;

    float largest = -INFINITY;
    for (int c = t; c < columns; c += 128) largest = fmaxf(largest, row[c]);
    part[t] = largest;
    for (int half = 64; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] = fmaxf(part[t], part[t + half]);
    }
    // begin solution
    __syncthreads();
    largest = part[0];
    __syncthreads();  // all have read part[0]: it may be written again

    float sum = 0.0f;
    for (int c = t; c < columns; c += 128) sum += expf(row[c] - largest);
    part[t] = sum;
    // instead
    // __syncthreads();
    // largest = part[0];
    //
    // float sum = 0.0f;
    // for (int c = t; c < columns; c += 128) sum += expf(row[c] - largest);
    // part[t] = sum;
    // end solution
    for (int half = 64; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    __syncthreads();
    for (int c = t; c < columns; c += 128) y[blockIdx.x * columns + c] = expf(row[c] - largest) / part[0];
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """Rows longer than the block, shorter, and of twice its size."""
    for columns in (int(rng.integers(130, 250)), int(rng.integers(5, 100)), 256):
        x = rng.standard_normal((int(rng.integers(1, 4)), columns), np.float32) + np.float32(3)
        y = np.full_like(x, np.nan)
        exponentials = np.exp(x.astype(float) - x.max(1, keepdims=True))
        expected = exponentials / exponentials.sum(1, keepdims=True)
        yield Launch("softmax", x.shape[:1], (128,), [x, y, columns], expected={"y": expected})


about = About(
    lesson="08_kernels",
    source="CUDA C++ Programming Guide, section on synchronization functions",
    operations=("softmax",),
    points=3,
    difficulty=2,
    language="cuda",
    imports=(),
)
checks = [Kernel("softmax", draw)]
mistakes = [
    Mistake(
        "barrier moved",
        """\
    __syncthreads();
    largest = part[0];
    __syncthreads();""",
        """\
    largest = part[0];
    __syncthreads();""",
        "The barrier before `largest = part[0]` is needed as well: the tree's last round must be over before it is "
        "read.",
    ),
    Mistake(
        "barrier in the loop",
        """\
    __syncthreads();  // all have read part[0]: it may be written again

    float sum = 0.0f;
    for (int c = t; c < columns; c += 128) sum += expf(row[c] - largest);""",
        """\
    float sum = 0.0f;
    for (int c = t; c < columns; c += 128) {
        sum += expf(row[c] - largest);
        __syncthreads();
    }""",
        "A barrier in a loop over columns is met by some threads more often than by others, unless the columns are a "
        "multiple of 128. Put it where every thread comes by once.",
    ),
    Mistake(
        "one thread's barrier",
        "    __syncthreads();  // all",
        "    if (t == 0) __syncthreads();  // all",
        "__syncthreads() waits for all threads of the block: inside of `if (t == 0)` only one comes.",
    ),
    Mistake(
        "a warp's barrier",
        "    __syncthreads();  // all",
        "    __syncwarp();  // all",
        "__syncwarp() holds back the 32 threads of a warp, and the block has four: another warp may still be about to "
        "read part[0].",
    ),
]
hints = [
    "Which element of `part` do all threads read, and which thread writes to it next?",
    "Thread 0 may run ahead: it reads part[0], sums, and writes part[0] before another thread has read it.",
]
