r"""Losses. `reduction` is "mean" (over all elements, or as said), "sum", or "none" (one value for each).

Except where said, `target` has the shape of `x`: a loss does not broadcast, since (N, 1) against (N,) is a mistake.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._capturing import is_capturing
from .._device import is_array
from .._namespace import raw, unbroadcast, xp_of
from .._op import op
from .._tensor import Tensor
from ._softmax import log_softmax
from .activation import log_sigmoid, sigmoid
from .shape import take_along_axis


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    r"""Cross-entropy of softmax(x) against class indices or probabilities.

    Forward:   L_n = -\sum_c q_nc ln p_nc with p = softmax(x) over the classes. For a class index t_n,
               q_nc = w_c ((1 - s) [c = t_n] + s / C), and 0 where t_n = ignore_index; for probabilities r,
               q_nc = w_c ((1 - s) r_nc + s / C). w is `weight` (1 where None), s `label_smoothing`.
               "mean" divides \sum_n L_n by the sum of w_(t_n) over what is not ignored, for probabilities by N d1 ...
    Backward:  dx_nc = (p_nc \sum_k q_nk - q_nc) dy_n: softmax - one-hot where w = 1 and s = 0
    Shapes:    x (N, C), (N, C, d1, ...) or (C,); target without the axis C (integers) or as x (probabilities);
               weight (C,); y () or, for "none", as x without the axis C
    Raises:    ValueError where shapes or settings do not fit, or a mean is over nothing;
               IndexError for an index that is no class
    Source:    Bridle 1990; weights and smoothing: Szegedy et al. 2015, arXiv 1512.00567, section 7
    Lesson:    lessons/00_backprop.py
    """
    name = "cross_entropy"
    _check_reduction(name, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"{name}: label_smoothing expects a number in [0, 1]; it is {label_smoothing}")
    x, target, single = _with_batch_axis(name, x, target)
    weight = _class_weight(name, x, weight)
    if target.dtype.kind in "iu":
        q, count = _weights_of_indices(name, x, target, weight, ignore_index, label_smoothing)
    else:
        q, count = _weights_of_probabilities(name, x, target, weight, label_smoothing)
    return _reduce(name, softmax_cross_entropy(x, q), reduction, count, single)


@op
def softmax_cross_entropy(x, target):
    r"""Cross-entropy of softmax(x) against weights on the classes, for each sample: what `cross_entropy` records.

    Forward:   y_n = -\sum_c q_nc ln p_nc with p = softmax(x) over axis 1 and q = `target`; 0 ln 0 = 0
    Backward:  dx_nc = (p_nc \sum_k q_nk - q_nc) dy_n, since d ln p_nk / dx_nc = [k = c] - p_nc; dq_nc = -ln(p_nc) dy_n
    Shapes:    x and target (N, C, d1, ...), y (N, d1, ...)
    Source:    Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs"
    Lesson:    lessons/00_backprop.py
    Kernel:    kernels/cpu/softmax.py, kernels/cuda/softmax.cu
    """
    log_p = log_softmax(x, axis=1)

    def expected(log_p, q):
        xp = xp_of(log_p)
        return -xp.sum(q * xp.where(q != 0, log_p, 0), axis=1)

    def backward(dy):
        xp = xp_of(dy)
        dy = xp.expand_dims(dy, 1)
        return (
            lambda: (xp.exp(log_p) * xp_of(target).sum(target, axis=1, keepdims=True) - target) * dy,
            lambda: -dy * log_p,
        )

    return raw(expected, log_p, target), backward


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    r"""Negative log-likelihood of class indices under log-probabilities.

    Forward:   L_n = -w_(t_n) x_(n, t_n), 0 where t_n = ignore_index; "mean" divides \sum_n L_n by the sum of w_(t_n)
               over what is not ignored; w is `weight` (1 where None)
    Backward:  dx_nc = -w_c [c = t_n] dy_n
    Shapes:    x (N, C), (N, C, d1, ...) or (C,); target (integers) and, for "none", y without the axis C; weight (C,)
    Raises:    ValueError where shapes do not fit, or a mean is over nothing; IndexError for a class that is none
    """
    name = "nll_loss"
    _check_reduction(name, reduction)
    x, target, single = _with_batch_axis(name, x, target)
    if target.dtype.kind not in "iu":
        raise ValueError(f"{name}: target expects class indices; it is of type {target.dtype}")
    classes, kept, weights, count = _class_indices(name, x, target, _class_weight(name, x, weight), ignore_index)
    picked = take_along_axis(x, classes, axis=1)
    # Where nothing is kept the value is replaced, not multiplied by 0: it may be -inf.
    picked = xp_of(picked).where(kept, picked, 0.0) if is_capturing() or not kept.all() else picked
    return _reduce(name, (picked * -weights).reshape(x.shape[:1] + x.shape[2:]), reduction, count, single)


@op
def mse_loss(x, target, reduction="mean"):
    r"""Squared error.

    Forward:   L = 1/n \sum_i (x_i - t_i)^2 over all n elements; "sum" without 1/n
    Backward:  dx_i = 2 (x_i - t_i) dy / n, dt_i = -dx_i; "sum" and "none" without 1/n
    Shapes:    x and target alike; y () or, for "none", as x
    Raises:    ValueError where the shapes differ or the reduction is unknown
    Lesson:    lessons/06_vae.py
    """
    target = _checked_target("mse_loss", x, target, reduction)
    difference = x - target

    def backward(dy):
        gradient = difference * (_undo_mean(dy, x, reduction) * 2)
        return gradient, lambda: -gradient

    return raw(lambda d: _reduced(d * d, reduction), difference), backward


@op
def l1_loss(x, target, reduction="mean"):
    r"""Absolute error.

    Forward:   L = 1/n \sum_i |x_i - t_i| over all n elements; "sum" without 1/n
    Backward:  dx_i = sign(x_i - t_i) dy / n, 0 at the kink, dt_i = -dx_i; "sum" and "none" without 1/n
    Shapes:    x and target alike; y () or, for "none", as x
    Raises:    ValueError where the shapes differ or the reduction is unknown
    """
    target = _checked_target("l1_loss", x, target, reduction)
    difference = raw(lambda a, b: a - b, x, target)
    sign = xp_of(difference).sign(difference)

    def backward(dy):
        gradient = _undo_mean(dy, x, reduction) * sign
        return gradient, lambda: -gradient

    return _reduced(abs(difference), reduction), backward


@op
def smooth_l1_loss(x, target, reduction="mean", beta=1.0):
    r"""Squared error near zero, absolute error beyond.

    Forward:   L = 1/n \sum_i h(d_i) with d = x - t, h(d) = d^2 / (2 b) where |d| < b, else |d| - b / 2; b = `beta`
    Backward:  dx_i = min(max(d_i / b, -1), 1) dy / n, dt_i = -dx_i; "sum" and "none" without 1/n
    Shapes:    x and target alike; y () or, for "none", as x
    Raises:    ValueError where the shapes differ, the reduction is unknown, or unless beta > 0
    Source:    Huber 1964, "Robust estimation of a location parameter"; Girshick 2015, arXiv 1504.08083, equation 3
    """
    target = _checked_target("smooth_l1_loss", x, target, reduction)
    if not beta > 0:
        raise ValueError(f"smooth_l1_loss: beta expects a number > 0; it is {beta}")
    difference = x - target

    def value(d):
        size = abs(d)
        return _reduced(xp_of(d).where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta), reduction)

    def backward(dy):
        slope = xp_of(difference).clip(difference * (1 / beta), -1.0, 1.0)
        gradient = slope * _undo_mean(dy, x, reduction)
        return gradient, lambda: -gradient

    return raw(value, difference), backward


@op
def binary_cross_entropy_with_logits(x, target, weight=None, reduction="mean", pos_weight=None):
    r"""Cross-entropy of sigmoid(x) against probabilities t of "yes".

    Forward:   L_i = -w_i (v t_i ln s_i + (1 - t_i) ln(1 - s_i)) with s = sigmoid(x), w = `weight`, v = `pos_weight` (1
               where None); computed as w ((1 - t) x - (1 - t + v t) ln s), in which nothing overflows;
               "mean" divides by the number n of elements
    Backward:  dx_i = w_i ((1 - t_i) s_i - v t_i (1 - s_i)) dy / n: s - t where w = v = 1;
               dt_i = -w_i (x_i + (v - 1) ln s_i) dy / n; "sum" and "none" without 1/n
    Shapes:    x and target alike; weight and pos_weight broadcast to x; y () or, for "none", as x
    Raises:    ValueError where shapes do not fit or the reduction is unknown
    Lesson:    lessons/06_vae.py, lessons/07_gan.py
    Kernel:    kernels/cpu/loss.py, kernels/cuda/loss.cu
    """
    name = "binary_cross_entropy_with_logits"
    target = _checked_target(name, x, target, reduction)
    weight, pos_weight = _factor(name, "weight", x, weight), _factor(name, "pos_weight", x, pos_weight)

    def value(x, t):
        return _reduced(weight * ((1 - t) * x - (1 - t + pos_weight * t) * log_sigmoid(x)), reduction)

    def backward(dy):
        dy = _undo_mean(dy, x, reduction) * weight
        return (
            lambda: dy * ((1 - target) * sigmoid(x) - target * pos_weight * sigmoid(-x)),
            lambda: -dy * (x + log_sigmoid(x) * (pos_weight - 1)),
        )

    return raw(value, x, target), backward


@op
def gaussian_nll_loss(x, target, var, full=False, eps=1e-6, reduction="mean"):
    r"""Negative log-likelihood of targets under normal distributions of mean x and variance `var`.

    Forward:   L_i = 1/2 (ln v_i + (x_i - t_i)^2 / v_i), plus 1/2 ln(2 pi) if `full`, with v = max(var, eps);
               "mean" divides by all n elements
    Backward:  with d = x - t: dx_i = d_i / v_i dy / n, dt_i = -dx_i, dvar_i = 1/2 (1 / v_i - d_i^2 / v_i^2) dy / n,
               0 where var < eps, summed over the axis of its broadcast; "sum" and "none" without 1/n
    Shapes:    x and target alike; var as x, or with a last axis of one element, or without the last axis; y () or as x
    Units:     eps in the units of var
    Raises:    ValueError where shapes do not fit, the reduction is unknown, eps is not > 0, or a variance is negative
    Source:    Nix and Weigend 1994, "Estimating the mean and variance of the target probability distribution"
    """
    name = "gaussian_nll_loss"
    target = _checked_target(name, x, target, reduction)
    if not eps > 0:
        raise ValueError(f"{name}: eps expects a number > 0; it is {eps}")
    given, fits = var.shape, (x.shape, x.shape[:-1] + (1,), x.shape[:-1])
    if given not in fits:
        raise ValueError(f"{name}: var expects shape {fits[0]}, {fits[1]} or {fits[2]}; it is {given}")
    if not is_capturing() and raw(lambda v: bool((v < 0).any()), var):
        raise ValueError(
            f"{name}: var expects no negative variance; its smallest is {float(raw(lambda v: v.min(), var)):g}"
        )
    difference = x - target
    variance = xp_of(var).maximum(var if given == fits[0] else var.reshape(fits[1]), eps)
    above = raw(lambda v: v >= eps, var)
    constant = 0.5 * math.log(2 * math.pi) if full else 0.0

    def value(d, v):
        return _reduced(0.5 * (xp_of(v).log(v) + d * d / v) + constant, reduction)

    def backward(dy):
        dy = _undo_mean(dy, x, reduction)
        scaled = difference / variance

        def dvar():
            gradient = (1 / variance - scaled * scaled) * dy * 0.5
            return xp_of(gradient).where(above, unbroadcast(gradient, variance).reshape(given), 0.0)

        return lambda: scaled * dy, lambda: -scaled * dy, dvar

    return raw(value, difference, variance), backward


@op
def gaussian_kl(mean, log_variance, reduction="mean"):
    r"""Kullback-Leibler divergence of a diagonal normal distribution from the standard one, for each sample.

    Forward:   L_n = 1/2 \sum_j (m_nj^2 + e^(l_nj) - 1 - l_nj) over all axes but the first, l = `log_variance`;
               "mean" is the mean over n, "sum" the sum over n, "none" one value for each n
    Backward:  dm_nj = m_nj dy_n, dl_nj = 1/2 (e^(l_nj) - 1) dy_n; "mean" with 1/N
    Shapes:    mean and log_variance (N, d1, ...) alike; y () or, for "none", (N,)
    Units:     nats
    Raises:    ValueError where the shapes differ, have fewer than two axes, or the reduction is unknown
    Source:    Kingma and Welling 2013, arXiv 1312.6114, appendix B
    Lesson:    lessons/06_vae.py
    """
    name = "gaussian_kl"
    _check_reduction(name, reduction)
    if mean.shape != log_variance.shape or mean.ndim < 2:
        raise ValueError(
            f"{name}: mean and log_variance expect one shape (N, ...); they are {mean.shape} and {log_variance.shape}"
        )
    _check_count(name, "mean", mean.shape[0], reduction)
    latent = tuple(range(1, mean.ndim))

    def value(mean, log_variance):
        xp = xp_of(mean)
        each = 0.5 * xp.sum(mean * mean + (xp.expm1(log_variance) - log_variance), axis=latent)
        return _reduced(each, reduction)

    def backward(dy):
        if reduction == "mean":
            dy = dy * (1 / mean.shape[0])
        elif reduction == "none":
            dy = xp_of(dy).reshape(dy, (-1,) + (1,) * len(latent))
        return lambda: mean * dy, lambda: xp_of(log_variance).expm1(log_variance) * (dy * 0.5)

    return raw(value, mean, log_variance), backward


# ---- what losses share


def _check_reduction(name: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction expects 'mean', 'sum' or 'none'; it is {reduction!r}")


def _check_count(name: str, argument: str, count: Any, reduction: str) -> None:
    if reduction == "mean" and not (is_array(count) or count > 0):  # an array is on a device, and not read
        raise ValueError(f"{name}: {argument} expects at least one element to take the mean over; there is none")


def _checked_target(name: str, x: Any, target: Any, reduction: str) -> Any:
    """The target in the dtype of x, after a check of its shape."""
    _check_reduction(name, reduction)
    target = target if hasattr(target, "dtype") else np.asarray(target, x.dtype)
    if target.shape != x.shape:
        raise ValueError(f"{name}: target expects the shape of x {x.shape}; it is {target.shape}")
    _check_count(name, "x", x.size, reduction)
    return target if target.dtype.kind == "f" else target.astype(x.dtype)


def _factor(name: str, argument: str, x: Any, factor: Any) -> Any:
    """A constant factor, after a check that it broadcasts to x; 1 where there is none."""
    if factor is None:
        return 1.0
    factor = _constant(name, argument, x, factor)
    try:
        fits = np.broadcast_shapes(factor.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: {argument} expects a shape that broadcasts to x {x.shape}; it is {factor.shape}")
    return factor


def _constant(name: str, argument: str, x: Any, value: Any) -> Any:
    """Numbers that are not differentiated, as an array of the dtype of x."""
    if isinstance(value, Tensor) and value.requires_grad:
        raise ValueError(
            f"{name}: {argument} expects constants; it requires a gradient, and would get none (detach it)"
        )
    value = raw(lambda v: v, value)
    return (value if is_array(value) else raw(lambda v: xp_of(v).asarray(value), x)).astype(x.dtype, copy=False)


def _reduced(each: Any, reduction: str) -> Any:
    return each.mean() if reduction == "mean" else each.sum() if reduction == "sum" else each


def _undo_mean(dy: Any, x: Any, reduction: str) -> Any:
    return dy * (1 / x.size) if reduction == "mean" else dy


def _reduce(name: str, each: Any, reduction: str, count: Any, single: bool) -> Any:
    """The reduction of a loss whose mean is a weighted one: `count` is the sum of the weights."""
    if reduction == "none":
        return each.reshape(each.shape[1:]) if single else each
    _check_count(name, "target", count, reduction)
    total = xp_of(each).sum(each)
    return total if reduction == "sum" else total * (1 / count)


# ---- class indices


def _with_batch_axis(name: str, x: Any, target: Any) -> tuple[Any, Any, bool]:
    """x and target of a single sample get a batch of one."""
    if x.ndim == 0 or x.shape[0 if x.ndim == 1 else 1] == 0:
        raise ValueError(f"{name}: x expects shape (N, C), (N, C, d1, ...) or (C,), C > 0; it is {x.shape}")
    if not isinstance(target, Tensor) and not is_array(target):
        target = raw(lambda v: xp_of(v).asarray(target), x)
    single = x.ndim == 1
    if single:
        x, target = x.reshape((1, *x.shape)), target.reshape((1, *target.shape))
    return x, target, single


def _class_weight(name: str, x: Any, weight: Any) -> Any:
    """The classes' weights as an array that broadcasts along axis 1 of x; a constant."""
    if weight is None:
        return None
    weight = _constant(name, "weight", x, weight)
    if weight.shape != x.shape[1:2]:
        raise ValueError(f"{name}: weight expects shape {x.shape[1:2]}, one for each class; it is {weight.shape}")
    return weight.reshape((-1,) + (1,) * (x.ndim - 2))


