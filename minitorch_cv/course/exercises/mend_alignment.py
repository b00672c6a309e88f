r"""Mend a kernel: the backward of ReLU, four numbers at a time.

The kernel below gives dx = dy where x > 0, and 0 elsewhere, for rows x columns numbers that lie one after the other. A
block has 64 threads and takes one row: most of it by float4, four numbers in one access, and the one to three numbers
that are left at the end one by one.

A GPU reads 16 bytes at once only from an address that is a multiple of 16. The arrays begin at one. Run the check to
see which rows do not, and mend the kernel: it must be right for every number of columns, and use float4 for rows that
allow it.

Launch: block (64), grid (rows).
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(64)
relu_backward(const float* x, const float* dy, float* dx, int columns) {
    const int t = threadIdx.x, start = blockIdx.x * columns;
    // begin solution
    const int fours = start % 4 == 0 ? columns / 4 : 0;
    // instead
    // const int fours = columns / 4;
    // end solution
    for (int i = t; i < fours; i += 64) {
        const float4 a = *reinterpret_cast<const float4*>(&x[start + 4 * i]);
        const float4 b = *reinterpret_cast<const float4*>(&dy[start + 4 * i]);
        *reinterpret_cast<float4*>(&dx[start + 4 * i]) = make_float4(
            a.x > 0.0f ? b.x : 0.0f, a.y > 0.0f ? b.y : 0.0f, a.z > 0.0f ? b.z : 0.0f, a.w > 0.0f ? b.w : 0.0f);
    }
    // begin solution
    for (int c = 4 * fours + t; c < columns; c += 64) dx[start + c] = x[start + c] > 0.0f ? dy[start + c] : 0.0f;
    // instead
    // const int c = 4 * fours + t;
    // if (c < columns) dx[start + c] = x[start + c] > 0.0f ? dy[start + c] : 0.0f;
    // end solution
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """Columns that are one, two and three more than a multiple of 4; more of them than threads."""
    for more in (2, 1, 3):
        rows, columns = int(rng.integers(3, 6)), 4 * int(rng.integers(17, 40)) + more
        x, dy = rng.standard_normal((2, rows, columns), np.float32)
        dx = np.full_like(x, np.nan)
        expected = np.where(x > 0, dy, 0)
        yield Launch("relu_backward", (rows,), (64,), [x.copy(), dy.copy(), dx, columns], expected={"dx": expected})


def lacks(launch, counts):
    """Rows that begin at a multiple of 16 bytes are read and written by float4, but for their last numbers."""
    rows, columns = launch.arguments[0].shape
    aligned = sum(row * columns % 4 == 0 for row in range(rows))
    by_fours, one_by_one = -(-(columns // 4) // 32) + 1, -(-columns // 32)
    most = 3 * (aligned * by_fours + (rows - aligned) * one_by_one)
    if (requests := counts.global_loads + counts.global_stores) > most:
        return (
            f"its warps request memory {requests} times; {most} are enough where each row that begins at a multiple of "
            "16 bytes is taken by float4, in accesses of 16 bytes"
        )
    return ""


about = About(
    lesson="08_kernels",
    source="CUDA C++ Programming Guide, section on device memory accesses",
    operations=("relu",),
    points=3,
    difficulty=2,
    language="cuda",
    imports=(),
)
checks = [Kernel("relu_backward", draw, lacks=lacks)]
mistakes = [
    Mistake(
        "multiple of 8 bytes",
        "start % 4 == 0",
        "start % 2 == 0",
        "A float4 has 16 bytes, four floats: an address that is a multiple of 8 is not enough.",
    ),
    Mistake(
        "the rest of the row",
        """\
    for (int c = 4 * fours + t; c < columns; c += 64) dx""",
        """\
    const int c = 4 * fours + t;
    if (c < columns) dx""",
        "Where a row is taken one by one, more than 64 numbers are left, and each thread takes one alone: the rest of "
        "the row is never written. It needs a loop.",
    ),
    Mistake(
        "the old rest",
        "int c = 4 * fours + t;",
        "int c = columns / 4 * 4 + t;",
        "Rows that are not aligned are left out but for their last numbers: the part that goes one by one must begin "
        "where the part by float4 ended.",
    ),
    Mistake(
        "rounded up",
        "columns / 4 : 0",
        "(columns + 3) / 4 : 0",
        "Rounded up, the last float4 reaches into the next row, which another block writes.",
    ),
]
hints = [
    "Where does row 1 begin if there are 69 columns? How many bytes is that past a multiple of 16?",
    "Let `fours` be 0 for rows that begin elsewhere. Then look at what is left to go one by one.",
]
