"""Cases of batch normalisation: while training, by running statistics, rectified, and each of its operations."""

from __future__ import annotations

import numpy as np

from ...ops import batch_norm
from ..case import Case, ErrorCase, Fault, away_from_zero, wrong_gradient


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


def naive_batch_norm(
    x,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
    residual=None,
    relu=False,
):
    """The value alone; the tests look at the running statistics."""
    mean, var = _naive_statistics(x) if training else (running_mean, running_var)
    y = _naive_by(mean, var, x, weight, bias, eps)
    return _naive_rectified(y, residual) if relu else y


def naive_batch_norm_relu_train(x, residual=None, weight=None, bias=None, eps=1e-5):
    """Each value by itself, with the statistics of its channel; then the residual, then the maximum."""
    y, mean, var = naive_batch_norm_train(x, weight, bias, eps)
    return _naive_rectified(y, residual), mean, var


def naive_batch_norm_relu_eval(x, residual, mean, var, weight=None, bias=None, eps=1e-5):
    """Each value by itself, with given statistics; then the residual, then the maximum."""
    return _naive_rectified(_naive_by(mean, var, x, weight, bias, eps), residual)


def _naive_rectified(y, residual):
    z = np.zeros(y.shape)
    for at in np.ndindex(*y.shape):
        z[at] = max(y[at] + (0.0 if residual is None else residual[at]), 0.0)
    return z


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


def _off_the_kink(draw, normalised, residual=False):
    """Inputs whose normalised values, with a residual if one is wanted, keep away from zero.

    A residual is chosen to that end; without one the inputs are drawn until they do.
    """

    def drawn(rng):
        while True:
            given = draw(rng)
            y = normalised(**given)
            if residual:
                return given | {"residual": away_from_zero(rng, y.shape) - y}
            if np.abs(y).min() > 0.05:
                return given

    return drawn


def _rectified(title, draw, settings, residual=False, wrt=None):
    """A case of batch_norm with relu=True."""
    normalised = lambda **given: naive_batch_norm(**given, **settings)
    inputs = _off_the_kink(draw, normalised, residual)
    return Case("batch_norm", title, inputs, {**settings, "relu": True}, naive_batch_norm, wrt)


def _rectified_train(title, draw, settings, residual=False):
    """A case of batch_norm_relu_train."""
    normalised = lambda **given: naive_batch_norm_train(**given, **settings)[0]
    inputs = _off_the_kink(draw, normalised, residual)
    return Case("batch_norm_relu_train", title, inputs, settings, naive_batch_norm_relu_train)


