r"""Both gradients of a convolution in Winograd's form.

In one dimension, with filters of $r$ taps, a tile $d$ of $n = m + r - 1$ numbers gives $m$ outputs:

$$
U_{oc} = G\, w_{oc}, \qquad V_{nct} = B^\top d_{nct}, \qquad M_{not} = \sum_c U_{oc} \odot V_{nct}, \qquad
y_{not} = A^\top M_{not},
$$

where t numbers the tiles. They begin $m$ apart, so that a tile shares $r - 1$ numbers with the next.

In the lesson the gradient of the input came from reading the map backwards. The weight's comes in the same way, and a
training step needs both. Each line above is linear in one thing at a time, and the way back through a matrix is its
transpose: derive $dM$, then $dU$ and $dV$, then $dw$ and $dx$. Over what is $dU$ summed, over what $dV$? What happens
to a number that lies in two tiles?

No property of the matrices is used. The cases contain Winograd's own, and others drawn at random, for which the
gradient of a plain convolution would be wrong.
"""

# %% student
import numpy as np


def winograd_conv1d(x, weight, A_T, G, B_T):
    """y (N, O, m T) of x (N, C, m T + r - 1), weight (O, C, r), A_T (m, n), G (n, r), B_T (n, n), for T tiles."""
    m, n = A_T.shape
    tiles = np.lib.stride_tricks.sliding_window_view(x, n, axis=2)[:, :, ::m]
    U = weight @ G.T
    V = tiles @ B_T.T
    M = np.einsum("ock,nctk->notk", U, V)
    y = M @ A_T.T
    return y.reshape(*y.shape[:2], -1)


def winograd_conv1d_backward(dy, x, weight, A_T, G, B_T):
    """The gradients (dx, dweight), given dy (N, O, m T)."""
    # begin solution
    m, n = A_T.shape
    tiles = np.lib.stride_tricks.sliding_window_view(x, n, axis=2)[:, :, ::m]
    U = weight @ G.T
    V = tiles @ B_T.T
    dM = dy.reshape(*dy.shape[:2], -1, m) @ A_T
    dU = np.einsum("notk,nctk->ock", dM, V)
    dV = np.einsum("notk,ock->nctk", dM, U)
    dtiles = dV @ B_T
    dx = np.zeros_like(x)
    for k in range(n):
        dx[:, :, k : k + m * tiles.shape[2] : m] += dtiles[..., k]
    return dx, dU @ G
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def evaluation(points, size):
    """A row of powers for each point; for infinity the row that picks the leading coefficient."""
    return np.array([[p**k for k in range(size)] for p in points] + [[0] * (size - 1) + [1]], float)


def transforms(m, r):
    """A^T, G and B^T of F(m, r)."""
    points = (0, 1, -1, 2, -2, 0.5)[: m + r - 2]
    return evaluation(points, m).T, evaluation(points, r), np.linalg.inv(evaluation(points, m + r - 1)).T


def draw(rng):
    """F(2, 3), F(3, 2), and random matrices; one tile and several."""
    for m, r, true in ((2, 3, True), (3, 2, True), (2, 3, False), (3, 3, False)):
        N, C, O = (int(n) for n in rng.permutation(np.arange(1, 4)))
        n = m + r - 1
        x = rng.standard_normal((N, C, m * int(rng.integers(2, 5)) + r - 1))
        shapes = (m, n), (n, r), (n, n)
        yield (
            x,
            rng.standard_normal((O, C, r)),
            *(transforms(m, r) if true else (rng.standard_normal(shape) for shape in shapes)),
        )


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((8, 6, 1002)), rng.standard_normal((5, 6, 3)), *transforms(2, 3)


about = About(
    lesson="09_fast_cpu",
    source="Lavin and Gray 2015, arXiv:1509.09308, section 4; exercise 1 of the lesson",
    operations=("conv2d_input_gradient", "conv2d_weight_gradient"),
    points=6,
    difficulty=3,
)
checks = [Gradient("winograd_conv1d_backward", "winograd_conv1d", draw, draw_many, wrt=("x", "weight"))]
mistakes = [
    Mistake(
        "overwritten",
        "+= dtiles[..., k]",
        "= dtiles[..., k]",
        "Tiles overlap by r - 1 numbers. What comes to such a number from both tiles is added.",
    ),
    Mistake(
        "tiles not transformed in the weight's gradient",
        "dM, V)",
        "dM, tiles)",
        "U met the *transformed* tiles in the product.",
    ),
    Mistake(
        "weights not transformed back",
        "return dx, dU @ G",
        "return dx, dU[..., : G.shape[1]]",
        "$U = G w$ has n numbers, w has r. What leads from dU to dw?",
    ),
    Mistake(
        "the matrix in place of its transpose",
        "dtiles = dV @ B_T\n",
        "dtiles = dV @ B_T.T\n",
        "For row vectors, $v = d\\,B$ goes back as $dd = dv\\, B^\\top$. You are given $B^\\top$, and the forward "
        "used its transpose.",
    ),
    Mistake(
        "the mean over the batch",
        "return dx, dU @ G",
        "return dx, dU @ G / len(x)",
        "The filters serve every image and every tile: all that comes back is added.",
    ),
    Mistake(
        "tiles side by side",
        "dx[:, :, k : k + m * tiles.shape[2] : m]",
        "dx[:, :, k : k + tiles.shape[2]]",
        "Tile t begins at number m t.",
    ),
]
hints = [
    "Compute tiles, U and V again, as the forward did. Then go back: dM from dy, by the transpose of $A^\\top$.",
    "A product entry by entry, summed over c: dU is dM times V, summed over images and tiles; dV is dM times U, summed "
    "over outputs.",
    "In rows: `dM = dy_tiles @ A_T`, `dweight = dU @ G`, `dtiles = dV @ B_T`. The k-th numbers of all tiles lie m "
    "apart in x.",
]
