r"""Attention: three gradients and a softmax.

In the U-Net of the diffusion model every pixel of the small maps may look at all others. With one row for each pixel,
and queries, keys and values that linear layers have made,

$$
S = \frac{Q K^\top}{\sqrt{E}}, \qquad
P_{ij} = \frac{e^{S_{ij}}}{\sum_k e^{S_{ik}}}, \qquad
Y = P V ,
$$

row $i$ of $P$ says with which weights query $i$ takes the mean of the values. $Q$ is (L, E), $K$ (S, E), $V$ (S, D): in
general there are other numbers of queries than of keys, and values of another length; before them stands an axis for
the batch.

Derive $dQ$, $dK$ and $dV$. The one step that is no product is the softmax. Each $P_{ij}$ depends on *all* scores of
its row, $\partial P_{ij} / \partial S_{ik} = P_{ij} (\delta_{jk} - P_{ik})$, and the Jacobian must not be built: what
comes out for $dS$ can be written with one product of arrays and one sum.
"""

# %% student
import numpy as np


def weights_of(query, key):
    """P (N, L, S) of query (N, L, E) and key (N, S, E)."""
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[2])
    e = np.exp(scores - scores.max(axis=2, keepdims=True))
    return e / e.sum(axis=2, keepdims=True)


def attention(query, key, value):
    """Y (N, L, D) of query (N, L, E), key (N, S, E) and value (N, S, D)."""
    return weights_of(query, key) @ value


def attention_backward(dy, query, key, value):
    """The gradients of query, key and value, given dy (N, L, D)."""
    # begin solution
    p = weights_of(query, key)
    dvalue = p.swapaxes(1, 2) @ dy
    dp = dy @ value.swapaxes(1, 2)
    ds = p * (dp - (p * dp).sum(axis=2, keepdims=True))
    scale = 1 / np.sqrt(query.shape[2])
    return scale * ds @ key, scale * ds.swapaxes(1, 2) @ query, dvalue
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Sizes all different; self-attention, where they are alike; one query."""
    for N, L, S, E, D in ((3, 2, 5, 4, 2), (1, 4, 4, 4, 4), (2, 1, 4, 2, 3)):
        E += int(rng.integers(3)) * (L != S)
        yield 1.5 * rng.standard_normal((N, L, E)), rng.standard_normal((N, S, E)), rng.standard_normal((N, S, D))


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((6, 70, 30)), rng.standard_normal((6, 80, 30)), rng.standard_normal((6, 80, 40))


about = About(
    lesson="05_diffusion",
    source="Vaswani et al. 2017, arXiv:1706.03762, equation 1; Ho, Jain and Abbeel 2020, arXiv:2006.11239, appendix B",
    operations=("scaled_dot_product_attention", "softmax"),
    points=6,
    difficulty=3,
)
checks = [Gradient("attention_backward", "attention", draw, draw_many)]
mistakes = [
    Mistake(
        "the softmax entry by entry",
        "p * (dp - (p * dp).sum(axis=2, keepdims=True))",
        "p * (1 - p) * dp",
        "This is the softmax's derivative of each weight by its own score. A score moves the other weights of its row, "
        "too.",
    ),
    Mistake(
        "the sum left out",
        "p * (dp - (p * dp).sum(axis=2, keepdims=True))",
        "p * dp",
        "Add the same number to all scores of a row: the weights stay. So each row of dS must have the sum zero.",
    ),
    Mistake(
        "a mean for the weighted mean",
        "(p * dp).sum(axis=2, keepdims=True)",
        "dp.mean(axis=2, keepdims=True)",
        "What is taken away in each row is a mean of dP, but not with equal weights.",
    ),
    Mistake(
        "the sum over the queries",
        "(p * dp).sum(axis=2, keepdims=True)",
        "(p * dp).sum(axis=1, keepdims=True)",
        "The weights of one *query* add up to 1. Along which axis do its keys lie?",
    ),
    Mistake(
        "the scale forgotten",
        "scale = 1 / np.sqrt(query.shape[2])",
        "scale = 1",
        "Forward the product was divided by the root of E.",
    ),
    Mistake(
        "the scale of another axis",
        "scale = 1 / np.sqrt(query.shape[2])",
        "scale = 1 / np.sqrt(query.shape[1])",
        "E is the length of a query, not the number of them.",
    ),
]
hints = [
    "Go back: Y = P V is a product of matrices, so dV = P^T dY and dP = dY V^T.",
    "For one row: dS_k = sum over j of dP_j P_j (delta_jk - P_k) = P_k (dP_k - sum over j of P_j dP_j).",
    "S is a product again: dQ = dS K / sqrt(E), dK = dS^T Q / sqrt(E).",
]
