r"""Batch norm: its gradient, line by line.

Batch norm standardises each feature over the $N$ samples of a batch, then scales and shifts it:

$$
\mu = \frac1N \sum_n x_n, \qquad
\sigma^2 = \frac1N \sum_n (x_n - \mu)^2, \qquad
\hat x_n = \frac{x_n - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad
y_n = \gamma\,\hat x_n + \beta .
$$

Each $x_n$ reaches the loss on three ways: straight through $\hat x_n$, through $\mu$, and through $\sigma^2$; the mean
and the variance belong to all samples, so that what flows back to them is a sum. Go back along the steps, one line for
each value, and give every line under its name. `dvar` before `dmean`: the variance depends on the mean, too. (That part
of `dmean` turns out to be zero. Why? You may leave it out once you can say it.)

Your function is checked line by line: a line that follows rightly from a wrong line before it counts as right.
"""

# %% student
import numpy as np

steps = {
    "mean": lambda x: x.mean(axis=0),
    "var": lambda x, mean: ((x - mean) ** 2).mean(axis=0),
    "xhat": lambda x, mean, var, eps=1e-5: (x - mean) / np.sqrt(var + eps),
    "y": lambda xhat, gamma, beta: gamma * xhat + beta,
}
"""The forward pass: x (N, C), gamma and beta (C,)."""


def backward(dy, values, eps=1e-5):
    """Gradients of the loss, given dy (N, C).

    values: a dict with x, gamma, beta, mean, var and xhat, as the steps computed them.
    Returns a dict with dbeta, dgamma, dxhat, dvar, dmean and dx.
    """
    # begin solution
    x, gamma, mean, var, xhat = (values[name] for name in ("x", "gamma", "mean", "var", "xhat"))
    N = len(x)
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xhat).sum(axis=0)
    dxhat = dy * gamma
    dvar = (dxhat * (x - mean)).sum(axis=0) * -0.5 * (var + eps) ** -1.5
    dmean = -dxhat.sum(axis=0) / np.sqrt(var + eps)
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * (x - mean) / N + dmean / N
    return {"dbeta": dbeta, "dgamma": dgamma, "dxhat": dxhat, "dvar": dvar, "dmean": dmean, "dx": dx}
    # end solution


# %% checks
from minitorch_cv.course.checks import Derivation
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Batches of 3 to 8 samples."""
    for _ in range(3):
        N, C = rng.integers(3, 9), rng.integers(1, 5)
        x = rng.standard_normal((N, C)) * rng.uniform(0.5, 3) + rng.standard_normal(C)
        yield x, rng.uniform(0.5, 2, C), rng.standard_normal(C)


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal((400, 150)), rng.uniform(0.5, 2, 150), rng.standard_normal(150)


about = About(
    lesson="04_resnet",
    source="Ioffe and Szegedy 2015, arXiv:1502.03167, section 3",
    operations=("batch_norm",),
    points=6,
    difficulty=3,
)
checks = [Derivation("backward", "steps", draw, draw_many)]
mistakes = [
    Mistake(
        "the variance's power",
        "(var + eps) ** -1.5",
        "(var + eps) ** -0.5",
        "The derivative of $v^{-1/2}$ is $-\\frac12 v^{-3/2}$: differentiating lowers the power by one.",
    ),
    Mistake(
        "the mean's sign",
        "dmean = -dxhat",
        "dmean = dxhat",
        "$\\mu$ enters $\\hat x_n$ with a minus sign, for every sample.",
    ),
    Mistake(
        "no sum into gamma",
        "dgamma = (dy * xhat).sum(axis=0)",
        "dgamma = (dy * xhat).mean(axis=0)",
        "$\\gamma$ is used once by each sample, so its gradient is the sum over the samples. A mean divides by N: that "
        "belongs to a loss that is a mean, and is already in dy.",
    ),
    Mistake(
        "mean and variance held",
        " + dvar * 2 * (x - mean) / N + dmean / N",
        "",
        "Here the mean and the variance are treated as constants. They are computed from x, so x has two more ways to "
        "the loss.",
    ),
    Mistake(
        "the mean's share",
        "+ dmean / N",
        "+ dmean",
        "Each $x_n$ is only an N-th part of the mean: $\\partial\\mu / \\partial x_n = 1/N$.",
    ),
]
hints = [
    "Draw the graph: x goes into mean, var and xhat; mean goes into var and xhat. Each arrow is one term.",
    "dxhat = dy * gamma. For dvar, sum over the samples what xhat does when var moves: "
    "$\\partial\\hat x_n/\\partial\\sigma^2 = -\\frac12 (x_n - \\mu)(\\sigma^2 + \\varepsilon)^{-3/2}$.",
    "dx has three terms, one for each arrow out of x: through xhat with mean and var held, through var, through mean.",
]
