r"""A residual block with a projection, on images: all its gradients.

Where a stage of a ResNet begins, $F$ halves the picture and changes the number of channels, and the shortcut has to
follow: it projects by a 1 x 1 convolution of stride 2 (option B of the paper). Here is the smallest such block, with
the ReLU behind the sum. $F$ has a convolution of 2 x 2 windows that stand side by side, a ReLU, and a 1 x 1
convolution:

$$
u_{nohw} = \sum_{c,i,j} A_{ocij}\, x_{n,c,2h+i,2w+j}, \qquad h = \max(u, 0), \qquad
s_{nphw} = \sum_o B_{po}\, h_{nohw} + \sum_c P_{pc}\, x_{n,c,2h,2w}, \qquad y = \max(s, 0).
$$

Derive $dx$, $dA$, $dB$ and $dP$. The weights are used at every place of every picture. Two roads lead from $x$ to $y$;
the second ReLU stands behind the crossing; and the roads are not alike: $F$ sees every pixel, the shortcut one of
four.
"""

# %% student
import numpy as np


def windows(x):
    """x (N, C, 2 H, 2 W) as (N, C, H, 2, W, 2): pixel (2 h + i, 2 w + j) stands at [h, i, w, j]."""
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2)


def residual_block(x, A, B, P):
    """y (N, out, H, W) of x (N, in, 2 H, 2 W), with A (hidden, in, 2, 2), B (out, hidden), P (out, in)."""
    h = np.maximum(np.einsum("nchiwj,ocij->nohw", windows(x), A), 0)
    s = np.einsum("nohw,po->nphw", h, B) + np.einsum("nchw,pc->nphw", x[:, :, ::2, ::2], P)
    return np.maximum(s, 0)


def residual_block_backward(dy, x, A, B, P):
    """The gradients of x, A, B and P, given dy (N, out, H, W)."""
    # begin solution
    seen = x[:, :, ::2, ::2]
    h = np.maximum(np.einsum("nchiwj,ocij->nohw", windows(x), A), 0)
    s = np.einsum("nohw,po->nphw", h, B) + np.einsum("nchw,pc->nphw", seen, P)
    ds = dy * (s > 0)
    du = np.einsum("nphw,po->nohw", ds, B) * (h > 0)
    dx = np.einsum("nohw,ocij->nchiwj", du, A).reshape(x.shape)
    dx[:, :, ::2, ::2] += np.einsum("nphw,pc->nchw", ds, P)
    dA = np.einsum("nohw,nchiwj->ocij", du, windows(x))
    dB = np.einsum("nphw,nohw->po", ds, h)
    dP = np.einsum("nphw,nchw->pc", ds, seen)
    return dx, dA, dB, dP
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Pictures wider than high; one picture; the last with as many channels everywhere."""
    for N, alike in ((3, False), (1, False), (2, True)):
        channels, hidden, out = np.full(3, rng.integers(2, 5)) if alike else rng.integers(2, 5, 3)
        H, W = rng.integers(1, 4), rng.integers(2, 4)
        x = rng.standard_normal((N, channels, 2 * H, 2 * W))
        yield x, *(rng.standard_normal(shape) for shape in ((hidden, channels, 2, 2), (out, hidden), (out, channels)))


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (
        rng.standard_normal((6, 8, 36, 38)),
        rng.standard_normal((6, 8, 2, 2)),
        rng.standard_normal((5, 6)),
        rng.standard_normal((5, 8)),
    )


about = About(
    lesson="04_resnet",
    source="He, Zhang, Ren and Sun 2015, arXiv:1512.03385, equation 2",
    operations=("conv2d", "relu"),
    points=5,
    difficulty=3,
)
checks = [Gradient("residual_block_backward", "residual_block", draw, draw_many)]
mistakes = [
    Mistake(
        "the shortcut forgotten",
        '    dx[:, :, ::2, ::2] += np.einsum("nphw,pc->nchw", ds, P)\n',
        "",
        "x reaches the loss on two roads, and the gradient came back on one only.",
    ),
    Mistake(
        "the shortcut overwrites",
        "dx[:, :, ::2, ::2] += ",
        "dx[:, :, ::2, ::2] = ",
        "A pixel that both roads use has two terms in its gradient. They add up.",
    ),
    Mistake(
        "the last ReLU forgotten",
        "dy * (s > 0)",
        "dy",
        "Behind the sum stands a ReLU. Where it cut something off, no gradient comes back, on neither road.",
    ),
    Mistake(
        "the last ReLU on one road only",
        'np.einsum("nphw,pc->nchw", ds, P)',
        'np.einsum("nphw,pc->nchw", dy, P)',
        "The last ReLU stands behind the crossing: what comes back along the shortcut has to go through it as well.",
    ),
    Mistake(
        "the inner ReLU forgotten",
        " * (h > 0)",
        "",
        "Between A and B stands a ReLU, with a mask of its own.",
    ),
    Mistake(
        "A's window turned round",
        '"nohw,ocij->nchiwj", du, A)',
        '"nohw,ocij->nchiwj", du, A[:, :, ::-1, ::-1])',
        "The kernel is flipped in dx. Write the forward's index formula: which entry of A joins pixel (2h + i, 2w + j) "
        "to u at (h, w)?",
    ),
]
hints = [
    "Name the sum in front of the last ReLU, s. All four gradients come from ds = dy where s > 0.",
    "For each product the index formula says all: the gradient of one factor is the sum of ds (or du) times the other "
    "factor, over all letters that the first does not have. `np.einsum` takes just this.",
    "Build dx through F first, in the shape of `windows(x)`; then add the shortcut's part to the pixels [::2, ::2].",
]
