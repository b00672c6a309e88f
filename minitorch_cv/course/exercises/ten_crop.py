r"""Ten crops in place of one.

AlexNet looks at an image ten times before it decides: at the four corners and the centre, and at their mirror images.
"averaging the predictions made by the network's softmax layer on the ten patches" took its top-5 error on the images of
ILSVRC 2010 from 18.3 % down to 17.0 %, without any training.

Write both halves of it.

- `ten_crops`: for an image (C, H, W) the ten patches of a given size, in this order: upper left, upper right, lower
  left, lower right, centre; then the mirror images of these five *patches*, left and right exchanged. The centre begins
  at row $\lfloor (H - s)/2 \rfloor$ and column $\lfloor (W - s)/2 \rfloor$.
- `prediction`: the logits of the ten patches, (10, K), make one row of K probabilities,

$$
\bar p_k = \frac{1}{10} \sum_{i=1}^{10} \frac{e^{z_{ik}}}{\sum_j e^{z_{ij}}} .
$$

Mind that a mean of probabilities is not the probability of mean logits: one patch that is very sure outvotes the others
in the second, but not in the first. Logits may be large.
"""

# %% student
import numpy as np


def ten_crops(image, size):
    """The ten patches, (10, C, size, size), of an image (C, H, W)."""
    # begin solution
    _, H, W = image.shape
    bottom, right = H - size, W - size
    corners = (0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)
    patches = np.stack([image[:, h : h + size, w : w + size] for h, w in corners])
    return np.concatenate([patches, patches[..., ::-1]])
    # end solution


def prediction(logits):
    """The mean of the patches' probabilities, (K,), given logits (10, K)."""
    # begin solution
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).mean(axis=0)
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw_images(rng):
    """Higher than wide and wider than high; odd and even rests; a patch as high as the image."""
    for H, W, size in ((9, 6, 4), (6, 11, 5), (8, 9, 3), (5, 8, 5)):
        yield rng.standard_normal((int(rng.integers(1, 4)), H + int(rng.integers(0, 2)), W)), size


def draw_logits(rng):
    """Patches that agree, one that is very sure, logits of hundreds."""
    for scale, sure in ((1.0, 0.0), (1.5, 30.0), (400.0, 0.0)):
        logits = scale * rng.standard_normal((10, int(rng.integers(3, 8))))
        logits[int(rng.integers(10)), 0] += sure
        logits[:, 1] += 2 * scale * (scale > 100)
        yield (logits,)


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, sections 4.1 and 6",
    operations=("softmax",),
    points=3,
    difficulty=1,
)
checks = [Values("ten_crops", draw_images), Values("prediction", draw_logits)]
mistakes = [
    Mistake(
        "upside down",
        "patches[..., ::-1]",
        "patches[..., ::-1, :]",
        "A mirror image exchanges left and right. Which axis is that in (C, H, W)?",
    ),
    Mistake(
        "the image mirrored first",
        "np.concatenate([patches, patches[..., ::-1]])",
        "np.concatenate([patches, [image[:, :, ::-1][:, h : h + size, w : w + size] for h, w in corners]])",
        "The patches are mirrored, not the image: the mirror image of the upper *left* patch comes sixth.",
    ),
    Mistake(
        "rows and columns",
        "corners = (0, 0), (0, right), (bottom, 0),",
        "corners = (0, 0), (bottom, 0), (0, right),",
        "Upper right comes before lower left.",
    ),
    Mistake(
        "mean logits",
        "    e = np.exp(logits - logits.max(axis=1, keepdims=True))\n"
        "    return (e / e.sum(axis=1, keepdims=True)).mean(axis=0)",
        "    logits = logits.mean(axis=0)\n    e = np.exp(logits - logits.max())\n    return e / e.sum()",
        "Here the logits are averaged, and one patch that is very sure decides alone. The paper averages what the "
        "softmax puts out.",
    ),
    Mistake(
        "overflow",
        "np.exp(logits - logits.max(axis=1, keepdims=True))",
        "np.exp(logits)",
        "$e^{800}$ is infinite in float64. Subtract something from each row that does not change its probabilities.",
    ),
    Mistake(
        "one normalisation for all",
        "e.sum(axis=1, keepdims=True)).mean(axis=0)",
        "e.sum()).sum(axis=0)",
        "Each patch's probabilities sum to one by themselves, so that all patches have the same say.",
    ),
]
hints = [
    "Five places and one slice for each; then all of it once more with the last axis reversed.",
    "A stable softmax for each row, then the mean over the rows.",
]
