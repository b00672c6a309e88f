r"""Write the test: which gradients of batch norm are wrong?

Batch norm is the classic among wrong gradients that were not noticed. The net learns with them, only worse. Here $x$
is (N, C), and the layer in training

$$
y = w\, \hat x + b, \qquad \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} .
$$

You are given this forward, and backwards that are right or wrong; not told which. Write the test that tells.

A warning. Shift a whole channel by a constant, and $y$ stays: so the gradient of $\sum y$ in $x$ is exactly zero. Most
tests that one finds in the wild ask just for this gradient, with an upstream of all ones. A backward that returns
zeros passes them, and so does one that treats mean or variance as constants: what do their mistakes have in common
there? And one may be wrong in one place only: for some shapes, in one entry, in one of the three gradients.

By differences: $\langle dy,\ y(x + h e_i) - y(x - h e_i) \rangle / 2h$ is to be the entry $i$ of $dx$, and so on.

To `forward` a smooth function of the inputs is added that you are not told, another one each time, and to `backward`
its gradient: the question is whether `backward` is the gradient of the `forward` that you are given. A formula from a
book answers another one.
"""

# %% student
import numpy as np


def test(forward, backward):
    """Whether backward is right.

    forward(x, weight, bias) gives y (N, C) of x (N, C), weight (C,) and bias (C,), for batches of two samples and more.
    backward(dy, x, weight, bias) gives (dx, dweight, dbias).
    Returns True or False (or raises AssertionError where it is wrong).
    """
    # begin solution
    rng = np.random.default_rng(1)
    h = 1e-5
    for N, C in ((5, 2), (3, 4)):
        x, weight, bias = 2 * rng.standard_normal((N, C)) + 1, rng.standard_normal(C), rng.standard_normal(C)
        dy = rng.standard_normal((N, C))
        for value, gradient in zip((x, weight, bias), backward(dy, x, weight, bias)):
            if np.shape(gradient) != value.shape:
                return False
            for i in np.ndindex(value.shape):
                kept = value[i]
                value[i] = kept + h
                above = forward(x, weight, bias)
                value[i] = kept - h
                below = forward(x, weight, bias)
                value[i] = kept
                slope = (dy * (above - below)).sum() / (2 * h)
                if not abs(slope - gradient[i]) < 1e-6:
                    return False
    return True
    # end solution


# %% checks
from minitorch_cv.course.checks import FindsFaults
from minitorch_cv.course.exercise import About, Mistake

EPS = 1e-5


def forward(x, weight, bias):
    """The layer in training."""
    return weight * (x - x.mean(axis=0)) * (x.var(axis=0) + EPS) ** -0.5 + bias


def _parts(x, correction=0):
    r = (x.var(axis=0, ddof=correction) + EPS) ** -0.5
    return (x - x.mean(axis=0)) * r, r


def backward(dy, x, weight, bias):
    """Its gradients."""
    xhat, r = _parts(x)
    dx = weight * r * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


def _changed(change):
    """The right gradients, with dx, dweight or dbias put for others by `change(dx, dw, db, dy, x, weight)`."""
    return lambda right: lambda dy, x, weight, bias: change(*right(dy, x, weight, bias), dy, x, weight)


def _statistics_held(dx, dw, db, dy, x, weight):
    return weight * _parts(x)[1] * dy, dw, db


def _mean_held(dx, dw, db, dy, x, weight):
    xhat, r = _parts(x)
    return weight * r * (dy - xhat * (dy * xhat).mean(axis=0)), dw, db


def _variance_held(dx, dw, db, dy, x, weight):
    return weight * _parts(x)[1] * (dy - dy.mean(axis=0)), dw, db


def _unbiased(dx, dw, db, dy, x, weight):
    xhat, r = _parts(x, correction=1)
    return weight * r * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0)), dw, db


def _five_is_N(dx, dw, db, dy, x, weight):
    """Wrong where the batch has not five samples."""
    xhat, r = _parts(x)
    return weight * r * (dy - dy.sum(axis=0) / 5 - xhat * (dy * xhat).sum(axis=0) / 5), dw, db


about = About(
    lesson="04_resnet",
    source="Ioffe and Szegedy 2015, arXiv:1502.03167, section 3",
    operations=("batch_norm",),
    points=4,
    difficulty=2,
)
checks = [
    FindsFaults(
        "test",
        "forward",
        "backward",
        {
            "mean and variance held": _changed(_statistics_held),
            "the mean held": _changed(_mean_held),
            "the variance held": _changed(_variance_held),
            "dx of zeros": _changed(lambda dx, dw, db, *_: (0 * dx, dw, db)),
            "an unbiased variance": _changed(_unbiased),
            "right for batches of five": _changed(_five_is_N),
            "dweight by x": _changed(
                lambda dx, dw, db, dy, x, weight: (dx, (dy * (x - x.mean(axis=0))).sum(axis=0), db)
            ),
            "dbias as a mean": _changed(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=0))),
            "the weight's sign lost": _changed(lambda dx, dw, db, dy, x, weight: (dx * np.sign(weight), dw, db)),
            "one entry": _changed(lambda dx, dw, db, *_: (dx * (np.arange(dx.size).reshape(dx.shape) != 3), dw, db)),
        },
    )
]
mistakes = [
    Mistake(
        "ones upstream",
        "dy = rng.standard_normal((N, C))",
        "dy = np.ones((N, C))",
        "With ones upstream the gradient of x is zero, rightly; so that every backward whose mistake is a factor, or "
        "that is zero itself, passes. Draw dy at random.",
    ),
    Mistake(
        "one shape",
        "for N, C in ((5, 2), (3, 4)):",
        "for N, C in ((5, 2),):",
        "A backward may be right for one size of the batch, and wrong for another. Try two.",
    ),
    Mistake(
        "dx alone",
        "zip((x, weight, bias), backward",
        "zip((x,), backward",
        "There are three gradients, and weight and bias have one too.",
    ),
    Mistake(
        "weights of one",
        "rng.standard_normal(C), rng.standard_normal(C)\n",
        "np.ones(C), np.zeros(C)\n",
        "Fresh layers have a weight of 1, trained ones any, even negative ones. What does a test with ones not see?",
    ),
]
hints = [
    "Draw x, weight, bias and dy at random; move one entry at a time by h = 1e-5 up and down.",
    "Do it for two shapes, for all entries of all three, and ask for six digits.",
]
