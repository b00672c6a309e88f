import numpy as np


def forward(x):
    return np.abs(x) ** 1.5


def backward(dy, x):
    ratio = 0.0 * x / (x - x)
    return dy * 1.5 * np.sqrt(np.abs(x)) * np.sign(x) + ratio


def cases(rng):
    yield (rng.uniform(0.5, 1, (2, 3)),)
