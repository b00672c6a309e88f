"""A convolution whose dx takes the kernel flipped."""

import numpy as np


def forward(x, weight):
    n, _, height, width = x.shape
    out, _, kh, kw = weight.shape
    y = np.zeros((n, out, height - kh + 1, width - kw + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = np.tensordot(x[:, :, i : i + kh, j : j + kw], weight, axes=((1, 2, 3), (1, 2, 3)))
    return y


def backward(dy, x, weight):
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    kh, kw = weight.shape[2:]
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            window = x[:, :, i : i + kh, j : j + kw]
            dx[:, :, i : i + kh, j : j + kw] += np.tensordot(dy[:, :, i, j], weight[:, :, ::-1, ::-1], axes=(1, 0))
            dweight += np.tensordot(dy[:, :, i, j], window, axes=(0, 0))
    return dx, dweight


def cases(rng):
    yield rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((2, 3, 3, 2))
