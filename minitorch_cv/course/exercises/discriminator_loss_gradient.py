r"""Two other losses for D: smoothed labels, and the hinge.

The discriminator of the lesson is never content: however sure it is that a picture is real, it wants to be surer, and
its gradient in G's direction fades. Two remedies are common.

*One-sided label smoothing* (Salimans and others 2016). Real pictures are called real with the probability $1 - s$
only, $s = 0.1$ say; generated ones are called false as before:

$$
L = -\frac1M \sum_m \Big[ (1 - s) \log \sigma(l_m) + s \log\big(1 - \sigma(l_m)\big) \Big]
    - \frac1N \sum_n \log\big(1 - \sigma(f_n)\big) ,
$$

with the logits $l$ of $M$ real pictures and $f$ of $N$ generated ones. At which $l$ is D content with a real picture?

*The hinge* (Lim and Ye 2017; SAGAN, BigGAN). The logits are marks, and beyond 1 and $-1$ nothing is gained:

$$
L = \frac1M \sum_m \max(0, 1 - l_m) + \frac1N \sum_n \max(0, 1 + f_n) .
$$

Derive the gradients of both with respect to both kinds of logits.
"""

# %% student
import numpy as np


def softplus(l):
    """log(1 + exp(l)), for any l."""
    return np.log1p(np.exp(-abs(l))) + np.maximum(l, 0)


def smoothed_loss(real, false, smoothing):
    """L of logits real (M,) and false (N,); smoothing: s, a number from 0 to 1."""
    return (softplus(-real) + smoothing * real).mean() + softplus(false).mean()


def hinge_loss(real, false):
    """L of marks real (M,) and false (N,)."""
    return np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + false).mean()


def smoothed_loss_backward(dy, real, false, smoothing):
    """The gradients of real and false, given dy, a number."""
    # begin solution
    sigmoid = lambda l: 0.5 + 0.5 * np.tanh(l / 2)
    return dy * (sigmoid(real) - (1 - smoothing)) / len(real), dy * sigmoid(false) / len(false)
    # end solution


def hinge_loss_backward(dy, real, false):
    """The gradients of real and false, given dy, a number."""
    # begin solution
    return -dy * (real < 1) / len(real), dy * (false > -1) / len(false)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def away_from_one(rng, sign, count):
    """Marks on both sides of the kink at +1 or -1, the first between 0 and it."""
    marks = sign + rng.choice([-1, 1], count) * rng.uniform(0.1, 3, count)
    marks[0] = sign * rng.uniform(0.1, 0.9)
    return marks


def draw_smoothed(rng):
    """Other numbers of real pictures than of generated ones; D sure and unsure; no smoothing."""
    for M, N, smoothing, size in ((4, 6, 0.1, 2), (5, 2, 0.3, 8), (1, 3, 0.0, 2)):
        yield size * rng.standard_normal(M), size * rng.standard_normal(N), smoothing


def draw_hinge(rng):
    """Marks between the kinks and beyond them."""
    for M, N in ((6, 9), (8, 4), (3, 2)):
        yield away_from_one(rng, 1, M), away_from_one(rng, -1, N)


def draw_many_smoothed(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal(30_000), 2 * rng.standard_normal(40_000), 0.1


def draw_many_marks(rng):
    """The same for the hinge."""
    yield away_from_one(rng, 1, 30_000), away_from_one(rng, -1, 40_000)


about = About(
    lesson="07_gan",
    source="Salimans et al. 2016, arXiv:1606.03498, section 3.4; Lim and Ye 2017, arXiv:1705.02894",
    operations=("binary_cross_entropy_with_logits", "softplus", "relu"),
    points=3,
    difficulty=1,
)
checks = [
    Gradient("smoothed_loss_backward", "smoothed_loss", draw_smoothed, draw_many_smoothed),
    Gradient("hinge_loss_backward", "hinge_loss", draw_hinge, draw_many_marks),
]
mistakes = [
    Mistake(
        "as without smoothing",
        "sigmoid(real) - (1 - smoothing)",
        "sigmoid(real) - 1",
        "With smoothed labels D must have a logit at which it is content with a real picture, and a gradient of zero.",
    ),
    Mistake(
        "s for 1 - s",
        "sigmoid(real) - (1 - smoothing)",
        "sigmoid(real) - smoothing",
        "For s = 0 the gradient must be the lesson's, sigmoid(l) - 1.",
    ),
    Mistake(
        "both sides smoothed",
        "dy * sigmoid(false) / len(false)",
        "dy * (sigmoid(false) - smoothing) / len(false)",
        "The smoothing is one-sided: generated pictures are called false, without any doubt.",
    ),
    Mistake(
        "the count of the real ones for both",
        "dy * sigmoid(false) / len(false)",
        "dy * sigmoid(false) / len(real)",
        "Each of the two means is taken over its own pictures.",
    ),
    Mistake(
        "the kink at zero",
        "-dy * (real < 1) / len(real)",
        "-dy * (real < 0) / len(real)",
        "A real picture with the mark 0.5 is on the right side. But is D content with it?",
    ),
    Mistake(
        "the other side of the kink",
        "dy * (false > -1)",
        "dy * (false < -1)",
        "A generated picture with a mark far below -1 costs nothing. Which marks have a slope?",
    ),
    Mistake(
        "the sign of the real ones",
        "return -dy * (real < 1)",
        "return dy * (real < 1)",
        "The loss must fall when the mark of a real picture rises.",
    ),
]
hints = [
    "-log sigma(l) = softplus(-l), -log(1 - sigma(l)) = softplus(l), and softplus' = sigma.",
    "Smoothed: (1 - s)(sigma - 1) + s sigma = sigma - (1 - s), over M. Hinge: -1/M where l < 1, and 1/N where f > -1.",
]
