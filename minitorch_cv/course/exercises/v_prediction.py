r"""What shall the net say: the noise, the picture, or v?

A net may be trained to say any of three things, for whoever knows $x_t$ and one of them knows the others. The third is
Salimans and Ho's

$$
v = \sqrt{\bar\alpha}\; \varepsilon - \sqrt{1 - \bar\alpha}\; x_0 , \qquad
x_t = \sqrt{\bar\alpha}\; x_0 + \sqrt{1 - \bar\alpha}\; \varepsilon .
$$

Draw it: put $\sqrt{\bar\alpha} = \cos\varphi$. Then $(x_0, \varepsilon)$ has been turned by an angle, and a rotation
is undone by the opposite one.

First find $x_0$ and $\varepsilon$ from $x_t$ and $v$.

Then compare the losses. The net's guess $\hat v$ stands for a guess $\hat x_0$ and a guess $\hat\varepsilon$, by the
formulas that you found, $x_t$ being known. So $\lVert v - \hat v \rVert^2$ is a multiple of $\lVert x_0 - \hat x_0
\rVert^2$, and another of $\lVert \varepsilon - \hat\varepsilon \rVert^2$. Which? Your answer also says by how much an
error of the noise grows when $x_0$ is computed from it at the last steps, where $\bar\alpha$ is near zero.
"""

# %% student
import numpy as np


def picture_and_noise(x_t, v, abar):
    """x_0 and the noise, each (N, ...).

    x_t, v: (N, ...); abar: numbers (N,), one for each picture.
    """
    # begin solution
    abar = abar.reshape(-1, *[1] * (x_t.ndim - 1))
    kept, added = np.sqrt(abar), np.sqrt(1 - abar)
    return kept * x_t - added * v, added * x_t + kept * v
    # end solution


def loss_factors(abar):
    """a and b, each in the shape of abar (N,): |v - v'|^2 = a |x_0 - x_0'|^2 = b |eps - eps'|^2, all at one x_t."""
    # begin solution
    return 1 / (1 - abar), 1 / abar
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Vectors and pictures, as many as each has numbers in a row."""
    for shape in ((3, 3), (1, 5), (2, 1, 3, 2)):
        yield rng.standard_normal(shape), rng.standard_normal(shape), rng.uniform(0.02, 0.98, shape[0])


def draw_abar(rng):
    """From nearly clean to nearly noise."""
    for N in (1, 4, 6):
        yield (rng.uniform(0.05, 0.95, N),)


about = About(
    lesson="05_diffusion",
    source="Salimans and Ho 2022, arXiv:2202.00512, section 4 and appendix D",
    points=3,
    difficulty=2,
)
checks = [Values("picture_and_noise", draw, share=2), Values("loss_factors", draw_abar)]
mistakes = [
    Mistake(
        "turned the same way again",
        "kept * x_t - added * v, added * x_t + kept * v",
        "kept * x_t + added * v, kept * v - added * x_t",
        "To undo a rotation one turns the other way: mind the signs.",
    ),
    Mistake(
        "the two exchanged",
        "kept * x_t - added * v, added * x_t + kept * v",
        "added * x_t + kept * v, kept * x_t - added * v",
        "At abar = 1 there is no noise, and x_0 = x_t. Is it, in your formula?",
    ),
    Mistake(
        "no roots",
        "kept, added = np.sqrt(abar), np.sqrt(1 - abar)",
        "kept, added = abar, 1 - abar",
        "The squares of cosine and sine add up to 1; do those of your two factors?",
    ),
    Mistake(
        "factors the wrong way round",
        "return 1 / (1 - abar), 1 / abar",
        "return 1 / abar, 1 / (1 - abar)",
        "At abar near 1 the picture is plain to see: a large error of v is a small one of x_0.",
    ),
    Mistake(
        "factors upside down",
        "return 1 / (1 - abar), 1 / abar",
        "return 1 - abar, abar",
        "x_0 - x_0' = -sqrt(1 - abar) (v - v'). Which of the two squares is the larger one?",
    ),
]
hints = [
    "Multiply x_t by the root of abar and v by the root of 1 - abar, and subtract: what is left?",
    "For the losses: x_t is the same in both, so it drops out of the difference of two guesses.",
]
