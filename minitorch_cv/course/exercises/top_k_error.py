r"""Top-k error, with ties.

ImageNet is scored twice: *top-1*, the likeliest class is not the true one; *top-5*, the true class is not even among
the five likeliest. With scores $s_{nk}$ and labels $t_n$,

$$
\text{error}_k = \frac1N \sum_n \big[\, r_n > k \,\big],
\qquad r_n = \text{the rank of class } t_n \text{ among the scores of sample } n,
$$

the largest score having rank 1. The definition has a hole: what is the rank where scores are equal? It matters more
than one would think. A net whose scores are all zero, or all NaN, knows nothing; but a program that asks "are fewer
than k scores *larger*?" gives it an error of 0, and many a broken net has looked perfect in this way.

So we are strict: **a class with the same score as the true one is ranked before it.** A label is among the k likeliest
only if it would be so in the worst order of equal scores. And a score that is NaN never counts as a hit.
"""

# %% student
import numpy as np


def top_k_error(scores, labels, k):
    """The share of samples whose label is not among the k likeliest: scores (N, K), labels (N,) of whole numbers."""
    # begin solution
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    not_smaller = (scores >= own).sum(axis=1)  # itself among them; none of them where it is NaN
    return 1 - ((1 <= not_smaller) & (not_smaller <= k)).mean()
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def draw(rng):
    """Scores without ties, whole numbers with many, a net that knows nothing, one with NaN in it."""
    for k, kind in ((1, "plain"), (5, "plain"), (1, "ties"), (3, "ties"), (2, "silent"), (2, "broken")):
        N, K = int(rng.integers(60, 120)), int(rng.integers(7, 12))
        labels = rng.integers(0, K, N)
        scores = rng.standard_normal((N, K))
        scores[np.arange(N), labels] += 1.5
        if kind == "ties":
            scores = np.round(1.2 * scores)
        if kind == "silent":  # all scores equal, for two samples in three
            scores[rng.random(N) < 0.67] = 0.25
        if kind == "broken":
            scores[rng.random(N) < 0.4] = np.nan
        yield scores, labels, k


about = About(
    lesson="01_alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012, section 2; Russakovsky et al. 2015, arXiv:1409.0575",
    points=2,
    difficulty=1,
)
checks = [Values("top_k_error", draw)]
mistakes = [
    Mistake(
        "ties in its favour",
        "(scores >= own).sum(axis=1)",
        "(scores > own).sum(axis=1) + ~np.isnan(own[:, 0])",
        "How does a net fare here whose scores are all the same?",
    ),
    Mistake(
        "one too many",
        "not_smaller <= k",
        "not_smaller <= k + 1",
        "For k = 1 the label must be the likeliest itself. Count it, too.",
    ),
    Mistake(
        "the accuracy",
        "return 1 - (",
        "return (",
        "An error counts the misses.",
    ),
    Mistake(
        "NaN as a hit",
        "((1 <= not_smaller) & (not_smaller <= k))",
        "(not_smaller <= k)",
        "Every comparison with NaN is false. What is a count of comparisons worth, then, if the label's own score is "
        "NaN?",
    ),
    Mistake(
        "sorted",
        "not_smaller = (scores >= own).sum(axis=1)",
        'order = np.argsort(-scores, axis=1, kind="stable")\n'
        "    not_smaller = 1 + (order == labels[:, None]).argmax(axis=1)",
        "A sort puts equal scores into an order that has nothing to do with what is true: here the class with the "
        "smaller number wins, and NaN comes last or first.",
    ),
]
hints = [
    "There is no need to sort. How many scores of a row are at least as large as the label's?",
    "`np.take_along_axis(scores, labels[:, None], axis=1)` gives each label's own score as a column.",
]
