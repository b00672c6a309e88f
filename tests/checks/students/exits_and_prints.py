import sys

print("reading the file")


def forward(x):
    sys.exit("enough")


def backward(dy, x):
    return dy


def cases(rng):
    yield (rng.standard_normal(3),)
