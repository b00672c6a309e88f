r"""The gradient penalty: a second derivative by hand.

The lesson derives the gradient of WGAN-GP's penalty for a critic with a tanh (equations 14 to 16). Many critics have
other layers; take $\operatorname{softplus}(a) = \log(1 + e^a)$, the smooth relative of the ReLU, $D(x) = \sum_j v_j
\operatorname{softplus}(a_j)$. The penalty needs the critic's slope at each of the $N$ points $x$, which is written out
here, and nothing else of it:

$$
a = x W^\top + c, \qquad s = \sigma(a), \qquad g = (v \odot s)\, W, \qquad r_n = \lVert g_n \rVert, \qquad
P = \frac1N \sum_n (r_n - 1)^2 ,
$$

$\sigma$ being the sigmoid, which is softplus' derivative. A step of the critic asks for $dW$, $dc$ and $dv$: the
derivative of a derivative. Taken line by line it is a backward like any other; only that the *forward* looks like one.

Go back from $P$ to every value. Count the arrows first: $W$ stands in two of the lines. Give $dx$ as well (it is what
the points feel of the penalty).

Then put a ReLU in softplus' place, in your mind: $s$ is 0 or 1. Which of your lines become zero, and what is left of
$dW$? That the penalty works for such critics, too, is not self-evident.
"""

# %% student
import numpy as np

steps = {
    "a": lambda x, W, c: x @ W.T + c,
    "s": lambda a: 1 / (1 + np.exp(-a)),
    "g": lambda s, v, W: (v * s) @ W,
    "r": lambda g: np.sqrt((g**2).sum(axis=1)),
    "P": lambda r: ((r - 1) ** 2).mean(),
}
"""The forward pass: x (N, d), W (h, d), c (h,), v (h,); a and s are (N, h), g is (N, d), r is (N,)."""


def backward(dy, values):
    """Gradients of the loss, given dy, a number: that of P.

    values: a dict with x, W, c, v, a, s, g and r, as the steps computed them.
    Returns a dict with dr, dg, dv, ds, da, dc, dW and dx.
    """
    # begin solution
    x, W, v, s, g, r = (values[name] for name in ("x", "W", "v", "s", "g", "r"))
    dr = dy * 2 / len(x) * (r - 1)
    dg = dr[:, None] * g / r[:, None]
    dvs = dg @ W.T
    dv = (dvs * s).sum(axis=0)
    ds = dvs * v
    da = ds * s * (1 - s)
    dc = da.sum(axis=0)
    dW = (v * s).T @ dg + da.T @ x
    dx = da @ W
    return {"dr": dr, "dg": dg, "dv": dv, "ds": ds, "da": da, "dc": dc, "dW": dW, "dx": dx}
    # end solution


# %% checks
from minitorch_cv.course.checks import Derivation
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Several points, as many as features and units (a transposed product shows in the numbers), and one."""
    for N, d, h in ((4, 2, 5), (3, 3, 3), (1, 4, 3)):
        yield rng.standard_normal((N, d)), rng.standard_normal((h, d)), rng.standard_normal(h), rng.standard_normal(h)


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (
        rng.standard_normal((600, 60)),
        rng.standard_normal((50, 60)) / 5,
        rng.standard_normal(50),
        rng.standard_normal(50),
    )


about = About(
    lesson="07_gan",
    source="Gulrajani et al. 2017, arXiv:1704.00028, equation 3",
    operations=("linear", "softplus", "sigmoid"),
    points=8,
    difficulty=4,
)
checks = [Derivation("backward", "steps", draw, draw_many)]
mistakes = [
    Mistake(
        "W once only",
        "dW = (v * s).T @ dg + da.T @ x",
        "dW = (v * s).T @ dg",
        "W makes the slope, and W decides through a where the sigmoids stand: it is in two lines of the forward.",
    ),
    Mistake(
        "the first derivative's way",
        "dW = (v * s).T @ dg + da.T @ x",
        "dW = da.T @ x",
        "W stands in g itself, too, not only in a.",
    ),
    Mistake(
        "the direction forgotten",
        "dr[:, None] * g / r[:, None]",
        "dr[:, None] * g",
        "The derivative of a length |g| with respect to g is a vector of length 1.",
    ),
    Mistake(
        "the sigmoid's slope",
        "da = ds * s * (1 - s)",
        "da = ds * s",
        "s is a sigmoid: its own derivative is s (1 - s).",
    ),
    Mistake(
        "the two forgotten",
        "dy * 2 / len(x) * (r - 1)",
        "dy / len(x) * (r - 1)",
        "P is a mean of squares.",
    ),
    Mistake(
        "the mean forgotten",
        "dy * 2 / len(x) * (r - 1)",
        "dy * 2 * (r - 1)",
        "P is a *mean* of squares.",
    ),
    Mistake(
        "v for s",
        "dv = (dvs * s).sum(axis=0)",
        "dv = (dvs * v).sum(axis=0)",
        "In the product v s each factor's gradient has the other factor in it.",
    ),
]
hints = [
    "dr = 2/N (r - 1) dy; dg = dr g / r, for each point.",
    "g = (v s) W is a linear layer with the input v s and the weight W: give the gradients of both.",
    "From d(vs): dv (a sum over the points) and ds. Then the sigmoid, then the linear layer a = x W^T + c.",
    "dW has two terms: (v s)^T dg and da^T x.",
]
