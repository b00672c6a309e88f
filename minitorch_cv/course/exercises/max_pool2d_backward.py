r"""Max pooling: the gradient goes to the winners.

Max pooling keeps the largest value of each window of $k \times k$ pixels, the windows $s$ apart:

$$
y_{nchw} = \max_{0 \le i, j < k} x_{n,c,\,sh+i,\,sw+j} .
$$

Only the winner of a window moves $y$, so the gradient of a window goes to its winner. AlexNet's windows overlap
($k = 3$, $s = 2$): one pixel may win in several windows, and then it receives the gradient of each.

Where a window holds its largest value twice, the first in reading order wins, as in PyTorch.
"""

# %% student
import numpy as np


def max_pool2d(x, size, stride):
    """The largest value of each window: x (N, C, H, W) gives (N, C, (H - size) // stride + 1, ...)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return windows[:, :, ::stride, ::stride].max(axis=(4, 5))


def max_pool2d_backward(dy, x, size, stride):
    """The gradient of x, given dy of the output's shape."""
    # begin solution
    N, C, H, W = dy.shape
    dx = np.zeros_like(x)
    n, c = np.ogrid[:N, :C]
    for h in range(H):
        for w in range(W):
            window = x[:, :, stride * h : stride * h + size, stride * w : stride * w + size]
            winner = window.reshape(N, C, -1).argmax(axis=2)
            dx[n, c, stride * h + winner // size, stride * w + winner % size] += dy[:, :, h, w]
    return dx
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Windows apart, overlapping, and with gaps; values that differ by more than a step, so that no winner changes."""
    for size, stride in ((2, 2), (3, 2), (2, 3)):
        N, C = rng.integers(1, 3, 2)
        H, W = rng.integers(5, 9, 2)
        x = rng.permutation(int(N * C * H * W)).reshape(N, C, H, W) * 0.1
        yield x, size, stride


def draw_ties(rng):
    """ReLU's zeros make ties."""
    yield np.zeros((1, 2, 4, 4)), 2, 2
    yield np.maximum(rng.integers(-2, 3, (2, 1, 7, 7)), 0).astype(float), 3, 2


def draw_with_upstream(rng):
    """The same, with dy."""
    for x, size, stride in draw_ties(rng):
        yield rng.standard_normal(max_pool2d(x, size, stride).shape), x, size, stride


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.permutation(4 * 8 * 40 * 41).reshape(4, 8, 40, 41) * 0.1, 3, 2


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, section 3.4",
    operations=("max_pool2d",),
    points=4,
    difficulty=2,
)
checks = [
    Gradient("max_pool2d_backward", "max_pool2d", draw, draw_many, share=2),
    Values("max_pool2d_backward", draw_with_upstream),
]
mistakes = [
    Mistake(
        "overwritten",
        "winner % size] += dy",
        "winner % size] = dy",
        "Where windows overlap, a pixel may win in more than one. Its gradients add up: `+=`.",
    ),
    Mistake(
        "rows and columns",
        "stride * h + winner // size, stride * w + winner % size",
        "stride * h + winner % size, stride * w + winner // size",
        "The place in the window counts along the rows first: row `// size`, column `% size`.",
    ),
    Mistake(
        "the last of a tie",
        "window.reshape(N, C, -1).argmax(axis=2)",
        "size * size - 1 - window.reshape(N, C, -1)[:, :, ::-1].argmax(axis=2)",
        "In a tie the first largest value wins, in reading order; here it is the last.",
    ),
]
hints = [
    "Loop over the places (h, w) of the output. In each, find the winner in the window, and add dy there.",
    "`argmax` over the flattened window gives one number; `// size` and `% size` make it a row and a column.",
]
