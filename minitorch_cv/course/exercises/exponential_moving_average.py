r"""The average of the weights.

The samples of a diffusion model are not drawn with the weights of the last step but with an average of them. After each
step

$$
\theta' \leftarrow \gamma\, \theta' + (1 - \gamma)\, \theta ,
$$

with a decay $\gamma$ near 1. Unrolled, this is a weighted mean of all weights there have been. Find the weights: with
$\theta_0$ the start, from which the average begins ($\theta'_0 = \theta_0$), and $\theta_k$ after step $k$,

$$
\theta'_K = \sum_{k=0}^{K} w_k\, \theta_k, \qquad \sum_k w_k = 1 .
$$

A long memory is bad while a run is young: with $\gamma = 0.9999$ and a thousand steps, how much of the *untrained* net
is in the average still? Hence the warm-up: in step $k$ (from 1) the decay is

$$
\gamma_k = \min\Big( \gamma,\; \frac{1 + k}{10 + k} \Big) .
$$

Find the weights for this case too; the step that a weight came in with is not the only one that counts.
"""

# %% student
import numpy as np


def averaging_weights(steps, decay):
    """w_0 to w_K of the average after K = `steps` steps."""
    # begin solution
    weights = (1 - decay) * decay ** np.arange(steps, -1.0, -1.0)
    weights[0] = decay**steps
    return weights
    # end solution


def averaging_weights_with_warm_up(steps, decay):
    """The same with the warm-up, whose decay is at most `decay`."""
    # begin solution
    weights = np.ones(1)
    for k in range(1, steps + 1):
        now = min(decay, (1 + k) / (10 + k))
        weights = np.append(now * weights, 1 - now)
    return weights
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Few steps and more, short memories and long."""
    for low, high in ((0.4, 0.6), (0.85, 0.95), (0.98, 0.995), (0.2, 0.95)):
        yield int(rng.integers(3, 25)), float(rng.uniform(low, high))


about = About(
    lesson="05_diffusion",
    source="Ho, Jain and Abbeel 2020, arXiv:2006.11239, appendix B; Polyak and Juditsky 1992",
    points=2,
    difficulty=1,
)
checks = [Values("averaging_weights", draw), Values("averaging_weights_with_warm_up", draw)]
mistakes = [
    Mistake(
        "the start like the others",
        "    weights[0] = decay**steps\n",
        "",
        "Do your weights add up to 1? The average *begins* as theta_0, without the factor 1 - decay.",
    ),
    Mistake(
        "backwards in time",
        "np.arange(steps, -1.0, -1.0)",
        "np.arange(steps + 1.0)",
        "The newest weights count most. Yours are those of a memory that prefers what is long ago.",
    ),
    Mistake(
        "the decay for its complement",
        "np.append(now * weights, 1 - now)",
        "np.append((1 - now) * weights, now)",
        "Which of the two multiplies the old average: the decay, or 1 minus it?",
    ),
    Mistake(
        "a step too late",
        "(1 + k) / (10 + k)",
        "k / (9 + k)",
        "Steps count from 1: the first has the decay 2/11.",
    ),
    Mistake(
        "the larger decay",
        "min(decay, ",
        "max(decay, ",
        "While the run is young the memory shall be *short*.",
    ),
]
hints = [
    "What came in at step k has been multiplied by the decay in each of the steps after it.",
    "Walk through the steps: all weights so far times the decay, and a new one, 1 - decay, behind them.",
]
