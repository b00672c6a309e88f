r"""DDIM: one step of any length, with any amount of noise.

A net that was trained by equation 14 knows nothing of a chain. From $x_t$ and the noise $\hat\varepsilon$ that it
guesses, one gets a guess of the picture, $\hat x_0$, by equation 5; and then mixes the two anew for an earlier step
$s$:

$$
x_s = \sqrt{\bar\alpha_s}\; \hat x_0 + \sqrt{1 - \bar\alpha_s - \sigma^2}\; \hat\varepsilon + \sigma z,
\qquad \sigma = \eta\, \sigma_1 ,
$$

where $\sigma_1^2$ is the variance of the posterior $q(x_s \mid x_t, x_0)$: that of equation 9, with $1 -
\bar\alpha_t/\bar\alpha_s$ in place of $\beta_t$, since steps may lie between. With $\eta = 1$ and $s = t - 1$ the step
is equation 12; with $\eta = 0$ no chance is left. Derive $\sigma_1$, and convince yourself that for any $\eta$ the
noise in $x_s$ has the variance $1 - \bar\alpha_s$.

Pictures lie in -1 .. 1, and a guess that does not is wrong: if `clip` is set, cut it off there. But then $x_t$,
$\hat x_0$ and $\hat\varepsilon$ have to fit together still, by equation 5: the noise must be corrected.
"""

# %% student
import numpy as np


def ddim_step(x_t, noise, abar_t, abar_s, eta, z, clip):
    """x_s of x_t.

    x_t: (N, ...); noise: the net's guess, in that shape; abar_t, abar_s: numbers, abar_t < abar_s <= 1; eta: from 0
    (no noise) to 1; z: standard normal, in the shape of x_t; clip: True or False.
    """
    # begin solution
    x_0 = (x_t - np.sqrt(1 - abar_t) * noise) / np.sqrt(abar_t)
    if clip:
        x_0 = np.clip(x_0, -1, 1)
        noise = (x_t - np.sqrt(abar_t) * x_0) / np.sqrt(1 - abar_t)
    variance = eta**2 * (1 - abar_s) / (1 - abar_t) * (1 - abar_t / abar_s)
    return np.sqrt(abar_s) * x_0 + np.sqrt(1 - abar_s - variance) * noise + np.sqrt(variance) * z
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Without noise and with it; guesses that leave -1 .. 1; the last step."""
    for eta, clip, last in (
        (0.0, False, False),
        (1.0, False, False),
        (0.5, True, False),
        (0.0, True, False),
        (1.0, True, True),
    ):
        abar_t, abar_s = np.sort(rng.uniform(0.05, 0.95, 2))
        shape = tuple(int(n) for n in rng.integers(1, 4, 4))
        x_t, noise, z = rng.standard_normal((3, 2 + shape[0], *shape[1:]))
        yield x_t, noise, float(abar_t), 1.0 if last else float(abar_s), eta, z, clip


about = About(
    lesson="05_diffusion",
    source="Song, Meng and Ermon 2020, arXiv:2010.02502, equations 12 and 16",
    points=3,
    difficulty=2,
)
checks = [Values("ddim_step", draw)]
mistakes = [
    Mistake(
        "beta for the posterior's variance",
        "eta**2 * (1 - abar_s) / (1 - abar_t) * (1 - abar_t / abar_s)",
        "eta**2 * (1 - abar_s) * (1 - abar_t / abar_s)",
        "Compare your sigma with equation 9: one of its factors is missing.",
    ),
    Mistake(
        "eta not squared",
        "variance = eta**2",
        "variance = eta",
        "eta multiplies sigma, the deviation.",
    ),
    Mistake(
        "more noise than there is",
        "np.sqrt(1 - abar_s - variance)",
        "np.sqrt(1 - abar_s)",
        "What z brings in, the guessed noise has to make room for: the variances must add up to 1 - abar_s.",
    ),
    Mistake(
        "the noise not corrected",
        "        noise = (x_t - np.sqrt(abar_t) * x_0) / np.sqrt(1 - abar_t)\n",
        "",
        "After the clipping, x_0 and the noise no longer make up x_t.",
    ),
    Mistake(
        "the root of abar forgotten",
        " * noise) / np.sqrt(abar_t)",
        " * noise)",
        "Solve equation 5 for x_0: what is left of x_t without the noise is still the *shrunk* picture.",
    ),
]
hints = [
    "Solve equation 5 for x_0, and, where it was clipped, once more for the noise.",
    "sigma_1^2 = (1 - abar_s) / (1 - abar_t) * (1 - abar_t / abar_s).",
]
