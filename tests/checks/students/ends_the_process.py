import os


def forward(x):
    os._exit(3)


def backward(dy, x):
    return dy


def cases(rng):
    yield (rng.standard_normal(3),)
