r"""Transposed convolution: the adjoint, and its gradients.

DCGAN's generator turns small maps into large ones by *transposed* convolutions. Such a layer is defined by the ordinary
one. A convolution with stride $s$ and padding $p$,

$$
y_{nohw} = \sum_{c,i,j} K_{ocij}\; x_{n,\,c,\,sh+i-p,\,sw+j-p} ,
$$

is a linear map of $x$; the transposed convolution with the same weight is its adjoint, the map $T$ for which

$$
\langle \operatorname{conv}(x), y \rangle = \langle x, T(y) \rangle \qquad \text{for all } x \text{ and } y .
$$

(It is no inverse.) Read the index formula the other way round: which pixels of $x$ does $y_{nohw}$ come from? To those
it gives its share, and where shares meet they add up. A map of side $h$ becomes one of side $(h - 1)s - 2p + k$.

First write $T$. Then its gradients, as a layer of its own with the input $y$ and the weight $K$. One of the two is a
convolution that you are given: the adjoint of the adjoint.
"""

# %% student
import numpy as np


def conv2d(x, weight, stride, padding):
    """The convolution of x (N, C, H, W) with weight (O, C, k, k): (N, O, h, w)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weight)


def conv_transpose2d(x, weight, stride, padding):
    """T of x (N, O, h, w) with weight (O, C, k, k): (N, C, (h - 1) stride - 2 padding + k, ...)."""
    # begin solution
    (N, _, h, w), (_, C, k, _) = x.shape, weight.shape
    y = np.zeros((N, C, (h - 1) * stride + k, (w - 1) * stride + k))
    for i in range(k):
        for j in range(k):
            y[:, :, i : i + h * stride : stride, j : j + w * stride : stride] += np.einsum(
                "nohw,oc->nchw", x, weight[:, :, i, j]
            )
    return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]
    # end solution


def conv_transpose2d_backward(dy, x, weight, stride, padding):
    """The gradients of x and weight, given dy of the output's shape."""
    # begin solution
    k = weight.shape[2]
    padded = np.pad(dy, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]
    return conv2d(dy, weight, stride, padding), np.einsum("nohw,nchwij->ocij", x, windows)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """DCGAN's own (k = 4, stride 2, padding 1); windows with gaps between them; stride 1; overlapping and padded."""
    for k, stride, padding in ((4, 2, 1), (2, 3, 0), (3, 1, 1), (3, 2, 1)):
        N, O, C = rng.integers(1, 4, 3)
        h, w = rng.integers(2, 5, 2)
        yield rng.standard_normal((N, O, h, w)), rng.standard_normal((O, C, k, k)), stride, padding


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((6, 6, 38, 40)), rng.standard_normal((6, 4, 4, 4)), 2, 1


about = About(
    lesson="07_gan",
    source="Radford, Metz and Chintala 2015, arXiv:1511.06434; Dumoulin and Visin 2016, arXiv:1603.07285, chapter 4",
    operations=("conv_transpose2d", "conv2d"),
    points=6,
    difficulty=3,
)
checks = [
    Values("conv_transpose2d", draw),
    Gradient("conv_transpose2d_backward", "conv_transpose2d", draw, draw_many),
]
mistakes = [
    Mistake(
        "overwritten",
        "j : j + w * stride : stride] += np.einsum(",
        "j : j + w * stride : stride] = np.einsum(",
        "Where windows overlap a pixel gets several shares. They add up.",
    ),
    Mistake(
        "the kernel flipped",
        "x, weight[:, :, i, j]",
        "x, weight[:, :, k - 1 - i, k - 1 - j]",
        "Seen as a gathering of neighbours the kernel would be flipped. But here each value is *given out*: to which "
        "pixel does the weight at (i, j) lead?",
    ),
    Mistake(
        "the padding cut off at one side",
        "y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]",
        "y[:, :, 2 * padding :, 2 * padding :]",
        "The convolution is padded on all four sides, so its adjoint is cut on all four.",
    ),
    Mistake(
        "the kernel flipped on the way back",
        "conv2d(dy, weight, stride, padding)",
        "conv2d(dy, weight[:, :, ::-1, ::-1], stride, padding)",
        "<T(x), dy> = <x, conv(dy)>, with the very same weight: nothing has to be flipped.",
    ),
    Mistake(
        "windows of the weight's gradient flipped",
        '"nohw,nchwij->ocij", x, windows)',
        '"nohw,nchwij->ocij", x, windows[..., ::-1, ::-1])',
        "The weight at (i, j) leads from place (h, w) of x to pixel (s h + i, s w + j) of the padded output.",
    ),
]
hints = [
    "Begin with zeros for the padded output, and loop over (i, j) in the window: all places (h, w) at once give "
    "x times weight[:, :, i, j] to the pixels i, i + s, i + 2s, ...",
    "Cut off the padding at the end, on all sides.",
    "dx = conv2d(dy, weight). The weight's gradient is a sum over all places: x at (h, w) times dy at the pixel it led "
    "to.",
]
