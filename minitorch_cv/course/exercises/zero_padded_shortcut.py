r"""A shortcut without parameters, and its gradient.

The ResNets for CIFAR-10 have shortcuts that cost nothing, even where the shape changes. Option A of the paper takes
every second pixel in both directions, and adds channels of zeros; here $p$ in front and $p$ behind,

$$
y_{n,\,c+p,\,h,\,w} = x_{n,\,c,\,2h,\,2w}, \qquad y = 0 \text{ in the other channels},
$$

so that $C$ channels become $C + 2p$ and a side of $H$ pixels one of $\lceil H/2 \rceil$.

The map is linear, so its gradient is its *adjoint*: the one map for which $\langle y(x), dy \rangle = \langle x,
dx(dy) \rangle$ for all $x$ and $dy$. No derivative is needed to find it. Ask for each pixel of $x$ where it went, and
what becomes of those that went nowhere. The sides may be odd.
"""

# %% student
import numpy as np


def shortcut(x, p):
    """Every second pixel of x (N, C, H, W), with p channels of zeros in front and behind."""
    return np.pad(x[:, :, ::2, ::2], ((0, 0), (p, p), (0, 0), (0, 0)))


def shortcut_backward(dy, x, p):
    """The gradient of x, given dy (N, C + 2 p, ceil(H / 2), ceil(W / 2))."""
    # begin solution
    dx = np.zeros_like(x)
    dx[:, :, ::2, ::2] = dy[:, p : p + x.shape[1]]
    return dx
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Even and odd sides, one image, no channels added."""
    for p in (1, 2, 0, 3):
        N, C = rng.integers(1, 4, 2)
        H, W = rng.integers(3, 8, 2)
        yield rng.standard_normal((N, C, H, W)), p


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((8, 8, 33, 40)), 3


about = About(
    lesson="04_resnet",
    source="He, Zhang, Ren and Sun 2015, arXiv:1512.03385, section 4.2, option A",
    points=2,
    difficulty=1,
)
checks = [Gradient("shortcut_backward", "shortcut", draw, draw_many)]
mistakes = [
    Mistake(
        "the first channels",
        "dy[:, p : p + x.shape[1]]",
        "dy[:, : x.shape[1]]",
        "In y the channels of x do not come first. What stands before them?",
    ),
    Mistake(
        "to all four pixels",
        "    dx[:, :, ::2, ::2] = dy[:, p : p + x.shape[1]]\n",
        "    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):\n"
        "        part = dx[:, :, i::2, j::2]\n"
        "        part += dy[:, p : p + x.shape[1], : part.shape[2], : part.shape[3]]\n",
        "The gradient is handed to all four pixels of a square, as if they had been averaged. Three of them were not "
        "even looked at: what does y change by if one of those moves?",
    ),
    Mistake(
        "the other pixel",
        "dx[:, :, ::2, ::2] = dy[:, p : p + x.shape[1]]",
        "part = dx[:, :, 1::2, 1::2]; part += dy[:, p : p + x.shape[1], : part.shape[2], : part.shape[3]]",
        "`::2` begins with pixel 0.",
    ),
]
hints = [
    "Begin with zeros in the shape of x: most pixels stay so.",
    "The same slice that reads in the forward writes in the backward; and of dy only the middle channels are used.",
]
