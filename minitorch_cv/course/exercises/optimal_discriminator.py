r"""The best D, where real pictures are not half of all.

The lesson finds the best D for batches of as many real as generated pictures. Let now a share $\pi$ of what D sees be
real. With finitely many pictures $x$, probabilities $p(x)$ and $p_G(x)$, and $y(x) = \sigma(D(x))$, the objective is

$$
V = \sum_x \; \pi\, p(x) \log y(x) + (1 - \pi)\, p_G(x) \log\big(1 - y(x)\big)
$$

(for $\pi = 1/2$ this is half of the lesson's $V$). Derive, as the lesson does in equations 8 to 10:

- $D^*(x)$, the best $y$. What does it say where $p_G = p$? Where nothing ever comes ($p = p_G = 0$) it is free; give
  1/2 there;
- $V$ for any given $y$, also where $p$ or $p_G$ is 0 ($0 \log 0 = 0$, for such a picture never comes), and $y$ may be 0
  or 1 just there;
- the Jensen-Shannon divergence that belongs to it, $\mathrm{JS}_\pi = \pi\, \mathrm{KL}(p \,\|\, m) + (1 - \pi)\,
  \mathrm{KL}(p_G \,\|\, m)$ with $m = \pi p + (1 - \pi) p_G$.

Check yourself: $V(D^*)$ is $\mathrm{JS}_\pi$ plus a number that depends on $\pi$ alone. Which? It has a name. All in
nats.
"""

# %% student
import numpy as np


def optimal_discriminator(p, p_G, share):
    """D* (K,), the probability of real, of p and p_G (K,), where a share of the pictures is real."""
    # begin solution
    real, false = share * p, (1 - share) * p_G
    seen = real + false > 0
    return np.where(seen, real / np.where(seen, real + false, 1), 0.5)
    # end solution


def value(y, p, p_G, share):
    """V of a discriminator that says y (K,)."""
    # begin solution
    log = lambda q, weight: np.log(np.where(weight > 0, q, 1))
    return (share * p * log(y, p) + (1 - share) * p_G * log(1 - y, p_G)).sum()
    # end solution


def jensen_shannon(p, p_G, share):
    """JS, a number."""
    # begin solution
    m = share * p + (1 - share) * p_G
    kl = lambda q: (q[q > 0] * np.log(q[q > 0] / m[q > 0])).sum()
    return share * kl(p) + (1 - share) * kl(p_G)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Everything everywhere; pictures that only one of the two makes, or neither; equal shares."""
    for share, gaps in ((0.75, False), (0.5, True), (float(rng.uniform(0.1, 0.4)), True), (0.5, False)):
        p, p_G = rng.uniform(0.1, 1, (2, rng.integers(5, 9)))
        if gaps:
            p[:2], p_G[1:3] = 0, 0
        yield p / p.sum(), p_G / p_G.sum(), share


def draw_values(rng):
    """For some y, which is 0 or 1 only where it costs nothing."""
    for p, p_G, share in draw(rng):
        y = rng.uniform(0.1, 0.9, len(p))
        yield np.where(p == 0, 0.0, np.where(p_G == 0, 1.0, y)), p, p_G, share


about = About(
    lesson="07_gan",
    source="Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1",
    points=4,
    difficulty=2,
)
checks = [
    Values("optimal_discriminator", draw),
    Values("value", draw_values),
    Values("jensen_shannon", draw),
]
mistakes = [
    Mistake(
        "the shares forgotten",
        "real, false = share * p, (1 - share) * p_G",
        "real, false = p, p_G",
        "Where p = p_G, D can still know one thing: how many of the pictures are real.",
    ),
    Mistake(
        "nothing from nothing",
        "np.where(seen, real / np.where(seen, real + false, 1), 0.5)",
        "real / np.where(seen, real + false, 1)",
        "Where neither ever comes, D may say anything; asked for is 1/2.",
    ),
    Mistake(
        "the other's probability",
        "return np.where(seen, real / np.where",
        "return np.where(seen, false / np.where",
        "y is the probability of *real*. What should it be where G never comes?",
    ),
    Mistake(
        "logarithms to base 2",
        "np.log(np.where(weight > 0, q, 1))",
        "np.log2(np.where(weight > 0, q, 1))",
        "In nats: the natural logarithm.",
    ),
    Mistake(
        "the logarithm of the complement",
        "log(1 - y, p_G)",
        "(1 - log(y, p_G * y))",
        "The second term has log(1 - y), not 1 - log y.",
    ),
    Mistake(
        "the middle of the two",
        "m = share * p + (1 - share) * p_G",
        "m = (p + p_G) / 2",
        "m is the density of all that D sees.",
    ),
    Mistake(
        "half and half",
        "share * kl(p) + (1 - share) * kl(p_G)",
        "(kl(p) + kl(p_G)) / 2",
        "The two divergences are weighed as the pictures are.",
    ),
]
hints = [
    "At one x: a log y + b log(1 - y) with a = pi p and b = (1 - pi) p_G has its top at y = a / (a + b).",
    "For sums with 0 log 0: leave those entries out, or put 1 under their logarithm.",
    "V(D*) = JS - H, with the entropy H = -pi log pi - (1 - pi) log(1 - pi), log 2 for equal shares.",
]
