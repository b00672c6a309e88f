r"""Adam, and what its first step is.

The diffusion model is trained with Adam. Each parameter gets a step of its own size, by two running means of its
gradient $g$: of $g$ itself ($m$, the direction) and of its square ($v$, the scale),

$$
m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 .
$$

Both begin with zero, and so are too small at first. If all gradients were equal to $g$, what would $m$ be after $t$
steps? Find the factor by which it falls short of $g$, and divide by it; the same for $v$. With the corrected $\hat m$
and $\hat v$ the parameter moves by

$$
- \text{lr} \cdot \frac{\hat m}{\sqrt{\hat v} + \epsilon} .
$$

*AdamW* has weight decay as well, and *decoupled*: the parameter is multiplied by $1 - \text{lr} \cdot \lambda$ before
the step, and $m$ and $v$ never hear of it. (Added to the gradient it would be divided by $\sqrt{\hat v}$ as well, and
parameters with large gradients would hardly decay.)

What is the first step, for $\lambda = 0$, whatever $g$ is? Then you see why Adam's rate is given as 0.001, and what
unit it has.
"""

# %% student
import numpy as np


def adam(parameter, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """The parameter after one step with each of the gradients in turn.

    parameter: an array, not to be changed in place; gradients: arrays of that shape, stacked along a first axis.
    """
    # begin solution
    beta1, beta2 = betas
    m = np.zeros_like(parameter)
    v = np.zeros_like(parameter)
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        parameter = (1 - lr * weight_decay) * parameter - lr * step
    return parameter
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """One step, several, with weight decay, with an eps that counts."""
    for steps, betas, eps, decay in (
        (1, (0.9, 0.999), 1e-8, 0.0),
        (4, (0.9, 0.99), 0.1, 0.0),
        (7, (0.5, 0.9), 1e-8, 0.3),
        (3, (0.0, 0.99), 0.01, 0.1),
    ):
        shape = tuple(int(n) for n in rng.integers(1, 5, 2))
        gradients = rng.standard_normal((steps, *shape)) * 10.0 ** rng.integers(-2, 2)
        yield rng.standard_normal(shape), gradients, float(rng.uniform(0.01, 0.5)), betas, eps, decay


about = About(
    lesson="05_diffusion",
    source="Kingma and Ba 2014, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter 2017, arXiv:1711.05101",
    points=3,
    difficulty=2,
)
checks = [Values("adam", draw)]
mistakes = [
    Mistake(
        "no correction",
        "m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)",
        "m / (np.sqrt(v) + eps)",
        "After the first step m is only (1 - beta1) g, and v only (1 - beta2) g^2.",
    ),
    Mistake(
        "steps counted from 0",
        "enumerate(gradients, 1)",
        "((t + 2, g) for t, g in enumerate(gradients))",
        "After one step, one factor beta has come in: t = 1 in the first step.",
    ),
    Mistake(
        "eps under the root",
        "(np.sqrt(v / (1 - beta2**t)) + eps)",
        "np.sqrt(v / (1 - beta2**t) + eps)",
        "eps is added to the root, not to what stands under it.",
    ),
    Mistake(
        "m for v",
        "(1 - beta2) * g**2",
        "(1 - beta2) * m**2",
        "v is the running mean of the *square of the gradient*, not that of m.",
    ),
    Mistake(
        "decay in the gradient",
        "    for t, g in enumerate(gradients, 1):\n",
        "    for t, g in enumerate(gradients, 1):\n        g = g + weight_decay * parameter\n",
        "The decay is decoupled: it does not go into m and v.",
    ),
    Mistake(
        "decay without the rate",
        "(1 - lr * weight_decay)",
        "(1 - weight_decay)",
        "Like everything in a step, the decay is multiplied by the learning rate.",
    ),
]
hints = [
    "With equal gradients m after t steps is (1 - beta1)(1 + beta1 + ... + beta1^(t-1)) g = (1 - beta1^t) g.",
    "So m-hat = m / (1 - beta1^t) and v-hat = v / (1 - beta2^t), with t from 1.",
]
