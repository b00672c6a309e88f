"""Cases of the losses."""

from __future__ import annotations

import math

import numpy as np

from ...ops import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_kl,
    gaussian_nll_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    sigmoid,
    smooth_l1_loss,
    softmax,
)
from ..case import Case, ErrorCase, Fault, away_from_zero, wrong_gradient

# ---- references: one sample after the other


def _reduced(each, reduction, count=None):
    if reduction == "none":
        return each
    return each.sum() / (1 if reduction == "sum" else each.size if count is None else count)


def _log_probabilities(row):
    total = math.fsum(math.exp(v) for v in row)
    return [math.log(math.exp(v) / total) for v in row]


def _naive_cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    if x.ndim == 1:
        y = _naive_cross_entropy(x[None], np.asarray(target)[None], weight, ignore_index, reduction, label_smoothing)
        return y[0] if reduction == "none" else y
    classes = x.shape[1]
    weight = np.ones(classes) if weight is None else weight
    rows, count = np.moveaxis(x, 1, -1), 0.0
    each = np.zeros(rows.shape[:-1])
    by_index = target.dtype.kind in "iu"
    for at in np.ndindex(*each.shape):
        if by_index and target[at] == ignore_index:
            continue
        wanted = np.eye(classes)[target[at]] if by_index else np.moveaxis(target, 1, -1)[at]
        count += weight[target[at]] if by_index else 1.0
        for c, log_p in enumerate(_log_probabilities(rows[at])):
            each[at] -= weight[c] * ((1 - label_smoothing) * wanted[c] + label_smoothing / classes) * log_p
    return _reduced(each, reduction, count)


def _naive_softmax_cross_entropy(x, target):
    return _naive_cross_entropy(x, target, reduction="none")


def _naive_nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    if x.ndim == 1:
        return _naive_nll_loss(x[None], np.asarray(target)[None], weight, ignore_index, reduction)
    each, count = np.zeros(target.shape), 0.0
    for at in np.ndindex(*target.shape):
        if target[at] != ignore_index:
            w = 1.0 if weight is None else weight[target[at]]
            each[at], count = -w * x[(at[0], target[at], *at[1:])], count + w
    return _reduced(each, reduction, count)


def _elementwise(function):
    def reference(x, target, reduction="mean", **settings):
        each = np.zeros(x.shape)
        for at in np.ndindex(*x.shape):
            each[at] = function(float(x[at]), float(target[at]), **settings)
        return _reduced(each, reduction)

    return reference


def _huber(x, t, beta=1.0):
    d = abs(x - t)
    return d * d / (2 * beta) if d < beta else d - beta / 2


def _naive_bce(x, target, weight=None, reduction="mean", pos_weight=None):
    weight = np.broadcast_to(1.0 if weight is None else weight, x.shape)
    pos_weight = np.broadcast_to(1.0 if pos_weight is None else pos_weight, x.shape)
    each = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        s, t = 1 / (1 + math.exp(-x[at])), target[at]
        each[at] = -weight[at] * (pos_weight[at] * t * math.log(s) + (1 - t) * math.log(1 - s))
    return _reduced(each, reduction)


