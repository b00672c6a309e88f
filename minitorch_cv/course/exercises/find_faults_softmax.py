r"""Write the test: which gradients of softmax are wrong?

Softmax turns each row of logits into probabilities, and its gradient mixes the entries of a row:

$$
y_{nk} = \frac{e^{x_{nk}}}{\sum_j e^{x_{nj}}}, \qquad dx_{nk} = y_{nk} \Big( dy_{nk} - \sum_j dy_{nj}\, y_{nj} \Big) .
$$

The formula is given; what you write is the test of somebody's program for it. Softmax is the classic example of a
function on which a careless test sees nothing. Every row of y sums to 1, whatever x is. So under an upstream gradient
of all ones the slopes are all zero, and a backward that returns zeros passes; so do quite different ones.

There are other special cases. A batch of one cannot tell rows from columns; a square batch hides a transposition in the
shapes; equal logits hide what depends on y; and logits near zero never overflow, while a trained net's may be in the
hundreds: there the right gradient is still a number.

Your test is given functions that are right and functions with a fault, and is not told which.
To `forward` a smooth function of the inputs is added that you are not told, another one each time, and to `backward`
its gradient: the question is whether `backward` is the gradient of the `forward` that you are given. A formula from a
book answers another one.
"""

# %% student
import numpy as np


def test(forward, backward):
    """Whether backward is right: forward(x) gives y, backward(dy, x) gives dx, all (N, K).

    Returns True or False (or raises AssertionError where it is wrong).
    """
    # begin solution
    rng = np.random.default_rng(1)
    h = 1e-5
    for scale in (1.0, 500.0):
        x = scale * rng.standard_normal((3, 4))
        dy = rng.standard_normal(x.shape)
        dx = backward(dy, x)
        if np.shape(dx) != x.shape:
            return False
        for i in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[i] = h
            slope = (dy * (forward(x + step) - forward(x - step))).sum() / (2 * h)
            if not abs(slope - dx[i]) < 1e-7:
                return False
    return True
    # end solution


# %% checks
from minitorch_cv.course.checks import FindsFaults
from minitorch_cv.course.exercise import About, Mistake


def forward(x):
    """Softmax of each row."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def backward(dy, x):
    """Its gradient."""
    y = forward(x)
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def _of_y(gradient):
    """A backward that is another function of dy and y."""
    return lambda right: lambda dy, x: gradient(dy, forward(x))


def _overflowing(right):
    """Right for small logits."""

    def wrong(dy, x):
        with np.errstate(all="ignore"):
            e = np.exp(x)
            y = e / e.sum(axis=1, keepdims=True)
        return y * (dy - (dy * y).sum(axis=1, keepdims=True))

    return wrong


def _clipped(right):
    """Somebody's way not to overflow: right for logits below 30."""
    return lambda dy, x: right(dy, x.clip(-30, 30))


def _one_entry(right):
    def wrong(dy, x):
        dx = right(dy, x)
        dx[-1, -1] = 0.0
        return dx

    return wrong


about = About(
    lesson="00_backprop",
    source="section 3 of the lesson",
    operations=("softmax",),
    points=5,
    difficulty=2,
)
checks = [
    FindsFaults(
        "test",
        "forward",
        "backward",
        {
            "zeros": _of_y(lambda dy, y: np.zeros_like(y)),
            "the diagonal alone": _of_y(lambda dy, y: dy * y * (1 - y)),
            "the mean in place of the sum": _of_y(lambda dy, y: y * (dy - (dy * y).mean(axis=1, keepdims=True))),
            "the mean of dy": _of_y(lambda dy, y: y * (dy - dy.mean(axis=1, keepdims=True))),
            "right for dy of one row": _of_y(lambda dy, y: y * (dy - (dy * y).sum(axis=1).mean())),
            "sums over the batch": _of_y(lambda dy, y: y * (dy - (dy * y).sum(axis=0, keepdims=True))),
            "right for equal logits": _of_y(lambda dy, y: (dy - dy.mean(axis=1, keepdims=True)) / y.shape[1]),
            "a factor": lambda right: lambda dy, x: 1.001 * right(dy, x),
            "one entry": _one_entry,
            "overflow": _overflowing,
            "clipped": _clipped,
        },
    )
]
mistakes = [
    Mistake(
        "ones upstream",
        "dy = rng.standard_normal(x.shape)",
        "dy = np.ones(x.shape)",
        "The sum of a row of y is 1, whatever x is. What can a loss that is the sum of y tell?",
    ),
    Mistake(
        "a batch of one",
        "(3, 4)",
        "(1, 4)",
        "With a single row, what belongs to a row and what to the batch cannot be told apart.",
    ),
    Mistake(
        "equal logits",
        "x = scale * rng.standard_normal((3, 4))",
        "x = np.full((3, 4), scale)",
        "With equal logits all probabilities are equal. Which wrong formulas agree then?",
    ),
    Mistake(
        "small logits alone",
        "for scale in (1.0, 500.0):",
        "for scale in (1.0,):",
        "A trained net's logits may be in the hundreds. Is what comes back there a number?",
    ),
    Mistake(
        "NaN passes",
        "if not abs(slope - dx[i]) < 1e-7:",
        "if abs(slope - dx[i]) >= 1e-7:",
        "NaN is neither smaller nor larger than anything. Ask so that a comparison with it fails.",
    ),
    Mistake(
        "one entry looked at",
        "for i in np.ndindex(x.shape):",
        "for i in [(0, 0)]:",
        "Eleven of twelve entries are never looked at.",
    ),
    Mistake(
        "a tolerance too wide",
        "dx[i]) < 1e-7",
        "dx[i]) < 1e-2",
        "Central differences in float64 are good to nine or ten digits. A factor of 1.001 must be seen.",
    ),
]
hints = [
    "Draw x and dy. Move one entry of x at a time; the slope of <dy, y> is what dx must be there.",
    "Do it twice: once for logits near zero, once for logits in the hundreds. And let the comparison fail for NaN.",
]
