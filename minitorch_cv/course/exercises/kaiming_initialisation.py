r"""How large shall the first weights be?

The lesson derives $v = 2/n$ for the ReLU. Networks use other non-linearities as well, and nets for pictures of the
GAN's kind the *leaky* ReLU, $\varrho(y) = y$ for $y > 0$ and $a y$ else, with a slope $a$ such as 0.2. The ReLU has
$a = 0$, and a linear layer $a = 1$.

First derive, for a $y$ that is symmetric around zero, the share of the square that is kept,

$$
E[\varrho(y)^2] = k\, E[y^2], \qquad k = \dots
$$

Then the rest of the lesson's derivation goes through: forward, $E[y_l^2] = n\, v\, k\, E[y_{l-1}^2]$, with $n$
(*fan in*) the number of inputs of one output; backward, the same with $n'$ (*fan out*) the number of outputs that one
input takes part in. A convolution's weight is (out, in, kh, kw), a linear layer's (out, in).

Write the deviation that keeps the scale, forward or backward, and a prediction of what becomes of the signal where it
is *not* kept.
"""

# %% student
import math


def kaiming_std(shape, mode="fan_in", slope=0.0):
    """The standard deviation of a weight's entries that keeps the mean square from layer to layer.

    shape: (out, in, ...), of a linear layer or of a convolution of any number of axes; mode: "fan_in" to keep the
    activations, "fan_out" to keep the gradients; slope: a of the leaky ReLU before (after) it.
    """
    # begin solution
    outputs, inputs, *window = shape
    fan = math.prod(window) * (inputs if mode == "fan_in" else outputs)
    return math.sqrt(2 / ((1 + slope**2) * fan))
    # end solution


def signal(shapes, stds, slope, mean_square=1.0):
    """The root mean square that is to be expected of y in each layer: a list of numbers.

    The first layer sees inputs x with E[x^2] = mean_square, with no non-linearity before it; each further layer sees
    the leaky ReLU of the one before. shapes: of the weights; stds: the standard deviation of each one's entries.
    """
    # begin solution
    expected = []
    for shape, std in zip(shapes, stds):
        mean_square *= math.prod(shape[1:]) * std**2
        expected.append(math.sqrt(mean_square))
        mean_square *= (1 + slope**2) / 2
    return expected
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Linear layers and convolutions of one to three axes, each mode, several slopes."""
    for axes, mode, slope in (
        (0, "fan_in", 0.0),
        (2, "fan_in", 0.2),
        (2, "fan_out", 0.0),
        (1, "fan_out", 0.5),
        (3, "fan_in", 1.0),
    ):
        yield (
            tuple(int(n) for n in (*rng.choice(range(3, 90), 2, replace=False), *rng.integers(2, 6, axes))),
            mode,
            slope,
        )


def draw_nets(rng):
    """Nets of three to six layers, some of them convolutions; AlexNet's 0.01 first."""
    for slope in (0.0, 0.2, 1.0):
        shapes = [
            tuple(int(n) for n in (*rng.integers(4, 60, 2), *rng.integers(1, 5, 2 * rng.integers(2))))
            for _ in range(rng.integers(3, 7))
        ]
        stds = [0.01] * len(shapes) if slope == 0 else [float(std) for std in rng.uniform(0.02, 0.5, len(shapes))]
        yield shapes, stds, slope, float(rng.uniform(0.2, 3))


about = About(
    lesson="04_resnet",
    source="He, Zhang, Ren and Sun 2015, arXiv:1502.01852, equations 10, 14 and 15",
    points=4,
    difficulty=2,
)
checks = [Values("kaiming_std", draw), Values("signal", draw_nets)]
mistakes = [
    Mistake(
        "the window forgotten",
        "fan = math.prod(window) * (inputs",
        "fan = (inputs",
        "One output of a convolution is a sum over channels *and* over the places of its window.",
    ),
    Mistake(
        "fan in for fan out",
        'inputs if mode == "fan_in" else outputs',
        "inputs",
        "Going back, one input takes part in how many outputs?",
    ),
    Mistake(
        "the slope not squared",
        "math.sqrt(2 / ((1 + slope**2) * fan))",
        "math.sqrt(2 / ((1 + slope) * fan))",
        "For y < 0 the leaky ReLU gives a y. What then stands in the mean of the *square*?",
    ),
    Mistake(
        "the variance for the deviation",
        "math.sqrt(2 / ((1 + slope**2) * fan))",
        "2 / ((1 + slope**2) * fan)",
        "The derivation gives the variance of the weights; asked for is their standard deviation.",
    ),
    Mistake(
        "without the half",
        "mean_square *= (1 + slope**2) / 2",
        "mean_square *= 1",
        "What the next layer sees is not y but the leaky ReLU of it: how much of the square is left?",
    ),
    Mistake(
        "a non-linearity before the first layer",
        "    for shape, std in zip(shapes, stds):\n"
        "        mean_square *= math.prod(shape[1:]) * std**2\n"
        "        expected.append(math.sqrt(mean_square))\n"
        "        mean_square *= (1 + slope**2) / 2\n",
        "    for shape, std in zip(shapes, stds):\n"
        "        mean_square *= math.prod(shape[1:]) * std**2 * (1 + slope**2) / 2\n"
        "        expected.append(math.sqrt(mean_square))\n",
        "The first layer sees the inputs themselves; nothing has been cut off there.",
    ),
]
hints = [
    "By symmetry half of E[y^2] belongs to y > 0 and half to y < 0. The first half is kept, the second multiplied by "
    "a squared.",
    "So k = (1 + a^2) / 2, and v = 1 / (k n). For a = 0 that is 2 / n, as in the lesson.",
]
