r"""Reading learning curves.

Two curves tell most of what goes wrong in training: the loss on the images that the net learns from, and the loss on
images that it has not seen. The measure for both is the loss of a guess, $\ln K$ for $K$ classes: who knows nothing has
it, and 0 is perfect.

| name | training loss | test loss |
|---|---|---|
| `rate too high` | leaps about or climbs, above that of a guess; or it becomes NaN | as badly |
| `rate too low` | still falls steadily at the end, and is not half of the way from a guess to 0 | beside it |
| `underfitting` | level at the end, and far from 0: more than a third of a guess | beside it |
| `overfitting` | near 0 | has been lower than at the end, by a tenth of a guess or more |
| `healthy` | level at the end, and near 0 | close to it, or a little above |

Write the function that says which it is; it is asked about ten runs at a time. The curves are drawn by a generator that
knows the answer; they are a little noisy (less than two per cent of a guess), of various lengths (20 epochs or more)
and of various numbers of classes: a loss of 0.5 is bad for two classes and excellent for a thousand. No curve lies on a
border: means over a quarter of the epochs will do.
"""

# %% student
import numpy as np


def read_curve(train, test, guess):
    """What one run shows: "rate too high", "rate too low", "underfitting", "overfitting" or "healthy".

    train, test: arrays of one loss an epoch; guess: the loss of a guess.
    """
    # begin solution
    train, test = train / guess, test / guess
    if not (train < 1.2).all():  # NaN is not smaller
        return "rate too high"
    quarter = len(train) // 4
    level, before = train[-quarter:].mean(), train[-2 * quarter : -quarter].mean()
    if level > 0.33:
        return "rate too low" if before - level > 0.03 else "underfitting"
    smooth = np.convolve(test, np.full(3, 1 / 3), "valid")
    return "overfitting" if test[-quarter:].mean() - smooth.min() > 0.06 else "healthy"
    # end solution


def read_curves(runs):
    """The same for a list of runs (train, test, guess)."""
    return [read_curve(*run) for run in runs]


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake

KINDS = ("rate too high", "rate too low", "underfitting", "overfitting", "healthy")


def curves(rng, kind):
    """A run of this kind: train, test, and the loss of a guess."""
    epochs = int(rng.integers(20, 61))
    guess = float(np.log(rng.choice([2, 5, 10, 100, 1000])))
    t = np.arange(1, epochs + 1) / epochs
    gap = rng.uniform(0.02, 0.06) * (1 - np.exp(-6 * t))
    noise, noise_test = 0.005 * rng.standard_normal((2, epochs)).clip(-3, 3)
    if kind == "rate too high":
        form = rng.integers(3)
        train = rng.uniform(0.6, 2.0, epochs)  # leaps
        if form == 1:  # climbs
            train = 1 + rng.uniform(1, 5) * t**2 + 0.2 * rng.random(epochs)
        if form == 2:  # falls for a while, then NaN
            train = 0.3 + 0.7 * np.exp(-5 * t) + noise
            train[int(rng.integers(2, epochs // 2)) :] = np.nan
        train[-1] = 1.3 if form == 0 else train[-1]
        test = train + gap
    elif kind == "rate too low":
        train = 1 - rng.uniform(0.25, 0.4) * t + noise
        test = train + 0.3 * gap + noise_test
    elif kind == "underfitting":
        floor = rng.uniform(0.45, 0.7)
        train = floor + (1 - floor) * np.exp(-rng.uniform(7, 12) * t) + noise
        test = train + gap + noise_test
    elif kind == "overfitting":
        train = 0.02 + 0.98 * np.exp(-rng.uniform(5, 9) * t) + np.abs(noise)
        floor, turn = rng.uniform(0.2, 0.5), rng.uniform(0.25, 0.5)
        rise = rng.uniform(0.3, 0.7) * np.maximum(t - turn, 0) / (1 - turn)
        test = floor + (1 - floor) * np.exp(-12 * t) + rise + noise_test
    else:
        floor = rng.uniform(0.03, 0.12)
        train = floor + (1 - floor) * np.exp(-rng.uniform(7, 12) * t) + np.abs(noise)
        test = train + gap + noise_test
    return guess * train, guess * test, guess


def draw(rng):
    """Ten runs a case, of each kind at least one."""
    for _ in range(6):
        kinds = [*KINDS, *rng.choice(KINDS, 5)]
        yield ([curves(rng, str(kinds[i])) for i in rng.permutation(10)],)


about = About(
    lesson="02_vgg",
    source="Goodfellow, Bengio and Courville 2016, Deep Learning, chapter 11; Karpathy 2019",
    points=4,
    difficulty=2,
)
checks = [Values("read_curves", draw)]
mistakes = [
    Mistake(
        "losses as they are",
        "    train, test = train / guess, test / guess\n",
        "",
        "With a thousand classes a guess has a loss of 6.9, with two 0.69. What is a large loss, then?",
    ),
    Mistake(
        "NaN passes",
        "not (train < 1.2).all()",
        "(train > 1.2).any()",
        "Every comparison with NaN is False. Which way round must the question be put?",
    ),
    Mistake(
        "level or falling not asked",
        '"rate too low" if before - level > 0.03 else "underfitting"',
        '"underfitting"',
        "Two things look alike at the end, a high training loss. Look at where the curve is going.",
    ),
    Mistake(
        "the gap",
        "test[-quarter:].mean() - smooth.min() > 0.06",
        "test[-quarter:].mean() - level > 0.02",
        "Every net does a little better on what it has learned from. Does the test loss *rise*?",
    ),
    Mistake(
        "the end of the training curve",
        "not (train < 1.2).all()",
        "not train[-1] < 1.5",
        "A curve that leaps about may be anywhere at the end. Look at all of it.",
    ),
]
hints = [
    "Divide both curves by the loss of a guess first. Then ask the questions of the table from top to bottom.",
    "The mean over the last quarter of the epochs is a level; its difference to the mean over the quarter before tells "
    "whether the curve still falls.",
    "For overfitting compare the test curve with its own lowest place, not with the training curve.",
]
