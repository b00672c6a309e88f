r"""Winograd's convolution of whole images.

You know it for one tile: with filters $w$ of $r \times r$ taps, a tile $d$ of $n \times n$ pixels, $n = m + r - 1$,
gives $m \times m$ outputs,

$$
y = A^\top \Big[\, G\, w\, G^\top \odot B^\top d\, B \,\Big] A ,
$$

with $n^2$ products in place of $m^2 r^2$. Make of it a convolution of a batch with channels, stride 1, no padding:

- tiles begin $m$ pixels apart, so that neighbours share $r - 1$ rows or columns;
- filters are transformed once, tiles once; the sum over the channels stands *between* the transforms;
- an image need not fit. If $m$ does not divide the output's height or width, let zeros follow at the bottom and at the
  right, as many as complete the last tiles, and cut the surplus off the result.

The formula is a formula for any three matrices. So some of the cases hand you $A^\top$, $G$ and $B^\top$ that are *no*
Winograd transform but drawn at random: then the result is no convolution, and a direct one will not do.
"""

# %% student
import numpy as np


def winograd_conv2d(x, weight, A_T, G, B_T):
    """y (N, O, H - r + 1, W - r + 1) of x (N, C, H, W), weight (O, C, r, r), A_T (m, n), G (n, r), B_T (n, n)."""
    # begin solution
    (m, n), r = A_T.shape, G.shape[1]
    N, _, H, W = x.shape
    oh, ow = H - r + 1, W - r + 1
    rows, columns = -(-oh // m), -(-ow // m)
    x = np.pad(x, ((0, 0), (0, 0), (0, rows * m - oh), (0, columns * m - ow)))
    tiles = np.lib.stride_tricks.sliding_window_view(x, (n, n), axis=(2, 3))[:, :, ::m, ::m]
    U = G @ weight @ G.T
    V = B_T @ tiles @ B_T.T
    M = np.einsum("ocij,ncpqij->nopqij", U, V)
    y = (A_T @ M @ A_T.T).swapaxes(3, 4).reshape(N, -1, rows * m, columns * m)
    return y[:, :, :oh, :ow]
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def evaluation(points, size):
    """A row of powers for each point; for infinity the row that picks the leading coefficient."""
    return np.array([[p**k for k in range(size)] for p in points] + [[0] * (size - 1) + [1]], float)


def transforms(m, r):
    """A^T, G and B^T of F(m, r)."""
    points = (0, 1, -1, 2, -2, 0.5)[: m + r - 2]
    return evaluation(points, m).T, evaluation(points, r), np.linalg.inv(evaluation(points, m + r - 1)).T


def draw(rng):
    """F(2, 3), F(4, 3) and F(3, 2) on images that fit and that do not; matrices drawn at random."""
    for m, r, fits, true in ((2, 3, True, True), (4, 3, False, True), (3, 2, False, True), (2, 3, False, False)):
        N, C, O = (int(n) for n in rng.permutation(np.arange(1, 5))[:3])
        oh, ow = (int(m * rng.integers(1, 4)) for _ in "hw")
        if not fits:
            oh, ow = oh + int(rng.integers(1, m)), ow + int(rng.integers(0, m))
        x, weight = rng.standard_normal((N, C, oh + r - 1, ow + r - 1)), rng.standard_normal((O, C, r, r))
        shapes = (m, m + r - 1), (m + r - 1, r), (m + r - 1, m + r - 1)
        yield x, weight, *(transforms(m, r) if true else (rng.standard_normal(shape) for shape in shapes))
    yield (
        rng.standard_normal((2, 3, 6, 9)),
        rng.standard_normal((2, 3, 2, 2)),
        *(rng.standard_normal(shape) for shape in ((2, 3), (3, 2), (3, 3))),
    )


about = About(
    lesson="09_fast_cpu",
    source="Winograd 1980; Lavin and Gray 2015, arXiv:1509.09308, algorithm 1",
    operations=("conv2d",),
    points=5,
    difficulty=3,
)
checks = [Values("winograd_conv2d", draw, tolerance=1e-6)]
mistakes = [
    Mistake(
        "tiles that do not overlap",
        "[:, :, ::m, ::m]",
        "[:, :, ::n, ::n]",
        "A tile of n pixels gives m outputs; the next tile has to begin where the next output does.",
    ),
    Mistake(
        "the tiles' transform transposed",
        "B_T @ tiles @ B_T.T",
        "B_T.T @ tiles @ B_T",
        "The formula has $B^\\top d\\, B$, and what you are given is called B_T.",
    ),
    Mistake(
        "tiles and pixels mixed up",
        ".swapaxes(3, 4).reshape",
        ".reshape",
        "The result has the axes tile row, tile column, row in the tile, column in the tile. In which order do they "
        "make an image?",
    ),
    Mistake(
        "a matrix product at each tile",
        "U = G @ weight @ G.T",
        "U = (G @ weight @ G.T).swapaxes(2, 3)",
        "The product between the transforms is entry by entry: (i, j) of U meets (i, j) of V.",
    ),
    Mistake(
        "zeros in front",
        "(0, rows * m - oh), (0, columns * m - ow)",
        "(rows * m - oh, 0), (columns * m - ow, 0)",
        "With the zeros in front all tiles move. Where do they have to be, for the first tile to begin at the first "
        "pixel?",
    ),
]
hints = [
    "How many tiles does the output need in each direction, if m may not divide it? How large must the image be for "
    "them?",
    "`sliding_window_view(x, (n, n), axis=(2, 3))[:, :, ::m, ::m]` has all the tiles, (N, C, rows, columns, n, n), "
    "and `@` works on the last two axes of any array.",
    'The sum over c is `np.einsum("ocij,ncpqij->nopqij", U, V)`. In the end bring row and row in the tile side by '
    "side, and reshape.",
]
