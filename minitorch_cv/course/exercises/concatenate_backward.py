r"""Branches: split the gradient, go back, add.

In an inception module several branches read the same $x$, and their outputs are laid one behind the other along the
channels. A small one, with three branches of different depth:

$$
y = \big[\; W_1 x \;\big|\; W_3 \max(W_2 x,\, 0) \;\big|\; x \;\big] ,
$$

where $W x$ is a 1 x 1 convolution: at each pixel the vector of channels, multiplied by a matrix. The third branch hands
on x as it is (as DenseNet does with everything).

Write

- `concatenate_backward`: the parts of dy that belong to each of the arrays that were concatenated, along any axis and
  however many they are;
- with it, `module_backward`: the gradients of $x$, $W_1$, $W_2$ and $W_3$.

Forward, x was *copied* to three branches. What is the way back of a copy? And each matrix is used at every pixel of
every image.
"""

# %% student
import numpy as np


def pixelwise(x, weight):
    """A 1 x 1 convolution: x (N, C, H, W), weight (O, C)."""
    return np.einsum("nchw,oc->nohw", x, weight)


def module(x, weight1, weight2, weight3):
    """y (N, O1 + O3 + C, H, W) of x (N, C, H, W), weight1 (O1, C), weight2 (O2, C), weight3 (O3, O2)."""
    first = pixelwise(x, weight1)
    second = pixelwise(np.maximum(pixelwise(x, weight2), 0), weight3)
    return np.concatenate([first, second, x], axis=1)


def concatenate_backward(dy, sizes, axis):
    """A list with the part of dy that belongs to each array; sizes: how long each was along the axis."""
    # begin solution
    return np.split(dy, np.cumsum(sizes)[:-1], axis=axis)
    # end solution


def module_backward(dy, x, weight1, weight2, weight3):
    """The gradients (dx, dweight1, dweight2, dweight3), given dy of the module's output's shape."""
    # begin solution
    hidden = pixelwise(x, weight2)
    sizes = [len(weight1), len(weight3), x.shape[1]]
    dfirst, dsecond, dcopy = concatenate_backward(dy, sizes, axis=1)
    dweight1 = np.einsum("nohw,nchw->oc", dfirst, x)
    dweight3 = np.einsum("nohw,nchw->oc", dsecond, np.maximum(hidden, 0))
    dhidden = pixelwise(dsecond, weight3.T) * (hidden > 0)
    dweight2 = np.einsum("nohw,nchw->oc", dhidden, x)
    dx = pixelwise(dfirst, weight1.T) + pixelwise(dhidden, weight2.T) + dcopy
    return dx, dweight1, dweight2, dweight3
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient, Values
from minitorch_cv.course.exercise import About, Mistake


def draw_parts(rng):
    """Two to five parts of different sizes along any axis."""
    for count, axis in ((3, 1), (2, 0), (5, 2), (4, -1)):
        sizes = [int(n) for n in rng.permutation(np.arange(1, count + 1))]
        shape = [int(n) for n in rng.integers(2, 4, 3)]
        shape[axis] = sum(sizes)
        yield rng.standard_normal(shape), sizes, axis


def draw(rng):
    """Branches of different widths."""
    for N, H, W in ((1, 2, 3), (3, 1, 2), (2, 3, 2)):
        C, O1, O2, O3 = (int(n) for n in rng.permutation(np.arange(2, 6)))
        x = rng.standard_normal((N, C, H, W))
        yield x, rng.standard_normal((O1, C)), rng.standard_normal((O2, C)), rng.standard_normal((O3, O2))


def draw_many(rng):
    """So many entries that differences take minutes."""
    yield (
        rng.standard_normal((4, 16, 30, 31)),
        rng.standard_normal((8, 16)),
        rng.standard_normal((6, 16)),
        rng.standard_normal((7, 6)),
    )


about = About(
    lesson="03_inception",
    source="Szegedy et al. 2014, arXiv:1409.4842, figure 2",
    operations=("concatenate", "conv2d", "relu"),
    points=4,
    difficulty=2,
)
checks = [Values("concatenate_backward", draw_parts), Gradient("module_backward", "module", draw, draw_many, share=2)]
mistakes = [
    Mistake(
        "equal parts",
        "np.split(dy, np.cumsum(sizes)[:-1], axis=axis)",
        "np.array_split(dy, len(sizes), axis=axis)",
        "The branches are not equally wide. Where does each begin?",
    ),
    Mistake(
        "each from the beginning",
        "np.split(dy, np.cumsum(sizes)[:-1], axis=axis)",
        "[np.take(dy, range(size), axis=axis) for size in sizes]",
        "Every branch has its own place in dy, behind those before it.",
    ),
    Mistake(
        "always the channels",
        "np.split(dy, np.cumsum(sizes)[:-1], axis=axis)",
        "np.split(dy, np.cumsum(sizes)[:-1], axis=1)",
        "The axis is an argument.",
    ),
    Mistake(
        "the copy forgotten",
        " + dcopy",
        "",
        "The third branch hands x on. What comes back through it?",
    ),
    Mistake(
        "one branch for all",
        "dx = pixelwise(dfirst, weight1.T) + pixelwise(dhidden, weight2.T) + dcopy",
        "dx = pixelwise(dhidden, weight2.T)",
        "x was read by three branches. The last one that is computed does not replace the others.",
    ),
    Mistake(
        "no ReLU on the way back",
        " * (hidden > 0)",
        "",
        "Between the two matrices of the second branch something was set to zero.",
    ),
    Mistake(
        "the wrong input",
        "dsecond, np.maximum(hidden, 0))",
        "dsecond, hidden)",
        "What did the third matrix multiply in the forward pass?",
    ),
]
hints = [
    "`np.split` takes the places where one part ends and the next begins.",
    "Give names to what the forward computes on its way, and go back branch by branch; every branch gives a gradient "
    "of x, and these are added.",
    "For a 1 x 1 convolution, as in the lesson: dx is pixelwise with the transposed matrix; the matrix's gradient sums "
    "over images and pixels.",
]
