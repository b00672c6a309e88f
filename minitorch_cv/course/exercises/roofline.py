r"""The roofline of a network.

No program computes faster than the peak of its cores, and none faster than memory feeds it. A layer that needs $F$
operations and has to move $M$ bytes takes at least

$$
t = \max\Big( \frac{F}{\text{peak}},\ \frac{M}{\text{bandwidth}} \Big), \qquad \text{intensity } I = \frac{F}{M} .
$$

Numbers are float32, 4 bytes. Every layer reads its inputs and its weights once and writes its output once; that is the
least that it can move. There are two kinds of layers:

- `("conv", N, C, O, H, W, k)`: k x k windows at stride 1 that keep H x W; a multiplication and an addition count as two
  operations; no bias;
- `("pointwise", N, C, H, W, inputs, operations)`: reads so many arrays of that size, does so many operations for each
  number of the output, and writes one array: ReLU has (1, 1), adding a shortcut (2, 1).

Write

- `roofline`: for each layer its intensity, its least seconds, and whether "compute" or "memory" is what limits it;
- `fused_seconds`: the least seconds of the whole list if each pointwise layer is computed *within* the layer in front
  of it. What the one would have written and the other read again never leaves the cores, and a layer of several fused
  ones is limited as a whole. The first layer is a convolution; one may be followed by any number of pointwise layers.
- `count`: what both need. You are not asked for it by itself, and may do without.
"""


# %% student
def roofline(layers, peak, bandwidth):
    """A list of (intensity, seconds, "compute" or "memory"); peak in operations, bandwidth in bytes a second."""
    # begin solution
    return [
        (F / M, max(F / peak, M / bandwidth), "compute" if F / peak > M / bandwidth else "memory")
        for F, M, _ in map(count, layers)
    ]
    # end solution


def fused_seconds(layers, peak, bandwidth):
    """The least seconds for all layers, with each pointwise layer within the one in front of it."""
    # begin solution
    groups = []
    for layer in layers:
        F, M, output = count(layer)
        if layer[0] == "conv":
            groups.append([F, M])
        else:
            groups[-1][0] += F
            groups[-1][1] += M - 2 * output  # written, and read again: neither
    return sum(max(F / peak, M / bandwidth) for F, M in groups)
    # end solution


def count(layer):
    """Operations, bytes moved, and bytes of the output of one layer."""
    # begin solution
    kind, N, C, *rest = layer
    if kind == "conv":
        O, H, W, k = rest
        output = 4 * N * O * H * W
        return 2 * N * O * H * W * C * k**2, 4 * (N * C * H * W + O * C * k**2) + output, output
    H, W, inputs, operations = rest
    output = 4 * N * C * H * W
    return operations * N * C * H * W, (inputs + 1) * output, output
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Stacks of convolutions of 1 x 1 to 5 x 5, each with none to three pointwise layers, on several machines."""
    for _ in range(4):
        N, C, H, W = (int(n) for n in rng.integers((1, 3, 7, 7), (33, 256, 57, 57)))
        layers = []
        for k in rng.permutation([1, 3, 5, 1]):
            O = int(rng.integers(8, 256))
            layers.append(("conv", N, C, O, H, W, int(k)))
            for _ in range(int(rng.integers(0, 4))):
                layers.append(("pointwise", N, O, H, W, int(rng.integers(1, 4)), int(rng.integers(1, 9))))
            C = O
        layers.append(("pointwise", N, C, H, W, 2, 1))
        yield layers, float(rng.uniform(1e11, 1e13)), float(rng.uniform(1e10, 2e11))


about = About(
    lesson="09_fast_cpu",
    source="Williams, Waterman and Patterson 2009, Roofline",
    points=4,
    difficulty=2,
)
checks = [Values("roofline", draw), Values("fused_seconds", draw)]
mistakes = [
    Mistake(
        "a multiply-add as one operation",
        "2 * N * O * H * W * C * k**2",
        "N * O * H * W * C * k**2",
        "A multiplication and an addition are two operations.",
    ),
    Mistake(
        "weights forgotten",
        "4 * (N * C * H * W + O * C * k**2) + output, output",
        "4 * N * C * H * W + output, output",
        "The weights have to be read, too; where maps are small and channels many they are most of it.",
    ),
    Mistake(
        "weights for every image",
        "O * C * k**2) + output, output",
        "N * O * C * k**2) + output, output",
        "The least that can be moved: weights are read once and kept for all images.",
    ),
    Mistake(
        "times added",
        "(F / M, max(F / peak, M / bandwidth),",
        "(F / M, F / peak + M / bandwidth,",
        "While numbers come from memory the cores compute on those that are there: the slower of the two decides.",
    ),
    Mistake(
        "written all the same",
        "M - 2 * output",
        "M - output",
        "Two journeys are saved: the layer in front need not write its output, and the next need not read it.",
    ),
    Mistake(
        "each limited by itself",
        '        if layer[0] == "conv":\n            groups.append([F, M])\n        else:\n            '
        "groups[-1][0] += F\n"
        "            groups[-1][1] += M - 2 * output  # written, and read again: neither",
        '        groups.append([F, M - 2 * output * (layer[0] != "conv")])',
        "Fused layers run together: while one waits for memory, the other computes. Take the maximum of the sums, not "
        "the sum of the maxima.",
    ),
]
hints = [
    "Write a function that gives operations and bytes of one layer. The rest is a maximum.",
    "For fusing, keep for each convolution the sums of operations and of bytes of all that is fused to it.",
    "The output of the layer in front has the size of the pointwise layer's output: it is neither written nor read.",
]
