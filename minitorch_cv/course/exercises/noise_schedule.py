r"""Noise schedules: linear, cosine, and with steps left out.

A diffusion process is given by its $\beta_1, \dots, \beta_T$, or just as well by

$$
\bar\alpha_t = \prod_{s=1}^{t} (1 - \beta_s),
$$

the share of the picture's variance that is left after $t$ steps. Each can be had from the other. Arrays hold the steps
from 1 to $T$, so that entry $i$ is step $i + 1$.

*Cosine* (Nichol and Dhariwal): choose $\bar\alpha$ itself, $\bar\alpha_t = f(t)/f(0)$ with

$$
f(t) = \cos^2\Big( \frac{t/T + s}{1 + s} \cdot \frac{\pi}{2} \Big) , \qquad s = 0.008,
$$

and find the $\beta_t$ that belong to it, none larger than 0.999: at the end $\bar\alpha$ is nearly zero, and a step
that takes everything cannot be undone.

*Respaced*: a net that was trained with $T$ steps shall draw with few. Keep some of the steps, $t_1 < t_2 < \dots$, and
each with the $\bar\alpha$ on which the net was trained. That is a shorter chain with larger $\beta$; which? (Not the
old ones: what is left out still has to happen.) Before the first kept step stands the clean picture.
"""

# %% student
import numpy as np


def alpha_bars(betas):
    """abar_1 to abar_T, given beta_1 to beta_T."""
    # begin solution
    return np.cumprod(1 - betas)
    # end solution


def cosine_betas(T, s=0.008, most=0.999):
    """beta_1 to beta_T of the cosine schedule."""
    # begin solution
    f = np.cos((np.arange(T + 1) / T + s) / (1 + s) * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], most)
    # end solution


def respaced_betas(betas, kept):
    """The betas of the chain that goes through the kept steps only.

    betas: beta_1 to beta_T; kept: increasing steps, counted from 1, an array of integers.
    """
    # begin solution
    abar = np.cumprod(1 - betas)[kept - 1]
    return 1 - abar / np.append(1.0, abar[:-1])
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw_betas(rng):
    """The paper's schedule, shortened, and one in which no two betas are alike."""
    yield (np.linspace(1e-4, 0.02, int(rng.integers(30, 200))),)
    yield (rng.uniform(0.01, 0.6, rng.integers(3, 9)),)
    yield (rng.uniform(0.01, 0.6, 1),)


def draw_cosine(rng):
    """Few and many steps; another offset; a lower bound."""
    for settings in ((), (0.02,), (0.008, 0.6)):
        yield int(rng.integers(4, 60)), *settings


def draw_respaced(rng):
    """Steps anywhere, and all but the first."""
    for T in rng.integers(12, 60, 3):
        kept = np.sort(rng.choice(np.arange(1, T + 1), rng.integers(3, 8), replace=False))
        yield rng.uniform(0.001, 0.1, T), kept
    yield rng.uniform(0.01, 0.3, 7), np.arange(2, 8)


about = About(
    lesson="05_diffusion",
    source="Ho, Jain and Abbeel 2020, arXiv:2006.11239; Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17",
    points=3,
    difficulty=1,
)
checks = [
    Values("alpha_bars", draw_betas),
    Values("cosine_betas", draw_cosine),
    Values("respaced_betas", draw_respaced),
]
mistakes = [
    Mistake(
        "the product ends too early",
        "return np.cumprod(1 - betas)\n",
        "return np.append(1.0, np.cumprod(1 - betas)[:-1])\n",
        "The product runs up to *and with* t. After the first step some noise is in the picture already.",
    ),
    Mistake(
        "a sum for the product",
        "return np.cumprod(1 - betas)\n",
        "return 1 - np.cumsum(betas)\n",
        "Each step shrinks what the step before has left. For tiny betas the sum of them is nearly right, and then?",
    ),
    Mistake(
        "the cosine not squared",
        "np.pi / 2) ** 2",
        "np.pi / 2)",
        "f is the *square* of the cosine: abar is a share of variance.",
    ),
    Mistake(
        "no largest beta",
        "np.minimum(1 - f[1:] / f[:-1], most)",
        "1 - f[1:] / f[:-1]",
        "Look at your last beta. A step with it keeps nothing of the picture, and its alpha stands in denominators.",
    ),
    Mistake(
        "the old betas",
        "return 1 - abar / np.append(1.0, abar[:-1])",
        "return betas[kept - 1]",
        "With the old betas the shorter chain ends with far less noise than the net was trained on. What must stay the "
        "same at a kept step: its beta, or its abar?",
    ),
    Mistake(
        "steps counted from 0",
        "np.cumprod(1 - betas)[kept - 1]",
        "np.cumprod(1 - np.append(betas[1:], betas[:1]))[kept - 1]",
        "Step t is entry t - 1: the first entry is step 1.",
    ),
]
hints = [
    "abar_t / abar_(t-1) is one factor of the product: 1 - beta_t. abar_0 = 1.",
    "For the respaced chain the same relation holds between neighbours among the *kept* steps.",
]
