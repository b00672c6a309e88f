r"""Memory layouts: strides, and the pieces of a window.

An array of shape (N, C, H, W) is a table of contents; memory is one line of bytes. The **strides** say how many bytes
lie between neighbours along each axis:

$$
\text{address}(n, c, h, w) = \text{base} + n\, S_N + c\, S_C + h\, S_H + w\, S_W .
$$

The same shape may lie in memory in many orders. *Channels first* is NCHW: w runs fastest, then h. *Channels last* is
NHWC: c runs fastest. `x.transpose(0, 3, 1, 2)` of an NHWC array is a view with NCHW's shape and channels-last strides,
and that is what this package's activations are.

Why it matters: a window of a convolution takes all channels of $k_h \times k_w$ pixels. Memory delivers neighbours
together, so what counts is in how many contiguous pieces these numbers lie.

Write

- `strides`: those of an NCHW shape whose memory is dense in a given order, from the slowest axis to the fastest;
- `pieces`: the number of contiguous pieces that a window of one image consists of, for *any* strides; two numbers
  belong to the same piece if they lie one `itemsize` apart.

For 3 x 3 windows of 64 channels in the middle of an image: NCHW has 192 pieces, NHWC has 3. When is it 1?
"""

# %% student
import numpy as np


def strides(shape, order, itemsize):
    """The strides in bytes, in the order of the shape (N, C, H, W). order: such as "NHWC", the fastest axis last."""
    # begin solution
    found, step = {}, itemsize
    for axis in reversed(order):
        found[axis] = step
        step *= shape["NCHW".index(axis)]
    return tuple(found[axis] for axis in "NCHW")
    # end solution


def pieces(channels, window, strides, itemsize):
    """How many contiguous pieces a window (kh, kw) over all channels has in memory; strides (S_N, S_C, S_H, S_W)."""
    # begin solution
    _, S_C, S_H, S_W = strides
    c, h, w = np.ogrid[:channels, : window[0], : window[1]]
    addresses = np.sort((c * S_C + h * S_H + w * S_W).ravel())
    return 1 + int((np.diff(addresses) != itemsize).sum())
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake

ORDERS = ("NCHW", "NHWC", "CHWN", "HWNC", "NHCW", "WHCN", "NWHC")


def draw_strides(rng):
    """Several orders and sizes of a number."""
    for order, itemsize in zip(rng.permutation(ORDERS)[:5], (4, 8, 2, 4, 1)):
        yield tuple(int(n) for n in rng.permutation(np.arange(2, 9))[:4]), str(order), itemsize


def draw(rng):
    """Both usual layouts, a window as wide as the image, one as large as it, one row; other orders; views with gaps."""
    for order, fill in (("NCHW", 0), ("NHWC", 0), ("NHWC", 1), ("NCHW", 1), ("NCHW", 2), ("NHCW", 0), ("NWHC", 0)):
        N, C, H, W = (int(n) for n in rng.permutation(np.arange(5, 13))[:4])
        window = [int(n) for n in rng.integers(2, 5, 2)]
        window[2 - fill :] = (H, W)[2 - fill :]
        yield C, tuple(window), strides((N, C, H, W), order, 4), 4
    whole = strides((2, 12, 9, 7), "NHWC", 8)
    yield int(rng.integers(3, 8)), (2, int(rng.integers(3, 6))), whole, 8  # some of the channels
    S_N, S_C, S_H, S_W = strides((2, 5, 8, 9), "NCHW", 8)
    yield 5, (int(rng.integers(2, 5)), int(rng.integers(2, 5))), (S_N, S_C, S_H, 2 * S_W), 8  # every other column


about = About(
    lesson="09_fast_cpu",
    source="section 6 of the lesson; NumPy's `ndarray.strides`",
    points=3,
    difficulty=2,
)
checks = [Values("strides", draw_strides), Values("pieces", draw)]
mistakes = [
    Mistake(
        "counted in numbers",
        "found, step = {}, itemsize",
        "found, step = {}, 1",
        "Strides are in bytes.",
    ),
    Mistake(
        "the slowest first",
        "for axis in reversed(order):",
        "for axis in order:",
        "Which axis has neighbours that lie side by side, the first of the order or the last?",
    ),
    Mistake(
        "in the order of memory",
        'return tuple(found[axis] for axis in "NCHW")',
        "return tuple(found[axis] for axis in order)",
        "The strides belong to the axes of the shape, and are listed as these are, whatever memory looks like.",
    ),
    Mistake(
        "a formula for channels last",
        "return 1 + int((np.diff(addresses) != itemsize).sum())",
        "return window[0] if S_C < S_W else channels * window[0]",
        "This is right for two layouts and windows in the middle of an image. If a window is as wide as the image, "
        "does one of its rows end where the next begins?",
    ),
    Mistake(
        "not sorted",
        "np.sort((c * S_C + h * S_H + w * S_W).ravel())",
        "(c * S_C + h * S_H + w * S_W).ravel()",
        "Memory does not care in which order you list the numbers. Put the addresses into its own order first.",
    ),
    Mistake(
        "the gaps counted",
        "return 1 + int(",
        "return int(",
        "One gap makes two pieces.",
    ),
]
hints = [
    "The fastest axis has a stride of one number. Every next slower one: the stride of the faster, times its length.",
    "List the addresses of all numbers of the window, sort them, and look where neighbours are further apart than one "
    "number.",
]
