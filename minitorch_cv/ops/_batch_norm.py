r"""Batch normalisation: each channel standardised over the batch, or by running statistics."""

from __future__ import annotations

import functools
import math
from typing import Any

from .._device import array_namespace
from .._namespace import raw, xp_of
from .._op import op
from .._tensor import Tensor
from ._standardize import per_channel, scale_and_shift, standardize, standardize_gradient, sum_over


def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Any = None,
    relu: bool = False,
) -> Any:
    r"""Each channel standardised, then scaled and shifted: by the batch while training, else by running statistics.

    With relu=True the value is rectified as well, after a residual, if there is one, has been added to it.

    Forward:   y = w_c (x - mean_c) / sqrt(var_c + eps) + b_c; while training mean and var are those of the batch over
               N, H, W, var the biased one (1/m), and afterwards, with momentum t,
               running_mean = (1 - t) running_mean + t mean; running_var = (1 - t) running_var + t m / (m - 1) var;
               with relu=True max(y, 0), or max(y + residual, 0), takes the place of y
    Backward:  see `batch_norm_train`, `batch_norm_relu_train`, `batch_norm_eval` and `batch_norm_relu_eval`
    Shapes:    x (N, C), (N, C, L) or (N, C, H, W), y as x; running_mean, running_var, weight and bias (C,) or None;
               residual as x or None
    Raises:    ValueError where x has fewer than two axes or a shape does not fit; while training, where a channel has
               one value alone; without training, where the running statistics are missing; for a residual without
               relu=True
    Source:    Ioffe and Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2; He et al. 2015, arXiv 1512.03385, figure 2
    Lesson:    lessons/04_resnet.py
    """
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x expects at least two axes (N, C, ...); it is {x.shape}")
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, value in given.items():
        if value is not None and value.shape != x.shape[1:2]:
            raise ValueError(f"batch_norm: {name} expects shape {x.shape[1:2]}, the channels of x; it is {value.shape}")
    if residual is not None and not relu:
        raise ValueError(f"batch_norm: residual expects relu=True; it is {relu}")
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"batch_norm: residual expects the shape of x {x.shape}; it is {residual.shape}")
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var expect arrays where training is False; got None")
        if relu:
            return batch_norm_relu_eval(x, residual, running_mean, running_var, weight, bias, float(eps))
        return batch_norm_eval(x, running_mean, running_var, weight, bias, float(eps))
    m = math.prod(x.shape) // max(1, x.shape[1])
    if m < 2:
        raise ValueError(f"batch_norm: x expects more than one value for each channel while training; it is {x.shape}")
    if relu:
        y, mean, var = batch_norm_relu_train(x, residual, weight, bias, float(eps))
    else:
        y, mean, var = batch_norm_train(x, weight, bias, float(eps))
    _follow(running_mean, mean, float(momentum))
    _follow(running_var, var * (m / (m - 1)), float(momentum))
    return y


def _follow(running: Any, batch: Any, momentum: float) -> None:
    """Move a running statistic towards that of the batch; a Tensor gets a new array, since graphs may hold the old."""
    if running is None:
        return
    old = running.data if isinstance(running, Tensor) else running
    new = batch.data if isinstance(batch, Tensor) else batch
    if isinstance(running, Tensor):
        running.data = array_namespace(old).asarray(old * (1 - momentum) + new * momentum, dtype=old.dtype)
    else:
        running *= 1 - momentum
        running += new * momentum


