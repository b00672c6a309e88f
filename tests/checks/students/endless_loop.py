def forward(x):
    return 2 * x


def backward(dy, x):
    count = 0
    while count >= 0:
        count += 1
    return 2 * dy


def cases(rng):
    yield (rng.standard_normal(3),)
