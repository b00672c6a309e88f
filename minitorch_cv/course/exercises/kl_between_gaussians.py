r"""The divergence of two normal distributions.

The lesson's equation 2.10 is the divergence of $q = N(\mu, \sigma^2)$ from $N(0, 1)$. A prior that is learned, or the
encoder of a deeper model, needs it between *any* two: with $q = N(\mu, e^{l})$ and $p = N(m, e^{k})$, for each number
of the code,

$$
\mathrm{KL}(q \,\|\, p) = E_q[\log q(z) - \log p(z)] ,
$$

summed over the numbers of the code: one value for each sample, in nats.

Derive it as the lesson derives (2.10): the first term is (2.8) as it stands; for the second one needs
$E_q[(z - m)^2]$, and $z - m = (z - \mu) + (\mu - m)$. Then derive the gradients of all four.

Check yourself: with $m = k = 0$ it is (2.10); it is 0 where $q = p$; and $q$ and $p$ play different roles. A gradient
check alone says nothing about the value (lesson, section 4), so both are asked for.
"""

# %% student
import numpy as np


def kl(mu, l, m, k):
    """The divergence (N,) of N(mu, exp(l)) from N(m, exp(k)), all four (N, J)."""
    # begin solution
    return 0.5 * (k - l + (np.exp(l) + (mu - m) ** 2) * np.exp(-k) - 1).sum(axis=1)
    # end solution


def kl_backward(dy, mu, l, m, k):
    """The gradients of mu, l, m and k, given dy (N,)."""
    # begin solution
    dy = dy[:, None]
    dmu = dy * (mu - m) * np.exp(-k)
    dl = dy * 0.5 * (np.exp(l - k) - 1)
    dk = dy * 0.5 * (1 - (np.exp(l) + (mu - m) ** 2) * np.exp(-k))
    return dmu, dl, -dmu, dk
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Several samples, one, and one number; broad and narrow distributions."""
    for N, J in ((4, 3), (3, 3), (1, 4), (5, 1)):
        mu, m = rng.standard_normal((2, N, J))
        yield mu, rng.uniform(-2, 1.5, (N, J)), m, rng.uniform(-2, 1.5, (N, J))


def draw_many(rng):
    """So many entries that differences take minutes."""
    mu, l, m, k = rng.standard_normal((4, 800, 25))
    yield mu, l, m, k


about = About(
    lesson="06_vae",
    source="Kingma and Welling 2013, arXiv:1312.6114, appendix B",
    operations=("gaussian_kl",),
    points=4,
    difficulty=2,
)
checks = [Values("kl", draw), Gradient("kl_backward", "kl", draw, draw_many)]
mistakes = [
    Mistake(
        "the half forgotten",
        "return 0.5 * (k - l",
        "return (k - l",
        "The logarithm of a normal density has a 1/2 in front of both of its terms.",
    ),
    Mistake(
        "sigma for its square",
        "(np.exp(l) + (mu - m) ** 2) * np.exp(-k) - 1).sum(axis=1)",
        "(np.exp(l / 2) + (mu - m) ** 2) * np.exp(-k) - 1).sum(axis=1)",
        "l is the logarithm of the *variance*, and E[(z - mu)^2] is the variance.",
    ),
    Mistake(
        "the distance not scaled",
        "k - l + (np.exp(l) + (mu - m) ** 2) * np.exp(-k) - 1",
        "k - l + np.exp(l) * np.exp(-k) + (mu - m) ** 2 - 1",
        "How far apart two means are matters by the width of p: measured in its deviations.",
    ),
    Mistake(
        "p and q exchanged",
        "return 0.5 * (k - l + (np.exp(l) + (mu - m) ** 2) * np.exp(-k) - 1).sum(axis=1)",
        "return 0.5 * (l - k + (np.exp(k) + (mu - m) ** 2) * np.exp(-l) - 1).sum(axis=1)",
        "The mean is taken over q, the first of the two. This is KL(p || q).",
    ),
    Mistake(
        "the mean over the numbers",
        "* np.exp(-k) - 1).sum(axis=1)",
        "* np.exp(-k) - 1).mean(axis=1)",
        "Of independent numbers the divergences add up. A mean makes the KL too light beside the reconstruction.",
    ),
    Mistake(
        "m's sign",
        "return dmu, dl, -dmu, dk",
        "return dmu, dl, dmu, dk",
        "Only the difference mu - m counts. Move both by the same: what has to become of the sum of their gradients?",
    ),
    Mistake(
        "dk without the distance",
        "dk = dy * 0.5 * (1 - (np.exp(l) + (mu - m) ** 2) * np.exp(-k))",
        "dk = dy * 0.5 * (1 - np.exp(l - k))",
        "The variance of p divides the distance of the means as well.",
    ),
]
hints = [
    "E_q[(z - m)^2] = exp(l) + (mu - m)^2.",
    "KL = 1/2 (k - l + (exp(l) + (mu - m)^2) exp(-k) - 1), summed over the numbers.",
    "m stands in it only in mu - m, so that its gradient is that of mu with the sign turned.",
]
