r"""Batch norm that costs nothing: fold it into the convolution.

In evaluation batch norm has no statistics to take. Its $\mu$, $\sigma^2$, $\gamma$ and $\beta$ are numbers that no
longer change, and for each channel $o$ it is one multiplication and one addition. The convolution before it is linear.
So both together are a single convolution, with another weight and another bias:

$$
\gamma_o\, \frac{(K x + k)_o - \mu_o}{\sqrt{\sigma_o^2 + \epsilon}} + \beta_o \;=\; (K' x + k')_o .
$$

Every net that is deployed is folded first: ResNet-50 loses 53 layers by it, and answers
as before, up to rounding.

Derive $K'$ and $k'$. Which axis of the weight (out, in, kh, kw) does a channel's factor belong to? And take care with
the bias that the convolution may have had before.
"""

# %% student
import numpy as np


def fold_batch_norm(kernel, bias, mean, var, gamma, beta, eps=1e-5):
    """The weight and the bias of the one convolution.

    kernel: (out, in, kh, kw); bias: (out,), or None where the convolution has none; the others: (out,).
    Returns (kernel, bias) of the same shapes, the bias never None.
    """
    # begin solution
    scale = gamma / np.sqrt(var + eps)
    before = 0 if bias is None else bias
    return kernel * scale[:, None, None, None], (before - mean) * scale + beta
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """As many channels out as in (a wrong axis shows in the numbers), and not; with and without a bias."""
    for square, with_bias in ((True, False), (False, True), (True, True), (False, False)):
        out, channels = rng.integers(2, 6), rng.integers(2, 6)
        shape = (out, out if square else channels, *rng.integers(1, 4, 2))
        bias = rng.standard_normal(out) if with_bias else None
        mean, gamma, beta = rng.standard_normal((3, out))
        yield (
            rng.standard_normal(shape),
            bias,
            mean,
            rng.uniform(0.001, 2, out),
            gamma,
            beta,
            10.0 ** rng.integers(-4, -1),
        )


about = About(
    lesson="04_resnet",
    source="Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2, step 11",
    operations=("batch_norm", "conv2d"),
    points=2,
    difficulty=1,
)
checks = [Values("fold_batch_norm", draw)]
mistakes = [
    Mistake(
        "the bias left as it was",
        "(before - mean) * scale + beta",
        "before - mean * scale + beta",
        "The convolution's own bias goes through the batch norm as well, as the rest of its output does.",
    ),
    Mistake(
        "the mean not scaled",
        "(before - mean) * scale + beta",
        "before * scale - mean + beta",
        "The mean is taken away *before* the division by the deviation.",
    ),
    Mistake(
        "the variance for the deviation",
        "np.sqrt(var + eps)",
        "(var + eps)",
        "What has the unit of x: the variance, or its root?",
    ),
    Mistake(
        "eps outside the root",
        "np.sqrt(var + eps)",
        "(np.sqrt(var) + eps)",
        "Where does batch norm add its eps: to the variance or to the deviation? For a small variance it matters.",
    ),
]
hints = [
    "Write the batch norm of one channel as a factor times its input, plus a constant.",
    "The factor is gamma / sqrt(var + eps); it multiplies all weights that lead to this channel: the first axis.",
]
