r"""The reconstruction of black and white pixels, for any logit.

The decoder gives a logit $a$ for each pixel, and $-\log p(x \mid z)$ is the cross-entropy. Pixels of ink are rare in a
digit, and one may give them a weight $w$ (PyTorch's `pos_weight`):

$$
L = -\frac1N \sum_n \sum_i \Big[ w\, x_{ni} \log \sigma(a_{ni}) + (1 - x_{ni}) \log\big(1 - \sigma(a_{ni})\big) \Big],
\qquad \sigma(a) = \frac{1}{1 + e^{-a}} .
$$

Pixels may be grey, $0 \le x \le 1$. Note where there is a sum, and where a mean.

As it stands the formula fails: at $a = 40$, $1 - \sigma(a)$ is rounded to 0, and its logarithm is infinite, though the
true value is $-40$. Untrained decoders do give such logits. Write both logarithms by $\operatorname{softplus}(a) =
\log(1 + e^a)$, and that so that no exponential of a large number is ever taken: for $a = 1000$ it is 1000, for $a =
-1000$ it is 0. Then derive the gradient of $a$, which must not overflow either.
"""

# %% student
import numpy as np


def reconstruction(a, x, w):
    """L, a number. a, x: (N, I), any logits and pixels from 0 to 1; w: the weight of ink."""
    # begin solution
    softplus = np.log1p(np.exp(-abs(a))) + np.maximum(a, 0)
    return (w * x * (softplus - a) + (1 - x) * softplus).sum(axis=1).mean()
    # end solution


def reconstruction_backward(dy, a, x, w):
    """The gradient of a, given dy, a number; the pixels are not trained."""
    # begin solution
    sigmoid = 0.5 + 0.5 * np.tanh(a / 2)
    return dy / len(a) * ((1 - x) * sigmoid - w * x * (1 - sigmoid))
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Black and white pixels, grey ones, one image; a weight other than 1."""
    for N, grey in ((3, False), (2, True), (1, True)):
        I = int(rng.integers(2, 6))
        x = rng.uniform(0.05, 0.95, (N, I)) if grey else rng.integers(0, 2, (N, I)).astype(float)
        yield 2 * rng.standard_normal((N, I)), x, float(rng.uniform(0.5, 4))


def draw_values(rng):
    """And logits that no exponential can bear, on grey pixels."""
    yield from draw(rng)
    for size in (40, 1000):
        yield (
            size * np.where(rng.random((3, 4)) < 0.5, 1.0, -1.0),
            rng.uniform(0.1, 0.9, (3, 4)),
            float(rng.uniform(1, 3)),
        )


def draw_large(rng):
    """Large logits, with dy."""
    for a, x, w in list(draw_values(rng))[-2:]:
        yield float(rng.uniform(0.5, 2)), a, x, w


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal((2000, 40)), rng.uniform(0.05, 0.95, (2000, 40)), float(rng.uniform(0.5, 4))


about = About(
    lesson="06_vae",
    source="Kingma and Welling 2013, arXiv:1312.6114, appendix C.1",
    operations=("binary_cross_entropy_with_logits", "softplus", "sigmoid"),
    points=4,
    difficulty=2,
)
checks = [
    Values("reconstruction", draw_values),
    Gradient("reconstruction_backward", "reconstruction", draw, draw_many),
    Values("reconstruction_backward", draw_large, share=0.5),
]
mistakes = [
    Mistake(
        "an exponential that overflows",
        "softplus = np.log1p(np.exp(-abs(a))) + np.maximum(a, 0)",
        "softplus = np.log(1 + np.exp(a))",
        "For most logits it is right, and for a = 1000 infinite. Draw a factor out of 1 + exp(a) where a is large.",
    ),
    Mistake(
        "ink by its complement",
        "(w * x * (softplus - a) + (1 - x) * softplus)",
        "(w * (1 - x) * (softplus - a) + x * softplus)",
        "Where x = 1 a large logit is right. Does your loss fall there?",
    ),
    Mistake(
        "the weight on both",
        "(w * x * (softplus - a) + (1 - x) * softplus)",
        "(w * (x * (softplus - a) + (1 - x) * softplus))",
        "Only ink is weighed.",
    ),
    Mistake(
        "a mean over the pixels",
        ".sum(axis=1).mean()",
        ".mean()",
        "A likelihood of independent pixels is a product, its logarithm a sum. A mean makes the KL far too heavy.",
    ),
    Mistake(
        "as without a weight",
        "(1 - x) * sigmoid - w * x * (1 - sigmoid)",
        "sigmoid - x",
        "That is the gradient for w = 1. Differentiate the two terms one by one.",
    ),
    Mistake(
        "the batch's mean",
        "dy / len(a)",
        "dy / a.size",
        "The pixels of an image are summed up, so that only N divides.",
    ),
]
hints = [
    "-log sigma(a) = softplus(-a) = softplus(a) - a, and -log(1 - sigma(a)) = softplus(a).",
    "softplus(a) = max(a, 0) + log(1 + exp(-|a|)): the exponential is at most 1.",
    "softplus' = sigma. With tanh the sigmoid is 1/2 + tanh(a/2)/2, and nothing overflows.",
]
