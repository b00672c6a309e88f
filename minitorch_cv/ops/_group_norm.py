r"""Group normalisation: groups of channels standardised within each image."""

from __future__ import annotations

import functools
import math
from typing import Any

from .._namespace import xp_of
from .._op import op
from ._standardize import per_channel, scale_and_shift, standardize, standardize_gradient, sum_over


@op
def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    r"""Each group of channels of each image standardised, then each channel scaled and shifted.

    As many groups as channels make instance normalisation, a single one layer normalisation over C, H, W.

    Forward:   over the m values of a group g of an image n: mean_ng = 1/m \sum x, var_ng = 1/m \sum (x - mean_ng)^2;
               r_ng = (var_ng + eps)^(-1/2), xhat = (x - mean_ng) r_ng, y = w_c xhat + b_c
    Backward:  dw_c = \sum dy xhat, db_c = \sum dy over images and pixels; dxhat = w_c dy,
               dvar_ng = \sum dxhat (x - mean_ng) (-1/2) r_ng^3, dmean_ng = -r_ng \sum dxhat,
               dx = r_ng dxhat + 2/m (x - mean_ng) dvar_ng + 1/m dmean_ng
                  = r_ng (dxhat - 1/m \sum dxhat - xhat 1/m \sum dxhat xhat), sums over the group
    Shapes:    x (N, C, ...), y as x; weight and bias (C,) or None
    Raises:    ValueError where x has fewer than two axes, the groups do not divide the channels, a group has no value,
               or weight or bias is not of shape (C,)
    Source:    Wu and He 2018, arXiv 1803.08494, equations 1 to 6; instance normalisation: Ulyanov et al. 2016,
               arXiv 1607.08022
    Kernel:    kernels/cpu/group_norm.py, kernels/cuda/group_norm.cu
    """
    if x.ndim < 2:
        raise ValueError(f"group_norm: x expects at least two axes (N, C, ...); it is {x.shape}")
    shape, channels = x.shape, x.shape[1]
    if num_groups < 1 or channels % num_groups or not math.prod(shape[1:]):
        raise ValueError(
            f"group_norm: num_groups expects a divisor of the {channels} channels of x {shape}; it is {num_groups}"
        )
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != (channels,):
            raise ValueError(f"group_norm: {name} expects shape {(channels,)}, the channels of x; it is {value.shape}")
    pixels, m = tuple(range(2, x.ndim)), math.prod(shape[1:]) // num_groups
    over_batch = functools.partial(sum_over, (0, *pixels))

    def total(a, b=None):
        """The sum over each group, repeated for each of its channels: (N, C, 1, ...)."""
        xp, of_channel = xp_of(a), sum_over(pixels, a, b)
        grouped = xp.reshape(of_channel, (-1, channels // num_groups))
        return xp.reshape(xp.broadcast_to(xp.sum(grouped, axis=1, keepdims=True), grouped.shape), of_channel.shape)

    xhat, r, _, _ = standardize(x, total, m, eps)
    w = per_channel(weight, x.ndim)
    y = scale_and_shift(xhat, w, per_channel(bias, x.ndim))

    def backward(dy):
        def dx():
            g = dy if w is None else dy * w
            return standardize_gradient(g, xhat, r, total(g), total(g, xhat), m)

        def vector(sums):
            return xp_of(dy).reshape(sums, (channels,))

        return dx, None, lambda: vector(over_batch(dy, xhat)), lambda: vector(over_batch(dy))

    return y, backward
