r"""The receptive field, by hand.

A unit of a layer sees a square of the image. Layer by layer, with kernel $k_l$, stride $s_l$ and dilation $d_l$:

$$
r_l = r_{l-1} + d_l\,(k_l - 1)\, j_{l-1}, \qquad j_l = j_{l-1}\, s_l, \qquad r_0 = j_0 = 1,
$$

where the jump $j_l$ is how many pixels lie between two neighbours of layer $l$. Three convolutions of $3 \times 3$ see
as far as one of $7 \times 7$, with $27 C^2$ weights in place of $49 C^2$: the argument for VGG.
"""


# %% student
def receptive_field(layers):
    """The side, in pixels, of the square that one unit of the last layer sees.

    layers: a list of (kernel, stride, dilation), from the image on.
    """
    # begin solution
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += dilation * (kernel - 1) * jump
        jump *= stride
    return field
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Nets drawn at random."""
    for _ in range(5):
        yield ([tuple(int(rng.integers(1, most)) for most in (8, 4, 4)) for _ in range(rng.integers(2, 8))],)


about = About(
    lesson="02_vgg", source="Simonyan and Zisserman 2014, arXiv:1409.1556, section 2.3", points=2, difficulty=1
)
checks = [Values("receptive_field", draw)]
mistakes = [
    Mistake(
        "the jump too early",
        "        field += dilation * (kernel - 1) * jump\n        jump *= stride\n",
        "        jump *= stride\n        field += dilation * (kernel - 1) * jump\n",
        "A layer's kernel steps over the units of the layer *before* it: it is that layer's jump that counts.",
    ),
    Mistake(
        "k for k - 1", "(kernel - 1)", "kernel", "A kernel of 1 sees no further: it is k - 1 steps from end to end."
    ),
    Mistake("no dilation", "dilation * (kernel", "(kernel", "A dilated kernel's taps lie d units apart."),
]
hints = ["Keep two numbers while you go through the layers: the field and the jump."]
