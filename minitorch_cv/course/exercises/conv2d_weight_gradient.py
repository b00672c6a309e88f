r"""The weight gradient of a convolution, as a convolution.

With a stride of 1,

$$
y_{nopq} = b_o + \sum_{c, i, j} w_{ocij}\, x_{n,\,c,\,p+i,\,q+j},
\qquad x = 0 \text{ in the } P \text{ rows and columns of padding around the image.}
$$

A weight $w_{ocij}$ is used at every place of every image: that is what makes a convolution cheap in parameters, and it
is why AlexNet's 2.3 million convolution weights see the gradients of a whole map each. Its gradient is a sum over
images and places.

Look at that sum for a while. It slides one array over another, as the forward pass does, only that the roles have
changed: what is large, what is small; which index is summed, which numbers the result. So **write it with one call of
`conv2d`** and transpositions, and with no loop. And the bias, which enters everywhere with slope 1?
"""

# %% student
import numpy as np


def conv2d(x, weight, bias, padding):
    """y (N, O, H + 2 P - kh + 1, W + 2 P - kw + 1) of x (N, C, H, W), weight (O, C, kh, kw), bias (O,), padding P."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("ncpqij,ocij->nopq", windows, weight) + bias[:, None, None]


def conv2d_weight_gradient(dy, x, weight, bias, padding):
    """The gradients (dweight, dbias), given dy of the output's shape."""
    # begin solution
    nothing = np.zeros(dy.shape[1])
    dweight = conv2d(x.transpose(1, 0, 2, 3), dy.transpose(1, 0, 2, 3), nothing, padding)
    return dweight.transpose(1, 0, 2, 3), dy.sum(axis=(0, 2, 3))
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Kernels that are not square, with and without padding, a batch of one."""
    for N, kh, kw, padding in ((2, 3, 3, 1), (3, 2, 4, 0), (1, 1, 1, 0), (2, 3, 2, 2)):
        C, O = rng.choice(np.arange(2, 6), 2, replace=False)
        H, W = kh + rng.integers(1, 4), kw + rng.integers(1, 4)
        yield rng.standard_normal((N, C, H, W)), rng.standard_normal((O, C, kh, kw)), rng.standard_normal(O), padding
    yield rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((3, 3, 3, 3)), rng.standard_normal(3), 1


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((2, 32, 8, 9)), rng.standard_normal((64, 32, 3, 3)), rng.standard_normal(64), 1


about = About(
    lesson="01_alexnet",
    source="LeCun et al. 1989; section 6 of 00_backprop",
    operations=("conv2d", "conv2d_weight_gradient"),
    points=4,
    difficulty=2,
)
checks = [Gradient("conv2d_weight_gradient", "conv2d", draw, draw_many, wrt=("weight", "bias"))]
mistakes = [
    Mistake(
        "the kernel flipped",
        "dy.transpose(1, 0, 2, 3), nothing",
        "dy.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1], nothing",
        "Weight i meets pixel p + i, with a plus: as in the forward pass. Does anything have to be flipped?",
    ),
    Mistake(
        "the mean over the batch",
        "return dweight.transpose(1, 0, 2, 3),",
        "return dweight.transpose(1, 0, 2, 3) / len(x),",
        "One weight serves all images of the batch. Their contributions are added; a mean belongs to the loss, and is "
        "already in dy.",
    ),
    Mistake(
        "inputs and outputs exchanged",
        "return dweight.transpose(1, 0, 2, 3),",
        "return dweight,",
        "The result is numbered by c first and by o second. How is a weight numbered?",
    ),
    Mistake(
        "the padding forgotten",
        "nothing, padding)",
        "nothing, 0)",
        "The windows of the forward pass reached into the padding. Which windows does this sum see?",
    ),
    Mistake(
        "the bias of one place",
        "dy.sum(axis=(0, 2, 3))",
        "dy.sum(axis=0).mean(axis=(1, 2))",
        "The bias of a channel is added at every place of its map, not once per image.",
    ),
]
hints = [
    "$dw_{ocij} = \\sum_{n,p,q} dy_{nopq}\\, x_{n,c,p+i,q+j}$. Compare with the forward: there c, i, j were summed, "
    "here n, p, q are.",
    'So n plays the channel, dy plays the kernel, and c numbers the "images". `transpose(1, 0, 2, 3)` exchanges n with '
    "c, and n with o.",
]
