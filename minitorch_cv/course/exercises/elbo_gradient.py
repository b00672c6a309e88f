r"""The bound of a linear VAE: its gradient, line by line.

Section 10 of the lesson trains the one VAE that can be solved with pencil and paper. Here is its loss, the negative
bound with one draw $\varepsilon$ for each sample: a linear encoder, one $l = \log \sigma^2$ for all samples, a linear
decoder, and a Gaussian likelihood whose variance $s^2 = e^g$ is *learned*:

$$
\mu = x A^\top, \qquad z = \mu + e^{l/2}\, \varepsilon, \qquad a = z D^\top + c,
$$
$$
r_n = \tfrac12 \big( \lVert x_n - a_n \rVert^2\, e^{-g} + d\, g \big), \qquad
k_n = \tfrac12 \sum_j \big( \mu_{nj}^2 + e^{l_j} - 1 - l_j \big), \qquad
L = \frac1N \sum_n (r_n + k_n) ,
$$

$d$ being the length of $x$ (the constant $\frac d2 \log 2\pi$ is left out). Go back from $L$, line by line, to every
value. Some are used twice: $\mu$ and $l$ by the draw and by the KL, and $x$ is the input of the encoder *and* what the
decoder is compared with. Some are used by all samples.

Look at `dg` when you have it: for which $s^2$ is it zero? Without the second term of $r$ there would be no such $s^2$.
"""

# %% student
import numpy as np

steps = {
    "mu": lambda x, A: x @ A.T,
    "z": lambda mu, l, eps: mu + np.exp(l / 2) * eps,
    "a": lambda z, D, c: z @ D.T + c,
    "r": lambda x, a, g: 0.5 * (((x - a) ** 2).sum(axis=1) * np.exp(-g) + x.shape[1] * g),
    "k": lambda mu, l: 0.5 * (mu**2 + np.exp(l) - 1 - l).sum(axis=1),
    "loss": lambda r, k: (r + k).mean(),
}
"""The forward pass: x (N, d), A (J, d), l (J,), eps (N, J), D (d, J), c (d,), g (1,); r and k are (N,)."""


def backward(dy, values):
    """Gradients of the loss, given dy, a number.

    values: a dict with x, A, l, eps, D, c, g, and with mu, z, a, r and k as the steps computed them.
    Returns a dict with dr, dk, dg, da, dc, dD, dz, deps, dmu, dl, dA and dx.
    """
    # begin solution
    x, A, l, eps, D, g = (values[name] for name in ("x", "A", "l", "eps", "D", "g"))
    mu, z, a = (values[name] for name in ("mu", "z", "a"))
    N, d = x.shape
    dr = np.full(N, dy / N)
    dk = np.full(N, dy / N)
    dg = np.array([(dr * 0.5 * (d - ((x - a) ** 2).sum(axis=1) * np.exp(-g))).sum()])
    da = dr[:, None] * (a - x) * np.exp(-g)
    dc = da.sum(axis=0)
    dD = da.T @ z
    dz = da @ D
    deps = dz * np.exp(l / 2)
    dmu = dz + dk[:, None] * mu
    dl = (0.5 * dz * eps * np.exp(l / 2) + dk[:, None] * 0.5 * (np.exp(l) - 1)).sum(axis=0)
    dA = dmu.T @ x
    dx = dmu @ A - da
    lines = {"dr": dr, "dk": dk, "dg": dg, "da": da, "dc": dc, "dD": dD}
    return {**lines, "dz": dz, "deps": deps, "dmu": dmu, "dl": dl, "dA": dA, "dx": dx}
    # end solution


# %% checks
from minitorch_cv.course.checks import Derivation
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Several samples, as many as numbers in the code, and one."""
    for N, d, J in ((4, 5, 2), (3, 4, 3), (1, 3, 2)):
        A, D = rng.standard_normal((J, d)), rng.standard_normal((d, J))
        l, g, c = rng.uniform(-1, 1, J), rng.uniform(-1, 1, 1), rng.standard_normal(d)
        yield rng.standard_normal((N, d)), A, l, rng.standard_normal((N, J)), D, c, g


def draw_many(rng):
    """So many entries that differences take minutes."""
    A, D = rng.standard_normal((10, 60)) / 5, rng.standard_normal((60, 10)) / 5
    l, g, c = rng.uniform(-1, 1, 10), rng.uniform(-1, 1, 1), rng.standard_normal(60)
    yield rng.standard_normal((800, 60)), A, l, rng.standard_normal((800, 10)), D, c, g


about = About(
    lesson="06_vae",
    source="Kingma and Welling 2013, arXiv:1312.6114, equation 10; Tipping and Bishop 1999",
    operations=("gaussian_kl", "gaussian_nll_loss", "linear"),
    points=7,
    difficulty=3,
)
checks = [Derivation("backward", "steps", draw, draw_many)]
mistakes = [
    Mistake(
        "the target forgotten",
        "dx = dmu @ A - da",
        "dx = dmu @ A",
        "x is the encoder's input, and the decoder's output is compared with it as well.",
    ),
    Mistake(
        "the noise forgotten",
        "0.5 * dz * eps * np.exp(l / 2)",
        "0.5 * dz * np.exp(l / 2)",
        "When l moves, z moves by an amount that has the noise in it.",
    ),
    Mistake(
        "the draw's half forgotten",
        "(0.5 * dz * eps",
        "(dz * eps",
        "The deviation is exp(l / 2): differentiate it with respect to l, not to l / 2.",
    ),
    Mistake(
        "the KL's way to mu forgotten",
        "dmu = dz + dk[:, None] * mu",
        "dmu = dz",
        "mu goes into z and into the KL: two arrows, two terms.",
    ),
    Mistake(
        "the KL once, not for each sample",
        "(0.5 * dz * eps * np.exp(l / 2) + dk[:, None] * 0.5 * (np.exp(l) - 1)).sum(axis=0)",
        "(0.5 * dz * eps * np.exp(l / 2)).sum(axis=0) + dk[0] * 0.5 * (np.exp(l) - 1)",
        "Every sample's KL contains the same l, so that all of them contribute to its gradient.",
    ),
    Mistake(
        "the price of a broad likelihood",
        "0.5 * (d - ((x - a) ** 2)",
        "0.5 * (-((x - a) ** 2)",
        "By this line an ever larger variance would be ever better. What does r have against it?",
    ),
    Mistake(
        "the square's slope",
        "(a - x) * np.exp(-g)",
        "(a - x)",
        "The squared distance is divided by the variance of the likelihood.",
    ),
]
hints = [
    "Draw the graph first, with an arrow for each use; each arrow is one term.",
    "dr = dk = dy / N for each sample. From r: da = dr (a - x) exp(-g), and x gets the opposite.",
    "What all samples share, l, g, c and the matrices, gets a sum over the samples.",
]
