r"""Reparameterised: a draw with correlations.

With $z_j = \mu_j + e^{l_j/2}\, \varepsilon_j$ the numbers of a code are independent of one another. An encoder that can
say "either both or neither" needs correlations: a lower triangular matrix $L$, and

$$
z = \mu + L\, \varepsilon, \qquad \varepsilon \sim N(0, I), \qquad \text{so that } \operatorname{Cov}(z) = L L^\top .
$$

Every covariance can be had so, with positive numbers on the diagonal of $L$. The encoder gives a full matrix $M$ of any
numbers, and of it

$$
L_{ij} = \begin{cases} M_{ij} & i > j \\ e^{M_{ii}} & i = j \\ 0 & i < j . \end{cases}
$$

The draw itself is no obstacle any more: $\varepsilon$ depends on nothing, and is an input like another. Derive the
gradients of $\mu$ and $M$.
"""

# %% student
import numpy as np


def lower_triangular(M):
    """L (N, J, J) of M (N, J, J)."""
    return np.tril(M, -1) + np.eye(M.shape[2]) * np.exp(M * np.eye(M.shape[2]))


def sample(mu, M, eps):
    """z (N, J) of mu (N, J), M (N, J, J) and eps (N, J)."""
    return mu + (lower_triangular(M) @ eps[:, :, None])[:, :, 0]


def sample_backward(dy, mu, M, eps):
    """The gradients of mu and M, given dy (N, J); eps is not trained."""
    # begin solution
    dL = dy[:, :, None] * eps[:, None, :]
    diagonal = np.eye(mu.shape[1])
    return dy, np.tril(dL, -1) + diagonal * dL * lower_triangular(M)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Codes of two to four numbers; as many samples as numbers; one sample."""
    for N, J in ((2, 3), (3, 3), (1, 4), (4, 2)):
        yield rng.standard_normal((N, J)), 0.7 * rng.standard_normal((N, J, J)), rng.standard_normal((N, J))


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((1000, 8)), 0.7 * rng.standard_normal((1000, 8, 8)), rng.standard_normal((1000, 8))


about = About(
    lesson="06_vae",
    source="Kingma and Welling 2013, arXiv:1312.6114, section 2.4; the same 2019, arXiv:1906.02691, section 2.5",
    points=3,
    difficulty=2,
)
checks = [Gradient("sample_backward", "sample", draw, draw_many)]
mistakes = [
    Mistake(
        "above the diagonal",
        "np.tril(dL, -1) + diagonal * dL * lower_triangular(M)",
        "dL * (1 - diagonal) + diagonal * dL * lower_triangular(M)",
        "What stands in M above the diagonal is not used: what does z change by if it moves?",
    ),
    Mistake(
        "the exponential forgotten",
        "diagonal * dL * lower_triangular(M)",
        "diagonal * dL",
        "On the diagonal M goes through an exponential, whose derivative is not 1.",
    ),
    Mistake(
        "the wrong way round",
        "dL = dy[:, :, None] * eps[:, None, :]",
        "dL = eps[:, :, None] * dy[:, None, :]",
        "L[i, j] joins eps[j] to z[i]. In your outer product the two have changed places.",
    ),
    Mistake(
        "the noise forgotten",
        "dL = dy[:, :, None] * eps[:, None, :]",
        "dL = dy[:, :, None] * np.ones_like(eps)[:, None, :]",
        "L is multiplied by the noise. What is then its slope?",
    ),
    Mistake(
        "half, as for a log variance",
        "diagonal * dL * lower_triangular(M)",
        "0.5 * diagonal * dL * lower_triangular(M)",
        "In the lesson l is the logarithm of a variance. Here the diagonal is that of a deviation.",
    ),
]
hints = [
    "For one sample: z_i = mu_i + sum over j of L_ij eps_j, so dL_ij = dz_i eps_j.",
    "From L to M: below the diagonal as it is, on it times exp(M_ii) = L_ii, above it nothing.",
]
