r"""G's gradient, through D.

G never sees a picture. All that it learns comes back through the discriminator: D's weights are held in G's step, and
yet the gradient goes *through* them. Here are the smallest two nets, rows being samples:

$$
x = \tanh(z A^\top), \qquad t = \tanh(x W^\top), \qquad l = t\, v ,
$$

G with the matrix $A$, D with $W$ and the vector $v$. G's loss is the minimax loss (3) or the non-saturating one (3.1):

$$
L_3 = \frac1N \sum_n \log\big(1 - \sigma(l_n)\big), \qquad L_{3.1} = -\frac1N \sum_n \log \sigma(l_n) .
$$

Derive $dA$ for both. They differ in a single line; write the rest once.

Then compare: if D says $l = -10$ to every sample, by which factor is the one gradient smaller than the other? And if D
says $l = -10$ to all but one, and 0 to that one: whom does G learn from, by each of the two losses?
"""

# %% student
import numpy as np


def softplus(l):
    """log(1 + exp(l)), for any l."""
    return np.log1p(np.exp(-abs(l))) + np.maximum(l, 0)


def logits(A, z, W, v):
    """l (N,) of z (N, J), with A (d, J), W (h, d) and v (h,)."""
    return np.tanh(np.tanh(z @ A.T) @ W.T) @ v


def minimax(A, z, W, v):
    """G's loss by equation 3."""
    return -softplus(logits(A, z, W, v)).mean()


def non_saturating(A, z, W, v):
    """G's loss by equation 3.1."""
    return softplus(-logits(A, z, W, v)).mean()


def minimax_backward(dy, A, z, W, v):
    """The gradient of A, given dy, a number."""
    # begin solution
    return generator_backward(-dy * sigmoid(logits(A, z, W, v)) / len(z), A, z, W, v)
    # end solution


def non_saturating_backward(dy, A, z, W, v):
    """The gradient of A, given dy, a number."""
    # begin solution
    return generator_backward(dy * (sigmoid(logits(A, z, W, v)) - 1) / len(z), A, z, W, v)


def sigmoid(l):
    """1 / (1 + exp(-l)), also where it is tiny."""
    return np.exp(-softplus(-l))


def generator_backward(dl, A, z, W, v):
    """The gradient of A, given that of the logits (N,)."""
    x = np.tanh(z @ A.T)
    t = np.tanh(x @ W.T)
    dx = (dl[:, None] * v * (1 - t**2)) @ W
    return (dx * (1 - x**2)).T @ z
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """A D that is unsure, one that is sure (logits below 0, none below -12), and one sample; once all sizes alike."""
    for N, J, d, h, size in ((4, 2, 3, 5, 1), (3, 3, 3, 3, 1), (5, 3, 2, 4, 12), (1, 2, 4, 3, 1)):
        A, W = rng.standard_normal((d, J)), rng.standard_normal((h, d))
        v = rng.standard_normal(h)
        z = rng.standard_normal((N, J))
        if size > 1:  # z of both signs would give logits of both signs
            z = abs(z) + 0.2
            share = rng.uniform(
                0.5, 1, h
            )  # beyond -12, 0.5 + 0.5 tanh(l / 2) has too few digits left of a right answer
            v = -size * np.sign(np.tanh(np.tanh(z @ A.T) @ W.T).mean(axis=0)) * share / share.sum()
        yield A, z, W, v


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (
        rng.standard_normal((200, 250)) / 15,
        rng.standard_normal((20, 250)),
        rng.standard_normal((100, 200)) / 15,
        rng.standard_normal(100) / 10,
    )


about = About(
    lesson="07_gan",
    source="Goodfellow et al. 2014, arXiv:1406.2661, section 3",
    operations=("binary_cross_entropy_with_logits", "tanh", "linear"),
    points=4,
    difficulty=2,
)
checks = [
    Gradient("minimax_backward", "minimax", draw, draw_many),
    Gradient("non_saturating_backward", "non_saturating", draw, draw_many),
]
mistakes = [
    Mistake(
        "minimax with the other's slope",
        "generator_backward(-dy * sigmoid(logits(A, z, W, v)) / len(z)",
        "generator_backward(dy * (sigmoid(logits(A, z, W, v)) - 1) / len(z)",
        "Where D is sure that a sample is false, minimax is flat. Is your gradient?",
    ),
    Mistake(
        "the non-saturating with the other's slope",
        "generator_backward(dy * (sigmoid(logits(A, z, W, v)) - 1) / len(z)",
        "generator_backward(-dy * sigmoid(logits(A, z, W, v)) / len(z)",
        "Where D is sure that a sample is false, the non-saturating loss has its steepest slope. Has yours?",
    ),
    Mistake(
        "minimax upside down",
        "-dy * sigmoid(",
        "dy * sigmoid(",
        "G *lowers* log(1 - sigma(l)), by raising l. The sign is that of a loss for D.",
    ),
    Mistake(
        "D's tanh forgotten",
        "v * (1 - t**2)",
        "v",
        "D has a hidden layer with a tanh, and the gradient has to go back through it.",
    ),
    Mistake(
        "G's tanh forgotten",
        "(dx * (1 - x**2)).T",
        "dx.T",
        "G ends with a tanh, too.",
    ),
    Mistake(
        "the slope at x, not at its tanh",
        "(1 - x**2)",
        "(1 - (z @ A.T) ** 2)",
        "The slope of tanh(u) is 1 - tanh(u)^2: it is the output that is squared.",
    ),
    Mistake(
        "only the last layer of D",
        "(dl[:, None] * v * (1 - t**2)) @ W",
        "(dl[:, None] * np.ones_like(v) * (1 - t**2)) @ W",
        "D's weights are held, but the gradient is still multiplied by them: by all of them.",
    ),
]
hints = [
    "dl is -sigma(l)/N for the one and (sigma(l) - 1)/N for the other. Then: D backwards to x, G backwards to A.",
    "dt = dl v, through the tanh times 1 - t^2, times W gives dx; times 1 - x^2; then dA = (that)^T z.",
]
