r"""The best guess of the noise, where it is known by formula.

Section 4 of the lesson compares a trained net with the truth: for points that come from a few round heaps, $p_0 =
\sum_k \pi_k\, N(c_k, s_k^2 I)$, the best guess of the noise in $x_t$ is

$$
\varepsilon^*(x_t) = -\sqrt{1 - \bar\alpha_t}\; \nabla \log p_t(x_t) .
$$

There all heaps had one width. Let each have its own, $s_k$. First, what is $p_t$? Adding noise by equation 5 turns
every heap into a heap again, with another middle and another variance $V_k$. Then the gradient of the logarithm of a
sum:

$$
\nabla \log \sum_k w_k(x) = \sum_k r_k(x)\, \nabla \log w_k(x), \qquad r_k = \frac{w_k}{\sum_j w_j} ,
$$

a mean over the heaps, weighted by how probable it is that $x$ belongs to each. $w_k$ is the heap's share times its
density, *with* everything in it that depends on $k$; in $d$ dimensions a broad heap is thin.

Far from all heaps every density is 0 in the computer, and yet there is a best guess: compute with logarithms.

The second function asks for the best guess of the picture, $E[x_0 \mid x_t]$, which follows by equation 5.
"""

# %% student
import numpy as np


def best_noise(x, abar, centers, spreads, shares):
    """The best guess of the noise (N, d) in points x (N, d).

    abar: a number; centers: (K, d); spreads: s (K,); shares: pi (K,), their sum 1.
    """
    # begin solution
    variances = abar * spreads**2 + 1 - abar
    away = np.sqrt(abar) * centers - x[:, None]
    logs = np.log(shares) - 0.5 * (away**2).sum(axis=2) / variances - 0.5 * x.shape[1] * np.log(variances)
    belongs = np.exp(logs - logs.max(axis=1, keepdims=True))
    belongs /= belongs.sum(axis=1, keepdims=True)
    score = ((belongs / variances)[:, :, None] * away).sum(axis=1)
    return -np.sqrt(1 - abar) * score
    # end solution


def best_picture(x, noise, abar):
    """The best guess of x_0 (N, d), given that of the noise."""
    # begin solution
    return (x - np.sqrt(1 - abar) * noise) / np.sqrt(abar)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Among the heaps, in one to three dimensions; far from all of them; a single heap."""
    for N, d, K, far in ((4, 2, 3, 1), (3, 3, 3, 1), (5, 1, 4, 1), (2, 2, 3, 80), (3, 2, 1, 1)):
        shares = rng.uniform(0.2, 1, K)
        centers, spreads = 1.5 * rng.standard_normal((K, d)), rng.uniform(0.2, 1.5, K)
        yield far * rng.standard_normal((N, d)), float(rng.uniform(0.3, 0.9)), centers, spreads, shares / shares.sum()


def draw_picture(rng):
    """Any points."""
    for N, d in ((3, 2), (1, 4), (2, 3)):
        yield *rng.standard_normal((2, N, d)), float(rng.uniform(0.1, 0.9))


about = About(
    lesson="05_diffusion",
    source="Song and Ermon 2019, arXiv:1907.05600; Ho, Jain and Abbeel 2020, arXiv:2006.11239, section 3.2",
    points=5,
    difficulty=3,
)
checks = [Values("best_noise", draw, share=4), Values("best_picture", draw_picture)]
mistakes = [
    Mistake(
        "a broad heap not thinner",
        " - 0.5 * x.shape[1] * np.log(variances)",
        "",
        "The density of a heap has a factor in front of its exponential. With equal widths it cancels; here?",
    ),
    Mistake(
        "the density of one dimension",
        "0.5 * x.shape[1] * np.log(variances)",
        "0.5 * np.log(variances)",
        "In d dimensions the density is a product of d, and so is the factor in front.",
    ),
    Mistake(
        "heaps of equal shares",
        "np.log(shares) - 0.5",
        "-0.5",
        "A heap with more points is more likely to be the one that x belongs to.",
    ),
    Mistake(
        "the heaps as they were",
        "variances = abar * spreads**2 + 1 - abar",
        "variances = spreads**2 + 1 - abar",
        "x_0 shrinks by the root of abar, and so does the heap around its middle.",
    ),
    Mistake(
        "the score itself",
        "return -np.sqrt(1 - abar) * score",
        "return score",
        "The score points to where the data are, the noise away from there, and it is standard: mind sign and size.",
    ),
    Mistake(
        "the nearest heap alone",
        "    belongs /= belongs.sum(axis=1, keepdims=True)\n",
        "    belongs = (belongs == 1) * 1.0\n",
        "Between two heaps the best guess is a mean of both, since nobody knows which of them x came from.",
    ),
    Mistake(
        "the picture still shrunk",
        "(x - np.sqrt(1 - abar) * noise) / np.sqrt(abar)",
        "x - np.sqrt(1 - abar) * noise",
        "Without its noise x_t is the root of abar times the picture.",
    ),
]
hints = [
    "p_t is the sum of shares times N(sqrt(abar) c_k, V_k I) with V_k = abar s_k^2 + 1 - abar.",
    "log w_k = log pi_k - |x - sqrt(abar) c_k|^2 / (2 V_k) - d/2 log V_k. Take away the largest before exp.",
    "The gradient of log w_k is (sqrt(abar) c_k - x) / V_k.",
]