def _class_indices(name: str, x: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, Any, Any]:
    """Indices and weights (0 where ignored) and whether kept, each with an axis C of one; the sum of the weights."""
    expected, classes = x.shape[:1] + x.shape[2:], x.shape[1]
    if target.shape != expected:
        raise ValueError(f"{name}: target expects shape {expected} for x {x.shape}; it is {target.shape}")
    target = raw(lambda v: v, target).reshape((x.shape[0], 1, *x.shape[2:]))
    xp = xp_of(target)
    kept = target != ignore_index
    if not is_capturing():
        wrong = kept & ((target < 0) | (target >= classes))
        if wrong.any():
            raise IndexError(f"{name}: target expects classes 0 .. {classes - 1}; it has {int(target[wrong][0])}")
    indices = xp.where(kept, target, 0)
    weights = kept.astype(x.dtype)
    if weight is not None:
        weights *= weight.reshape(-1)[indices]
    if is_capturing():  # the sum depends on the batch, so it stays on the device: one number in the dtype of x
        return indices, kept, weights, weights.sum()
    return indices, kept, weights, float(weights.sum(dtype=np.float64))


def _weights_of_indices(
    name: str, x: Any, target: Any, weight: Any, ignore_index: int, smoothing: float
) -> tuple[Any, float]:
    """q of `cross_entropy` for class indices, in the shape of x, and what its mean divides by."""
    indices, kept, weights, count = _class_indices(name, x, target, weight, ignore_index)
    classes = xp_of(indices).arange(x.shape[1]).reshape((-1,) + (1,) * (x.ndim - 2))
    q = (indices == classes) * weights
    if smoothing:
        everywhere = kept.astype(x.dtype) if weight is None else kept * weight
        q = q * (1 - smoothing) + everywhere * (smoothing / x.shape[1])
    return q, count


def _weights_of_probabilities(name: str, x: Any, target: Any, weight: Any, smoothing: float) -> tuple[Any, int]:
    """q of `cross_entropy` for probabilities, and the number of samples."""
    if target.shape != x.shape:
        raise ValueError(
            f"{name}: target expects {x.shape[:1] + x.shape[2:]} class indices or {x.shape} probabilities; "
            f"it is {target.dtype} of shape {target.shape}"
        )
    q = target
    if smoothing:
        q = q * (1 - smoothing) + smoothing / x.shape[1]
    return (q if weight is None else q * weight), x.size // x.shape[1]
