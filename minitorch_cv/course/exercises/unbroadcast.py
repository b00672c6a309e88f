r"""Broadcasting, backwards.

In $y = a\,b$ the operands need not have the same shape. NumPy writes a missing axis in front and repeats every axis of
length 1 until the shapes agree: with $a$ of shape (N, C) and $b$ of shape (C,), each $b_c$ enters $N$ products.

Forget about products for a moment. Broadcasting itself is an operation, $Y = \mathrm{broadcast}(b)$: it *copies* each
number of $b$ to several places of $Y$. Its backward gets $dY$, of the large shape, and has to return a gradient of the
small one. It is needed wherever two arrays meet: the bias of a linear layer, the weight of a batch norm, a number times
an image.

Write

- `unbroadcast(gradient, shape)`: the gradient of an operand of that shape, given the gradient of what it was broadcast
  to. Axes may be missing in front; axes may have length 1; both may happen at once; the operand may be a single number,
  of shape `()`. An axis of length 1 that was *not* repeated (the gradient has length 1 there, too) stays.
- with it, `multiply_backward`: the two gradients of $y = a\,b$.
"""


# %% student
def unbroadcast(gradient, shape):
    """The gradient of an operand of this shape, given the gradient of what it was broadcast to."""
    # begin solution
    missing = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(missing)))
    repeated = tuple(i for i, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=repeated, keepdims=True)
    # end solution


def multiply(a, b):
    """The product of two arrays, broadcast."""
    return a * b


def multiply_backward(dy, a, b):
    """The gradients (da, db), given dy of the product's shape."""
    # begin solution
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """A gradient and the shape of the operand."""
    p, q, r, s = (int(size) for size in rng.integers(2, 5, 4))
    for large, small in (
        ((p, q), (q,)),
        ((p, q, r), (1, r)),
        ((p, q, r, s), (q, 1, 1)),
        ((p, 1, q), (1, 1, q)),
        ((p, q, r), ()),
        ((p, p, p), (p, 1)),
    ):
        yield rng.standard_normal(large) + 0.1, small


def draw_pairs(rng):
    """Two operands, of which neither, one or both are broadcast."""
    p, q, r = (int(size) for size in rng.integers(2, 4, 3))
    for a, b in (((p, q), (q,)), ((p, 1), (1, q)), ((r,), (p, q, 1)), ((q, 1, r), (p, 1, 1, r)), ((p, q), (p, q))):
        yield rng.standard_normal(a), rng.standard_normal(b)


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield rng.standard_normal((3, 100, 200)), rng.standard_normal((100, 1))


about = About(
    lesson="00_backprop",
    source="NumPy's rules of broadcasting",
    operations=("multiply", "add"),
    points=3,
    difficulty=2,
)
checks = [Values("unbroadcast", draw, share=2), Gradient("multiply_backward", "multiply", draw_pairs, draw_many)]
mistakes = [
    Mistake(
        "averaged",
        "gradient = gradient.sum(axis=tuple(range(missing)))",
        "gradient = gradient.mean(axis=tuple(range(missing)))",
        "A number that was copied N times moves N outputs. Does the loss feel all of these, or their average?",
    ),
    Mistake(
        "axes in front forgotten",
        "gradient = gradient.sum(axis=tuple(range(missing)))",
        "gradient = gradient[(0,) * missing]",
        "An axis that the operand did not have is one along which it was copied: every copy sends something back.",
    ),
    Mistake(
        "axes of length 1 forgotten",
        "repeated = tuple(i for i, size in enumerate(shape) if size == 1)",
        "repeated = ()",
        "There are two ways to be repeated: an axis that is missing, and an axis of length 1. What of the second?",
    ),
    Mistake(
        "axes lost",
        "keepdims=True",
        "keepdims=False",
        "The gradient of an operand of shape (3, 1) has shape (3, 1), not (3,).",
    ),
]
hints = [
    "Compare the two shapes from the right, as NumPy does.",
    "First sum away the axes in front that the operand does not have. Now both have as many axes; which of these were "
    "repeated, and what keeps an axis in place while you sum over it?",
]
