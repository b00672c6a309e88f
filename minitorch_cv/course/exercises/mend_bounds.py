r"""Mend a kernel: max pooling, one step too far.

The kernel below is the max pooling of ResNet's stem: windows of 3 x 3 pixels, 2 apart, with a border of 1 around the
picture that never wins. For planes of height x width pixels it gives planes of tall x wide, tall = (height - 1) / 2 + 1
and wide = (width - 1) / 2 + 1, rounded down. Each thread finds one number of y; there are `outputs` of them, over all
planes.

Some of its tests let one too many pass. On a GPU it would read another array's memory without a word, mostly, and end
the program now and then. Run the check to see where, and mend all of them. How it is launched stays as it is.

Launch: block (64), grid (outputs / 64, rounded up).
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(64)
max_pool(const float* x, float* y, int height, int width, int outputs) {
    const int tall = (height - 1) / 2 + 1, wide = (width - 1) / 2 + 1;
    const int i = blockIdx.x * 64 + threadIdx.x;
    // begin solution
    if (i >= outputs) return;
    // instead
    // if (i > outputs) return;
    // end solution
    const int top = 2 * (i / wide % tall) - 1, left = 2 * (i % wide) - 1;
    const float* plane = x + i / (tall * wide) * height * width;
    float largest = -INFINITY;
    for (int r = top; r < top + 3; ++r) {
        for (int c = left; c < left + 3; ++c) {
            // begin solution
            const bool inside = r >= 0 && r < height && c >= 0 && c < width;
            // instead
            // const bool inside = r >= 0 && r <= height && c >= 0 && c <= width;
            // end solution
            largest = fmaxf(largest, inside ? plane[r * width + c] : -INFINITY);
        }
    }
    y[i] = largest;
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """Pictures of odd and even sides, so that the last window reaches outside below, on the right, and both."""
    for odd_height, odd_width in ((1, 1), (0, 1), (1, 0)):
        planes = int(rng.integers(2, 4))
        height, width = 2 * int(rng.integers(3, 6)) + odd_height, 2 * int(rng.integers(3, 6)) + odd_width
        x = rng.standard_normal((planes, height, width), np.float32) - np.float32(1)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        expected = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2].max((3, 4))
        if expected.size % 64 == 0:
            continue  # no surplus thread: one test could not fail
        y = np.full_like(expected, np.nan)
        grid = (-(-y.size // 64),)
        yield Launch("max_pool", grid, (64,), [x, y, height, width, y.size], expected={"y": expected})


about = About(
    lesson="08_kernels",
    source="He, Zhang, Ren and Sun 2016, table 1",
    operations=("max_pool2d",),
    points=2,
    difficulty=1,
    language="cuda",
    imports=(),
)
checks = [Kernel("max_pool", draw)]
mistakes = [
    Mistake(
        "rows",
        "r < height",
        "r <= height",
        "The rows of a plane are numbered 0 to height - 1: row `height` belongs to the next plane, or to nobody.",
    ),
    Mistake(
        "columns",
        "c < width",
        "c <= width",
        "The columns are numbered 0 to width - 1: column `width` is the first pixel of the next row. The simulator "
        "finds it at the end of the array alone; elsewhere it is a wrong number.",
    ),
    Mistake(
        "outputs",
        "i >= outputs",
        "i > outputs",
        "The numbers of y are 0 to outputs - 1: thread `outputs` has none to find.",
    ),
    Mistake(
        "border of zeros",
        ": -INFINITY);",
        ": 0.0f);",
        "Where the window reaches outside, nothing may win. A zero wins over pixels that are all negative.",
    ),
]
hints = [
    "There are three sizes that an index is tested against. Try each with the smallest index that is too large.",
    "A test `i > n` lets i = n pass, but the last of n elements is n - 1.",
]
