r"""Write the test: which gradients of a convolution are wrong?

Somebody has derived the backward of a convolution with stride $s$ and padding $P$,

$$
y_{nopq} = b_o + \sum_{c, i, j} w_{ocij}\, x_{n,\ c,\ s p + i - P,\ s q + j - P},
$$

and you are to write the test that tells whether it is right. You could move every entry of every input by itself, as
for a linear layer; each costs two calls of the forward. A random direction $\delta$ of the whole input costs as little
as one entry, and no wrong gradient is right along it, but by a miracle:

$$
\langle dx, \delta \rangle \approx \frac{\langle dy,\ y(x + h \delta) - y(x - h \delta) \rangle}{2h} .
$$

But here the art is in the *inputs*. Many a wrong backward of a convolution is right in some special case: for a batch
of one, for a stride of 1, without padding, for windows that do not overlap, for a kernel that looks the same when it is
turned, where the stride divides and no row is left over. A test that is only run on such a case lets the fault pass.
Choose sizes that are special in nothing.

Your test is given functions that are right and functions with a fault, and is not told which.
To `forward` a smooth function of the inputs is added that you are not told, another one each time, and to `backward`
its gradient: the question is whether `backward` is the gradient of the `forward` that you are given. A formula from a
book answers another one.
"""

# %% student
import numpy as np


def test(forward, backward):
    """Whether backward is right.

    forward(x, weight, bias, stride, padding) gives y (N, O, oh, ow) for x (N, C, H, W), weight (O, C, kh, kw) and bias
    (O,); backward(dy, x, weight, bias, stride, padding) gives (dx, dweight, dbias).
    Returns True or False (or raises AssertionError where it is wrong).
    """
    # begin solution
    rng = np.random.default_rng(1)
    shapes = (2, 2, 4, 5), (2, 2, 3, 2), (2,)
    stride, padding = 2, 1
    inputs = [rng.standard_normal(shape) for shape in shapes]
    dy = rng.standard_normal(forward(*inputs, stride, padding).shape)
    gradients = backward(dy, *inputs, stride, padding)
    h = 1e-5
    for k, (value, gradient) in enumerate(zip(inputs, gradients)):
        if np.shape(gradient) != value.shape:
            return False
        for _ in range(3):
            direction = rng.standard_normal(value.shape)
            above, below = (
                forward(*inputs[:k], value + step * direction, *inputs[k + 1 :], stride, padding) for step in (h, -h)
            )
            slope = (dy * (above - below)).sum() / (2 * h)
            if not abs(slope - (gradient * direction).sum()) < 1e-6:
                return False
    return True
    # end solution


# %% checks
from minitorch_cv.course.checks import FindsFaults
from minitorch_cv.course.exercise import About, Mistake


