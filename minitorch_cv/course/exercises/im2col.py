r"""im2col: a convolution as a matrix product.

Take every window of the image, make a column of it, and put the columns side by side. Then

$$
Y_{o\ell} = \sum_{r} W_{or}\, X_{r\ell}, \qquad r = (c, i, j), \quad \ell = (p, q), \qquad
X_{(c,i,j),(p,q)} = x_{c,\ s p + i - P,\ s q + j - P},
$$

with stride $s$ and padding $P$ (x is zero outside of the image). One matrix product computes a whole layer; that is how
Caffe ran AlexNet, and it is the readable way to a fast convolution still. The price is memory: where windows overlap, a
pixel is copied up to $k^2 / s^2$ times.

The rows are numbered as the weight's entries are: first the channel, then the window's row, then its column, so that
`weight.reshape(O, -1)` fits. The columns are numbered as the output's pixels are, row by row. Windows need not be
square. Where the stride does not divide, the pixels left over at the right and at the bottom are in no window.
"""

# %% student
import numpy as np


def im2col(x, size, stride, padding):
    """The windows of x (N, C, H, W) as columns: (N, C * kh * kw, oh * ow), with size (kh, kw).

    oh = (H + 2 * padding - kh) // stride + 1 is the number of rows of the output, ow in the same way of its columns.
    """
    # begin solution
    kh, kw = size
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    N, C, H, W = x.shape
    oh, ow = (H - kh) // stride + 1, (W - kw) // stride + 1
    columns = np.empty((N, C, kh, kw, oh, ow))
    for i in range(kh):
        for j in range(kw):
            columns[:, :, i, j] = x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return columns.reshape(N, C * kh * kw, oh * ow)
    # end solution


def conv2d(x, weight, stride, padding):
    """The convolution of x (N, C, H, W) with weight (O, C, kh, kw), by means of im2col."""
    # begin solution
    N, _, H, W = x.shape
    O, _, kh, kw = weight.shape
    oh, ow = (H + 2 * padding - kh) // stride + 1, (W + 2 * padding - kw) // stride + 1
    y = weight.reshape(O, -1) @ im2col(x, (kh, kw), stride, padding)
    return y.reshape(N, O, oh, ow)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def plans(rng):
    """Size of the window, stride, padding; and an image that they fit."""
    for kh, kw, stride, padding in ((3, 2, 1, 0), (3, 3, 2, 1), (2, 4, 3, 2), (1, 1, 2, 0)):
        N, C = (int(n) for n in rng.integers(1, 4, 2))
        H, W = (int(n) for n in rng.choice(np.arange(5, 9), 2, replace=False))
        yield rng.standard_normal((N, C, H, W)), (kh, kw), stride, padding


def draw_products(rng):
    """The same with weights."""
    for x, size, stride, padding in plans(rng):
        yield x, rng.standard_normal((int(rng.integers(2, 5)), x.shape[1], *size)), stride, padding


about = About(
    lesson="01_alexnet",
    source="Chellapilla, Puri and Simard 2006; Jia 2014, Caffe",
    operations=("conv2d",),
    points=4,
    difficulty=2,
)
checks = [Values("im2col", plans, share=2), Values("conv2d", draw_products)]
mistakes = [
    Mistake(
        "the window before the channel",
        "columns.reshape(N, C * kh * kw, oh * ow)",
        "columns.transpose(0, 2, 3, 1, 4, 5).reshape(N, C * kh * kw, oh * ow)",
        "The rows have to be numbered as the weight's entries are, (C, kh, kw) read in this order. Which axis is the "
        "slowest there?",
    ),
    Mistake(
        "rows and columns of the window",
        "columns[:, :, i, j] = x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]",
        "columns.reshape(N, C, kw, kh, oh, ow)[:, :, j, i] = "
        "x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]",
        "Within a window the row counts before the column.",
    ),
    Mistake(
        "the padding at one side",
        "((0, 0), (0, 0), (padding, padding), (padding, padding))",
        "((0, 0), (0, 0), (0, 2 * padding), (0, 2 * padding))",
        "The zeros lie all around the image. Which pixel does the first window begin at?",
    ),
    Mistake(
        "pixels before windows",
        "columns.reshape(N, C * kh * kw, oh * ow)",
        "columns.swapaxes(4, 5).reshape(N, C * kh * kw, oh * ow)",
        "The columns are numbered as the output's pixels are: row by row.",
    ),
    Mistake(
        "neighbours in place of strides",
        "x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]",
        "x[:, :, i : i + oh, j : j + ow]",
        "Neighbouring windows lie `stride` pixels apart. Which pixels meet entry (i, j) of the window, one from each?",
    ),
]
hints = [
    "Loop over the window's places (i, j), not over the output's pixels: there are few of them.",
    "For a fixed (i, j), the pixels that all the windows have there are one slice of the padded image, with a step.",
    "Keep six axes, (N, C, kh, kw, oh, ow), and reshape at the very end.",
]