def _rectified_eval(title, draw, settings, residual=False):
    """A case of batch_norm_relu_eval."""
    normalised = lambda **given: naive_batch_norm_eval(**given, **settings)
    inputs = _off_the_kink(draw, normalised, residual)
    complete = lambda rng: {"residual": None} | inputs(rng)
    return Case("batch_norm_relu_eval", title, complete, settings, naive_batch_norm_relu_eval)


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
    _rectified("training, rectified", _without_running(_inputs((3, 2, 2, 3), "weight", "bias")), {"training": True}),
    _rectified(
        "training, three axes, a residual, neither weight nor bias",
        _without_running(_inputs((2, 3, 4))),
        {"training": True},
        residual=True,
    ),
    _rectified(
        "by running statistics, rectified",
        _inputs((2, 3, 2, 2), "running_mean", "running_var", "weight", "bias"),
        {"eps": 0.1},
        wrt=_WRT,
    ),
    _rectified(
        "by running statistics, a residual, channels last",
        _inputs((2, 3, 2, 4), "running_mean", "running_var", "weight", "bias", last=True),
        {},
        residual=True,
        wrt=(*_WRT, "residual"),
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
    _rectified_train(
        "a residual, channels last, with its statistics",
        _inputs((2, 3, 3, 2), "weight", "bias", last=True),
        {"eps": 1e-3},
        residual=True,
    ),
    _rectified_train("no residual, a large eps", _inputs((5, 3), "weight", "bias"), {"eps": 0.3}),
    _rectified_train("a residual, no weight", _inputs((4, 2, 3), "bias"), {}, residual=True),
    _rectified_train("no residual, no bias", _inputs((2, 2, 2, 3), "weight"), {}),
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
    _rectified_eval(
        "a residual, channels last, statistics differentiated as well",
        _inputs((2, 3, 2, 3), "mean", "var", "weight", "bias", last=True),
        {"eps": 1e-2},
        residual=True,
    ),
    _rectified_eval("no residual, no weight", _inputs((4, 3), "mean", "var", "bias"), {"eps": 0.1}),
    _rectified_eval("a residual, no bias", _inputs((2, 3, 4), "mean", "var", "weight"), {"eps": 0.1}, residual=True),
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
        lambda: batch_norm(_x, _three, _three, residual=_x),
        ValueError,
        "batch_norm: residual expects relu=True; it is False",
    ),
    ErrorCase(
        "batch_norm",
        lambda: batch_norm(_x, _three, _three, residual=np.zeros((2, 3, 1, 1)), relu=True),
        ValueError,
        "batch_norm: residual expects the shape of x (2, 3, 4, 4); it is (2, 3, 1, 1)",
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


# The faults of batch_norm_relu_train: a wrong path through the normalisation, or a wrong mask.


def _behind_the_mask(change):
    """A fault of batch_norm_train, made behind the right mask."""

    def changed(grads, dy, x, residual=None, weight=None, bias=None, eps=1e-5):
        dx, dresidual, dw, db = grads
        dx, dw, db = change([dx, dw, db], dy * _positive(x, residual, weight, bias, eps), x, weight, bias, eps)
        return [dx, dresidual, dw, db]

    return wrong_gradient(changed)


def _masked_by(mask):
    """The right gradients of dy * mask(...) in place of those of the masked dy."""

    def changed(grads, dy, x, residual=None, weight=None, bias=None, eps=1e-5):
        g = dy * mask(x, residual, weight, bias, eps)
        axes = (0, *range(2, x.ndim))
        xhat, r, wg, mean, _ = _parts(g, x, weight, bias, eps)
        return [r * (wg - mean(wg) - xhat * mean(wg * xhat)), g, (g * xhat).sum(axis=axes), g.sum(axis=axes)]

    return wrong_gradient(changed)


def _positive(x, residual, weight, bias, eps):
    """Where the value is not zero, as ones and zeros."""
    by_channel = (1, -1) + (1,) * (x.ndim - 2)
    y = _parts(x, x, None, None, eps)[0]
    y = y if weight is None else y * weight.reshape(by_channel)
    y = y if bias is None else y + bias.reshape(by_channel)
    return (y if residual is None else y + residual) > 0


def _masked_after(grads, dy, x, residual=None, weight=None, bias=None, eps=1e-5):
    xhat, r, g, mean, _ = _parts(dy, x, weight, bias, eps)
    return [r * (g - mean(g) - xhat * mean(g * xhat)) * _positive(x, residual, weight, bias, eps), *grads[1:]]


def _sums_of_dy(grads, dy, x, residual=None, weight=None, bias=None, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    return [*grads[:2], (dy * _parts(dy, x, weight, bias, eps)[0]).sum(axis=axes), dy.sum(axis=axes)]


def _residual_rectified_too_late(body):
    """The residual added to what is rectified already."""

    def wrong(x, residual=None, weight=None, bias=None, eps=1e-5):
        (y, mean, var), backward = body(x, None, weight, bias, eps)
        return (y if residual is None else y + residual, mean, var), backward

    return wrong


# The faults of batch_norm_relu_eval.


def _eval_masked_by(mask):
    """The right gradients of dy * mask(...) in place of those of the masked dy."""

    def changed(grads, dy, x, residual, mean, var, weight=None, bias=None, eps=1e-5):
        axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
        r = (var + eps) ** -0.5
        factor = r if weight is None else weight * r
        normalised = (x - mean.reshape(shape)) * r.reshape(shape)
        value = normalised if weight is None else normalised * weight.reshape(shape)
        value = value if bias is None else value + bias.reshape(shape)
        g = dy * mask(normalised, value, residual)
        dw, db = (g * normalised).sum(axis=axes), g.sum(axis=axes)
        return [g * factor.reshape(shape), g, -db * factor, dw * factor * r * -0.5, dw, db]

    return wrong_gradient(changed)


def _eval_residual_too_late(body):
    """The residual added to what is rectified already."""

    def wrong(x, residual, *others):
        y, backward = body(x, None, *others)
        return y if residual is None else y + residual, backward

    return wrong


_UNMASKED = _masked_by(lambda *operands: 1.0)
_BY_XHAT = _masked_by(lambda x, residual, weight, bias, eps: _positive(x, None, None, None, eps))
_BY_BRANCH = _masked_by(lambda x, residual, *others: _positive(x, None, *others))

FAULTS = [
    Fault("batch_norm_train", "the path through the mean missing", wrong_gradient(_without_mean)),
    Fault("batch_norm_train", "the path through the variance missing", wrong_gradient(_without_var)),
    Fault("batch_norm_train", "mean and variance taken for constants", wrong_gradient(_statistics_constant)),
    Fault("batch_norm_train", "1/m missing before the sums", wrong_gradient(_sums_not_means)),
    Fault("batch_norm_train", "the unbiased variance's 1/(m - 1) in dvar", wrong_gradient(_unbiased)),
    Fault("batch_norm_train", "dx without the weight", wrong_gradient(_without_weight)),
    Fault("batch_norm_train", "dw with x in place of xhat", wrong_gradient(_weight_by_x)),
    Fault("batch_norm_train", "normalised by the unbiased variance", _unbiased_forward),
    Fault("batch_norm_relu_train", "the path through the mean missing", _behind_the_mask(_without_mean)),
    Fault("batch_norm_relu_train", "the path through the variance missing", _behind_the_mask(_without_var)),
    Fault("batch_norm_relu_train", "mean and variance taken for constants", _behind_the_mask(_statistics_constant)),
    Fault("batch_norm_relu_train", "1/m missing before the sums", _behind_the_mask(_sums_not_means)),
    Fault("batch_norm_relu_train", "dx without the weight", _behind_the_mask(_without_weight)),
    Fault("batch_norm_relu_train", "dw with x in place of xhat", _behind_the_mask(_weight_by_x)),
    Fault("batch_norm_relu_train", "not masked", _UNMASKED),
    Fault("batch_norm_relu_train", "masked by xhat, not by the value", _BY_XHAT),
    Fault("batch_norm_relu_train", "masked by the branch, not by the sum", _BY_BRANCH),
    Fault("batch_norm_relu_train", "dx masked after the normalisation's backward", wrong_gradient(_masked_after)),
    Fault("batch_norm_relu_train", "dw and db of dy before the mask", wrong_gradient(_sums_of_dy)),
    Fault(
        "batch_norm_relu_train",
        "the shortcut not masked",
        wrong_gradient(lambda grads, dy, *operands, **settings: [grads[0], dy, *grads[2:]]),
    ),
    Fault(
        "batch_norm_relu_train",
        "no gradient to the shortcut",
        wrong_gradient(lambda grads, dy, *operands, **settings: [grads[0], None, *grads[2:]]),
    ),
    Fault("batch_norm_relu_train", "the residual added after the maximum", _residual_rectified_too_late),
    Fault("batch_norm_eval", "eps added to the standard deviation", wrong_gradient(_as_if_eps_were_outside)),
    Fault("batch_norm_relu_eval", "not masked", _eval_masked_by(lambda *values: 1.0)),
    Fault("batch_norm_relu_eval", "masked by xhat, not by the value", _eval_masked_by(lambda xhat, *_: xhat > 0)),
    Fault(
        "batch_norm_relu_eval",
        "masked by the branch, not by the sum",
        _eval_masked_by(lambda xhat, value, residual: value > 0),
    ),
    Fault(
        "batch_norm_relu_eval",
        "the shortcut not masked",
        wrong_gradient(lambda grads, dy, *operands, **settings: [grads[0], dy, *grads[2:]]),
    ),
    Fault("batch_norm_relu_eval", "the residual added after the maximum", _eval_residual_too_late),
]
