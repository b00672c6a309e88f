r"""An auxiliary classifier half way up.

GoogLeNet was trained with small classifiers hung on its middle, "to increase the gradient signal that gets propagated
back". Here is the smallest net that shows what they do: two layers, and a head on the first.

$$
h_1 = \max(W_1 x, 0), \quad h_2 = \max(W_2 h_1, 0), \qquad
L = \mathrm{CE}(V h_2, t) + 0.3\; \mathrm{CE}(A h_1, t) ,
$$

with CE the cross-entropy of the softmax, a mean over the batch, and $t$ the labels. Both classifiers see the same
labels. In the test the head is thrown away: then L is its first term alone.

Derive the gradients of all four matrices, in training and in the test. The interesting place is $h_1$: it is used
twice. Which of the four matrices does the head's loss reach at all, and by which factor does it enlarge what they get?
The gradient of CE, which you know, is given.
"""

# %% student
import numpy as np


def cross_entropy(z, labels):
    """The mean cross-entropy of logits z (N, K) with labels (N,)."""
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(z)), labels].mean()


def cross_entropy_gradient(z, labels):
    """Its gradient with respect to z."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(z)), labels] -= 1
    return p / len(z)


def loss(x, labels, W1, W2, V, A, training):
    """L, a number: x (N, C), labels (N,), W1 (H1, C), W2 (H2, H1), V (K, H2), A (K, H1)."""
    h1 = np.maximum(x @ W1.T, 0)
    h2 = np.maximum(h1 @ W2.T, 0)
    L = cross_entropy(h2 @ V.T, labels)
    return L + 0.3 * cross_entropy(h1 @ A.T, labels) if training else L


def loss_backward(dL, x, labels, W1, W2, V, A, training):
    """The gradients (dW1, dW2, dV, dA), given dL, a number."""
    # begin solution
    h1 = np.maximum(x @ W1.T, 0)
    h2 = np.maximum(h1 @ W2.T, 0)
    weight = 0.3 if training else 0.0
    dz = dL * cross_entropy_gradient(h2 @ V.T, labels)
    da = dL * weight * cross_entropy_gradient(h1 @ A.T, labels)
    dh2 = dz @ V * (h2 > 0)
    dh1 = (dh2 @ W2 + da @ A) * (h1 > 0)
    return dh1.T @ x, dh2.T @ h1, dz.T @ h2, da.T @ h1
    # end solution


# %% checks
from minitorch_cv.course.checks import Gradient
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """In training and in the test; a batch of one."""
    for N, training in ((int(rng.integers(3, 6)), True), (1, True), (4, False), (int(rng.integers(5, 8)), True)):
        C, H1, H2, K = (int(n) for n in rng.permutation(np.arange(3, 7)))
        while True:  # until every sample moves something in both layers
            x, *matrices = (rng.standard_normal(shape) for shape in ((N, C), (H1, C), (H2, H1), (K, H2), (K, H1)))
            h2 = np.maximum(x @ matrices[0].T, 0) @ matrices[1].T
            if (h2 > 0).any(axis=1).all():
                break
        yield x, rng.integers(0, K, N), *matrices, training


def draw_many(rng):
    """So many entries that differences take minutes."""
    shapes = (40, 200), (150, 200), (120, 150), (10, 120), (10, 150)
    x, *matrices = (rng.standard_normal(shape) / 5 for shape in shapes)
    yield x, rng.integers(0, 10, 40), *matrices, True


about = About(
    lesson="03_inception",
    source="Szegedy et al. 2014, arXiv:1409.4842, section 5",
    operations=("linear", "relu", "cross_entropy"),
    points=4,
    difficulty=2,
)
checks = [Gradient("loss_backward", "loss", draw, draw_many, wrt=("W1", "W2", "V", "A"))]
mistakes = [
    Mistake(
        "the head does not reach down",
        "(dh2 @ W2 + da @ A) * (h1 > 0)",
        "(dh2 @ W2) * (h1 > 0)",
        "$h_1$ goes into the second layer *and* into the head. What comes back to it?",
    ),
    Mistake(
        "the head's own weight",
        "da = dL * weight * cross",
        "da = dL * (weight > 0) * cross",
        "In L the head's loss is multiplied by 0.3, and so is all that comes from it.",
    ),
    Mistake(
        "0.3 on the way down alone",
        "da.T @ h1",
        "dL * (weight > 0) * cross_entropy_gradient(h1 @ A.T, labels).T @ h1",
        "The head's own matrix is trained by the same weighted loss.",
    ),
    Mistake(
        "the head in the test",
        "weight = 0.3 if training else 0.0",
        "weight = 0.3",
        "In the test the head is thrown away.",
    ),
    Mistake(
        "the mask before the sum",
        "(dh2 @ W2 + da @ A) * (h1 > 0)",
        "dh2 @ W2 * (h1 > 0) + da @ A",
        "The head reads $h_1$ behind its ReLU. Which of the two ways down passes that ReLU?",
    ),
    Mistake(
        "what comes from above",
        "da = dL * weight",
        "da = weight",
        "dL multiplies all of L, its second term, too.",
    ),
]
hints = [
    "Draw the graph: x, h1, h2, z; and a second arrow out of h1, to the head.",
    "At a value with two uses the gradients of both are added: $dh_1 = W_2^\\top dh_2 + A^\\top da$, in rows "
    "`dh2 @ W2 + da @ A`. Only then comes the ReLU's mask.",
]
