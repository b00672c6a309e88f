r"""Make a kernel fast: from channels first to channels last.

The kernel below turns pictures from the order images, channels, pixels (PyTorch's NCHW) to images, pixels, channels
(NHWC, which tensor cores prefer): y[n][p][c] = x[n][c][p]. It is right, and slow: neighbouring threads read
neighbouring numbers, but what they write lies `channels` numbers apart. Global memory is served in sectors of 32 bytes,
and of each sector that is written only 4 bytes are used.

Let a block read its tile of 32 x 32 numbers into shared memory, and write it from there, so that neighbouring threads
write neighbouring numbers, too. The check counts: all sectors of x and y may be touched once, and no request of shared
memory may wait for a bank that another lane of its warp keeps busy (there are 32 banks; numbers that lie a multiple of
32 apart share one). Channels and pixels are multiples of 8, not of 32.

Launch: block (32, 8), grid (pixels / 32, channels / 32, images), rounded up.
"""

# %% student
kernel = r"""
extern "C" __global__ void __launch_bounds__(256) channels_last(const float* x, float* y, int channels, int pixels) {
    const float* image = x + blockIdx.z * channels * pixels;
    float* turned = y + blockIdx.z * channels * pixels;
    // begin solution
    __shared__ float tile[32][33];  // a number more in each row: a column lies in 32 different banks
    for (int r = threadIdx.y; r < 32; r += 8) {
        const int p = blockIdx.x * 32 + threadIdx.x, c = blockIdx.y * 32 + r;
        if (p < pixels && c < channels) tile[r][threadIdx.x] = image[c * pixels + p];
    }
    __syncthreads();
    for (int r = threadIdx.y; r < 32; r += 8) {
        const int p = blockIdx.x * 32 + r, c = blockIdx.y * 32 + threadIdx.x;
        if (p < pixels && c < channels) turned[p * channels + c] = tile[threadIdx.x][r];
    }
    // instead
    // for (int r = threadIdx.y; r < 32; r += 8) {
    //     const int p = blockIdx.x * 32 + threadIdx.x, c = blockIdx.y * 32 + r;
    //     if (p < pixels && c < channels) turned[p * channels + c] = image[c * pixels + p];
    // }
    // end solution
}
"""

# %% checks
import numpy as np

from minitorch_cv.course.exercise import About, Mistake
from minitorch_cv.course.kernel_checks import Kernel
from minitorch_cv.kernels.simulator.harness import Launch


def draw(rng):
    """Channels or pixels that end within a tile, and full tiles."""
    for channels, pixels in ((64, 40), (24, 64), (8 * int(rng.integers(5, 8)), 8 * int(rng.integers(5, 8)))):
        x = rng.standard_normal((int(rng.integers(1, 3)), channels, pixels), np.float32)
        y = np.full((len(x), pixels, channels), np.nan, np.float32)
        grid = (-(-pixels // 32), -(-channels // 32), len(x))
        expected = {"y": x.transpose(0, 2, 1)}
        yield Launch("channels_last", grid, (32, 8), [x, y, channels, pixels], expected=expected)


def lacks(launch, counts):
    """Every sector once, and no bank conflicts."""
    sectors, least = counts.global_load_sectors + counts.global_store_sectors, 2 * launch.arguments[0].nbytes // 32
    if sectors > least:
        return f"its loads and stores take {sectors} sectors of 32 bytes; x and y together have {least}"
    if counts.shared_wavefronts > counts.shared_accesses:
        return (
            f"{counts.shared_accesses} requests of shared memory take {counts.shared_wavefronts} cycles where one for "
            "each would do: lanes want different numbers of the same bank"
        )
    return ""


about = About(
    lesson="08_kernels",
    source="CUDA C++ Best Practices Guide, section on shared memory in a transposition",
    points=4,
    difficulty=3,
    language="cuda",
    imports=(),
)
checks = [Kernel("channels_last", draw, lacks=lacks)]
mistakes = [
    Mistake(
        "bank conflicts",
        "tile[32][33]",
        "tile[32][32]",
        "A column of a tile with 32 numbers in a row lies in one bank. With one number more in each row, unused, it "
        "lies in 32 banks.",
    ),
    Mistake(
        "written as before",
        """\
        const int p = blockIdx.x * 32 + r, c = blockIdx.y * 32 + threadIdx.x;
        if (p < pixels && c < channels) turned[p * channels + c] = tile[threadIdx.x][r];""",
        """\
        const int p = blockIdx.x * 32 + threadIdx.x, c = blockIdx.y * 32 + r;
        if (p < pixels && c < channels) turned[p * channels + c] = tile[r][threadIdx.x];""",
        "The tile is in shared memory now, but it is written as before: threadIdx.x still counts pixels. For the store "
        "it should count channels, which lie next to each other in y.",
    ),
    Mistake(
        "the guard of the load",
        """\
        if (p < pixels && c < channels) turned""",
        """\
        if (blockIdx.x * 32 + threadIdx.x < pixels && blockIdx.y * 32 + r < channels) turned""",
        "For the store threadIdx.x counts channels and r pixels: the test of the sizes has to be turned, too.",
    ),
    Mistake(
        "no barrier",
        "    __syncthreads();\n",
        "",
        "A thread writes what others have read into the tile: between the two loops a barrier is needed.",
    ),
]
hints = [
    "In which order should the threads of a warp go through the tile when they write, so that y's addresses are "
    "neighbours? They read columns of the tile then.",
    "Two loops with a barrier between them: threadIdx.x counts pixels in the first, and channels in the second.",
]
