r"""Spectral normalisation, by power iteration.

Another way to hold a critic's slope (Miyato and others 2018): divide each weight by its largest singular value,
$\bar W = W / \sigma(W)$. Then no layer stretches any vector, and D's slope is at most 1 if its activations' is. A
convolution's weight (out, in, kh, kw) is taken as a matrix (out, in kh kw).

*Power iteration* finds $\sigma$. Begin with any $u$ of length 1, and repeat

$$
v \leftarrow \frac{W^\top u}{\lVert W^\top u \rVert}, \qquad u \leftarrow \frac{W v}{\lVert W v \rVert}, \qquad
\text{then} \quad \sigma = u^\top W v .
$$

In training one iteration in each step is enough, for $u$ is kept: $W$ changes slowly.

*The gradient.* $u$ and $v$ are held as constants. (That is right where they have converged. Can you say why? The
singular value is at its largest with respect to both.) So $\bar W = W / (u^\top W v)$, and $W$ stands in it twice.
Derive $dW$. The paper's reading: the second term takes away, of the gradient, what would only make $W$ longer.
"""

# %% student
import numpy as np


def power_iteration(W, u, iterations):
    """u (out,), v (in kh kw,) and sigma after some iterations, beginning with u; W is (out, ...)."""
    # begin solution
    W = W.reshape(len(W), -1)
    v = None
    for _ in range(iterations):
        v = W.T @ u
        v /= np.linalg.norm(v)
        u = W @ v
        u = u / np.linalg.norm(u)
    return u, v, u @ W @ v
    # end solution


def spectral_norm(W, u, v):
    """W / sigma in the shape of W (out, ...), with u (out,) and v (in kh kw,)."""
    return W / (u @ W.reshape(len(W), -1) @ v)


def spectral_norm_backward(dy, W, u, v):
    """The gradient of W, given dy in its shape; u and v are held."""
    # begin solution
    sigma = u @ W.reshape(len(W), -1) @ v
    return dy / sigma - (dy * W).sum() / sigma**2 * np.outer(u, v).reshape(W.shape)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def unit(rng, size):
    """A vector of length 1."""
    vector = rng.standard_normal(size)
    return vector / np.linalg.norm(vector)


def draw_iterations(rng):
    """Matrices and a convolution's weight, one iteration and more."""
    for shape, iterations in (((4, 3), 1), ((2, 3, 2, 2), 2), ((3, 5), 3)):
        yield rng.standard_normal(shape), unit(rng, shape[0]), iterations


def draw(rng):
    """u and v as they are after one iteration; and any, which the gradient must not mind."""
    for shape, iterations in (((3, 4), 1), ((3, 3), 20), ((2, 2, 3, 2), 1)):
        W = rng.standard_normal(shape)
        u, v, _ = power_iteration(W, unit(rng, shape[0]), iterations)
        yield W, u, v


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((250, 320)), unit(rng, 250), unit(rng, 320)


about = About(
    lesson="07_gan",
    source="Miyato, Kataoka, Koyama and Yoshida 2018, arXiv:1802.05957, algorithm 1 and equation 12",
    points=4,
    difficulty=3,
)
checks = [
    Values("power_iteration", draw_iterations),
    Gradient("spectral_norm_backward", "spectral_norm", draw, draw_many, share=2),
]
mistakes = [
    Mistake(
        "sigma held",
        " - (dy * W).sum() / sigma**2 * np.outer(u, v).reshape(W.shape)",
        "",
        "sigma is computed from W. If W is doubled, the result stays: then dW can have no component along W. Has it?",
    ),
    Mistake(
        "sigma once",
        "/ sigma**2 *",
        "/ sigma *",
        "The derivative of 1/sigma is -1/sigma^2.",
    ),
    Mistake(
        "the derivative of the Frobenius norm",
        "np.outer(u, v).reshape(W.shape)",
        "W / np.linalg.norm(W)",
        "That would be the slope of W's length. sigma is u^T W v: what is its slope with respect to the entry (i, j)?",
    ),
    Mistake(
        "entry by entry",
        "(dy * W).sum() / sigma**2",
        "(dy * W) / sigma**2",
        "sigma divides *every* entry, so that what comes back to it is a sum over all entries.",
    ),
    Mistake(
        "sigma squared",
        "    return u, v, u @ W @ v\n",
        "    return u, v, v @ W.T @ W @ v\n",
        "v^T W^T W v is the *square* of the singular value.",
    ),
    Mistake(
        "v not made short",
        "        v /= np.linalg.norm(v)\n",
        "",
        "Both vectors have length 1 after each half of an iteration.",
    ),
]
hints = [
    "Quotient rule: d(W / sigma) = dW / sigma - W dsigma / sigma^2, and dsigma = u^T dW v.",
    "So what arrives at sigma is -<dy, W> / sigma^2, a number, and the slope of sigma is the matrix u v^T.",
]
