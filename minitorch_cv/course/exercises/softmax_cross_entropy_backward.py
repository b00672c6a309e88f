r"""Softmax and cross-entropy with smoothed labels.

For logits $z_{nk}$, $n$ over the batch, $k$ over $K$ classes, and labels $t_n$:

$$
p_{nk} = \frac{e^{z_{nk}}}{\sum_j e^{z_{nj}}}, \qquad L = -\frac1N \sum_n \sum_k q_{nk} \ln p_{nk} .
$$

In the lesson $q$ was 1 at the label and 0 elsewhere. **Label smoothing** (Szegedy et al. 2015) takes a little from the
label and gives it to all classes, the label among them:

$$
q_{nk} = (1 - \epsilon)\,[k = t_n] + \frac{\epsilon}{K} .
$$

The net is then no longer asked to be infinitely sure. $\epsilon = 0$ is the loss of the lesson.

Derive $dz$. Go the lesson's way: write $-\ln p_{nk}$ without a fraction, and differentiate; what does $\sum_k q_{nk}$
come to? Mind two things. The loss is a mean, and $dL$, what comes from above, is a number that need not be 1. And
logits may be large: $e^{1000}$ is not a number that float64 knows, but the right gradient holds nothing larger than 1.
"""

# %% student
import numpy as np


def cross_entropy(z, labels, epsilon):
    """The loss, a number: logits z (N, K), labels (N,) of whole numbers, epsilon from 0 to 1."""
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    of_label = log_p[np.arange(len(z)), labels]
    return -((1 - epsilon) * of_label + epsilon * log_p.mean(axis=1)).mean()


def cross_entropy_backward(dL, z, labels, epsilon):
    """The gradient of the logits, (N, K), given dL, a number."""
    # begin solution
    N, K = z.shape
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    q = (1 - epsilon) * np.eye(K)[labels] + epsilon / K
    return dL * (p - q) / N
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Batches of one and of several, two classes and more."""
    for N in (1, int(rng.integers(2, 5)), int(rng.integers(5, 9))):
        K = int(rng.integers(2, 7))
        yield 2 * rng.standard_normal((N, K)), rng.integers(0, K, N), float(rng.uniform(0.05, 0.5))
    yield 2 * rng.standard_normal((4, 5)), rng.integers(0, 5, 4), 0.0


def draw_large(rng):
    """Logits of hundreds and thousands, of both signs."""
    for scale, shift in ((1000.0, 0.0), (5.0, 900.0), (5.0, -900.0)):
        N, K = rng.integers(2, 6, 2)
        z = scale * rng.standard_normal((N, K)) + shift
        yield float(rng.uniform(0.5, 2)), z, rng.integers(0, K, N), 0.1


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal((2000, 40)), rng.integers(0, 40, 2000), float(rng.uniform(0.05, 0.5))


about = About(
    lesson="00_backprop",
    source="Szegedy et al. 2015, arXiv:1512.00567, section 7",
    operations=("cross_entropy", "softmax"),
    points=4,
    difficulty=2,
)
checks = [
    Gradient("cross_entropy_backward", "cross_entropy", draw, draw_many, share=2),
    Values("cross_entropy_backward", draw_large),
]
mistakes = [
    Mistake(
        "no mean",
        "dL * (p - q) / N",
        "dL * (p - q)",
        "The loss is a mean over the batch. With twice as many samples, how much does one of them count?",
    ),
    Mistake(
        "a mean over the classes, too",
        "dL * (p - q) / N",
        "dL * (p - q) / z.size",
        "The mean is over the samples. Over the classes there is a sum, weighted by q.",
    ),
    Mistake(
        "the sign",
        "dL * (p - q) / N",
        "dL * (q - p) / N",
        "A step against the gradient shall raise the label's logit. Which sign must it have there?",
    ),
    Mistake(
        "labels not smoothed",
        "q = (1 - epsilon) * np.eye(K)[labels] + epsilon / K",
        "q = np.eye(K)[labels]",
        "This is the gradient of the lesson's loss. Which terms of the smoothed one still hold $z_{nk}$?",
    ),
    Mistake(
        "smoothed over the other classes",
        "q = (1 - epsilon) * np.eye(K)[labels] + epsilon / K",
        "q = (1 - epsilon) * np.eye(K)[labels] + epsilon / (K - 1) * (1 - np.eye(K)[labels])",
        "Here epsilon is shared by the other classes alone. Read the definition of q again: who gets a share?",
    ),
    Mistake(
        "overflow",
        "np.exp(z - z.max(axis=1, keepdims=True))",
        "np.exp(z)",
        "For a logit of 900, $e^z$ is infinite, and infinity over infinity is no number. What may be subtracted from a "
        "row of logits without changing p?",
    ),
    Mistake(
        "what comes from above forgotten",
        "dL * (p - q) / N",
        "(p - q) / N",
        "The loss may be weighted, or part of a sum: what comes from above is not always 1.",
    ),
]
hints = [
    "$-\\ln p_{nk} = -z_{nk} + \\ln \\sum_j e^{z_{nj}}$. Multiply by $q_{nk}$ and sum over k: a sample's q sum to 1.",
    "One sample's loss is $-\\sum_k q_k z_k + \\ln \\sum_j e^{z_j}$. Differentiate both terms.",
    "What remains is a difference of two distributions, over N.",
]