def _naive_gaussian_nll(x, target, var, full=False, eps=1e-6, reduction="mean"):
    var = np.broadcast_to(var if var.ndim == x.ndim else var[..., None], x.shape)
    each = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        v = max(var[at], eps)
        density = math.exp(-((x[at] - target[at]) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
        each[at] = -math.log(density) - (0 if full else 0.5 * math.log(2 * math.pi))
    return _reduced(each, reduction)


def _naive_gaussian_kl(mean, log_variance, reduction="mean"):
    each = np.zeros(mean.shape[0])
    for at in np.ndindex(*mean.shape):
        each[at[0]] -= 0.5 * (1 + log_variance[at] - mean[at] ** 2 - math.exp(log_variance[at]))
    return _reduced(each, reduction)


# ---- inputs


def _classes(shape, ignored=None, weighted=False):
    def draw(rng):
        target = rng.integers(0, shape[1], shape[:1] + shape[2:])
        if ignored is not None:
            target.reshape(-1)[::3] = ignored
        given = {"x": 1.5 * rng.standard_normal(shape), "target": target}
        return given | ({"weight": rng.uniform(0.3, 2.0, shape[1])} if weighted else {})

    return draw


def _probabilities(shape, weighted=False):
    def draw(rng):
        target = rng.uniform(0.1, 1.0, shape)
        given = {"x": rng.standard_normal(shape), "target": target / target.sum(1, keepdims=True)}
        return given | ({"weight": rng.uniform(0.3, 2.0, shape[1])} if weighted else {})

    return draw


def _two(shape):
    """x and target whose differences keep away from zero."""

    def draw(rng):
        x = rng.standard_normal(shape)
        return {"x": x, "target": x + away_from_zero(rng, shape)}

    return draw


def _differences_around(beta):
    def draw(rng):
        x = rng.standard_normal((3, 6))
        sizes = beta * rng.permutation([0.2, 0.5, 0.8, 1.2, 2.0, 3.0])
        return {"x": x, "target": x + sizes * rng.choice([-1.0, 1.0], (3, 6))}

    return draw


def _binary(shape, weight=None, pos_weight=None):
    def draw(rng):
        given = {"x": 1.5 * rng.standard_normal(shape), "target": rng.uniform(0, 1, shape)}
        given |= {"weight": rng.uniform(0.3, 2.0, weight)} if weight else {}
        return given | ({"pos_weight": rng.uniform(0.3, 2.0, pos_weight)} if pos_weight else {})

    return draw


def _normal(shape, var):
    def draw(rng):
        return {
            "x": rng.standard_normal(shape),
            "target": rng.standard_normal(shape),
            "var": rng.uniform(0.3, 2.0, var),
        }

    return draw


def _latent(shape):
    return lambda rng: {"mean": rng.standard_normal(shape), "log_variance": rng.standard_normal(shape)}


def _partly_equal(rng):
    """Every fourth prediction is its target."""
    x, target = _two((3, 5))(rng).values()
    return {"x": x, "target": np.where(np.arange(15).reshape(3, 5) % 4 == 0, x, target)}


CASES = [
    Case("cross_entropy", "class indices", _classes((5, 4)), {}, _naive_cross_entropy),
    Case(
        "cross_entropy",
        "class indices, weights, some ignored, smoothed",
        _classes((5, 4), ignored=-100, weighted=True),
        {"label_smoothing": 0.2},
        _naive_cross_entropy,
        wrt=("x",),
    ),
    Case(
        "cross_entropy",
        "class indices of pixels, class 1 ignored, none",
        _classes((2, 3, 3, 2)),
        {"ignore_index": 1, "reduction": "none"},
        _naive_cross_entropy,
    ),
    Case(
        "cross_entropy",
        "one sample, smoothed",
        lambda rng: {"x": rng.standard_normal(5), "target": np.array(3)},
        {"label_smoothing": 0.1},
        _naive_cross_entropy,
    ),
    Case("cross_entropy", "probabilities", _probabilities((3, 5)), {}, _naive_cross_entropy),
    Case(
        "cross_entropy",
        "probabilities of pixels, weights, smoothed, sum",
        _probabilities((2, 4, 3), weighted=True),
        {"label_smoothing": 0.3, "reduction": "sum"},
        _naive_cross_entropy,
        wrt=("x", "target"),
    ),
    Case(
        "softmax_cross_entropy",
        "weights that do not add up to one",
        lambda rng: {"x": rng.standard_normal((3, 4, 2)), "target": rng.uniform(0.1, 1.0, (3, 4, 2))},
        {},
        _naive_softmax_cross_entropy,
    ),
    Case("nll_loss", "class indices", _classes((5, 4)), {}, _naive_nll_loss),
    Case(
        "nll_loss",
        "pixels, weights, some ignored",
        _classes((2, 3, 3, 2), ignored=-1, weighted=True),
        {"ignore_index": -1},
        _naive_nll_loss,
        wrt=("x",),
    ),
    Case("nll_loss", "none", _classes((3, 4, 2), ignored=2), {"ignore_index": 2, "reduction": "none"}, _naive_nll_loss),
    Case("mse_loss", "mean", _two((3, 5)), {}, _elementwise(lambda x, t: (x - t) ** 2)),
    Case("mse_loss", "none", _two((2, 3, 2)), {"reduction": "none"}, _elementwise(lambda x, t: (x - t) ** 2)),
    Case("mse_loss", "sum", _two((7,)), {"reduction": "sum"}, _elementwise(lambda x, t: (x - t) ** 2)),
    Case("l1_loss", "mean", _two((3, 5)), {}, _elementwise(lambda x, t: abs(x - t))),
    Case("l1_loss", "none", _two((2, 3, 2)), {"reduction": "none"}, _elementwise(lambda x, t: abs(x - t))),
    Case("l1_loss", "also at the target", _partly_equal, {}, _elementwise(lambda x, t: abs(x - t)), second_order=False),
    Case("smooth_l1_loss", "both pieces", _differences_around(1.0), {}, _elementwise(_huber)),
    Case(
        "smooth_l1_loss",
        "beta 0.5, sum",
        _differences_around(0.5),
        {"beta": 0.5, "reduction": "sum"},
        _elementwise(_huber),
    ),
    Case("binary_cross_entropy_with_logits", "mean", _binary((3, 5)), {}, _naive_bce),
    Case(
        "binary_cross_entropy_with_logits",
        "weights of samples and of the positive, broadcast; none",
        _binary((4, 3), (4, 1), (3,)),
        {"reduction": "none"},
        _naive_bce,
        wrt=("x", "target"),
    ),
    Case("gaussian_nll_loss", "a variance each", _normal((3, 4), (3, 4)), {}, _naive_gaussian_nll),
    Case(
        "gaussian_nll_loss",
        "one variance a row, full, sum",
        _normal((3, 2, 4), (3, 2, 1)),
        {"full": True, "reduction": "sum"},
        _naive_gaussian_nll,
    ),
    Case(
        "gaussian_nll_loss",
        "one variance a row, without its axis; a part below eps",
        lambda rng: _normal((5, 3), (5,))(rng) | {"var": rng.permutation([0.1, 0.3, 0.7, 1.0, 1.5])},
        {"eps": 0.5, "reduction": "none"},
        _naive_gaussian_nll,
    ),
    Case("gaussian_kl", "mean", _latent((5, 3)), {}, _naive_gaussian_kl),
    Case("gaussian_kl", "none, two latent axes", _latent((3, 2, 4)), {"reduction": "none"}, _naive_gaussian_kl),
    Case("gaussian_kl", "sum", _latent((3, 4)), {"reduction": "sum"}, _naive_gaussian_kl),
]

_x, _t = np.zeros((4, 3)), np.zeros(4, int)

ERRORS = [
    ErrorCase(
        "cross_entropy",
        lambda: cross_entropy(_x, np.array([0, 1, 3, 2])),
        IndexError,
        "cross_entropy: target expects classes 0 .. 2; it has 3",
    ),
    ErrorCase(
        "cross_entropy",
        lambda: cross_entropy(_x, np.zeros((4, 1), int)),
        ValueError,
        "cross_entropy: target expects shape (4,) for x (4, 3); it is (4, 1)",
    ),
    ErrorCase(
        "cross_entropy",
        lambda: cross_entropy(_x, np.zeros(4)),
        ValueError,
        "cross_entropy: target expects (4,) class indices or (4, 3) probabilities; it is float64 of shape (4,)",
    ),
    ErrorCase(
        "cross_entropy",
        lambda: cross_entropy(_x, _t, np.ones(4)),
        ValueError,
        "cross_entropy: weight expects shape (3,), one for each class; it is (4,)",
    ),
    ErrorCase(
        "cross_entropy",
        lambda: cross_entropy(_x, _t, ignore_index=0),
        ValueError,
        "cross_entropy: target expects at least one element to take the mean over; there is none",
    ),
    ErrorCase(
        "cross_entropy",
        lambda: cross_entropy(_x, _t, label_smoothing=1.5),
        ValueError,
        "cross_entropy: label_smoothing expects a number in [0, 1]; it is 1.5",
    ),
    ErrorCase(
        "nll_loss",
        lambda: nll_loss(_x, _x),
        ValueError,
        "nll_loss: target expects class indices; it is of type float64",
    ),
    ErrorCase(
        "nll_loss",
        lambda: nll_loss(np.array(1.0), _t),
        ValueError,
        "nll_loss: x expects shape (N, C), (N, C, d1, ...) or (C,), C > 0; it is ()",
    ),
    ErrorCase(
        "mse_loss",
        lambda: mse_loss(np.zeros((4, 1)), np.zeros(4)),
        ValueError,
        "mse_loss: target expects the shape of x (4, 1); it is (4,)",
    ),
    ErrorCase(
        "l1_loss",
        lambda: l1_loss(_x, _x, "average"),
        ValueError,
        "l1_loss: reduction expects 'mean', 'sum' or 'none'; it is 'average'",
    ),
    ErrorCase(
        "smooth_l1_loss",
        lambda: smooth_l1_loss(_x, _x, beta=0.0),
        ValueError,
        "smooth_l1_loss: beta expects a number > 0; it is 0.0",
    ),
    ErrorCase(
        "binary_cross_entropy_with_logits",
        lambda: binary_cross_entropy_with_logits(_x, _x, pos_weight=np.ones(4)),
        ValueError,
        "binary_cross_entropy_with_logits: pos_weight expects a shape that broadcasts to x (4, 3); it is (4,)",
    ),
    ErrorCase(
        "gaussian_nll_loss",
        lambda: gaussian_nll_loss(_x, _x, np.ones(3)),
        ValueError,
        "gaussian_nll_loss: var expects shape (4, 3), (4, 1) or (4,); it is (3,)",
    ),
    ErrorCase(
        "gaussian_nll_loss",
        lambda: gaussian_nll_loss(_x, _x, np.full((4, 3), -0.5)),
        ValueError,
        "gaussian_nll_loss: var expects no negative variance; its smallest is -0.5",
    ),
    ErrorCase(
        "gaussian_kl",
        lambda: gaussian_kl(_x, np.zeros((4, 2))),
        ValueError,
        "gaussian_kl: mean and log_variance expect one shape (N, ...); they are (4, 3) and (4, 2)",
    ),
]


# ---- faults


def _added_up(grads, dy, x, target, reduction="mean", *settings):
    """The factor 1/n of the mean forgotten."""
    return [g * (x.size if reduction == "mean" else 1) for g in grads]


def _softmax_alone(grads, dy, x, target):
    return [softmax(x, 1) * dy.reshape((dy.shape[0], 1, *dy.shape[1:])), *grads[1:]]


def _weights_forgotten_in_softmax(grads, dy, x, target):
    return [(softmax(x, 1) - target) * dy.reshape((dy.shape[0], 1, *dy.shape[1:])), *grads[1:]]


def _mean_over_the_classes(grads, dy, x, target):
    return [grads[0] * (1 / x.shape[1]), *grads[1:]]


def _sigmoid_minus_target(grads, dy, x, target, weight=None, reduction="mean", pos_weight=None):
    dy = dy * (1 / x.size) if reduction == "mean" else dy
    return [(sigmoid(x) - target) * dy * (1.0 if weight is None else weight), *grads[1:]]


def _variance_held_constant(grads, dy, *operands):
    return [*grads[:2], None]


def _kl_of_standard_deviation(grads, dy, mean, log_variance, reduction="mean"):
    return [grads[0], grads[1] * 2]


def _kl_summed(grads, dy, mean, log_variance, reduction="mean"):
    return [g * (mean.shape[0] if reduction == "mean" else 1) for g in grads]


FAULTS = [
    Fault("softmax_cross_entropy", "softmax without - q", wrong_gradient(_softmax_alone)),
    Fault("softmax_cross_entropy", "softmax not times the sum of q", wrong_gradient(_weights_forgotten_in_softmax)),
    Fault("softmax_cross_entropy", "the mean taken over the classes", wrong_gradient(_mean_over_the_classes)),
    Fault("mse_loss", "1 / n missing", wrong_gradient(_added_up)),
    Fault("mse_loss", "2 missing", wrong_gradient(lambda grads, dy, *operands: [g * 0.5 for g in grads])),
    Fault("mse_loss", "no sign at the target", wrong_gradient(lambda grads, dy, *operands: [grads[0], grads[0]])),
    Fault("l1_loss", "1 / n missing", wrong_gradient(_added_up)),
    Fault("l1_loss", "no sign at the target", wrong_gradient(lambda grads, dy, *operands: [grads[0], grads[0]])),
    Fault("smooth_l1_loss", "1 / n missing", wrong_gradient(_added_up)),
    Fault("binary_cross_entropy_with_logits", "s - t whatever pos_weight", wrong_gradient(_sigmoid_minus_target)),
    Fault(
        "binary_cross_entropy_with_logits",
        "no gradient to the target",
        wrong_gradient(lambda grads, dy, *operands: [grads[0], None]),
    ),
    Fault("gaussian_nll_loss", "no gradient to the variance", wrong_gradient(_variance_held_constant)),
    Fault("gaussian_kl", "the variance taken for the deviation", wrong_gradient(_kl_of_standard_deviation)),
    Fault("gaussian_kl", "1 / N missing", wrong_gradient(_kl_summed)),
]
