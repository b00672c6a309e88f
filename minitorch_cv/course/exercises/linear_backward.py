r"""A linear layer on whatever stands in front: the gradients of x, W and b.

A linear layer multiplies the last axis of its input by a matrix and adds a bias:

$$
y_{\dots i} = \sum_j x_{\dots j}\, w_{ij} + b_i .
$$

The dots are all other axes. For a classifier there is one, the batch; a transformer has a batch and a sequence, a layer
on each pixel has a batch, rows and columns, and a single vector has none at all. `torch.nn.Linear` takes them all.

In the lesson you derived the three gradients for a batch of $N$ rows, from one question: *where does this number
enter?* Ask it again. An entry of $x$ enters the outputs of its own row only, whichever axes number the rows. An entry
of $w$ or $b$ enters the outputs of every row, and what comes back from them is added.

Write the three gradients for any number of axes in front. `dx` has the shape of x, `dweight` that of weight.
"""

# %% student
import numpy as np


def linear(x, weight, bias):
    """y (..., out) of x (..., in), weight (out, in) and bias (out,)."""
    return x @ weight.T + bias


def linear_backward(dy, x, weight, bias):
    """The gradients (dx, dweight, dbias), given dy (..., out)."""
    # begin solution
    rows = x.reshape(-1, x.shape[-1])
    upstream = dy.reshape(-1, dy.shape[-1])
    return dy @ weight, upstream.T @ rows, upstream.sum(axis=0)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """None to three axes in front; one case with as many inputs as outputs, where a transposed product fits."""
    for front in ((), (int(rng.integers(2, 6)),), tuple(rng.integers(2, 4, 2)), (2, *rng.integers(1, 4, 2))):
        wide, out = rng.choice(np.arange(2, 7), 2, replace=False)
        yield rng.standard_normal((*front, wide)), rng.standard_normal((out, wide)), rng.standard_normal(out)
    yield rng.standard_normal((3, 1, 3)), rng.standard_normal((3, 3)), rng.standard_normal(3)


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((300, 200)), rng.standard_normal((150, 200)), rng.standard_normal(150)


about = About(
    lesson="00_backprop",
    source="Rumelhart, Hinton and Williams 1986",
    operations=("linear",),
    points=2,
    difficulty=1,
)
checks = [Gradient("linear_backward", "linear", draw, draw_many)]
mistakes = [
    Mistake(
        "the bias's mean",
        "upstream.sum(axis=0)",
        "upstream.mean(axis=0)",
        "The bias enters every row, each time with slope 1. A mean divides what comes back by the number of rows: "
        "which part of the forward would ask for that?",
    ),
    Mistake(
        "the weight transposed",
        "return dy @ weight,",
        "return dy @ weight.T,",
        "In dx the sum runs over the outputs i, which number the *rows* of the weight. Write the indices below both.",
    ),
    Mistake(
        "the weight's gradient transposed",
        "upstream.T @ rows",
        "rows.T @ upstream",
        "A gradient has the shape of what it belongs to: weight is (out, in). Which axis is summed away, which come "
        "first and last?",
    ),
    Mistake(
        "summed over the first axis only",
        "upstream.sum(axis=0)",
        "dy.sum(axis=0) if dy.ndim > 1 else dy",
        "The bias was broadcast over *all* axes in front, not over the first alone. Look at the shape that you return.",
    ),
]
hints = [
    "Do the batch of rows first, as in the lesson, and then ask what is different with more axes. Is anything?",
    "All axes in front can be made one: `reshape(-1, n)` keeps the last axis and makes rows of the rest.",
]