def forward(x, weight, bias, stride, padding):
    """The convolution."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncpqij,ocij->nopq", windows, weight) + bias[:, None, None]


def backward(dy, x, weight, bias, stride, padding):
    """Its gradients."""
    return _backward(dy, x, weight, bias, stride, padding)


def _backward(dy, x, weight, bias, stride, padding, overwrite=False, step=None, shift=(0, 0)):
    """Its gradients; or those of somebody who overwrites, takes another stride for dx, or is off by some pixels."""
    (H, W), (kh, kw) = x.shape[2:], weight.shape[2:]
    frame = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x = np.pad(x, frame)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for p, q in np.ndindex(*dy.shape[2:]):
        met = np.s_[:, :, stride * p : stride * p + kh, stride * q : stride * q + kw]
        dweight += np.einsum("no,ncij->ocij", dy[:, :, p, q], x[met])
        top, left = ((step or stride) * at + off for at, off in zip((p, q), shift))
        back = np.s_[:, :, top : top + kh, left : left + kw]
        share = np.einsum("no,ocij->ncij", dy[:, :, p, q], weight)
        dx[back] = share if overwrite else dx[back] + share
    return dx[:, :, padding : padding + H, padding : padding + W], dweight, dy.sum(axis=(0, 2, 3))


def _with(**changes):
    """A backward that goes another way."""
    return lambda right: lambda *arguments: _backward(*arguments, **changes)


def _changed(change):
    """The right gradients, changed; `change` gets dx, dweight, dbias and the arguments."""
    return lambda right: lambda *arguments: change(*right(*arguments), *arguments)


def _turned(right):
    """Right for kernels that a half turn does not change."""

    def wrong(dy, x, weight, *others):
        dx, _, _ = right(dy, x, weight[:, :, ::-1, ::-1], *others)
        return (dx, *right(dy, x, weight, *others)[1:])

    return wrong


def _off_where_rows_are_left_over(dy, x, weight, bias, stride, padding):
    over = (x.shape[2] + 2 * padding - weight.shape[2]) % stride, (x.shape[3] + 2 * padding - weight.shape[3]) % stride
    return _backward(dy, x, weight, bias, stride, padding, shift=over)


def _uncropped(dx, dw, db, dy, x, weight, bias, stride, padding):
    """dx as if the image began where the padding does."""
    return np.roll(dx, (padding, padding), (2, 3)), dw, db


def _unpadded_weight(dx, dw, db, dy, x, weight, bias, stride, padding):
    """dweight without what the outermost outputs add, which met the padding."""
    inner = dy.copy()
    if padding:
        inner[:, :, 0] = 0
    return dx, backward(inner, x, weight, bias, stride, padding)[1], db


about = About(
    lesson="01_alexnet",
    source="sections 6 and 8 of 00_backprop",
    operations=("conv2d",),
    points=6,
    difficulty=3,
)
checks = [
    FindsFaults(
        "test",
        "forward",
        "backward",
        {
            "a factor": _changed(lambda dx, dw, db, *_: (dx, 1.001 * dw, db)),
            "the bias's mean over the images": _changed(lambda dx, dw, db, dy, *_: (dx, dw, db / len(dy))),
            "the weight's gradient of the first image": lambda right: (
                lambda dy, x, *others: (right(dy, x, *others)[0], *right(dy[:1], x[:1], *others)[1:])
            ),
            "the kernel turned": _turned,
            "overlaps overwritten": _with(overwrite=True),
            "the stride forgotten in dx": _with(step=1),
            "the frame not cut off": _changed(_uncropped),
            "the padding forgotten in dweight": _changed(_unpadded_weight),
            "rows left over": lambda right: _off_where_rows_are_left_over,
            "dx of zeros": _changed(lambda dx, dw, db, *_: (0 * dx, dw, db)),
        },
    )
]
mistakes = [
    Mistake(
        "a batch of one",
        "(2, 2, 4, 5)",
        "(1, 2, 4, 5)",
        "With one image a sum over the batch, its mean and its first entry are all the same.",
    ),
    Mistake(
        "a stride of one",
        "stride, padding = 2, 1",
        "stride, padding = 1, 1",
        "With a stride of 1 nobody can forget it; and no row is ever left over.",
    ),
    Mistake(
        "no padding",
        "stride, padding = 2, 1",
        "stride, padding = 2, 0",
        "Without padding there is no frame that could be cut off wrongly, or be forgotten.",
    ),
    Mistake(
        "windows apart",
        "(2, 2, 3, 2), (2,)\n    stride, padding = 2, 1",
        "(2, 2, 2, 2), (2,)\n    stride, padding = 2, 1",
        "Do your windows overlap? Where they do not, it makes no difference whether gradients are added or written "
        "over each other.",
    ),
    Mistake(
        "kernels all ones",
        "    dy = rng.standard_normal(forward",
        "    inputs[1][:] = 1.0\n    dy = rng.standard_normal(forward",
        "A kernel of ones looks the same when it is turned. Draw it.",
    ),
    Mistake(
        "all entries moved alike",
        "direction = rng.standard_normal(value.shape)",
        "direction = np.ones(value.shape)",
        "Along a direction of ones you see the sum of a gradient alone. What if every entry is right, but in the wrong "
        "place?",
    ),
    Mistake(
        "dx alone",
        "zip(inputs, gradients)",
        "zip(inputs[:1], gradients)",
        "There are three gradients.",
    ),
]
hints = [
    "Draw x, weight, bias, dy and the directions at random; compare <dx, d> with the slope along d, for each of "
    "the three inputs. Then think about the sizes.",
    "More than one image; more than one channel and output; a window that is not square and larger than the stride; a "
    "stride of 2; padding; a height that leaves a row over.",
    "For H = 4, a kernel of 3 rows, padding 1 and stride 2, (4 + 2 - 3) / 2 leaves a row over.",
]
