r"""The importance-weighted bound, and who gets its gradient.

With $K$ draws from the encoder, and the log weights $w_{nk} = \log p(x_n, z_{nk}) - \log q(z_{nk} \mid x_n)$, equation
3.4 bounds $\log p(x)$ more tightly than one draw can:

$$
L = \frac1N \sum_n \log \Big( \frac1K \sum_k e^{w_{nk}} \Big) .
$$

For digits $w$ lies near $-90$, for photographs near $-10{,}000$, where an exponential is 0 in any computer, and the
logarithm of the sum $-\infty$. A constant may be added to all weights of an image, if it is taken away again outside
of the logarithm. Choose it so that the largest exponential is $e^0$.

Then derive the gradient of the log weights. The same care is needed, and the result has a name. Which draw of an image
does the gradient go to, if one weight is far larger than the others? What are, for any weights, the sum over $k$, and
the gradient for $K = 1$?
"""

# %% student
import numpy as np


def bound(w):
    """L, a number, of log weights (N, K)."""
    # begin solution
    top = w.max(axis=1, keepdims=True)
    return (top[:, 0] + np.log(np.exp(w - top).mean(axis=1))).mean()
    # end solution


def bound_backward(dy, w):
    """The gradient of w, given dy, a number."""
    # begin solution
    e = np.exp(w - w.max(axis=1, keepdims=True))
    return dy / len(w) * e / e.sum(axis=1, keepdims=True)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Moderate weights; a single draw; an image alone."""
    for N, K in ((3, 4), (4, 1), (1, 5)):
        yield (2 * rng.standard_normal((N, K)) - 3 * rng.random((N, 1)),)


def draw_large(rng):
    """And weights as images have them, some of them with large differences."""
    yield from draw(rng)
    for size in (-2000.0, 3000.0):
        yield (size + 100 * rng.standard_normal((3, 1)) + 3 * rng.standard_normal((3, 4)),)


def draw_backward(rng):
    """Large weights, with dy."""
    for (w,) in list(draw_large(rng))[-2:]:
        yield float(rng.uniform(0.5, 2)), w


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (2 * rng.standard_normal((2000, 40)),)


about = About(
    lesson="06_vae",
    source="Burda, Grosse and Salakhutdinov 2015, arXiv:1509.00519, equations 8 and 13",
    operations=("softmax",),
    points=3,
    difficulty=2,
)
checks = [
    Values("bound", draw_large),
    Gradient("bound_backward", "bound", draw, draw_many),
    Values("bound_backward", draw_backward, share=0.5),
]
mistakes = [
    Mistake(
        "the exponentials as they are",
        "    top = w.max(axis=1, keepdims=True)\n",
        "    top = np.zeros((len(w), 1))\n",
        "exp(-2000) is 0 in any computer, and exp(3000) infinite. Draw out the largest weight first.",
    ),
    Mistake(
        "a sum for the mean",
        "np.exp(w - top).mean(axis=1)",
        "np.exp(w - top).sum(axis=1)",
        "With K equal weights the bound has to be that weight. Is it?",
    ),
    Mistake(
        "the logarithm inside",
        "np.log(np.exp(w - top).mean(axis=1))",
        "(w - top).mean(axis=1)",
        "The mean of the logarithms is the bound of one draw, (2.7), taken K times. Here the mean is inside.",
    ),
    Mistake(
        "all images together",
        "e / e.sum(axis=1, keepdims=True)",
        "e / e.sum()",
        "Each image has its own mean over its own draws.",
    ),
    Mistake(
        "all draws alike",
        "dy / len(w) * e / e.sum(axis=1, keepdims=True)",
        "dy / w.size * np.ones_like(e)",
        "This would be the gradient of the mean of the log weights. Which draw makes up most of the sum?",
    ),
    Mistake(
        "the mean over images forgotten",
        "dy / len(w)",
        "dy",
        "L is a mean over the images.",
    ),
]
hints = [
    "log sum exp(w) = top + log sum exp(w - top), with top the largest w of the image.",
    "d/dw_k of log sum exp(w) = exp(w_k) / sum exp(w): the softmax. The 1/K is a constant in the logarithm.",
]
