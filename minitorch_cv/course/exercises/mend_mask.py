r"""Mend a kernel: global average pooling, with shuffles that lanes do not come to.

The kernel below gives y[p] = the mean of the pixels of plane p, for `planes` planes of `pixels` numbers each. A warp
takes one plane: its 32 lanes add up a part each, and then the parts are added by shuffles, without shared memory, so
that lane 0 has the sum.

Somebody remembered the tree in shared memory, where half of the threads add in each round. With shuffles it goes wrong.
Run the check to see why, and mend the kernel; the parts are still to be added by shuffles.

    __shfl_down_sync(mask, value, delta)   the value of the lane that is `delta` further on

Launch: block (128), grid (planes / 4, rounded up).
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(128) average_pool(const float* x, float* y, int planes, int pixels) {
    const int plane = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (plane >= planes) return;  // a whole warp
    float sum = 0.0f;
    for (int i = lane; i < pixels; i += 32) sum += x[plane * pixels + i];
    for (int half = 16; half > 0; half /= 2) {
        // begin solution
        sum += __shfl_down_sync(0xffffffffu, sum, half);
        // instead
        // if (lane < half) sum += __shfl_down_sync(0xffffffffu, sum, half);
        // end solution
    }
    if (lane == 0) y[plane] = sum / pixels;
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """Planes of 7 x 7 pixels as in ResNet, of fewer pixels than lanes, and of many."""
    for pixels in (49, int(rng.integers(5, 31)), int(rng.integers(65, 300))):
        planes = 4 * int(rng.integers(1, 3)) + int(rng.integers(1, 4))
        x, y = rng.standard_normal((planes, pixels), np.float32) + np.float32(1), np.full(planes, np.nan, np.float32)
        grid = (-(-planes // 4),)
        yield Launch("average_pool", grid, (128,), [x, y, planes, pixels], expected={"y": x.mean(1, dtype=float)})


about = About(
    lesson="08_kernels",
    source="CUDA C++ Programming Guide, section on warp shuffle functions",
    operations=("avg_pool2d",),
    points=2,
    difficulty=2,
    language="cuda",
    imports=(),
)
checks = [Kernel("average_pool", draw)]
mistakes = [
    Mistake(
        "a narrower mask",
        "        sum += __shfl_down_sync(0xffffffffu, sum, half);",
        "        if (lane < half) sum += __shfl_down_sync((1u << half) - 1, sum, half);",
        "With the mask of the lanes that add, the lanes that are read from are not in it. Who is read from has to "
        "come, too.",
    ),
    Mistake(
        "both halves",
        "        sum += __shfl_down_sync(0xffffffffu, sum, half);",
        "        if (lane < 2 * half) sum += __shfl_down_sync(0xffffffffu, sum, half);",
        "The mask names all 32 lanes, so all 32 must come: after the first round the upper ones are missing again. Let "
        "them all take part in each round; what the upper ones add is not used.",
    ),
    Mistake(
        "every lane stores",
        "    if (lane == 0) y[plane]",
        "    y[plane]",
        "Only lane 0 has the whole sum. If all lanes store, who comes last decides.",
    ),
    Mistake(
        "a round too few",
        "int half = 16;",
        "int half = 8;",
        "32 lanes need five rounds: 16, 8, 4, 2 and 1 lanes further on.",
    ),
]
hints = [
    "Which lanes come to the shuffle in the first round, and which does its mask name?",
    "A lane that is read from must come to the shuffle as well. Does it harm if the upper lanes add, too?",
]
