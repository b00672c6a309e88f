"""Cases of batch normalisation: while training, by running statistics, and both of its operations."""

from __future__ import annotations

import numpy as np

from ...ops import batch_norm
from ..case import Case, ErrorCase, Fault, wrong_gradient


def _naive_by(mean, var, x, weight, bias, eps):
    y = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        c = at[1]
        y[at] = (x[at] - mean[c]) / (var[c] + eps) ** 0.5
        y[at] = y[at] * (1 if weight is None else weight[c]) + (0 if bias is None else bias[c])
    return y


def _naive_statistics(x):
    """Mean and biased variance of each channel."""
    mean, var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        values = [float(v) for v in np.moveaxis(x, 1, 0)[c].flat]
        mean[c] = sum(values) / len(values)
        var[c] = sum((v - mean[c]) ** 2 for v in values) / len(values)
    return mean, var


def naive_batch_norm_train(x, weight=None, bias=None, eps=1e-5):
    """Each value by itself, with the statistics of its channel."""
    mean, var = _naive_statistics(x)
    return _naive_by(mean, var, x, weight, bias, eps), mean, var


def naive_batch_norm_eval(x, mean, var, weight=None, bias=None, eps=1e-5):
    """Each value by itself, with given statistics."""
    return _naive_by(mean, var, x, weight, bias, eps)


def naive_batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """The value alone; the tests look at the running statistics."""
    mean, var = _naive_statistics(x) if training else (running_mean, running_var)
    return _naive_by(mean, var, x, weight, bias, eps)


def _inputs(shape, *vectors, last=False):
    """x, channels last in memory if so wanted, and vectors over the channels; variances are positive."""

    def draw(rng):
        x = rng.standard_normal(shape) * 2 + 1
        if last:
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        given = {name: rng.standard_normal(shape[1]) for name in vectors}
        return {"x": x} | {name: np.abs(v) + 0.5 if "var" in name else v for name, v in given.items()}

    return draw


def _without_running(draw):
    return lambda rng: draw(rng) | {"running_mean": None, "running_var": None}


_WRT = ("x", "weight", "bias")

CASES = [
    Case(
        "batch_norm",
        "training, images",
        _without_running(_inputs((3, 2, 3, 2), "weight", "bias")),
        {"training": True},
        naive_batch_norm,
    ),
    Case(
        "batch_norm",
        "training, vectors, a large eps",
        _without_running(_inputs((5, 3), "weight", "bias")),
        {"training": True, "eps": 0.3},
        naive_batch_norm,
    ),
    Case(
        "batch_norm",
        "training, three axes, neither weight nor bias",
        _without_running(_inputs((2, 3, 4))),
        {"training": True},
        naive_batch_norm,
    ),
    Case(
        "batch_norm",
        "by running statistics, channels last",
        _inputs((2, 3, 2, 4), "running_mean", "running_var", "weight", "bias", last=True),
        {},
        naive_batch_norm,
        _WRT,
    ),
    Case(
        "batch_norm_train",
        "channels last, with its statistics",
        _inputs((2, 3, 3, 2), "weight", "bias", last=True),
        {"eps": 1e-3},
        naive_batch_norm_train,
    ),
    Case("batch_norm_train", "no weight", _inputs((4, 2, 3), "bias"), {}, naive_batch_norm_train),
    Case("batch_norm_train", "no bias", _inputs((2, 2, 2, 3), "weight"), {}, naive_batch_norm_train),
    Case(
        "batch_norm_eval",
        "statistics differentiated as well",
        _inputs((2, 3, 2, 3), "mean", "var", "weight", "bias"),
        {"eps": 1e-2},
        naive_batch_norm_eval,
    ),
    Case("batch_norm_eval", "no weight", _inputs((4, 3), "mean", "var", "bias"), {"eps": 0.1}, naive_batch_norm_eval),
    Case(
        "batch_norm_eval", "no bias", _inputs((2, 3, 4), "mean", "var", "weight"), {"eps": 0.1}, naive_batch_norm_eval
    ),
]

_x, _three = np.zeros((2, 3, 4, 4)), np.ones(3)

