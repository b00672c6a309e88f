r"""A network's ledger: parameters and multiply-adds, layer by layer.

Two numbers describe what a layer costs. Its **parameters** have to be stored and learned; its **multiply-adds** have to
be computed for every image. For a convolution with a window of $k \times k$ from $C$ to $O$ channels, in $G$ groups, on
an output of $H' \times W'$ pixels, and for a linear layer,

$$
\text{parameters} = \frac{C}{G}\, k^2\, O + O, \qquad \text{multiply-adds} = \frac{C}{G}\, k^2\, O \cdot H' W' ;
\qquad\qquad n m + m, \qquad n m .
$$

The last summands are biases; adding one is no multiplication. Pooling costs neither. With stride $s$ and padding $P$, a
side of $H$ becomes $\lfloor (H + 2P - k) / s \rfloor + 1$, for convolution and pooling alike; a linear layer behind
maps takes all their numbers as one vector.

The two columns do not agree about where a network is large. Take VGG-16: most of its 138 million parameters are in one
layer, and nearly all of its 15 billion multiply-adds are elsewhere.
"""


# %% student
def ledger(shape, layers):
    """Two lists of whole numbers: the parameters of each layer, and its multiply-adds for one image.

    shape: of the image, (C, H, W). layers, in their order:
    ("conv", outputs, kernel, stride, padding, groups), ("pool", kernel, stride, padding), ("linear", outputs).
    """
    # begin solution
    parameters, multiply_adds = [], []
    C, H, W = shape
    for kind, *plan in layers:
        weights = pixels = biases = 0
        if kind == "linear":
            biases = plan[0]
            weights, pixels = C * H * W * biases, 1
            C, H, W = biases, 1, 1
        else:
            *outputs, kernel, stride, padding = plan[:4] if kind == "conv" else plan
            H, W = ((side + 2 * padding - kernel) // stride + 1 for side in (H, W))
        if kind == "conv":
            biases = outputs[0]
            weights, pixels = C // plan[4] * kernel**2 * biases, H * W
            C = biases
        parameters.append(weights + biases)
        multiply_adds.append(weights * pixels)
    return parameters, multiply_adds
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake

VGG16 = [
    layer
    for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for layer in [("conv", channels, 3, 1, 1, 1)] * convolutions + [("pool", 2, 2, 0)]
] + [("linear", 4096), ("linear", 4096), ("linear", 1000)]
"""As published: 138,357,544 parameters and 15,470,264,320 multiply-adds at 224 x 224."""

ALEXNET = [
    ("conv", 96, 11, 4, 2, 1),
    ("pool", 3, 2, 0),
    ("conv", 256, 5, 1, 2, 2),
    ("pool", 3, 2, 0),
    ("conv", 384, 3, 1, 1, 1),
    ("conv", 384, 3, 1, 1, 2),
    ("conv", 256, 3, 1, 1, 2),
    ("pool", 3, 2, 0),
    ("linear", 4096),
    ("linear", 4096),
    ("linear", 1000),
]
"""The paper's two towers: 60,965,224 parameters."""


def draw(rng):
    """Two published nets and nets drawn at random, on images that are not square."""
    for net in (VGG16, ALEXNET):
        yield (3, *(int(n) for n in rng.integers(100, 300, 2))), net
    for _ in range(3):
        shape = tuple(int(n) for n in (2 * rng.integers(1, 4), rng.integers(30, 40), rng.integers(40, 60)))
        layers = []
        for _ in range(int(rng.integers(2, 4))):
            kernel, stride, padding = (int(n) for n in rng.integers((1, 1, 0), (6, 3, 3)))
            layers.append(("conv", int(4 * rng.integers(1, 9)), kernel, stride, padding, int(rng.choice([1, 2]))))
            layers.append(("pool", int(rng.integers(2, 4)), int(rng.integers(1, 3)), int(rng.integers(0, 2))))
        layers += [("linear", int(rng.integers(10, 50))), ("linear", int(rng.integers(3, 10)))]
        yield shape, layers


about = About(
    lesson="02_vgg",
    source="Simonyan and Zisserman 2014, arXiv:1409.1556, tables 1 and 2",
    operations=("conv2d", "max_pool2d", "linear"),
    points=3,
    difficulty=2,
)
checks = [Values("ledger", draw)]
mistakes = [
    Mistake(
        "no biases",
        "parameters.append(weights + biases)",
        "parameters.append(weights)",
        "Each output has a bias, which is learned, too.",
    ),
    Mistake(
        "biases multiplied",
        "multiply_adds.append(weights * pixels)",
        "multiply_adds.append((weights + biases) * pixels)",
        "A bias is added, nothing is multiplied by it: we count multiplications with their additions.",
    ),
    Mistake(
        "the input's pixels",
        "            H, W = ((side + 2 * padding - kernel) // stride + 1 for side in (H, W))\n"
        '        if kind == "conv":\n'
        "            biases = outputs[0]\n"
        "            weights, pixels = C // plan[4] * kernel**2 * biases, H * W",
        "            before = H * W\n"
        "            H, W = ((side + 2 * padding - kernel) // stride + 1 for side in (H, W))\n"
        '        if kind == "conv":\n'
        "            biases = outputs[0]\n"
        "            weights, pixels = C // plan[4] * kernel**2 * biases, before",
        "A weight is used once for each pixel of the *output*. With a stride these are fewer than the input's.",
    ),
    Mistake(
        "no groups",
        "C // plan[4] * kernel**2",
        "C * kernel**2",
        "In groups an output sees only the channels of its own group.",
    ),
    Mistake(
        "a row in place of a window",
        "kernel**2 * biases",
        "kernel * biases",
        "A window of k x k pixels has as many weights for each channel and output.",
    ),
    Mistake(
        "the padding on one side",
        "side + 2 * padding - kernel",
        "side + padding - kernel",
        "There is padding on both sides.",
    ),
]
hints = [
    "Carry the shape (C, H, W) of what comes in from layer to layer, and compute a layer's output shape first.",
    "Weights first: the multiply-adds are the weights times the number of output pixels (one, for a linear layer).",
]
