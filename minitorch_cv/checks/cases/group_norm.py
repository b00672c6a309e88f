"""Cases of group normalisation."""

from __future__ import annotations

import numpy as np

from ...ops import group_norm
from ..case import Case, ErrorCase, Fault, wrong_gradient


def naive_group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    """One group of one image after the other."""
    y, width = np.zeros(x.shape), x.shape[1] // num_groups
    for image, channel in np.ndindex(*x.shape[:2]):
        first = channel // width * width
        group = x[image, first : first + width]
        mean = group.sum() / group.size
        var = ((group - mean) ** 2).sum() / group.size
        y[image, channel] = (x[image, channel] - mean) / (var + eps) ** 0.5
        y[image, channel] *= 1 if weight is None else weight[channel]
        y[image, channel] += 0 if bias is None else bias[channel]
    return y


def _inputs(shape, *vectors, last=False):
    def draw(rng):
        x = rng.standard_normal(shape) * 2 + 1
        if last:
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        return {"x": x} | {name: rng.standard_normal(shape[1]) for name in vectors}

    return draw


CASES = [
    Case(
        "group_norm",
        "two groups, channels last",
        _inputs((2, 6, 3, 2), "weight", "bias", last=True),
        {"num_groups": 2},
        naive_group_norm,
    ),
    Case(
        "group_norm",
        "a group for each channel: instance normalisation",
        _inputs((2, 3, 2, 4), "weight", "bias"),
        {"num_groups": 3, "eps": 1e-2},
        naive_group_norm,
    ),
    Case("group_norm", "one group, no bias", _inputs((2, 4, 3), "weight"), {"num_groups": 1}, naive_group_norm),
    Case("group_norm", "vectors, no weight", _inputs((3, 6), "bias"), {"num_groups": 2}, naive_group_norm),
]

ERRORS = [
    ErrorCase(
        "group_norm",
        lambda: group_norm(np.zeros(6), 2),
        ValueError,
        "group_norm: x expects at least two axes (N, C, ...); it is (6,)",
    ),
    ErrorCase(
        "group_norm",
        lambda: group_norm(np.zeros((2, 6, 4, 4)), 4),
        ValueError,
        "group_norm: num_groups expects a divisor of the 6 channels of x (2, 6, 4, 4); it is 4",
    ),
    ErrorCase(
        "group_norm",
        lambda: group_norm(np.zeros((2, 6, 4, 4)), 3, np.ones(3)),
        ValueError,
        "group_norm: weight expects shape (6,), the channels of x; it is (3,)",
    ),
]


def _parts(dy, x, num_groups, weight=None, eps=1e-5):
    """By group: xhat, r, w dy and its means."""
    groups = (x.shape[0], num_groups, -1)
    w = 1 if weight is None else weight.reshape((1, -1) + (1,) * (x.ndim - 2))
    g, of_group = (dy * w).reshape(groups), x.reshape(groups)
    centred = of_group - of_group.mean(axis=2, keepdims=True)
    r = ((centred * centred).mean(axis=2, keepdims=True) + eps) ** -0.5
    return centred * r, r, g, lambda a: a.mean(axis=2, keepdims=True)


def _without_mean(grads, dy, x, num_groups, weight=None, bias=None, eps=1e-5):
    xhat, r, g, mean = _parts(dy, x, num_groups, weight, eps)
    return [(r * (g - xhat * mean(g * xhat))).reshape(x.shape), *grads[1:]]


def _without_var(grads, dy, x, num_groups, weight=None, bias=None, eps=1e-5):
    _, r, g, mean = _parts(dy, x, num_groups, weight, eps)
    return [(r * (g - mean(g))).reshape(x.shape), *grads[1:]]


def _weight_after_the_means(grads, dy, x, num_groups, weight=None, bias=None, eps=1e-5):
    if weight is None:
        return grads
    xhat, r, g, mean = _parts(dy, x, num_groups, None, eps)
    w = weight.reshape((1, -1) + (1,) * (x.ndim - 2))
    return [(r * (g - mean(g) - xhat * mean(g * xhat))).reshape(x.shape) * w, *grads[1:]]


def _one_image(grads, dy, x, num_groups, weight=None, bias=None, eps=1e-5):
    return [*grads[:3], None if bias is None else dy[:1].sum(axis=(0, *range(2, x.ndim)))]


FAULTS = [
    Fault("group_norm", "the path through the mean missing", wrong_gradient(_without_mean)),
    Fault("group_norm", "the path through the variance missing", wrong_gradient(_without_var)),
    Fault(
        "group_norm",
        "the weight taken out of the sums, as if equal in a group",
        wrong_gradient(_weight_after_the_means),
    ),
    Fault("group_norm", "db of the first image alone", wrong_gradient(_one_image)),
]
