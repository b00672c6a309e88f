r"""Group norm: the statistics of one picture.

The U-Net of the diffusion model has group norm where ResNet has batch norm: a picture at step 3 and one at step 900
stand in one batch and have little in common, so each is standardised by itself. The $C$ channels are put into $G$
groups of $C/G$, and each group of each picture has its own mean and variance, over its channels and pixels:

$$
\hat x_{nchw} = \frac{x_{nchw} - \mu_{ng}}{\sqrt{\sigma_{ng}^2 + \epsilon}}, \qquad
y_{nchw} = w_c\, \hat x_{nchw} + b_c ,
$$

with $g$ the group of channel $c$. Weight and bias belong to the *channel*, as in batch norm.

Derive $dx$, $dw$ and $db$. It is the batch norm's derivation once more (lesson 04, its compact form), with one trap: in
batch norm all values that share a mean share a weight, too, so that $w$ can be drawn out in front of the bracket. Can
it here?
"""

# %% student
import numpy as np

EPS = 1e-5


def standardized(x, groups):
    """xhat and the inverse deviations, both as (N, groups, values of a group)."""
    grouped = x.reshape(len(x), groups, -1)
    r = 1 / np.sqrt(grouped.var(axis=2, keepdims=True) + EPS)
    return (grouped - grouped.mean(axis=2, keepdims=True)) * r, r


def group_norm(x, weight, bias, groups):
    """y of x (N, C, H, W), with weight and bias (C,)."""
    xhat, _ = standardized(x, groups)
    return weight[:, None, None] * xhat.reshape(x.shape) + bias[:, None, None]


def group_norm_backward(dy, x, weight, bias, groups):
    """The gradients of x, weight and bias, given dy (N, C, H, W)."""
    # begin solution
    xhat, r = standardized(x, groups)
    dweight, dbias = (dy * xhat.reshape(x.shape)).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))
    dxhat = (dy * weight[:, None, None]).reshape(xhat.shape)
    along = (dxhat * xhat).mean(axis=2, keepdims=True)
    dx = r * (dxhat - dxhat.mean(axis=2, keepdims=True) - xhat * along)
    return dx.reshape(x.shape), dweight, dbias
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Some groups, one group (layer norm), a group for each channel (instance norm)."""
    for groups, channels in ((2, 3), (1, 4), (3, 1), (3, 2)):
        N, H, W = rng.integers(1, 4, 3) + (0, 1, 2)
        x = 2 * rng.standard_normal((N, groups * channels, H, W)) + rng.standard_normal((groups * channels, 1, 1))
        yield x, *rng.standard_normal((2, groups * channels)), groups


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield 2 * rng.standard_normal((6, 12, 32, 33)), rng.standard_normal(12), rng.standard_normal(12), 3


about = About(
    lesson="05_diffusion",
    source="Wu and He 2018, arXiv:1803.08494, section 3.1",
    operations=("group_norm",),
    points=5,
    difficulty=3,
)
checks = [Gradient("group_norm_backward", "group_norm", draw, draw_many)]
mistakes = [
    Mistake(
        "the weight drawn out",
        "    dxhat = (dy * weight[:, None, None]).reshape(xhat.shape)\n"
        "    along = (dxhat * xhat).mean(axis=2, keepdims=True)\n"
        "    dx = r * (dxhat - dxhat.mean(axis=2, keepdims=True) - xhat * along)\n"
        "    return dx.reshape(x.shape), dweight, dbias\n",
        "    dxhat = dy.reshape(xhat.shape)\n"
        "    along = (dxhat * xhat).mean(axis=2, keepdims=True)\n"
        "    dx = r * (dxhat - dxhat.mean(axis=2, keepdims=True) - xhat * along)\n"
        "    return weight[:, None, None] * dx.reshape(x.shape), dweight, dbias\n",
        "Where each channel is a group of its own it is right. In a larger group the sums run over channels of "
        "different weights: the weight belongs inside them.",
    ),
    Mistake(
        "the variance held",
        " - xhat * along",
        "",
        "Stretch a whole group of a picture: y stays. Has dx no component along xhat?",
    ),
    Mistake(
        "the mean held",
        " - dxhat.mean(axis=2, keepdims=True)",
        "",
        "Add 1 to a whole group of a picture: y stays. So dx has to have the sum zero in each group.",
    ),
    Mistake(
        "a sum for the mean",
        "along = (dxhat * xhat).mean(axis=2, keepdims=True)",
        "along = (dxhat * xhat).sum(axis=2, keepdims=True)",
        "In batch norm's formula stands a 1/m. How many values share one variance here?",
    ),
    Mistake(
        "one picture's weight",
        "(dy * xhat.reshape(x.shape)).sum(axis=(0, 2, 3)), dy",
        "(dy * xhat.reshape(x.shape)).mean(axis=0).sum(axis=(1, 2)), dy",
        "The weight of a channel is used by all pictures. Their contributions are added up.",
    ),
]
hints = [
    "dw and db are sums over pictures and pixels, as in batch norm. dxhat = w dy.",
    "dx = r (dxhat - mean of dxhat - xhat times the mean of dxhat xhat), the means over a group of a picture.",
]
