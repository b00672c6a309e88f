r"""Mend a kernel: a linear layer that does not wait for its copies.

The kernel below gives y = W x: y[o] = sum over i of W[o][i] x[i], W of outputs x inputs. A block has 64 threads, and
each of them finds one number of y. x passes through shared memory in tiles of 256 numbers: while one tile is used,
cp.async fetches the next into the other half of `tile`. Each thread copies 4 numbers of a tile, and needs all 256 of
them. The inputs are a multiple of 4; beyond the last one cp_async16 writes zeros, where its last argument is false.

    cp_async16(to, from, valid)   begins to copy 16 bytes, in the background
    cp_async_commit()             makes a group of the thread's copies so far that are in none
    cp_async_wait<N>()            waits until at most N of this thread's own groups are under way

Run the check to see what is read too early, and mend the kernel. The next tile must still be fetched while the present
one is used.

Launch: block (64), grid (outputs / 64, rounded up).
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(64)
linear(const float* W, const float* x, float* y, int outputs, int inputs) {
    __shared__ __align__(16) float tile[2][256];
    const int t = threadIdx.x, o = blockIdx.x * 64 + t;
    const int tiles = (inputs + 255) / 256;
    float sum = 0.0f;
    cp_async16(&tile[0][4 * t], &x[4 * t], 4 * t < inputs);
    cp_async_commit();
    for (int k = 0; k < tiles; ++k) {
        const int next = 256 * (k + 1) + 4 * t;
        // begin solution
        if (k + 1 < tiles) cp_async16(&tile[(k + 1) % 2][4 * t], &x[next], next < inputs);
        cp_async_commit();  // of the last turn an empty group, so that the count is right
        cp_async_wait<1>();
        __syncthreads();  // the copies of the other threads have come, too
        // instead
        // if (k + 1 < tiles) {
        //     cp_async16(&tile[(k + 1) % 2][4 * t], &x[next], next < inputs);
        //     cp_async_commit();
        // }
        // __syncthreads();
        // cp_async_wait<1>();
        // end solution
        for (int i = 256 * k; o < outputs && i < 256 * (k + 1) && i < inputs; ++i) {
            sum += W[o * inputs + i] * tile[k % 2][i % 256];
        }
        __syncthreads();  // all have used this tile: it may be written again
    }
    if (o < outputs) y[o] = sum;
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """One tile, two and three, the last of which is not full."""
    for tiles in (1, 2, 3):
        outputs, inputs = int(rng.integers(65, 100)), 256 * tiles - 4 * int(rng.integers(1, 50))
        W, x = rng.standard_normal((outputs, inputs), np.float32), rng.standard_normal(inputs, np.float32)
        y = np.full(outputs, np.nan, np.float32)
        expected = W.astype(float) @ x
        yield Launch("linear", (2,), (64,), [W, x, y, outputs, inputs], expected={"y": expected})


about = About(
    lesson="08_kernels",
    source="CUDA C++ Programming Guide, section on asynchronous copies",
    operations=("linear",),
    points=4,
    difficulty=3,
    language="cuda",
    imports=(),
)
checks = [Kernel("linear", draw)]
mistakes = [
    Mistake(
        "barrier before the wait",
        """\
        cp_async_wait<1>();
        __syncthreads();  // the""",
        """\
        __syncthreads();
        cp_async_wait<1>();  // the""",
        "Each thread waits for its own copies. The barrier tells it of those of the others, so it comes after the "
        "wait: first my copies have come, then everybody's.",
    ),
    Mistake(
        "the last tile",
        """\
        if (k + 1 < tiles) cp_async16(&tile[(k + 1) % 2][4 * t], &x[next], next < inputs);
        cp_async_commit();""",
        """\
        if (k + 1 < tiles) {
            cp_async16(&tile[(k + 1) % 2][4 * t], &x[next], next < inputs);
            cp_async_commit();
        }""",
        "In the last turn no group is added, and cp_async_wait<1>() allows the only one that is left to be under way. "
        "Commit an empty group there, or wait for 0.",
    ),
    Mistake(
        "no barrier after the wait",
        "        __syncthreads();  // the copies of the other threads have come, too\n",
        "",
        "The wait is for the thread's own copies alone. Of the 256 numbers, 252 are copied by others: a barrier after "
        "the wait is needed.",
    ),
    Mistake(
        "two groups under way",
        "cp_async_wait<1>()",
        "cp_async_wait<2>()",
        "cp_async_wait<N>() allows N groups to be under way. Two have been committed: that of this tile, and that of "
        "the next. Only the next may still be on its way.",
    ),
]
hints = [
    "Go through the first turn of the loop with a single tile: which groups are under way when tile[0] is used?",
    "Two things are wrong: how many groups are waited for in the last turn, and whose copies have come when a thread "
    "goes on.",
]
