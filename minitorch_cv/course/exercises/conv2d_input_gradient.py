r"""The input gradient of a convolution, as a convolution.

With a stride of 1 and no padding,

$$
y_{nopq} = \sum_{c, i, j} w_{ocij}\, x_{n,\,c,\,p+i,\,q+j} .
$$

(A mathematician would call this a correlation, since the kernel is not flipped.) The lesson on backpropagation gave
each window its share back, in a loop over the windows. Now collect from the other end: fix a pixel $(h, v)$ of $x$ and
ask which outputs it has entered, each with which weight. At the border there are fewer.

What you find has the form of the first line again. So the input gradient needs no loop of its own: **write it with one
call of `conv2d`**, on arrays made of dy and the weight by padding, flipping and transposing. Kernels need not be
square, and the number of channels changes: dx has that of x.

This is why one fast convolution is enough for a whole network, and why a "transposed convolution" is one, too.
"""

# %% student
import numpy as np


def conv2d(x, weight):
    """y (N, O, H - kh + 1, W - kw + 1) of x (N, C, H, W) and weight (O, C, kh, kw)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("ncpqij,ocij->nopq", windows, weight)


def conv2d_input_gradient(dy, x, weight):
    """The gradient of x, (N, C, H, W), given dy of the output's shape."""
    # begin solution
    kh, kw = weight.shape[2:]
    padded = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return conv2d(padded, turned)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Kernels that are not square; an image as small as the kernel; as many outputs as channels once."""
    for kh, kw in ((3, 3), (2, 4), (4, 1)):
        N = int(rng.integers(1, 3))
        C, O = rng.choice(np.arange(1, 5), 2, replace=False)
        H, W = kh + rng.integers(1, 4), kw + rng.integers(0, 4)
        yield rng.standard_normal((N, C, H, W)), rng.standard_normal((O, C, kh, kw))
    yield rng.standard_normal((2, 3, 3, 2)), rng.standard_normal((4, 3, 3, 2))
    yield rng.standard_normal((1, 3, 5, 5)), rng.standard_normal((3, 3, 3, 3))


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((8, 8, 32, 34)), rng.standard_normal((6, 8, 3, 3))


about = About(
    lesson="01_alexnet",
    source="LeCun et al. 1989; section 6 of 00_backprop",
    operations=("conv2d", "conv2d_input_gradient"),
    points=4,
    difficulty=2,
)
checks = [Gradient("conv2d_input_gradient", "conv2d", draw, draw_many, wrt=("x",))]
mistakes = [
    Mistake(
        "the kernel not flipped",
        "weight[:, :, ::-1, ::-1].transpose",
        "weight.transpose",
        "Pixel $h$ met weight $i$ in output $p = h - i$: the larger $i$, the *smaller* $p$. In `conv2d` the larger "
        "$i$, the larger the pixel. What has to be done to the kernel?",
    ),
    Mistake(
        "flipped along one axis",
        "weight[:, :, ::-1, ::-1]",
        "weight[:, :, ::-1]",
        "Rows and columns alike: $p = h - i$ and $q = v - j$.",
    ),
    Mistake(
        "channels flipped, too",
        "weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)",
        "weight[:, ::-1, ::-1, ::-1].transpose(1, 0, 2, 3)",
        "The channels have no direction in space: in which order does dx need them?",
    ),
    Mistake(
        "channels not exchanged",
        "turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)",
        "turned = weight[:, :, ::-1, ::-1]",
        "On the way back the sum runs over the *outputs* o, and what comes out is numbered by c. Which axis of its "
        "weight does `conv2d` sum over?",
    ),
    Mistake(
        "no padding",
        "(kh - 1, kh - 1), (kw - 1, kw - 1)",
        "(0, 0), (0, 0)",
        "dx is larger than dy. How many rows of zeros does dy need at each side, so that `conv2d` gives (H, W)?",
    ),
]
hints = [
    "Pixel h enters output p with weight i just when p + i = h. Write p in terms of h and i.",
    "$dx_{nchv} = \\sum_{o,i,j} dy_{n,o,h-i,v-j}\\, w_{ocij}$, where dy is 0 outside. To have a plus in place of the "
    "minus, number the kernel from its other end: $i' = k_h - 1 - i$.",
    "Pad dy by $k_h - 1$ and $k_w - 1$ on each side, turn each kernel by 180 degrees, and exchange its first two axes.",
]
