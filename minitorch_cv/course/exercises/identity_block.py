r"""A plain block that does nothing is hard to find.

A deeper net contains the shallower one, if the added layers hand on what they receive. For a residual block that is
easy: let the last batch norm give zeros. For a plain block, a convolution and a batch norm, it takes one special set
of numbers. Find it.

The block is in evaluation, so that batch norm standardises by given statistics $\mu_c$ and $\sigma_c^2$ of each
channel:

$$
y_c = \gamma_c\, \frac{(K * x)_c - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c .
$$

The kernel has an odd size $k$, and $x$ is padded by $(k - 1)/2$ zeros. Give $K$ (C, C, k, k) with zeros and ones
only, $\gamma$ and $\beta$ such that $y = x$ for every $x$.

How many numbers have to be right, to the last digit? Compare with the residual block, where it is enough that some are
near zero: that is the paper's argument for it.
"""

# %% student
import numpy as np


def identity_block(mean, var, size, eps=1e-5):
    """K, gamma and beta for which y = x.

    mean, var: (C,), the statistics that batch norm uses; size: k, odd.
    """
    # begin solution
    C = len(mean)
    kernel = np.zeros((C, C, size, size))
    kernel[range(C), range(C), size // 2, size // 2] = 1
    return kernel, np.sqrt(var + eps), mean
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Several numbers of channels and sizes of the kernel."""
    for size in (3, 1, 5, 7):
        C = rng.integers(2, 6)
        yield rng.standard_normal(C), rng.uniform(0.01, 3, C), size, 10.0 ** rng.integers(-4, -1)


about = About(
    lesson="04_resnet",
    source="He, Zhang, Ren and Sun 2015, arXiv:1512.03385, section 3.1",
    operations=("conv2d", "batch_norm"),
    points=2,
    difficulty=1,
)
checks = [Values("identity_block", draw)]
mistakes = [
    Mistake(
        "all channels into each",
        "kernel[range(C), range(C), size // 2, size // 2]",
        "kernel[:, :, size // 2, size // 2]",
        "With ones in every pair of channels, each output channel is the *sum* of all input channels.",
    ),
    Mistake(
        "the corner",
        "size // 2, size // 2] = 1",
        "0, 0] = 1",
        "With the 1 in the corner of the window the picture is handed on, but moved to the side.",
    ),
    Mistake(
        "ones everywhere in the window",
        "kernel[range(C), range(C), size // 2, size // 2] = 1",
        "kernel[range(C), range(C)] = 1",
        "A window of ones adds up the neighbours: that blurs.",
    ),
    Mistake(
        "eps forgotten",
        "np.sqrt(var + eps)",
        "np.sqrt(var)",
        "Nearly. Batch norm divides by the root of a little more than the variance.",
    ),
    Mistake(
        "the sign of beta",
        "np.sqrt(var + eps), mean",
        "np.sqrt(var + eps), -mean",
        "Batch norm takes the mean away. What has to come after it?",
    ),
]
hints = [
    "Take it apart: a convolution that is the identity, and a batch norm that undoes itself.",
    "Solve gamma (x - mu) / sqrt(var + eps) + beta = x for gamma and beta: it must hold for all x.",
]
