"""Cases of local response normalisation and of the sum over neighbouring channels."""

from __future__ import annotations

import numpy as np

from ..._op import OPS
from ...ops import local_response_norm
from ..case import Case, ErrorCase, Fault, wrong_gradient


def naive_local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """The sum over the window's channels, one pixel at a time."""
    y = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        image, channel, *pixel = at
        window = range(channel - size // 2, channel - size // 2 + size)
        energy = sum(x[(image, j, *pixel)] ** 2 for j in window if 0 <= j < x.shape[1])
        y[at] = x[at] / (k + alpha * energy / size) ** beta
    return y


def _naive_channel_window_sum(x, before, after):
    y = np.zeros(x.shape)
    for channel in range(x.shape[1]):
        for j in range(max(0, channel - before), min(x.shape[1], channel + after + 1)):
            y[:, channel] += x[:, j]
    return y


def _image(*shape):
    return lambda rng: {"x": rng.standard_normal(shape)}


CASES = [
    Case(
        "local_response_norm",
        "five channels, a strong effect",
        _image(2, 7, 3, 2),
        {"size": 5, "alpha": 0.5, "k": 2.0},
        naive_local_response_norm,
    ),
    Case(
        "local_response_norm",
        "even size, another power, three axes",
        _image(2, 6, 4),
        {"size": 4, "alpha": 0.8, "beta": 0.4, "k": 1.5},
        naive_local_response_norm,
    ),
    Case(
        "local_response_norm",
        "window wider than the channels, channels last",
        lambda rng: {"x": rng.standard_normal((2, 3, 4, 3)).transpose(0, 3, 1, 2)},
        {"size": 7, "alpha": 0.6},
        naive_local_response_norm,
    ),
    Case("local_response_norm", "the paper's values", _image(1, 6, 2, 3), {"size": 5, "alpha": 5e-4, "k": 2.0}),
    Case(
        "channel_window_sum",
        "two before, one after",
        _image(2, 5, 3, 2),
        {"before": 2, "after": 1},
        _naive_channel_window_sum,
    ),
]

ERRORS = [
    ErrorCase(
        "local_response_norm",
        lambda: local_response_norm(np.zeros((2, 5)), 5),
        ValueError,
        "local_response_norm: x expects at least three axes (N, C, ...); it is (2, 5)",
    ),
    ErrorCase(
        "local_response_norm",
        lambda: local_response_norm(np.zeros((2, 5, 3)), 0),
        ValueError,
        "local_response_norm: size expects at least one channel; it is 0",
    ),
]


def _s(x, size, alpha, k):
    return OPS["channel_window_sum"](x * x, size // 2, (size - 1) // 2) * (alpha / size) + k


def _without_neighbours(grads, dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    return [dy * _s(x, size, alpha, k) ** (-beta)]


def _own_channel_only(grads, dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    s = _s(x, size, alpha, k)
    return [dy * s ** (-beta) - dy * x * x * s ** (-beta - 1) * (2 * alpha * beta / size)]


def _cross_term(before, after):
    def change(grads, dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
        s = _s(x, size, alpha, k)
        others = OPS["channel_window_sum"](dy * x * s ** (-beta - 1), before(size), after(size))
        return [dy * s ** (-beta) - x * others * (2 * alpha * beta / size)]

    return change


def _factor_two_missing(grads, dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    direct = dy * _s(x, size, alpha, k) ** (-beta)
    return [direct + (grads[0] - direct) * 0.5]


FAULTS = [
    Fault("local_response_norm", "the term through the neighbours missing", wrong_gradient(_without_neighbours)),
    Fault("local_response_norm", "of the neighbours' terms only the channel's own", wrong_gradient(_own_channel_only)),
    Fault(
        "local_response_norm",
        "for an even size the window of the forward, not its transpose",
        wrong_gradient(_cross_term(lambda n: n // 2, lambda n: (n - 1) // 2)),
    ),
    Fault("local_response_norm", "the square's factor 2 missing", wrong_gradient(_factor_two_missing)),
]