ERRORS = [
    ErrorCase(
        "batch_norm",
        lambda: batch_norm(np.zeros(3), None, None, training=True),
        ValueError,
        "batch_norm: x expects at least two axes (N, C, ...); it is (3,)",
    ),
    ErrorCase(
        "batch_norm",
        lambda: batch_norm(_x, _three, _three, np.ones(4)),
        ValueError,
        "batch_norm: weight expects shape (3,), the channels of x; it is (4,)",
    ),
    ErrorCase(
        "batch_norm",
        lambda: batch_norm(_x, np.ones(4), _three),
        ValueError,
        "batch_norm: running_mean expects shape (3,), the channels of x; it is (4,)",
    ),
    ErrorCase(
        "batch_norm",
        lambda: batch_norm(_x, None, _three),
        ValueError,
        "batch_norm: running_mean and running_var expect arrays where training is False; got None",
    ),
    ErrorCase(
        "batch_norm",
        lambda: batch_norm(np.zeros((1, 3, 1, 1)), _three, _three, training=True),
        ValueError,
        "batch_norm: x expects more than one value for each channel while training; it is (1, 3, 1, 1)",
    ),
]


def _parts(dy, x, weight=None, bias=None, eps=1e-5):
    """xhat, r, w dy, how to take the mean over a channel, and how many values it is taken of."""
    axes = (0, *range(2, x.ndim))
    mean = lambda a: a.mean(axis=axes, keepdims=True)
    centred = x - mean(x)
    r = (mean(centred * centred) + eps) ** -0.5
    g = dy if weight is None else dy * weight.reshape((1, -1) + (1,) * (x.ndim - 2))
    return centred * r, r, g, mean, x.size // x.shape[1]


def _without_mean(grads, *operands):
    xhat, r, g, mean, _ = _parts(*operands)
    return [r * (g - xhat * mean(g * xhat)), *grads[1:]]


def _without_var(grads, *operands):
    _, r, g, mean, _ = _parts(*operands)
    return [r * (g - mean(g)), *grads[1:]]


def _statistics_constant(grads, *operands):
    _, r, g, _, _ = _parts(*operands)
    return [r * g, *grads[1:]]


def _sums_not_means(grads, *operands):
    xhat, r, g, mean, m = _parts(*operands)
    return [r * (g - mean(g) * m - xhat * (mean(g * xhat) * m)), *grads[1:]]


def _unbiased(grads, *operands):
    xhat, r, g, mean, m = _parts(*operands)
    return [r * (g - mean(g) - xhat * (mean(g * xhat) * (m / (m - 1)))), *grads[1:]]


def _without_weight(grads, dy, x, weight=None, bias=None, eps=1e-5):
    return grads if weight is None else [grads[0] / weight.reshape((1, -1) + (1,) * (x.ndim - 2)), *grads[1:]]


def _weight_by_x(grads, dy, x, weight=None, bias=None, eps=1e-5):
    if weight is None:
        return grads
    return [grads[0], (dy * x).sum(axis=(0, *range(2, x.ndim))), *grads[2:]]


def _unbiased_forward(body):
    """The batch normalised by the unbiased variance, which belongs to the running statistics."""

    def wrong(x, weight=None, bias=None, eps=1e-5):
        m = x.size // x.shape[1]
        (y, mean, var), backward = body(x, weight, bias, eps)
        shift = 0 if bias is None else bias.reshape((1, -1) + (1,) * (x.ndim - 2))
        return ((y - shift) * ((m - 1) / m) ** 0.5 + shift, mean, var), backward

    return wrong


def _as_if_eps_were_outside(grads, dy, x, mean, var, weight=None, bias=None, eps=1e-5):
    return [grads[0] * ((var + eps) ** 0.5 / (var**0.5 + eps)).reshape((1, -1) + (1,) * (x.ndim - 2)), *grads[1:]]


FAULTS = [
    Fault("batch_norm_train", "the path through the mean missing", wrong_gradient(_without_mean)),
    Fault("batch_norm_train", "the path through the variance missing", wrong_gradient(_without_var)),
    Fault("batch_norm_train", "mean and variance taken for constants", wrong_gradient(_statistics_constant)),
    Fault("batch_norm_train", "1/m missing before the sums", wrong_gradient(_sums_not_means)),
    Fault("batch_norm_train", "the unbiased variance's 1/(m - 1) in dvar", wrong_gradient(_unbiased)),
    Fault("batch_norm_train", "dx without the weight", wrong_gradient(_without_weight)),
    Fault("batch_norm_train", "dw with x in place of xhat", wrong_gradient(_weight_by_x)),
    Fault("batch_norm_train", "normalised by the unbiased variance", _unbiased_forward),
    Fault("batch_norm_eval", "eps added to the standard deviation", wrong_gradient(_as_if_eps_were_outside)),
]
