r"""Guidance: where does it lead?

A net knows two guesses of the noise, with the label and without, and guidance goes on in the direction of their
difference, by a factor $s$ (lesson, section 6):

$$
\hat\varepsilon = \varepsilon_\theta(x_t) + s \left( \varepsilon_\theta(x_t, y) - \varepsilon_\theta(x_t) \right).
$$

In practice both guesses come out of one call: the batch is put in twice, the first half with the labels, the second
without. Write that down first.

What does it sample from? The noise points against the *score*, $\hat\varepsilon = -\sqrt{1 - \bar\alpha}\, \nabla \log
p$. So guidance follows the score of a density

$$
\tilde p(x) \;\propto\; p(x)^{1-s}\; p(x \mid y)^{s} .
$$

Take the case in which all can be computed: one number $x$, all pictures together $p(x) = N(0, V)$, those with the label
$p(x \mid y) = N(m, v)$, $v < V$. The logarithms are squares, so $\tilde p$ is normal, too. Find its mean and variance
by completing the square. Does guidance with $s > 1$ stop at the mean $m$ of the label? And what becomes of the variety?
"""

# %% student
import numpy as np


def guided(noise, s):
    """The guided guess (N, ...) of guesses (2 N, ...): the first N with the label, the others without."""
    # begin solution
    with_label, without = np.split(noise, 2)
    return without + s * (with_label - without)
    # end solution


def guided_density(m, v, V, s):
    """Mean and variance of the density in proportion to p(x)^(1 - s) p(x | y)^s.

    p(x) is normal with mean 0 and variance V, p(x | y) with mean m and variance v.
    """
    # begin solution
    precision = (1 - s) / V + s / v
    return s * m / v / precision, 1 / precision
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """No guidance, the label as it is, more than it."""
    for s in (0.0, 0.5, float(rng.uniform(1.5, 8))):
        N, C, H = rng.integers(1, 4, 3)
        yield rng.standard_normal((2 * N, C, H, H + 1)), s


def draw_densities(rng):
    """The label's density is the narrower one."""
    for s in (0.5, 2.0, float(rng.uniform(3, 8)), float(rng.uniform(1, 3))):
        v = float(rng.uniform(0.1, 1))
        yield float(rng.choice([-1, 1]) * rng.uniform(0.5, 2)), v, v + float(rng.uniform(0.3, 3)), s


about = About(
    lesson="05_diffusion",
    source="Ho and Salimans 2022, arXiv:2207.12598, equation 6",
    points=3,
    difficulty=2,
)
checks = [Values("guided", draw), Values("guided_density", draw_densities, share=2)]
mistakes = [
    Mistake(
        "the paper's w for s",
        "without + s * (with_label - without)",
        "with_label + s * (with_label - without)",
        "At s = 1 nothing is exaggerated: the guess with the label itself has to come out.",
    ),
    Mistake(
        "the halves exchanged",
        "with_label, without = np.split",
        "without, with_label = np.split",
        "Which half of the batch has the labels?",
    ),
    Mistake(
        "the unconditional density forgotten",
        "precision = (1 - s) / V + s / v",
        "precision = s / v",
        "p(x) to the power 1 - s has a square in its exponent as well.",
    ),
    Mistake(
        "variances averaged",
        "    precision = (1 - s) / V + s / v\n    return s * m / v / precision, 1 / precision\n",
        "    return s * m, (1 - s) * V + s * v\n",
        "A power of a normal density divides its variance: add up what stands in the exponents, x^2 / (2 v) and "
        "x^2 / (2 V), each with its power.",
    ),
    Mistake(
        "stops at m",
        "return s * m / v / precision",
        "return m",
        "p(x)^(1 - s) with s > 1 grows away from 0. Does the top of the product stay where it was?",
    ),
]
hints = [
    "log p~ = -(1 - s) x^2 / (2 V) - s (x - m)^2 / (2 v) + constant. Collect x^2 and x.",
    "The factor of -x^2/2 is one over the variance; the factor of x, times the variance, is the mean.",
]
