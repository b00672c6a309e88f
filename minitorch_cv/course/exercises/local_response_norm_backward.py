r"""Local response normalisation with a window of any width.

In the lesson the window of channel $i$ reached equally far to both sides. `torch.nn.LocalResponseNorm` takes any width
$n$, also an even one, and then it cannot:

$$
y_i = x_i\, D_i^{-\beta}, \qquad D_i = k + \frac{\alpha}{n} \sum_{j \in W(i)} x_j^2, \qquad
W(i) = \big\{\, i - \lfloor n/2 \rfloor, \dots, i + \lfloor (n-1)/2 \rfloor \,\big\},
$$

with $x = 0$ where there is no channel. For $n = 4$ channel 5 is damped by the channels 3, 4, 5 and 6. (And note that
here, unlike in the paper, $\alpha$ weighs the mean over the window.) All pixels are on their own: only channels meet.

Derive $dx_m$. There are two ways from $x_m$ to the loss: the numerator of its own $y_m$, and the $D_i$ of every channel
i that has m in its window. Which are these? For an odd n you could say "the same window", for the relation was
symmetric. Write down when $m \in W(i)$, and solve it for i.
"""

# %% student
import numpy as np


def window_sum(values, before, after):
    """For each channel the sum over itself, `before` channels before it and `after` channels after it."""
    C = values.shape[1]
    padded = np.pad(values, ((0, 0), (before, after), (0, 0), (0, 0)))
    return sum(padded[:, i : i + C] for i in range(before + after + 1))


def local_response_norm(x, n, alpha, beta, k):
    """y (N, C, H, W) of x (N, C, H, W)."""
    D = k + alpha / n * window_sum(x**2, n // 2, (n - 1) // 2)
    return x * D**-beta


def local_response_norm_backward(dy, x, n, alpha, beta, k):
    """The gradient of x, given dy (N, C, H, W)."""
    # begin solution
    D = k + alpha / n * window_sum(x**2, n // 2, (n - 1) // 2)
    through_D = window_sum(dy * x * D ** (-beta - 1), (n - 1) // 2, n // 2)
    return dy * D**-beta - 2 * alpha * beta / n * x * through_D
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Even and odd windows, one wider than there are channels, one of a single channel; alpha that matters."""
    for n in (4, 5, 2, 9, 1):
        N, H, W = (int(size) for size in rng.integers(1, 4, 3))
        C = int(rng.integers(5, 8))
        alpha, beta, k = (float(v) for v in rng.uniform((0.3, 0.5, 1.0), (1.0, 0.9, 2.0)))
        yield 2 * rng.standard_normal((N, C, H, W)), n, alpha, beta, k


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal((4, 24, 24, 25)), 4, float(rng.uniform(0.3, 1)), 0.75, 1.5


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, section 3.3; `torch.nn.LocalResponseNorm`",
    operations=("local_response_norm",),
    points=5,
    difficulty=3,
)
checks = [Gradient("local_response_norm_backward", "local_response_norm", draw, draw_many, wrt=("x",))]
mistakes = [
    Mistake(
        "the same window",
        "D ** (-beta - 1), (n - 1) // 2, n // 2)",
        "D ** (-beta - 1), n // 2, (n - 1) // 2)",
        "This is right for odd n. For n = 2, channel 5 is damped by 4 and 5. Whose D then holds channel 5: that of 4, "
        "or that of 6?",
    ),
    Mistake(
        "D held constant",
        " - 2 * alpha * beta / n * x * through_D",
        "",
        "Here D is treated as a constant. It is computed from x.",
    ),
    Mistake(
        "its own D alone",
        "window_sum(dy * x * D ** (-beta - 1), (n - 1) // 2, n // 2)",
        "dy * x * D ** (-beta - 1)",
        "$x_m$ moves the D of its neighbours, too, and so their outputs.",
    ),
    Mistake(
        "the power",
        "D ** (-beta - 1)",
        "D ** (-beta)",
        "Differentiating $D^{-\\beta}$ lowers the power by one.",
    ),
    Mistake(
        "x inside of the sum",
        "x * through_D",
        "window_sum(dy * x**2 * D ** (-beta - 1), (n - 1) // 2, n // 2)",
        "In each term of the sum two activations meet: that of the output, $x_i$, and that which moves, $x_m$. Which "
        "of them depends on i?",
    ),
    Mistake(
        "the sum for the mean",
        "2 * alpha * beta / n * x",
        "2 * alpha * beta * x",
        "In this form $\\alpha$ weighs the mean over the window: $\\partial D_i / \\partial x_m$ has a factor $1/n$.",
    ),
]
hints = [
    "$dx_m = dy_m D_m^{-\\beta} + \\sum_{i:\\, m \\in W(i)} dy_i\\, x_i\\, \\frac{\\partial D_i^{-\\beta}}{\\partial "
    "x_m}$.",
    "$i - \\lfloor n/2 \\rfloor \\le m \\le i + \\lfloor (n-1)/2 \\rfloor$ means $m - \\lfloor (n-1)/2 \\rfloor \\le "
    "i \\le m + \\lfloor n/2 \\rfloor$: the window mirrored.",
    "`window_sum` takes both reaches. Exchange them for the way back.",
]
