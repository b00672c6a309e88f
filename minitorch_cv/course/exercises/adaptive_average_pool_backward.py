r"""Average pooling, from one bin to many.

GoogLeNet's last maps are averaged to one number each: *global* average pooling. Its auxiliary heads keep a few places
apart: they average the maps to 4 x 4. For maps of any size that is `AdaptiveAvgPool2d`: $H$ rows are laid into $m$
bins, where bin p has the rows

$$
a_p = \Big\lfloor \frac{p\,H}{m} \Big\rfloor \;\le\; h \;<\; \Big\lceil \frac{(p+1)\,H}{m} \Big\rceil = b_p,
\qquad
y_{ncpq} = \frac{1}{(b_p - a_p)(b'_q - a'_q)} \sum_{h = a_p}^{b_p - 1} \; \sum_{v = a'_q}^{b'_q - 1} x_{nchv},
$$

and the columns in the same way into bins $[a'_q, b'_q)$. With one bin it is the global mean of the lesson. Where m does
not divide H, the bins differ in size, or share a row: for H = 7 and m = 4 they are rows 0-1, 1-3, 3-5 and 5-6. With
more bins than rows, a row is in several.

Derive dx. In a mean every pixel has the same share, but of which mean, and of how many?
"""

# %% student
import numpy as np


def bins(length, count):
    """The slices of the bins."""
    return [slice(p * length // count, -(-(p + 1) * length // count)) for p in range(count)]


def adaptive_average_pool(x, size):
    """The mean of each bin: x (N, C, H, W), size (m, m'), gives (N, C, m, m')."""
    rows, columns = (bins(length, count) for length, count in zip(x.shape[2:], size))
    return np.stack([np.stack([x[:, :, r, c].mean(axis=(2, 3)) for c in columns], 2) for r in rows], 2)


def adaptive_average_pool_backward(dy, x, size):
    """The gradient of x, given dy (N, C, m, m')."""
    # begin solution
    dx = np.zeros_like(x)
    for p, rows in enumerate(bins(x.shape[2], size[0])):
        for q, columns in enumerate(bins(x.shape[3], size[1])):
            pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
            dx[:, :, rows, columns] += dy[:, :, p : p + 1, q : q + 1] / pixels
    return dx
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Global; bins that fit; bins that overlap; more bins than rows."""
    for H, W, size in ((4, 5, (1, 1)), (6, 4, (3, 2)), (7, 5, (4, 3)), (3, 7, (5, 2)), (5, 7, (2, 4))):
        N, C = (int(n) for n in rng.integers(1, 4, 2))
        W = W + size[1] * int(rng.integers(0, 2))
        yield rng.standard_normal((N, C, H, W)), size


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((6, 8, 40, 42)), (7, 11)


about = About(
    lesson="03_inception",
    source="Lin, Chen and Yan 2013, arXiv:1312.4400; Szegedy et al. 2014, arXiv:1409.4842, section 5",
    operations=("adaptive_avg_pool2d", "avg_pool2d"),
    points=3,
    difficulty=2,
)
checks = [Gradient("adaptive_average_pool_backward", "adaptive_average_pool", draw, draw_many)]
mistakes = [
    Mistake(
        "overwritten",
        "+= dy[",
        "= dy[",
        "A row that two bins share belongs to two means.",
    ),
    Mistake(
        "a sum",
        " / pixels",
        "",
        "In a mean a pixel counts for an n-th part.",
    ),
    Mistake(
        "bins of one size",
        "pixels = (rows.stop - rows.start) * (columns.stop - columns.start)",
        "pixels = (x.shape[2] / size[0]) * (x.shape[3] / size[1])",
        "Where m does not divide H, bins differ in size, or overlap. By how much does each mean divide?",
    ),
    Mistake(
        "the whole map's mean",
        "pixels = (rows.stop - rows.start) * (columns.stop - columns.start)",
        "pixels = x.shape[2] * x.shape[3]",
        "This divides by the number of pixels of the whole map, which is right for one bin.",
    ),
    Mistake(
        "divided by rows alone",
        "pixels = (rows.stop - rows.start) * (columns.stop - columns.start)",
        "pixels = rows.stop - rows.start",
        "A bin has rows and columns.",
    ),
]
hints = [
    "Go through the bins as the forward does, and let each give back to its pixels.",
    "Every pixel of a bin gets the same: dy of the bin, over the number of its pixels. Pixels in two bins get both.",
]
