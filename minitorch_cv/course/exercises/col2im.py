r"""col2im: the adjoint of im2col.

To compute a convolution as a matrix product, `im2col` makes a column of every window of an image:

$$
X_{n,\,(c,i,j),\,(p,q)} = x_{n,\ c,\ s p + i - P,\ s q + j - P}, \qquad x = 0 \text{ outside of the image,}
$$

with stride $s$ and padding $P$; the rows $(c, i, j)$ and the columns $(p, q)$ are numbered with the last index fastest.
It copies, and nothing else. So it is linear in the image and has an adjoint, `col2im`, the one linear map for which

$$
\langle \mathrm{im2col}(x),\, Y \rangle = \langle x,\, \mathrm{col2im}(Y) \rangle
\qquad \text{for all } x \text{ and } Y .
$$

The adjoint is the backward: with $dX = W^\top dY$ from the matrix product, $dx = \mathrm{col2im}(dX)$ is the gradient
of the image. The name is misleading. Where windows overlap, it does *not* undo im2col.

Derive it from the first formula: which entries of the columns hold pixel $(h, v)$? What becomes of the entries that
hold a zero of the padding, and of a pixel that is in no window, since the stride does not divide?
"""

# %% student
import numpy as np


def col2im(columns, shape, size, stride, padding):
    """The image of this shape (N, C, H, W), given columns (N, C * kh * kw, oh * ow).

    size: (kh, kw) of the windows, of which there are oh = (H + 2 * padding - kh) // stride + 1 rows, and ow columns.
    """
    # begin solution
    (N, C, H, W), (kh, kw) = shape, size
    oh, ow = (H + 2 * padding - kh) // stride + 1, (W + 2 * padding - kw) // stride + 1
    columns = columns.reshape(N, C, kh, kw, oh, ow)
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i in range(kh):
        for j in range(kw):
            padded[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += columns[:, :, i, j]
    return padded[:, :, padding : padding + H, padding : padding + W]
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def im2col(x, size, stride, padding):
    """The windows of x (N, C, H, W) as columns: (N, C * kh * kw, oh * ow), with size (kh, kw)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))[:, :, ::stride, ::stride]
    N, C, oh, ow, kh, kw = windows.shape
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * kh * kw, oh * ow)


def draw(rng):
    """Windows apart, overlapping, with gaps; pixels left over; padding."""
    for kh, kw, stride, padding in ((2, 2, 2, 0), (3, 2, 1, 0), (3, 3, 2, 1), (2, 4, 3, 2), (1, 2, 2, 0)):
        N, C = (int(n) for n in rng.integers(1, 4, 2))
        H, W = (int(n) for n in rng.choice(np.arange(5, 9), 2, replace=False))
        columns = im2col(np.zeros((N, C, H, W)), (kh, kw), stride, padding)
        yield rng.standard_normal(columns.shape), (N, C, H, W), (kh, kw), stride, padding


about = About(
    lesson="01_alexnet",
    source="Jia 2014, Caffe; `torch.nn.functional.fold`",
    operations=("conv2d_input_gradient", "conv_transpose2d"),
    points=3,
    difficulty=2,
)
checks = [Values("col2im", draw)]
mistakes = [
    Mistake(
        "overwritten",
        "+= columns[:, :, i, j]",
        "= columns[:, :, i, j]",
        "A pixel lies in several windows. $\\langle x, \\cdot\\rangle$ on the right must hold every product that is on "
        "the left: what happens to the earlier ones here?",
    ),
    Mistake(
        "the border not cut off",
        "padded[:, :, padding : padding + H, padding : padding + W]",
        "padded[:, :, :H, :W]",
        "The image begins `padding` rows and columns inside of the padded one.",
    ),
    Mistake(
        "averaged",
        "return padded[:, :, padding",
        "times = np.zeros_like(padded)\n"
        "    for i in range(kh):\n"
        "        for j in range(kw):\n"
        "            times[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += 1\n"
        "    padded = padded / np.maximum(times, 1)\n"
        "    return padded[:, :, padding",
        "This is an inverse of im2col: it gives the image back. The adjoint is something else; put x = all ones into "
        "the formula.",
    ),
    Mistake(
        "windows without their stride",
        "padded[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]",
        "padded[:, :, i : i + oh, j : j + ow]",
        "Window (p, q) begins at pixel (s p, s q), not at (p, q).",
    ),
]
hints = [
    "Imagine im2col as a program and read it the other way: each `columns[...] = x[...]` becomes `x[...] += "
    "columns[...]`.",
    "Work on the padded image, all zeros at first, and cut the border off in the end: what has come to the padding is "
    "dropped.",
    "Loop over the window's places (i, j); all the windows together are one slice with a step.",
]
