r"""Convolution in groups: AlexNet's two halves, and depthwise convolution.

AlexNet was trained on two GPUs, and in its layers 2, 4 and 5 each half of the outputs sees only the half of the
channels that lies on its own GPU. In general the $C$ channels and the $O$ outputs are cut into $G$ groups of
neighbours, and each group is a convolution by itself:

$$
y_{nopq} = \sum_{c=0}^{C/G - 1} \sum_{i, j} w_{ocij}\ x_{n,\ g(o)\, C/G + c,\ p + i,\ q + j},
\qquad g(o) = \Big\lfloor \frac{o}{O / G} \Big\rfloor .
$$

The weight has shape $(O,\ C/G,\ k_h,\ k_w)$: in it, c counts the channels *of the group*. $G = 1$ is the usual
convolution. With $G = C$ every channel has filters of its own, possibly several: that is a depthwise convolution, of
which MobileNet and ConvNeXt are made.

Derive dx and dweight. Which channels does an output see? Which outputs see a channel? The two need not be equally many.
"""

# %% student
import numpy as np


def conv2d(x, weight, groups):
    """y (N, O, H - kh + 1, W - kw + 1) of x (N, C, H, W) and weight (O, C / groups, kh, kw)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    y = [
        np.einsum("ncpqij,ocij->nopq", its_windows, its_weight)
        for its_windows, its_weight in zip(np.split(windows, groups, axis=1), np.split(weight, groups))
    ]
    return np.concatenate(y, axis=1)


def conv2d_backward(dy, x, weight, groups):
    """The gradients (dx, dweight), given dy of the output's shape."""
    # begin solution
    (oh, ow), (O, c, kh, kw) = dy.shape[2:], weight.shape
    o = O // groups
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for g in range(groups):
        channels, outputs = slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)
        for i, j in np.ndindex(kh, kw):
            met = np.s_[:, channels, i : i + oh, j : j + ow]
            dweight[outputs, :, i, j] = np.einsum("nopq,ncpq->oc", dy[:, outputs], x[met])
            dx[met] += np.einsum("nopq,oc->ncpq", dy[:, outputs], weight[outputs, :, i, j])
    return dx, dweight
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Two groups, three groups, depthwise with one and with two filters a channel, and one group."""
    depth = int(rng.integers(2, 5))
    for N, groups, c, o in ((3, 2, 2, 1), (1, 3, 2, 3), (2, depth, 1, 1), (2, 3, 1, 2), (2, 1, 3, 2)):
        kh, kw = rng.choice(np.arange(1, 4), 2, replace=False)
        H, W = kh + rng.integers(1, 4), kw + rng.integers(1, 4)
        x = rng.standard_normal((N, groups * c, H, W))
        yield x, rng.standard_normal((groups * o, c, kh, kw)), groups


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((6, 16, 24, 25)), rng.standard_normal((32, 4, 3, 2)), 4


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, section 3.2; Howard et al. 2017, arXiv:1704.04861",
    operations=("conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"),
    points=5,
    difficulty=3,
)
checks = [Gradient("conv2d_backward", "conv2d", draw, draw_many)]
mistakes = [
    Mistake(
        "groups interleaved",
        "slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)",
        "slice(g, None, groups), slice(g, None, groups)",
        "The groups are blocks of neighbours: the first C / G channels are the first group, not every G-th channel.",
    ),
    Mistake(
        "overwritten",
        "dx[met] += np",
        "dx[met] = np",
        "A pixel is met by the weight at several places (i, j) of its window. Each time something comes back.",
    ),
    Mistake(
        "every output sees the first channels",
        "x[met])",
        "x[:, :c, i : i + oh, j : j + ow])",
        "In the weight, c counts within the group. Where in x do the channels of group g begin?",
    ),
    Mistake(
        "the kernel flipped",
        "weight[outputs, :, i, j])",
        "weight[outputs, :, kh - 1 - i, kw - 1 - j])",
        "You are scattering: each output gives back to the very pixel that weight (i, j) met. A flip belongs to the "
        "gathering form.",
    ),
    Mistake(
        "the mean over the batch",
        "    return dx, dweight",
        "    return dx, dweight / len(x)",
        "All images use the same weight: what comes from each is added.",
    ),
]
hints = [
    "Nothing new has to be derived: in each group it is a usual convolution. Take a group's slices of dy, x and "
    "weight, and put the results into its slices of dx and dweight.",
    "Group g has the channels from g C/G on, and the outputs from g O/G on.",
    "Inside of a group, loop over the window's places (i, j): each is a product of matrices at every pixel.",
]
