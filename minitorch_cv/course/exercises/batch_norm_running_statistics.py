r"""Batch norm remembers: running statistics.

While training, a batch is its own yardstick. A picture to be classified comes alone, and its class must not depend on
who stands beside it. So the layer keeps *running* statistics, which each batch of training moves a little, by the
momentum $\rho$ (PyTorch's `momentum`, 0.1):

$$
\text{running} \leftarrow (1 - \rho)\, \text{running} + \rho\; \text{batch} ,
$$

and in evaluation it standardises by these, and moves nothing.

There are two variances. The batch itself is divided by the root of the *biased* one, the mean of the squares, plus
$\epsilon$. What goes into the running variance is an *estimate* for all the pictures there are, and for that the
biased one is too small: with $m$ values it falls short by a factor which Bessel's correction puts right. $m$ counts
images and pixels.

Write the whole forward, as PyTorch has it. Note that PyTorch's momentum is the share of the *new* value, the other way
round than in an optimiser.
"""

# %% student
import numpy as np


def batch_norm(x, running_mean, running_var, weight, bias, training, momentum=0.1, eps=1e-5):
    """y, and the running mean and variance after it.

    x: (N, C, H, W); running_mean, running_var, weight and bias: (C,), not to be changed in place; training: whether
    the batch's own statistics are used.
    Returns (y, running_mean, running_var).
    """
    # begin solution
    mean, var = running_mean, running_var
    if training:
        m = x.size // x.shape[1]
        mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    scale = weight / np.sqrt(var + eps)
    y = x * scale[:, None, None] + (bias - mean * scale)[:, None, None]
    return y, running_mean, running_var
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Small batches, so that the variances differ; both modes, one image to evaluate; several momenta."""
    for N, training, momentum in ((3, True, 0.1), (2, True, 0.3), (2, False, 0.1), (2, True, 0.01), (1, False, 0.2)):
        C, H, W = rng.integers(1, 4, 3) + 1
        x = 2 * rng.standard_normal((N, C, H, W)) + rng.standard_normal((C, 1, 1))
        running = rng.standard_normal(C), rng.uniform(0.3, 3, C)
        yield (
            x,
            *running,
            rng.standard_normal(C),
            rng.standard_normal(C),
            training,
            momentum,
            10.0 ** rng.integers(-5, -1),
        )


about = About(
    lesson="04_resnet",
    source="Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2",
    operations=("batch_norm",),
    points=3,
    difficulty=2,
)
checks = [Values("batch_norm", draw)]
mistakes = [
    Mistake(
        "the momentum the other way round",
        "(1 - momentum) * running_mean + momentum * mean",
        "momentum * running_mean + (1 - momentum) * mean",
        "With a momentum of 0.1, is the running mean to change by a tenth of the way, or by nine tenths?",
    ),
    Mistake(
        "biased into the running variance",
        " * m / (m - 1)",
        "",
        "The variance of two numbers, taken around their own mean, is on average half of what it should be. Who "
        "corrects it before it is kept?",
    ),
    Mistake(
        "pixels not counted",
        "m = x.size // x.shape[1]",
        "m = len(x)",
        "How many values does the variance of one channel stand on: as many as there are images?",
    ),
    Mistake(
        "unbiased in y too",
        "weight / np.sqrt(var + eps)",
        "weight / np.sqrt((var * x[:, 0].size / (x[:, 0].size - 1) if training else var) + eps)",
        "y is divided by the biased variance; only what is kept is corrected.",
    ),
    Mistake(
        "standardised by the running statistics",
        "mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))\n"
        "        running_mean = (1 - momentum) * running_mean + momentum * mean\n"
        "        running_var = (1 - momentum) * running_var + momentum * var * m / (m - 1)",
        "batch_mean, batch_var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))\n"
        "        mean = running_mean = (1 - momentum) * running_mean + momentum * batch_mean\n"
        "        var = running_var = (1 - momentum) * running_var + momentum * batch_var * m / (m - 1)",
        "While training, what comes out has mean 0 and variance 1 over *this* batch (before weight and bias). Has it?",
    ),
    Mistake(
        "moved in evaluation",
        "    if training:\n",
        "    if True:\n",
        "In evaluation nothing may depend on the other images of the batch, and nothing is learned from them.",
    ),
]
hints = [
    "Decide first which mean and variance y is made of; then, if training, what is kept.",
    "`x.var(axis=(0, 2, 3))` is biased. Times m / (m - 1), with m the number of values in a channel, it is not.",
]
