r"""Dropout: its gradient, its mean and its variance.

With a mask $m_i \in \{0, 1\}$, drawn outside, $P(m_i = 0) = p$,

$$
y_i = \frac{m_i\, x_i}{1 - p} \quad \text{in training}, \qquad y_i = x_i \quad \text{in the test.}
$$

This is *inverted* dropout: the survivors are scaled up while training, so that nothing needs to be done in the test.
(The paper did it the other way round, and halved the outputs in the test.) In convolutional layers neighbouring pixels
tell the same story, and one drops whole channels: the mask then has shape (N, C, 1, 1) and is broadcast.

Write

- `dropout_backward`, for both modes and any mask that can be broadcast;
- `moments`: the mean and the variance of each $y_i$ over the masks, for fixed x. The mean is what dropout was scaled
  for. The variance is its price: it is noise that grows with the size of the activation and with p. By what factor is
  it larger at $p = 0.8$ than at $p = 0.5$?
"""


# %% student
def dropout(x, mask, p, training):
    """y of x (N, C, H, W), with a mask of booleans, True for what is kept, that can be broadcast to x."""
    return x * mask / (1 - p) if training else x


def dropout_backward(dy, x, mask, p, training):
    """The gradient of x, given dy of x's shape."""
    # begin solution
    return dy * mask / (1 - p) if training else dy
    # end solution


def moments(x, p):
    """The mean and the variance of each output in training, over the masks: two arrays of x's shape."""
    # begin solution
    return x, x**2 * p / (1 - p)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Entries and whole channels, several p, training and test."""
    for whole, training in ((False, True), (True, True), (True, True), (False, False)):
        N, C, H, W = (int(n) for n in rng.integers(2, 5, 4))
        p = float(rng.choice([0.2, 0.3, 0.6]))
        mask = rng.random((N, C, 1, 1) if whole else (N, C, H, W)) >= p
        mask[0, 0], mask[1, 1] = True, False
        yield rng.standard_normal((N, C, H, W)), mask, p, training


def draw_moments(rng):
    """Several p."""
    for p in (0.5, 0.8, float(rng.uniform(0.1, 0.4))):
        yield 2 * rng.standard_normal(tuple(rng.integers(2, 5, 2))), p


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((10, 12, 25, 30)), rng.random((10, 12, 1, 1)) >= 0.4, 0.4, True


about = About(
    lesson="01_alexnet",
    source="Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014",
    operations=("dropout", "dropout2d"),
    points=2,
    difficulty=1,
)
checks = [Gradient("dropout_backward", "dropout", draw, draw_many, wrt=("x",)), Values("moments", draw_moments)]
mistakes = [
    Mistake(
        "not scaled",
        "dy * mask / (1 - p) if training",
        "dy * mask if training",
        "A survivor was scaled up on the way forward. What is its slope?",
    ),
    Mistake(
        "scaled by p",
        "dy * mask / (1 - p) if training",
        "dy * mask / p if training",
        "p is the probability to be dropped. Which share is kept?",
    ),
    Mistake(
        "the mask of what comes from above",
        "dy * mask / (1 - p) if training",
        "dy * (dy > 0) / (1 - p) if training",
        "What is zero going back is decided by the mask of the way forward.",
    ),
    Mistake(
        "masked in the test, too",
        "dy * mask / (1 - p) if training else dy",
        "dy * mask / (1 - p)",
        "In the test the layer hands on its input as it is.",
    ),
    Mistake(
        "the variance of the mask alone",
        "x**2 * p / (1 - p)",
        "x**2 * p * (1 - p)",
        "$p (1 - p)$ is the variance of a coin. A coin times $a$ has the variance times $a^2$: what is $a$ here?",
    ),
    Mistake(
        "the mean of the squares",
        "x**2 * p / (1 - p)",
        "x**2 / (1 - p)",
        "This is $E[y^2]$. The variance is $E[y^2] - E[y]^2$.",
    ),
]
hints = [
    "With the mask fixed, each output is its input times a number. What is that number?",
    "$y_i$ has two values, 0 with probability p and $x_i / (1 - p)$ with probability $1 - p$. Compute $E[y_i]$ and "
    "$E[y_i^2]$ from them.",
]
