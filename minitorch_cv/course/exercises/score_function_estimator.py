r"""Two gradients of an expectation, from the same draws.

$E_q[f(z)]$ with $q = N(\mu, \sigma^2)$, $\sigma^2 = e^l$, for each number of a code of length $J$. Draws
$\varepsilon_1, \dots, \varepsilon_K$ have been made, $z_k = \mu + \sigma\varepsilon_k$, and $f$ has been evaluated at
each; estimate the derivatives with respect to $\mu_j$ and $l_j$ by means over the $K$ draws (lesson, equations 2.12 and
2.13):

- by the *score function*, which needs the values $f(z_k)$ alone. A constant $b$, the *baseline*, may be subtracted
  from $f$ first: show that the expectation is unchanged, since $E_q[\nabla \log q] = 0$;
- by *reparameterisation*, which needs the slopes $\nabla f(z_k)$.

Which baseline is the best for the derivative with respect to $\mu_j$? Its estimator is the mean of $(f - b)\, s$
with the score $s = \partial \log q / \partial \mu_j$. The mean of that does not depend on $b$, so the variance is least
where $E[(f - b)^2 s^2]$ is: a parabola in $b$. Find its lowest point, and put means over the draws for the
expectations. It is *not* the mean of $f$. Every $j$ has a baseline of its own.
"""

# %% student
import numpy as np


def score_function(f, eps, l, baseline):
    """Estimates (J,) of the derivatives with respect to mu and l.

    f: the values (K,); eps: (K, J); l: (J,); baseline: a number.
    """
    # begin solution
    centred = (f - baseline)[:, None]
    return (centred * eps * np.exp(-l / 2)).mean(axis=0), (centred * 0.5 * (eps**2 - 1)).mean(axis=0)
    # end solution


def reparameterised(slopes, eps, l):
    """The same, from the slopes (K, J) of f at each z."""
    # begin solution
    return slopes.mean(axis=0), (slopes * 0.5 * np.exp(l / 2) * eps).mean(axis=0)
    # end solution


def best_baselines(f, eps, l):
    """The baselines (J,) that are best for the derivatives with respect to mu."""
    # begin solution
    return (f[:, None] * eps**2).mean(axis=0) / (eps**2).mean(axis=0)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draws(rng):
    """Draws of one to three numbers, a function with a slope in each, its values far from zero."""
    for K, J in ((6, 2), (3, 3), (9, 1)):
        eps, l, mu = rng.standard_normal((K, J)), rng.uniform(-1.5, 1, J), rng.standard_normal(J)
        z = mu + np.exp(l / 2) * eps
        weights = rng.standard_normal(J)
        yield eps, l, 4 + np.sin(z) @ weights + (z**2).sum(axis=1), np.cos(z) * weights + 2 * z


def draw_score(rng):
    """With a baseline, and without."""
    for eps, l, f, _ in draws(rng):
        yield f, eps, l, float(rng.uniform(1, 4)) if len(f) != 3 else 0.0


def draw_slopes(rng):
    """The slopes of the same function."""
    for eps, l, _, slopes in draws(rng):
        yield slopes, eps, l


def draw_baselines(rng):
    """Its values."""
    for eps, l, f, _ in draws(rng):
        yield f, eps, l


about = About(
    lesson="06_vae",
    source="Kingma and Welling 2013, arXiv:1312.6114, section 2.2; Williams 1992",
    points=4,
    difficulty=2,
)
checks = [
    Values("score_function", draw_score),
    Values("reparameterised", draw_slopes),
    Values("best_baselines", draw_baselines),
]
mistakes = [
    Mistake(
        "sigma upside down",
        "eps * np.exp(-l / 2)",
        "eps * np.exp(l / 2)",
        "The score of a narrow distribution is large: moving its mean by a little changes log q by much.",
    ),
    Mistake(
        "the variance for the deviation",
        "eps * np.exp(-l / 2)",
        "eps * np.exp(-l)",
        "The score is (z - mu) / sigma^2. And z - mu is sigma eps.",
    ),
    Mistake(
        "no minus one",
        "0.5 * (eps**2 - 1)",
        "0.5 * eps**2",
        "log q has a term -l/2 from its normalisation, too. Without it the score's mean is not zero, and a baseline "
        "would shift the estimate.",
    ),
    Mistake(
        "the noise forgotten",
        "(slopes * 0.5 * np.exp(l / 2) * eps)",
        "(slopes * 0.5 * np.exp(l / 2))",
        "When l grows, draws above the mean move up, and draws below it down.",
    ),
    Mistake(
        "the half forgotten",
        "(slopes * 0.5 * np.exp(l / 2) * eps)",
        "(slopes * np.exp(l / 2) * eps)",
        "sigma = exp(l / 2); its derivative with respect to l is ...?",
    ),
    Mistake(
        "the mean for a baseline",
        "return (f[:, None] * eps**2).mean(axis=0) / (eps**2).mean(axis=0)",
        "return np.full(eps.shape[1], f.mean())",
        "Usual, and near the best, but not the best: draws with a large score count more.",
    ),
    Mistake(
        "weighed by the score",
        "return (f[:, None] * eps**2).mean(axis=0) / (eps**2).mean(axis=0)",
        "return (f[:, None] * abs(eps)).mean(axis=0) / abs(eps).mean(axis=0)",
        "In E[(f - b)^2 s^2] the score stands squared.",
    ),
]
hints = [
    "d log q / d mu = eps / sigma and d log q / d l = (eps^2 - 1) / 2.",
    "Differentiate E[(f - b)^2 s^2] with respect to b: b = E[f s^2] / E[s^2]. A constant factor of s cancels.",
]
