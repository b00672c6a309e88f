import numpy as np


def forward(x, weight, bias):
    return x @ weight + bias


def backward(dy, x, weight, bias):
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)


def cases(rng):
    for n, m, k in [(4, 3, 5), (1, 2, 2)]:
        yield rng.standard_normal((n, m)), rng.standard_normal((m, k)), rng.standard_normal(k)
    yield {"x": np.ones((2, 3)), "weight": rng.standard_normal((3, 1)), "bias": np.zeros(1)}
