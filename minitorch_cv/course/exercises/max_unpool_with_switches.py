r"""ZFNet's way back: unpooling with switches, and three rules for the ReLU.

To see which pattern excites a unit, Zeiler and Fergus send its value back to the pixels. One block of their net is a
convolution, a ReLU and a max pooling; here $z = w * x$, $a = \max(z, 0)$, $y = \mathrm{pool}(a)$. On the way back

- **unpooling**: each value of $r$, the signal from above, is put where the maximum of its window had been, with zeros
  around it. These places, the *switches*, were kept on the way forward. ZFNet's windows overlap (3 x 3 at a stride of
  2), so that one place may have won two windows: then both values are added.
- **the ReLU**, by one of three rules:

$$
\underbrace{r \, [z > 0]}_{\text{gradient}}, \qquad \underbrace{r \, [r > 0]}_{\text{deconvnet}}, \qquad
\underbrace{r \, [z > 0] \, [r > 0]}_{\text{guided}} .
$$

- **transposed filters**: the input gradient of the convolution, which you are given.

Write the unpooling, and with it the way back through the block by each rule. Keep the order: what is asked of $r$ in
the rules is asked of the signal that arrives at the ReLU.
"""

# %% student
import numpy as np


def conv2d(x, weight):
    """3 x 3 windows, padding 1: x (N, C, H, W), weight (O, C, 3, 3)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight)


def transposed_filters(r, weight):
    """The input gradient of conv2d for the signal r (N, O, H, W)."""
    N, _, H, W = r.shape
    padded = np.zeros((N, weight.shape[1], H + 2, W + 2))
    for i, j in np.ndindex(3, 3):
        padded[:, :, i : i + H, j : j + W] += np.einsum("nohw,oc->nchw", r, weight[:, :, i, j])
    return padded[:, :, 1:-1, 1:-1]


def max_pool2d(a, size, stride):
    """The maximum of each window of a (N, C, H, W), (N, C, oh, ow), and its switch: row * W + column of its place."""
    N, C, _, W = a.shape
    windows = np.lib.stride_tricks.sliding_window_view(a, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    oh, ow = windows.shape[2:4]
    place = windows.reshape(N, C, oh, ow, -1).argmax(axis=4)
    row = stride * np.arange(oh)[:, None] + place // size
    column = stride * np.arange(ow) + place % size
    return windows.max(axis=(4, 5)), row * W + column


def max_unpool2d(r, switches, height, width):
    """Each value of r (N, C, oh, ow) at its switch, added where switches are the same: (N, C, height, width)."""
    # begin solution
    N, C = r.shape[:2]
    flat = np.zeros((N, C, height * width))
    n, c = np.arange(N)[:, None, None], np.arange(C)[:, None]
    np.add.at(flat, (n, c, switches.reshape(N, C, -1)), r.reshape(N, C, -1))
    return flat.reshape(N, C, height, width)
    # end solution


def send_back(r, x, weight, size, stride, rule):
    """The pattern in x's shape that the signal r, of the pooling's shape, is sent back to.

    rule: "gradient", "deconvnet" or "guided".
    """
    z = conv2d(x, weight)
    _, switches = max_pool2d(np.maximum(z, 0), size, stride)
    # begin solution
    r = max_unpool2d(r, switches, *z.shape[2:])
    if rule in ("gradient", "guided"):
        r = r * (z > 0)
    if rule in ("deconvnet", "guided"):
        r = np.maximum(r, 0)
    return transposed_filters(r, weight)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw_pooled(rng):
    """Signals with switches of windows that overlap and that do not."""
    for size, stride in ((3, 2), (2, 2), (3, 1)):
        N, C, H, W = (int(n) for n in rng.integers((1, 2, 6, 6), (3, 4, 10, 10)))
        y, switches = max_pool2d(rng.standard_normal((N, C, H, W)), size, stride)
        yield rng.standard_normal(y.shape), switches, H, W


def draw(rng):
    """Every rule, with ZFNet's windows and with plain ones; windows in which every ReLU is off."""
    for rule in ("gradient", "deconvnet", "guided"):
        for size, stride in ((3, 2), (2, 2)):
            N, C, O, H, W = (int(n) for n in rng.integers((1, 1, 2, 7, 7), (3, 3, 4, 10, 10)))
            x, weight = rng.standard_normal((N, C, H, W)) - 0.6, rng.standard_normal((O, C, 3, 3)) + 0.5
            y, _ = max_pool2d(conv2d(x, weight), size, stride)
            yield rng.standard_normal(y.shape), x, weight, size, stride, rule


about = About(
    lesson="02_vgg",
    source="Zeiler and Fergus 2013, arXiv:1311.2901, section 2.1; Springenberg et al. 2014, arXiv:1412.6806",
    operations=("max_unpool2d", "max_pool2d"),
    points=5,
    difficulty=3,
)
checks = [Values("max_unpool2d", draw_pooled), Values("send_back", draw)]
mistakes = [
    Mistake(
        "one value kept",
        "np.add.at(flat, (n, c, switches.reshape(N, C, -1)), r.reshape(N, C, -1))",
        "flat[n, c, switches.reshape(N, C, -1)] += r.reshape(N, C, -1)",
        "`array[indices] += values` reads all places first and writes them then: of two values for one place only the "
        "last remains. NumPy has a function that adds one after the other.",
    ),
    Mistake(
        "rectified before the unpooling",
        "    r = max_unpool2d(r, switches, *z.shape[2:])\n",
        '    if rule != "gradient":\n        r = np.maximum(r, 0)\n    r = max_unpool2d(r, switches, *z.shape[2:])\n',
        "Where two values meet at one place, one positive and one negative, it matters whether they are added or made "
        "positive first. What arrives at the ReLU?",
    ),
    Mistake(
        "the deconvnet asks z",
        'if rule in ("gradient", "guided"):',
        'if rule in ("gradient", "guided", "deconvnet"):',
        "This is guided backpropagation under both names. What does the deconvnet's rule know of z?",
    ),
    Mistake(
        "the gradient made positive",
        'if rule in ("deconvnet", "guided"):',
        'if rule in ("deconvnet", "guided", "gradient"):',
        "A gradient may be negative.",
    ),
    Mistake(
        "maps mixed up",
        "np.arange(C)[:, None]",
        "np.arange(C)[::-1, None]",
        "A switch belongs to its own image and channel.",
    ),
]
hints = [
    "A switch is a place in the flattened map. Begin with zeros (N, C, height * width) and add each value at its "
    "switch.",
    "`np.add.at(array, indices, values)` adds also where an index comes twice.",
    "In `send_back`: unpool, then apply the rule's one or two factors, then the filters.",
]
