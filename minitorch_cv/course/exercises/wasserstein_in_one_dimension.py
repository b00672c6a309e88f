r"""How far must the sand be carried?

The lesson's last table has a distance that grows on where Jensen-Shannon has long stopped: the *Wasserstein* distance,
the mean way of a grain of sand if one heap is turned into another by the cheapest plan. In general the plan is hard to
find, and hence the critic. On a line it is easy: with $N$ real points $x$ and $N$ generated ones $y$, grains keep their
order,

$$
W = \frac1N \sum_{i} \big| x_{(i)} - y_{(i)} \big| ,
$$

$x_{(1)} \le x_{(2)} \le \dots$ being the points in order of size.

Derive the gradients of $x$ and $y$, in the order in which the points were *given*. Sorting only moves values about, so
that the gradient of a value is found at the place to which it was sorted; nothing of the order itself is
differentiated. Then compare it with what a perfect D tells G (lesson, section 3): how large is the gradient of one
point, if it lies far away?
"""

# %% student
import numpy as np


def wasserstein(x, y):
    """W of x (N,) and y (N,)."""
    return abs(np.sort(x) - np.sort(y)).mean()


def wasserstein_backward(dy, x, y):
    """The gradients of x and y, given dy, a number."""
    # begin solution
    of_x, of_y = np.argsort(x), np.argsort(y)
    slope = dy / len(x) * np.sign(x[of_x] - y[of_y])
    dx, dy_points = np.empty_like(x), np.empty_like(y)
    dx[of_x], dy_points[of_y] = slope, -slope
    return dx, dy_points
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Two heaps that overlap, and two far apart; nearly sorted and not; points never nearer than 0.1."""
    for N, apart in ((5, 0.0), (8, 0.0), (7, 4.03), (6, 0.0)):
        places = rng.permutation(4 * N)[: 2 * N] * 0.1 + rng.uniform(-0.01, 0.01, 2 * N)
        yield places[:N], places[N:] + apart


def draw_many(rng):
    """So many entries that differences take minutes."""
    x, y = rng.permutation(80_000)[:40_000].reshape(2, 20_000) * 0.1
    yield x, y


about = About(
    lesson="07_gan",
    source="Arjovsky, Chintala and Bottou 2017, arXiv:1701.07875, section 2",
    points=3,
    difficulty=2,
)
checks = [Gradient("wasserstein_backward", "wasserstein", draw, draw_many)]
mistakes = [
    Mistake(
        "left in the sorted order",
        "dx[of_x], dy_points[of_y] = slope, -slope",
        "dx[:], dy_points[:] = slope, -slope",
        "These are the gradients of the *sorted* values. Who of the given points is the i-th in size?",
    ),
    Mistake(
        "sorted once more",
        "dx[of_x], dy_points[of_y] = slope, -slope",
        "dx[:], dy_points[:] = slope[of_x], -slope[of_y]",
        "argsort says where the i-th value *came from*. You read there; you have to write there.",
    ),
    Mistake(
        "the pairs as given",
        "np.sign(x[of_x] - y[of_y])",
        "np.sign(x - y)",
        "The pairs are those of the sorted points, not those that were given side by side.",
    ),
    Mistake(
        "the mean forgotten",
        "dy / len(x) * np.sign",
        "dy * np.sign",
        "W is a mean over the grains.",
    ),
    Mistake(
        "y like x",
        "= slope, -slope",
        "= slope, slope",
        "Move both heaps by the same, and W stays: the gradients of x and y must add up to zero.",
    ),
    Mistake(
        "the distance for its sign",
        "np.sign(x[of_x] - y[of_y])",
        "(x[of_x] - y[of_y])",
        "The slope of |d| is its sign, however large d is. (Yours is that of d^2 / 2.)",
    ),
]
hints = [
    "`order = np.argsort(x)`: x[order] is sorted. The gradient of x[order] is sign(x[order] - y[...]) / N.",
    "Undo the sorting by assignment: dx[order] = that.",
]
