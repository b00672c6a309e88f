r"""The gradient of the simple loss.

Training by equation 14: draw a picture $x_0$, a step $t$, a noise $\varepsilon$; mix them; let the net say which noise
is in the mixture. With the smallest of nets, one linear layer, and rows as pictures,

$$
x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\; \varepsilon, \qquad
\hat\varepsilon = x_t A^\top + c, \qquad
L = \frac1N \sum_n \lVert \varepsilon_n - \hat\varepsilon_n \rVert^2 .
$$

The norm is a sum over the $d$ numbers of a picture, and only the pictures are averaged.

Derive $dA$ and $dc$, which training needs, and also $dx_0$, which is needed where the picture comes out of another net
(latent diffusion, trained together with its encoder), and $d\varepsilon$, which is a good exercise: the noise is in two
places.
"""

# %% student
import numpy as np

ALPHA_BARS = np.cumprod(1 - np.linspace(1e-3, 0.2, 40))
"""abar_1 to abar_T."""


def simple_loss(x_0, noise, A, c, t):
    """L, a number. x_0 and noise: (N, d); A: (d, d); c: (d,); t: integers (N,), the step minus 1."""
    abar = ALPHA_BARS[t][:, None]
    x_t = np.sqrt(abar) * x_0 + np.sqrt(1 - abar) * noise
    return ((noise - x_t @ A.T - c) ** 2).sum(axis=1).mean()


def simple_loss_backward(dy, x_0, noise, A, c, t):
    """The gradients of x_0, noise, A and c, given dy, a number."""
    # begin solution
    abar = ALPHA_BARS[t][:, None]
    x_t = np.sqrt(abar) * x_0 + np.sqrt(1 - abar) * noise
    dsaid = dy * 2 / len(x_0) * (x_t @ A.T + c - noise)
    dx_t = dsaid @ A
    return np.sqrt(abar) * dx_t, np.sqrt(1 - abar) * dx_t - dsaid, dsaid.T @ x_t, dsaid.sum(axis=0)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Several pictures, as many as numbers in each, and one."""
    for N, d in ((4, 3), (3, 3), (1, 5)):
        yield (
            *rng.standard_normal((2, N, d)),
            rng.standard_normal((d, d)),
            rng.standard_normal(d),
            rng.integers(0, 40, N),
        )


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (
        *rng.standard_normal((2, 1500, 30)),
        rng.standard_normal((30, 30)),
        rng.standard_normal(30),
        rng.integers(0, 40, 1500),
    )


about = About(
    lesson="05_diffusion",
    source="Ho, Jain and Abbeel 2020, arXiv:2006.11239, equation 14",
    operations=("linear", "mse_loss"),
    points=4,
    difficulty=2,
)
checks = [Gradient("simple_loss_backward", "simple_loss", draw, draw_many)]
mistakes = [
    Mistake(
        "a mean over the numbers too",
        "2 / len(x_0)",
        "2 / x_0.size",
        "The squares of a picture's numbers are added up, not averaged. What is the mean taken over?",
    ),
    Mistake(
        "the batch's mean forgotten",
        "2 / len(x_0)",
        "2",
        "L is a mean over the pictures.",
    ),
    Mistake(
        "the two forgotten",
        "dy * 2 / len(x_0)",
        "dy / len(x_0)",
        "The derivative of a square has a factor.",
    ),
    Mistake(
        "the noise as the target alone",
        "np.sqrt(1 - abar) * dx_t - dsaid",
        "-dsaid",
        "The noise is the target, and it is in the net's input, too.",
    ),
    Mistake(
        "the noise as an input alone",
        "np.sqrt(1 - abar) * dx_t - dsaid",
        "np.sqrt(1 - abar) * dx_t",
        "The noise is in the net's input, and it is the target, too.",
    ),
    Mistake(
        "the sign",
        "(x_t @ A.T + c - noise)",
        "(noise - x_t @ A.T - c)",
        "If the net says too much, L grows when it says more: the gradient must be positive there.",
    ),
    Mistake(
        "A transposed",
        "dx_t = dsaid @ A\n",
        "dx_t = dsaid @ A.T\n",
        "Forward, x_t meets A transposed. Then back it is ...?",
    ),
]
hints = [
    "Go back in three steps: to what the net says, to x_t, to x_0 and the noise.",
    "dsaid = 2/N (said - noise) dy; a linear layer gives dA, dc and dx_t; then x_t is a sum of two.",
    "The noise gets two terms: the root of 1 - abar times dx_t, and minus dsaid.",
]
