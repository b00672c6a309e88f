r"""The way back, if the end is known: completing the square.

Equation 9 gives $q(x_{t-1} \mid x_t, x_0)$ for neighbouring steps. A sampler that leaves steps out needs it for any
$s < t$. By Bayes' rule

$$
q(x_s \mid x_t, x_0) \;\propto\; q(x_t \mid x_s)\; q(x_s \mid x_0),
$$

two normal densities, whose logarithm is the sum of two squares in $x_s$:

$$
-\frac12 \left( \frac{(x_t - \sqrt{\alpha}\, x_s)^2}{1 - \alpha} + \frac{(x_s - \sqrt{\bar\alpha_s}\, x_0)^2}{1 -
\bar\alpha_s} \right) + \dots, \qquad \alpha = \frac{\bar\alpha_t}{\bar\alpha_s} .
$$

Collect the factor $A$ of $x_s^2$ and the factor $B$ of $x_s$ in the bracket, $A x_s^2 - 2 B x_s + \dots$: the variance
is $1/A$ and the mean $B/A$. Then bring both to a form that has no $1 - \bar\alpha_s$ in a denominator, for $s = 0$ must
work as well: who knows $x_0$ knows it. What are mean and variance there?
"""

# %% student
import numpy as np


def posterior(x_0, x_t, s, t, betas):
    """Mean (N, d) and variance (N,) of q(x_s | x_t, x_0).

    x_0, x_t: (N, d); s, t: integers (N,), 0 <= s < t <= T, where 0 is the clean picture; betas: beta_1 to beta_T.
    """
    # begin solution
    abar = np.append(1.0, np.cumprod(1 - betas))
    abar_s, abar_t = abar[s], abar[t]
    alpha = abar_t / abar_s
    variance = (1 - alpha) * (1 - abar_s) / (1 - abar_t)
    of_x_0 = np.sqrt(abar_s) * (1 - alpha) / (1 - abar_t)
    of_x_t = np.sqrt(alpha) * (1 - abar_s) / (1 - abar_t)
    return of_x_0[:, None] * x_0 + of_x_t[:, None] * x_t, variance
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Neighbours; leaps; from the clean picture; as many samples as numbers in each."""
    for kind, N, d in (("neighbours", 4, 3), ("leaps", 3, 3), ("leaps", 5, 2), ("clean", 3, 4)):
        T = int(rng.integers(8, 40))
        t = rng.integers(3, T + 1, N)
        s = t - 1 if kind == "neighbours" else np.array([rng.integers(1, last) for last in t])
        s[0] = 0 if kind == "clean" else s[0]
        yield rng.standard_normal((N, d)), rng.standard_normal((N, d)), s, t, rng.uniform(0.01, 0.3, T)


about = About(
    lesson="05_diffusion",
    source="Ho, Jain and Abbeel 2020, arXiv:2006.11239, equations 6 and 7; Song, Meng and Ermon 2020, arXiv:2010.02502",
    points=4,
    difficulty=3,
)
checks = [Values("posterior", draw)]
mistakes = [
    Mistake(
        "the factors exchanged",
        "of_x_0[:, None] * x_0 + of_x_t[:, None] * x_t",
        "of_x_t[:, None] * x_0 + of_x_0[:, None] * x_t",
        "For s near 0 the posterior must lie near x_0, for s near t near x_t. Does it?",
    ),
    Mistake(
        "the variance of the step forward",
        "variance = (1 - alpha) * (1 - abar_s) / (1 - abar_t)",
        "variance = 1 - alpha",
        "That is how far the step forward scatters. Who knows x_0 as well knows more: the variance is smaller.",
    ),
    Mistake(
        "beta of one step",
        "alpha = abar_t / abar_s",
        "alpha = 1 - betas[t - 1]",
        "Right for neighbours. Between s and t there may lie many steps, and alpha is the product of all theirs.",
    ),
    Mistake(
        "the roots forgotten",
        "of_x_t = np.sqrt(alpha)",
        "of_x_t = alpha",
        "When you multiply out (x_t - sqrt(alpha) x_s)^2, what stands beside x_t x_s?",
    ),
    Mistake(
        "a deviation",
        "variance = (1 - alpha) * (1 - abar_s) / (1 - abar_t)",
        "variance = np.sqrt((1 - alpha) * (1 - abar_s) / (1 - abar_t))",
        "Asked for is the variance.",
    ),
    Mistake(
        "a shifted abar",
        "np.append(1.0, np.cumprod(1 - betas))",
        "np.append(1.0, np.cumprod(np.append(1.0, 1 - betas[:-1])))",
        "abar_t is the product up to and with t.",
    ),
]
hints = [
    "A = alpha / (1 - alpha) + 1 / (1 - abar_s), B = sqrt(alpha) x_t / (1 - alpha) + sqrt(abar_s) x_0 / (1 - abar_s).",
    "Bring A to one denominator; its numerator is alpha (1 - abar_s) + 1 - alpha = 1 - abar_t, since alpha abar_s is "
    "abar_t.",
    "So the variance is (1 - alpha)(1 - abar_s) / (1 - abar_t), and the mean B times that.",
]
