r"""Momentum and weight decay: AlexNet's rule and PyTorch's.

AlexNet was trained by

$$
v_{t+1} = \mu\, v_t - \lambda\, \epsilon\, w_t - \epsilon\, g_t, \qquad w_{t+1} = w_t + v_{t+1},
$$

with momentum $\mu = 0.9$, weight decay $\lambda = 0.0005$, learning rate $\epsilon$, and $g_t$ the batch's mean
gradient of the loss at $w_t$. The decay is the gradient of a penalty $\frac{\lambda}{2} \|w\|^2$: it goes through the
velocity as any gradient does. `torch.optim.SGD` keeps the learning rate out of the velocity:

$$
b_{t+1} = \mu\, b_t + \lambda\, w_t + g_t, \qquad w_{t+1} = w_t - \epsilon\, b_{t+1} .
$$

Write one step of each. While $\epsilon$ stays the same, both walk the same way. AlexNet's $\epsilon$ was divided by 10
three times, and there they part: the old velocity goes on at its old length in one of them, and is shortened at once in
the other. Your third function tells which velocity `v` of AlexNet's rule takes PyTorch's next step exactly, given its
buffer `b` and the learning rates of the step before and of the step to come: the conversion for one who carries a
checkpoint over.
"""


# %% student
def alexnet_step(weight, velocity, gradient, lr, momentum, weight_decay):
    """The weight and the velocity after one step of the paper's rule. Arrays of one shape; the rest are numbers."""
    # begin solution
    velocity = momentum * velocity - weight_decay * lr * weight - lr * gradient
    return weight + velocity, velocity
    # end solution


def torch_step(weight, buffer, gradient, lr, momentum, weight_decay):
    """The weight and the buffer after one step of PyTorch's rule."""
    # begin solution
    buffer = momentum * buffer + weight_decay * weight + gradient
    return weight - lr * buffer, buffer
    # end solution


def velocity_of_buffer(buffer, lr_before, lr_next):
    """The velocity with which `alexnet_step` at lr_next goes where `torch_step` with this buffer goes at lr_next."""
    # begin solution
    return -lr_next * buffer
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Steps from rest and in full flight; without momentum; without decay; the paper's numbers."""
    for momentum, weight_decay, moving in ((0.9, 5e-4, 1), (0.5, 0.3, 1), (0.9, 0.1, 0), (0.0, 0.2, 1), (0.8, 0.0, 1)):
        shape = tuple(int(n) for n in rng.integers(2, 5, int(rng.integers(1, 4))))
        weight, velocity, gradient = rng.standard_normal((3, *shape))
        yield weight, moving * velocity, gradient, float(rng.uniform(0.01, 0.3)), momentum, weight_decay


def draw_buffers(rng):
    """A learning rate divided by ten, one that stays, one that grows."""
    for factor in (0.1, 1.0, float(rng.uniform(1.5, 3.0))):
        lr = float(rng.uniform(0.01, 0.3))
        yield rng.standard_normal(tuple(rng.integers(2, 5, 2))), lr, factor * lr


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, section 5; Sutskever et al. 2013",
    points=3,
    difficulty=1,
)
checks = [
    Values("alexnet_step", draw, share=2),
    Values("torch_step", draw, share=2),
    Values("velocity_of_buffer", draw_buffers),
]
mistakes = [
    Mistake(
        "decay without the learning rate",
        "weight_decay * lr * weight",
        "weight_decay * weight",
        "In the paper's rule the decay is scaled by the learning rate, as the gradient is.",
    ),
    Mistake(
        "the old velocity",
        "    velocity = momentum * velocity - weight_decay * lr * weight - lr * gradient\n    return weight + "
        "velocity, velocity",
        "    new = momentum * velocity - weight_decay * lr * weight - lr * gradient\n    return weight + velocity, new",
        "$w_{t+1}$ uses $v_{t+1}$, the velocity that already knows this gradient.",
    ),
    Mistake(
        "uphill",
        "- lr * gradient",
        "+ lr * gradient",
        "Which way does the loss fall?",
    ),
    Mistake(
        "decoupled decay",
        "    buffer = momentum * buffer + weight_decay * weight + gradient\n    return weight - lr * buffer, buffer",
        "    buffer = momentum * buffer + gradient\n    return weight - lr * (buffer + weight_decay * weight), buffer",
        "This is the decoupled decay of SGDW. In these two rules the decay is a part of the gradient, and so the "
        "velocity remembers it.",
    ),
    Mistake(
        "a damped gradient",
        "weight_decay * weight + gradient",
        "weight_decay * weight + (1 - momentum) * gradient",
        "This makes a moving *average* of the gradients, as in Adam. The rule adds the gradient in full.",
    ),
    Mistake(
        "the rate of the step before",
        "-lr_next * buffer",
        "-lr_before * buffer",
        "This velocity continues the step that was made. Which one makes $\\mu v$ equal to what PyTorch's next step "
        "takes from its buffer?",
    ),
]
hints = [
    "Both rules are two lines. Compute the new velocity first, from the old weight, then the new weight from it.",
    "Put one rule below the other with the same $\\epsilon$: $v = -\\epsilon\\, b$ turns one into the other.",
    "In PyTorch's next step the old buffer moves the weight by $-\\epsilon_{next}\\, \\mu\\, b$. Compare with "
    "$\\mu\\, v$.",
]
