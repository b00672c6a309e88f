r"""Write the test: which formulas of the divergence are wrong?

The divergence of $q = N(\mu, e^l)$ from $N(0, I)$, for each sample, is a formula of one line (lesson, equation 2.10).
The mistakes that are made in it have one thing in common: *the gradient check passes*. Whoever forgets the 1/2 forgets
it in the gradient too, and differences of a wrong formula are those of a wrong formula. A net trains with it, and its
"bound" bounds nothing.

So the value has to be tested, by its definition:

$$
\mathrm{KL}(q \,\|\, p) = \int q(z)\, \big( \log q(z) - \log p(z) \big)\, dz .
$$

You are given the logarithm of the normal density, and formulas that are right or wrong, not told which. Write the test
that tells. For one number of the code the integral is a sum over a fine grid (draws of $z$ will do as well, if there
are very many: how exact do you need it?). For a code of several numbers their divergences add up. Some formulas are
wrong in some places only: try narrow and broad distributions, with means on both sides of 0, several samples, several
numbers.
"""

# %% student
import numpy as np


def test(log_normal, kl):
    """Whether kl is right.

    log_normal(z, mean, log_variance) gives the logarithm of the density at z; arrays, which broadcast.
    kl(mean, log_variance), both (N, J), gives the divergence (N,) of N(mean, exp(log_variance)) from N(0, I) in nats.
    Returns True or False (or raises AssertionError where it is wrong).
    """
    # begin solution
    rng = np.random.default_rng(1)
    mean, log_variance = 2 * rng.standard_normal((4, 3)), rng.uniform(-3, 1.5, (4, 3))
    step = 0.05
    z = np.arange(-25, 25, step)[:, None, None]
    log_q, log_p = log_normal(z, mean, log_variance), log_normal(z, 0.0, 0.0)
    expected = (np.exp(log_q) * (log_q - log_p)).sum(axis=(0, 2)) * step
    found = kl(mean, log_variance)
    return np.shape(found) == (4,) and bool((abs(found - expected) < 1e-6).all())
    # end solution


# %% checks
from minitorch_cv.course.checks import FindsFaults
from minitorch_cv.course.exercise import About, Mistake


def log_normal(z, mean, log_variance):
    """The logarithm of the normal density."""
    return -0.5 * ((z - mean) ** 2 / np.exp(log_variance) + log_variance + np.log(2 * np.pi))


def kl(mean, log_variance):
    """The divergence from N(0, I)."""
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)


def _instead(formula):
    """A fault: another formula for each number, summed as in the right one."""
    return lambda right: lambda mean, log_variance: formula(mean, log_variance).sum(axis=1)


def _after(change):
    """A fault: the right value, changed."""
    return lambda right: lambda mean, log_variance: change(right(mean, log_variance), mean)


about = About(
    lesson="06_vae",
    source="Kingma and Welling 2013, arXiv:1312.6114, appendix B",
    operations=("gaussian_kl",),
    points=4,
    difficulty=2,
)
checks = [
    FindsFaults(
        "test",
        "log_normal",
        "kl",
        {
            "the half forgotten": _after(lambda value, mean: 2 * value),
            "sigma for its square": _instead(lambda m, l: 0.5 * (m**2 + np.exp(l / 2) - 1 - l)),
            "the logarithm of sigma": _instead(lambda m, l: 0.5 * (m**2 + np.exp(l) - 1 - l / 2)),
            "no minus one": _instead(lambda m, l: 0.5 * (m**2 + np.exp(l) - l)),
            "the other way round": _instead(lambda m, l: 0.5 * (m**2 * np.exp(-l) + np.exp(-l) - 1 + l)),
            "a mean over the numbers": _after(lambda value, mean: value / mean.shape[1]),
            "a mean over the samples": _after(lambda value, mean: np.full_like(value, value.mean())),
            "the first number alone": lambda right: lambda m, l: right(m[:, :1], l[:, :1]),
            "no broad ones": lambda right: lambda m, l: right(m, np.minimum(l, 0)),
            "bits": _after(lambda value, mean: value / np.log(2)),
            "the mean's sign": _instead(lambda m, l: 0.5 * (m * abs(m) + np.exp(l) - 1 - l)),
        },
        secret_term=False,  # the value itself is what is tested
    )
]
mistakes = [
    Mistake(
        "narrow ones only",
        "rng.uniform(-3, 1.5, (4, 3))",
        "rng.uniform(-3, -0.5, (4, 3))",
        "One of the formulas is right wherever the variance is at most 1. Try broader distributions, too.",
    ),
    Mistake(
        "one sample",
        "(4, 3)), rng.uniform(-3, 1.5, (4, 3))",
        "(1, 3)).repeat(4, axis=0), rng.uniform(-3, 1.5, (1, 3)).repeat(4, axis=0)",
        "With equal samples nobody sees whether each has its own value.",
    ),
    Mistake(
        "means above zero",
        "2 * rng.standard_normal((4, 3))",
        "2 * abs(rng.standard_normal((4, 3)))",
        "Means may be negative. What does a test with positive ones not see?",
    ),
    Mistake(
        "one number",
        "2 * rng.standard_normal((4, 3)), rng.uniform(-3, 1.5, (4, 3))",
        "2 * rng.standard_normal((4, 1)), rng.uniform(-3, 1.5, (4, 1))",
        "A code has several numbers. What may go wrong when their divergences are put together?",
    ),
    Mistake(
        "a tolerance too wide",
        "< 1e-6",
        "< 3",
        "The sum over a grid is exact to many digits. Ask for them: a wrong formula may be near the right one.",
    ),
]
hints = [
    "Draw mean and log variance (4, 3). For each of the twelve: q, log q and log p on a grid from -25 to 25; with z of "
    "shape (points, 1, 1) all at once.",
    "The sum of q (log q - log p) times the step of the grid is exact to many digits; add up over the numbers.",
]
