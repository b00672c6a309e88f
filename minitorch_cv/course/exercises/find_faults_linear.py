r"""Write the test: which gradients of a linear layer are wrong?

A linear layer is $Y = X W^\top + b$ with $X$ of shape (N, in), $W$ (out, in) and $b$ (out,). Somebody has derived its
backward. Yours to write is the test that tells whether it is right, by differences of the forward:

$$
\Big\langle dY,\ \frac{\partial Y}{\partial x_i} \Big\rangle \approx
\frac{\langle dY,\, Y(x + h e_i) - Y(x - h e_i) \rangle}{2h} .
$$

It is given functions that are right and functions with a fault planted in them, and you are not told which. A test
that takes `dY` as all ones, or looks at one entry, or forgets one of the three gradients, lets faults pass.

To `forward` a smooth function of the inputs is added that you are not told, another one each time, and to `backward`
its gradient: the question is whether `backward` is the gradient of the `forward` that you are given. A formula from a
book answers another one.
"""

# %% student
import numpy as np


def test(forward, backward):
    """Whether backward is right.

    forward(x, weight, bias) gives y; backward(dy, x, weight, bias) gives (dx, dweight, dbias).
    Returns True or False (or raises AssertionError where it is wrong).
    """
    # begin solution
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(shape) for shape in ((4, 3), (2, 3), (2,))]
    dy = rng.standard_normal((4, 2))
    gradients = backward(dy, *inputs)
    h = 1e-5
    for value, gradient in zip(inputs, gradients):
        if np.shape(gradient) != value.shape:
            return False
        for i in np.ndindex(value.shape):
            kept = value[i]
            value[i] = kept + h
            above = forward(*inputs)
            value[i] = kept - h
            below = forward(*inputs)
            value[i] = kept
            slope = (dy * (above - below)).sum() / (2 * h)
            if not abs(slope - gradient[i]) < 1e-6:
                return False
    return True
    # end solution


# %% checks
from minitorch_cv.course.checks import FindsFaults
from minitorch_cv.course.exercise import About, Mistake


def forward(x, weight, bias):
    """The layer."""
    return x @ weight.T + bias


def backward(dy, x, weight, bias):
    """Its gradients."""
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def _changed(change):
    return lambda right: lambda dy, *inputs: change(*right(dy, *inputs))


def _ones(right):
    """Right for an upstream gradient of all ones alone."""

    def wrong(dy, *inputs):
        return right(np.full_like(dy, dy.mean()), *inputs)

    return wrong


about = About(
    lesson="00_backprop",
    source="Rumelhart, Hinton and Williams 1986",
    operations=("linear",),
    points=4,
    difficulty=2,
)
checks = [
    FindsFaults(
        "test",
        "forward",
        "backward",
        {
            "a factor": _changed(lambda dx, dw, db: (dx, 1.01 * dw, db)),
            "the bias's mean": _changed(lambda dx, dw, db: (dx, dw, db / 4)),
            "dx of zeros": _changed(lambda dx, dw, db: (0 * dx, dw, db)),
            "one entry": _changed(lambda dx, dw, db: (dx, dw * (np.arange(dw.size).reshape(dw.shape) != 4), db)),
            "right for ones only": _ones,
            "the sign": _changed(lambda dx, dw, db: (-dx, dw, db)),
        },
    )
]
mistakes = [
    Mistake(
        "ones upstream",
        "dy = rng.standard_normal((4, 2))",
        "dy = np.ones((4, 2))",
        "An upstream gradient of all ones is a very special one: a backward that only uses its mean passes. Draw it.",
    ),
    Mistake(
        "a tolerance too wide",
        "< 1e-6",
        "< 1e-1",
        "A factor of 1.01 is a mistake, too: central differences in float64 are good to about 1e-9, so ask for it.",
    ),
    Mistake(
        "the bias forgotten",
        "zip(inputs, gradients)",
        "zip(inputs[:2], gradients)",
        "There are three gradients, and the bias's is one of them.",
    ),
]
hints = [
    "Draw x, weight, bias and dy at random. Move one entry at a time by h up and down.",
    "The slope of <dy, y> along an entry is what the gradient's entry has to be.",
]
