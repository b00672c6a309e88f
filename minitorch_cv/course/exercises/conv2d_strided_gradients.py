r"""A convolution with stride, padding and dilation: all three gradients.

AlexNet's first layer has a stride of 4, so that neighbouring windows begin four pixels apart; with padding the image is
framed by zeros, and with dilation the pixels that a window takes lie apart. Altogether, with $x = 0$ outside,

$$
y_{nopq} = b_o + \sum_{c, i, j} w_{ocij}\, x_{n,\ c,\ s_h p + d i - P_h,\ s_w q + d j - P_w} .
$$

Stride and padding may differ between rows and columns, as in `torch.nn.functional.conv2d`.

Collect the terms as for a stride of 1: a weight enters at every image and place; a pixel enters wherever a window takes
it. That is no longer the same for all pixels. With a stride of 2 a pixel may be taken by four windows of 3 x 3, by two,
or by one; at a stride larger than the window some are taken by none; and rows that are left over since the stride does
not divide are never seen. If you go through the windows as the forward pass does, all this comes out by itself.
"""

# %% student
import numpy as np


def conv2d(x, weight, bias, stride, padding, dilation):
    """y (N, O, oh, ow) of x (N, C, H, W), weight (O, C, kh, kw), bias (O,); stride and padding (rows, columns)."""
    (kh, kw), (sh, sw), (ph, pw) = weight.shape[2:], stride, padding
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    reach = dilation * (kh - 1) + 1, dilation * (kw - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    windows = windows[:, :, ::sh, ::sw, ::dilation, ::dilation]
    return np.einsum("ncpqij,ocij->nopq", windows, weight) + bias[:, None, None]


def conv2d_backward(dy, x, weight, bias, stride, padding, dilation):
    """The gradients (dx, dweight, dbias), given dy (N, O, oh, ow)."""
    # begin solution
    (H, W), (kh, kw), (sh, sw), (ph, pw) = x.shape[2:], weight.shape[2:], stride, padding
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for p, q in np.ndindex(*dy.shape[2:]):
        rows = slice(sh * p, sh * p + dilation * kh, dilation)
        columns = slice(sw * q, sw * q + dilation * kw, dilation)
        dweight += np.einsum("no,ncij->ocij", dy[:, :, p, q], x[:, :, rows, columns])
        dx[:, :, rows, columns] += np.einsum("no,ocij->ncij", dy[:, :, p, q], weight)
    return dx[:, :, ph : ph + H, pw : pw + W], dweight, dy.sum(axis=(0, 2, 3))
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """AlexNet's first layer in small; rows left over; strides that differ; gaps; dilation."""
    for N, kernel, stride, padding, dilation in (
        (3, (3, 3), (2, 2), (0, 0), 1),
        (1, (2, 3), (1, 2), (1, 2), 1),
        (2, (2, 2), (3, 3), (1, 0), 1),
        (2, (3, 2), (2, 1), (2, 1), 2),
    ):
        C, O = (int(n) for n in rng.choice(np.arange(1, 4), 2, replace=False))
        H, W = (int(n) for n in rng.choice(np.arange(5, 8), 2, replace=False))
        x, weight = rng.standard_normal((N, C, H, W)), rng.standard_normal((O, C, *kernel))
        yield x, weight, rng.standard_normal(O), stride, padding, dilation


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (
        rng.standard_normal((4, 6, 48, 50)),
        rng.standard_normal((8, 6, 5, 5)),
        rng.standard_normal(8),
        (2, 3),
        (2, 1),
        1,
    )


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, section 3.5; section 6 of 00_backprop",
    operations=("conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"),
    points=6,
    difficulty=3,
)
checks = [Gradient("conv2d_backward", "conv2d", draw, draw_many)]
mistakes = [
    Mistake(
        "overwritten",
        "dx[:, :, rows, columns] += np",
        "dx[:, :, rows, columns] = np",
        "Where windows overlap, a pixel is taken more than once. What becomes of what it got first?",
    ),
    Mistake(
        "the frame not cut off",
        "dx[:, :, ph : ph + H, pw : pw + W]",
        "dx[:, :, :H, :W]",
        "This dx belongs to the framed image. Where in it does the image begin?",
    ),
    Mistake(
        "the bias's mean",
        "dy.sum(axis=(0, 2, 3))",
        "dy.sum(axis=(2, 3)).mean(axis=0)",
        "The bias enters at every place of every image, and each sends its part back.",
    ),
    Mistake(
        "the stride forgotten on the way back",
        "        dx[:, :, rows, columns] += np",
        "        rows = slice(p, p + dilation * kh, dilation)\n"
        "        columns = slice(q, q + dilation * kw, dilation)\n"
        "        dx[:, :, rows, columns] += np",
        "The forward pass took window (p, q) from somewhere else than where you put its gradient.",
    ),
    Mistake(
        "the kernel flipped",
        "dy[:, :, p, q], weight)",
        "dy[:, :, p, q], weight[:, :, ::-1, ::-1])",
        "Here each window gets its share back directly: weight (i, j) belongs to the very pixel that it met.",
    ),
    Mistake(
        "no dilation in the weight's gradient",
        "x[:, :, rows, columns])",
        "x[:, :, rows.start : rows.start + kh, columns.start : columns.start + kw])",
        "With dilation a window takes every d-th pixel. The weight's gradient sees the same pixels as the weight.",
    ),
]
hints = [
    "Frame the image by zeros first, and work on the frame and all; cut dx out of it in the end.",
    "For output (p, q), which rows of the framed image does the window take? One `slice` with start, stop and step "
    "says it. Use that same slice for both gradients.",
    "dweight collects dy times the window, summed over the images; dx's window collects dy times the weight, summed "
    "over the outputs: two calls of `np.einsum`.",
]