@op
def batch_norm_train(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    r"""Each channel standardised over the batch; the values are y, the mean and the biased variance.

    Forward:   mean_c = 1/m \sum x, var_c = 1/m \sum (x - mean_c)^2 over the m values of the channel;
               r_c = (var_c + eps)^(-1/2), xhat = (x - mean_c) r_c, y = w_c xhat + b_c
    Backward:  dw_c = \sum dy xhat, db_c = \sum dy, dxhat = w_c dy,
               dvar_c = \sum dxhat (x - mean_c) (-1/2) r_c^3,
               dmean_c = -r_c \sum dxhat + dvar_c (-2/m) \sum (x - mean_c), whose last sum is zero,
               dx = r_c dxhat + 2/m (x - mean_c) dvar_c + 1/m dmean_c = w_c r_c (dy - 1/m db_c - xhat 1/m dw_c)
    Shapes:    x (N, C, ...), y as x; weight, bias, mean and var (C,)
    Source:    Ioffe and Szegedy 2015, arXiv 1502.03167, section 3
    Lesson:    lessons/04_resnet.py
    Kernel:    kernels/cpu/batch_norm.py, kernels/cuda/batch_norm.cu
    """
    channels, total = x.shape[1], functools.partial(sum_over, (0, *range(2, x.ndim)))
    m = math.prod(x.shape) // channels
    xhat, r, mean, var = standardize(x, total, m, eps)
    w = per_channel(weight, x.ndim)
    y = scale_and_shift(xhat, w, per_channel(bias, x.ndim))

    def backward(dy):
        xp, db, dw = xp_of(dy), total(dy), total(dy, xhat)
        dx = standardize_gradient(dy, xhat, r if w is None else r * w, db, dw, m)
        return dx, lambda: xp.reshape(dw, (channels,)), lambda: xp.reshape(db, (channels,))

    return (y, mean.reshape(channels), var.reshape(channels)), backward


def _rectified_sum(normalised: Any, residual: Any) -> Any:
    xp = xp_of(normalised)
    y = xp.empty_like(normalised)
    return xp.maximum(normalised if residual is None else xp.add(normalised, residual, out=y), 0, out=y)


@op
def batch_norm_relu_train(x: Any, residual: Any = None, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    r"""`batch_norm_train`, a residual added, rectified, in one; the values are y, the mean and the biased variance.

    Forward:   mean_c = 1/m \sum x, var_c = 1/m \sum (x - mean_c)^2 over the m values of the channel;
               r_c = (var_c + eps)^(-1/2), xhat = (x - mean_c) r_c, y = max(w_c xhat + b_c + s, 0), s the residual or 0
    Backward:  g = dy where y > 0, else 0 (also at the kink) is the gradient of what is rectified, a sum: ds = g, and g
               is the dy of `batch_norm_train`:
               dw_c = \sum g xhat, db_c = \sum g, dx = w_c r_c (g - 1/m db_c - xhat 1/m dw_c)
    Shapes:    x (N, C, ...), residual and y as x; weight, bias, mean and var (C,)
    Source:    Ioffe and Szegedy 2015, arXiv 1502.03167, section 3; He et al. 2015, arXiv 1512.03385, figure 2
    Lesson:    lessons/04_resnet.py
    Kernel:    kernels/cpu/batch_norm.py, kernels/cuda/batch_norm.cu
    """
    channels, total = x.shape[1], functools.partial(sum_over, (0, *range(2, x.ndim)))
    m = math.prod(x.shape) // channels
    xhat, r, mean, var = standardize(x, total, m, eps)
    w = per_channel(weight, x.ndim)
    y = raw(_rectified_sum, scale_and_shift(xhat, w, per_channel(bias, x.ndim)), residual)
    positive = y > 0

    def backward(dy):
        xp = xp_of(dy)
        g = xp.where(positive, dy, 0.0)
        db, dw = total(g), total(g, xhat)
        dx = standardize_gradient(g, xhat, r if w is None else r * w, db, dw, m)
        return dx, lambda: g, lambda: xp.reshape(dw, (channels,)), lambda: xp.reshape(db, (channels,))

    return (y, mean.reshape(channels), var.reshape(channels)), backward


@op(linear_in=("x",))
def batch_norm_eval(x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    r"""Each channel scaled and shifted by given statistics: an affine map.

    Forward:   r_c = (var_c + eps)^(-1/2), y = w_c (x - mean_c) r_c + b_c
    Backward:  dx = w_c r_c dy, dw_c = r_c \sum dy (x - mean_c), db_c = \sum dy, dmean_c = -w_c r_c \sum dy,
               dvar_c = -1/2 w_c r_c^3 \sum dy (x - mean_c)
    Shapes:    x (N, C, ...), y as x; mean, var, weight and bias (C,)
    Source:    Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 2, line 11
    Lesson:    lessons/04_resnet.py
    Kernel:    kernels/cpu/batch_norm.py, kernels/cuda/batch_norm.cu
    """
    channels, axes = x.shape[1], (0, *range(2, x.ndim))
    r = 1 / xp_of(var).sqrt(var + eps)
    factor = r if weight is None else weight * r
    shift = -mean * factor if bias is None else bias - mean * factor
    y = scale_and_shift(x, per_channel(factor, x.ndim), per_channel(shift, x.ndim))
    ndim = x.ndim

    def backward(dy):
        xp = xp_of(dy)
        total = lambda a, b=None: xp.reshape(sum_over(axes, a, b), (channels,))
        scaled = lambda: (total(dy, x) - total(dy) * mean) * r  # \sum dy xhat
        return (
            lambda: dy * per_channel(factor, ndim),
            lambda: -total(dy) * factor,
            lambda: scaled() * factor * r * (-0.5),
            scaled,
            lambda: total(dy),
        )

    return y, backward


@op
def batch_norm_relu_eval(
    x: Any, residual: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    r"""`batch_norm_eval`, a residual (or None) added, rectified, in one.

    Forward:   r_c = (var_c + eps)^(-1/2), y = max(w_c (x - mean_c) r_c + b_c + s, 0), s the residual or 0
    Backward:  g = dy where y > 0, else 0 (also at the kink) is the gradient of what is rectified, a sum: ds = g, and g
               is the dy of `batch_norm_eval`: dx = w_c r_c g, dw_c = r_c \sum g (x - mean_c), db_c = \sum g,
               dmean_c = -w_c r_c \sum g, dvar_c = -1/2 w_c r_c^3 \sum g (x - mean_c)
    Shapes:    x (N, C, ...), residual and y as x; mean, var, weight and bias (C,)
    Source:    Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 2; He et al. 2015, arXiv 1512.03385, figure 2
    Lesson:    lessons/04_resnet.py
    Kernel:    kernels/cpu/batch_norm.py, kernels/cuda/batch_norm.cu
    """
    normalised, gradients = batch_norm_eval.body(x, mean, var, weight, bias, eps)
    y = raw(_rectified_sum, normalised, residual)
    positive = y > 0

    def backward(dy):
        g = xp_of(dy).where(positive, dy, 0.0)
        dx, *others = gradients(g)
        return dx, lambda: g, *others

    return y, backward
