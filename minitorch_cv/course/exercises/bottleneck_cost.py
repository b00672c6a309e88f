r"""What a bottleneck saves.

In an inception module 32 filters of 5 x 5 on 28 x 28 pixels of 192 channels cost 120,422,400 multiply-adds. With a
1 x 1 convolution to 16 channels in front of them it is 12,443,648: you counted both in the lesson.

Now for any such pair, and with a stride. From $C$ channels of $S \times S$ pixels to $O$, windows of $k \times k$ with
a padding of $\lfloor k/2 \rfloor$ (k is odd) that move on by $s$ pixels, so that $\lceil S / s \rceil$ windows fit into
a row. The bottleneck's 1 x 1 convolution, to $r$ channels, comes *first* and has a stride of 1; the stride is in the
large windows behind it. (ResNet's later form has it there, too.) No biases are counted.

Write

- `cost`: the multiply-adds of the direct convolution and of the bottleneck with $r$ channels;
- `widest_bottleneck`: the largest $r$ with which the bottleneck costs *at most* one $n$-th of the direct convolution,
  in whole numbers, without trying one r after the other; 0 if there is none.
"""


# %% student
def cost(channels, outputs, kernel, side, stride, r):
    """The multiply-adds for one image: (direct convolution, bottleneck with r channels)."""
    # begin solution
    before, after = side**2, (-(-side // stride)) ** 2
    direct = after * outputs * kernel**2 * channels
    bottleneck = before * r * channels + after * outputs * kernel**2 * r
    return direct, bottleneck
    # end solution


def widest_bottleneck(channels, outputs, kernel, side, stride, n):
    """The largest r whose bottleneck costs at most an n-th of the direct convolution."""
    # begin solution
    direct, of_one = cost(channels, outputs, kernel, side, stride, 1)
    return direct // (n * of_one)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def plans(rng):
    """The paper's branch on any image, a stride, windows of 1 and 7, odd sides."""
    yield 192, 32, 5, int(rng.integers(14, 57)), 1
    for stride, kernel in ((2, 3), (3, 7), (1, 3), (2, 1), (2, 5)):
        channels, outputs, side = (int(n) for n in rng.integers((32, 16, 9), (512, 256, 60)))
        yield channels, outputs, kernel, 2 * side + 1, stride


def draw(rng):
    """With 16 channels in the paper's branch, else with any number."""
    for i, plan in enumerate(plans(rng)):
        yield *plan, int(rng.integers(4, 100)) if i else 16


def draw_widest(rng):
    """As good as the direct convolution, twice, and more; never, for a window of 1; an exact fit."""
    for i, plan in enumerate(plans(rng)):
        yield *plan, (1, 2, 1, 3, 1, int(rng.integers(2, 6)))[i]
    r = int(rng.integers(10, 40))  # 9 r channels then cost exactly a half
    yield 20 * r, 20 * r, 3, 14, 1, 2


about = About(
    lesson="03_inception",
    source="Szegedy et al. 2014, arXiv:1409.4842, section 4; He et al. 2015, arXiv:1512.03385",
    operations=("conv2d",),
    points=2,
    difficulty=1,
)
checks = [Values("cost", draw), Values("widest_bottleneck", draw_widest)]
mistakes = [
    Mistake(
        "the 1 x 1 on the smaller map",
        "before * r * channels",
        "after * r * channels",
        "The 1 x 1 convolution comes before the stride. How many pixels does it see?",
    ),
    Mistake(
        "rounded down",
        "(-(-side // stride)) ** 2",
        "(side // stride) ** 2",
        "Five pixels, a stride of 2, and the first window centred on the first pixel: how many windows are there?",
    ),
    Mistake(
        "the bottleneck's windows on all channels",
        "after * outputs * kernel**2 * r",
        "after * outputs * kernel**2 * channels",
        "What do the large windows see behind the bottleneck?",
    ),
    Mistake(
        "a row in place of a window",
        "direct = after * outputs * kernel**2 * channels",
        "direct = after * outputs * kernel * channels",
        "A window has k times k places.",
    ),
    Mistake(
        "strictly less",
        "direct // (n * of_one)",
        "(direct - 1) // (n * of_one)",
        "*At most* an n-th: an exact fit counts.",
    ),
]
hints = [
    "A convolution's multiply-adds are the number of its output pixels, times outputs, times what one output sums "
    "over.",
    "The bottleneck's cost is proportional to r. So what is the cost of one channel, and how often does it fit?",
]
