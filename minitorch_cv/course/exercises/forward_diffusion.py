r"""From one step to another in one leap.

The lesson merges two steps of the forward process (equation 4), and by induction any number from $x_0$ on (equation 5):
$x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon$. Here you need it in general.

*Between.* Given $x_s$ at a step $s < t$, what is $x_t$? The steps from $s + 1$ to $t$ merge into one,

$$
x_t = a\, x_s + b\, \varepsilon, \qquad \varepsilon \sim N(0, I),
$$

with $a$ and $b$ that depend on $\bar\alpha_s$ and $\bar\alpha_t$ alone. Find them. $s = 0$ must give equation 5.

*Merged.* Somebody went from $x_0$ to $x_s$ with the noise $\varepsilon_1$, and on to $x_t$ with another noise,
$\varepsilon_2$. Which *one* noise would have led from $x_0$ to the very same $x_t$? Solve for it. It has to be standard
normal again: are the squares of your two factors 1 in sum?

Every picture of the batch has steps of its own. They count from 1, and step 0 is the clean picture.
"""

# %% student
import numpy as np


def between(x_s, s, t, noise, betas):
    """x_t of x_s (N, ...), noise in its shape.

    s, t: integers (N,), 0 <= s < t <= T; betas: beta_1 to beta_T.
    """
    # begin solution
    abar = np.append(1.0, np.cumprod(1 - betas))
    kept = (abar[t] / abar[s]).reshape(-1, *[1] * (x_s.ndim - 1))
    return np.sqrt(kept) * x_s + np.sqrt(1 - kept) * noise
    # end solution


def merged(noise_1, noise_2, s, t, betas):
    """The noise (N, ...) that leads from x_0 to x_t in one leap.

    noise_1: that of the leap from x_0 to x_s; noise_2: that of the leap from x_s to x_t; s, t: (N,), 0 < s < t.
    """
    # begin solution
    column = (-1, *[1] * (noise_1.ndim - 1))
    abar = np.append(1.0, np.cumprod(1 - betas))
    abar_s, abar_t = abar[s].reshape(column), abar[t].reshape(column)
    kept = abar_t / abar_s
    return (np.sqrt(kept * (1 - abar_s)) * noise_1 + np.sqrt(1 - kept) * noise_2) / np.sqrt(1 - abar_t)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw_steps(rng, earliest):
    """Vectors and pictures, as many pictures as pixels in a row, the first step and the last."""
    for shape in ((4, 3), (3, 2, 3, 3), (5, 1, 2, 5), (1, 4)):
        T = int(rng.integers(6, 40))
        pairs = [np.sort(rng.choice(np.arange(earliest, T + 1), 2, replace=False)) for _ in range(shape[0])]
        pairs[0] = np.array([earliest, T if shape[0] > 1 else earliest + 1])
        yield shape, *np.array(pairs).T.copy(), rng.uniform(0.01, 0.3, T)


def draw_between(rng):
    """From the clean picture on."""
    for shape, s, t, betas in draw_steps(rng, 0):
        yield rng.standard_normal(shape), s, t, rng.standard_normal(shape), betas


def draw_merged(rng):
    """From the first step on."""
    for shape, s, t, betas in draw_steps(rng, 1):
        yield rng.standard_normal(shape), rng.standard_normal(shape), s, t, betas


about = About(
    lesson="05_diffusion",
    source="Ho, Jain and Abbeel 2020, arXiv:2006.11239, equation 4",
    points=3,
    difficulty=2,
)
checks = [Values("between", draw_between), Values("merged", draw_merged)]
mistakes = [
    Mistake(
        "the noise of the whole way",
        "np.sqrt(kept) * x_s + np.sqrt(1 - kept) * noise",
        "np.sqrt(kept) * x_s + np.sqrt(1 - abar[t].reshape(kept.shape)) * noise",
        "x_s is noisy already, and that noise stays in. What if x_s has variance 1: has your x_t variance 1, too?",
    ),
    Mistake(
        "no root over the noise",
        "np.sqrt(kept) * x_s + np.sqrt(1 - kept) * noise",
        "np.sqrt(kept) * x_s + (1 - kept) * noise",
        "1 - abar is a variance. What multiplies a standard normal variable?",
    ),
    Mistake(
        "no root over the picture",
        "np.sqrt(kept) * x_s + np.sqrt(1 - kept) * noise",
        "kept * x_s + np.sqrt(1 - kept) * noise",
        "abar is the share of the *variance* that is left.",
    ),
    Mistake(
        "steps counted from 0",
        "    abar = np.append(1.0, np.cumprod(1 - betas))\n    kept =",
        "    abar = np.append(np.cumprod(1 - betas), 1e-9)\n    kept =",
        "abar_0 = 1: put it in front of the cumulative product, so that entry t is step t.",
    ),
    Mistake(
        "the first noise as it was",
        "np.sqrt(kept * (1 - abar_s)) * noise_1",
        "np.sqrt(1 - abar_s) * noise_1",
        "On the way from s to t everything shrinks, the picture and the noise that is in it.",
    ),
    Mistake(
        "not standard",
        " / np.sqrt(1 - abar_t)",
        "",
        "That is all the noise in x_t, with its size. Asked for is the standard one, which equation 5 multiplies.",
    ),
    Mistake(
        "deviations added",
        "np.sqrt(kept * (1 - abar_s)) * noise_1 + np.sqrt(1 - kept) * noise_2",
        "np.sqrt(kept * (1 - abar_s)) * noise_1 + (np.sqrt(1 - abar_t) - np.sqrt(kept * (1 - abar_s))) * noise_2",
        "Of independent variables the variances add, not the deviations.",
    ),
]
hints = [
    "The factors of x in the steps multiply: the product of alpha from s + 1 to t is abar_t / abar_s.",
    "b follows from the variance: a^2 + b^2 = 1.",
    "For the merged noise insert x_s in x_t, and compare what stands beside x_0 with equation 5: "
    "sqrt(1 - abar_t) eps = a sqrt(1 - abar_s) eps_1 + b eps_2.",
]
