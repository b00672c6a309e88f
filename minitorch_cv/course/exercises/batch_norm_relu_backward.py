r"""Batch norm and ReLU in one: the gradient in one line.

Behind nearly every convolution of a ResNet stand batch norm and ReLU, so that fast code makes one operation of the two.
A channel has $m$ values: one for each image, or, in a map, one for each image and pixel, $m = N H W$. With

$$
r = (\sigma^2 + \epsilon)^{-1/2}, \qquad
\hat x_i = (x_i - \mu)\, r, \qquad
u_i = w\, \hat x_i + b, \qquad
y_i = \max(u_i, 0),
$$

$\mu$ and $\sigma^2$ being the mean and the (biased) variance of the channel's $m$ values, derive $dx$, $dw$ and $db$.

Of $dx$ we want the *compact* form: not the five lines through $d\sigma^2$ and $d\mu$, but one, made of what has come
back through the ReLU, of $\hat x$, $r$, $w$, $m$, and of $dw$ and $db$, which you have already. There is no $x$ in it
but through $\hat x$: a fast forward keeps $\hat x$ and $r$ and forgets the rest.

Write it once for all shapes: $x$ is (N, C), (N, C, L) or (N, C, H, W); the statistics are taken over all axes but the
second.
"""

# %% student
import numpy as np

EPS = 1e-5


def per_channel(values, x):
    """Values (C,) in a shape that broadcasts against x (N, C, ...)."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def standardized(x):
    """xhat in the shape of x, and r (C,)."""
    axes = (0, *range(2, x.ndim))
    r = (x.var(axis=axes) + EPS) ** -0.5
    return (x - per_channel(x.mean(axis=axes), x)) * per_channel(r, x), r


def batch_norm_relu(x, weight, bias):
    """x (N, C, ...), standardised over all axes but the second; weight and bias (C,)."""
    xhat, _ = standardized(x)
    return np.maximum(per_channel(weight, x) * xhat + per_channel(bias, x), 0)


def batch_norm_relu_backward(dy, x, weight, bias):
    """The gradients of x, weight and bias, given dy in the shape of x."""
    xhat, r = standardized(x)
    # begin solution
    axes = (0, *range(2, x.ndim))
    m = x.size // x.shape[1]
    du = dy * (per_channel(weight, x) * xhat + per_channel(bias, x) > 0)
    dweight, dbias = (du * xhat).sum(axis=axes), du.sum(axis=axes)
    dx = per_channel(weight * r, x) * (du - per_channel(dbias / m, x) - xhat * per_channel(dweight / m, x))
    return dx, dweight, dbias
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Vectors, signals and images, of odd sizes; weights of both signs."""
    for axes in (0, 1, 2, 2):
        N, C = rng.integers(2, 5), rng.integers(1, 5)
        sizes = rng.integers(2, 6, axes) if axes else []
        x = rng.standard_normal((N + 3 * (axes == 0), C, *sizes)) * rng.uniform(0.5, 3) + rng.standard_normal()
        yield x, rng.uniform(0.5, 2, C) * rng.choice([-1, 1], C), 0.5 * rng.standard_normal(C)


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal((8, 8, 35, 36)), rng.standard_normal(8), rng.standard_normal(8)


about = About(
    lesson="04_resnet",
    source="Ioffe and Szegedy 2015, arXiv:1502.03167, section 3",
    operations=("batch_norm",),
    points=5,
    difficulty=3,
)
checks = [Gradient("batch_norm_relu_backward", "batch_norm_relu", draw, draw_many)]
mistakes = [
    Mistake(
        "pixels not counted",
        "m = x.size // x.shape[1]",
        "m = len(x)",
        "For vectors it is right, and for images not. How many values share one mean: one for each image?",
    ),
    Mistake(
        "the mask of x",
        "per_channel(weight, x) * xhat + per_channel(bias, x) > 0",
        "x > 0",
        "The ReLU stands *behind* the batch norm: what has to be positive for the gradient to pass?",
    ),
    Mistake(
        "dy past the ReLU",
        "* (du - per_channel",
        "* (dy - per_channel",
        "One of the three terms of dx still uses the gradient behind the ReLU, not the one in front of it.",
    ),
    Mistake(
        "the variance held",
        " - xhat * per_channel(dweight / m, x)",
        "",
        "Stretch a whole channel: y stays. So the part of the gradient along xhat has to be taken away; is it?",
    ),
    Mistake(
        "mean and variance held",
        " - per_channel(dbias / m, x) - xhat * per_channel(dweight / m, x)",
        "",
        "Mean and variance are computed from x as well. If every value of a channel grows by 1, what happens to y?",
    ),
    Mistake(
        "the deviation for its inverse",
        "per_channel(weight * r, x)",
        "per_channel(weight / r, x)",
        "If x is given in other units, a thousand times larger, y is the same. Does dx then grow or shrink?",
    ),
]
hints = [
    "Three steps back: the ReLU's mask, then dw and db as sums over each channel, then dx.",
    "Begin with the long form, dx = r dxhat + (2/m)(x - mu) dvar + dmean / m, and put x - mu = xhat / r.",
    "Two sums are left, that of dxhat and that of dxhat xhat. Up to the factor w they are db and dw.",
    "dx = w r (du - its mean over the channel - xhat times the mean of du xhat), with du = dy where u > 0.",
]
