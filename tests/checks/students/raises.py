import numpy as np


def forward(x, weight):
    return x @ weight


def backward(dy, x, weight):
    dx = dy @ weight
    return dx, x.T @ dy


def cases(rng):
    yield rng.standard_normal((4, 3)), np.ones((3, 5))
