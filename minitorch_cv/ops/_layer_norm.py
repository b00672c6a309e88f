r"""Layer normalisation: the last axes standardised."""

from __future__ import annotations

import functools
import math
from typing import Any

from .._namespace import unbroadcast
from .._op import op
from ._standardize import scale_and_shift, standardize, standardize_gradient, sum_over


@op
def layer_norm(
    x: Any, normalized_shape: int | tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    r"""The last axes standardised, then each element scaled and shifted.

    Forward:   over the m elements i of the last axes: mean = 1/m \sum_i x_i, var = 1/m \sum_i (x_i - mean)^2;
               r = (var + eps)^(-1/2), xhat_i = (x_i - mean) r, y_i = w_i xhat_i + b_i
    Backward:  dw_i = \sum dy_i xhat_i, db_i = \sum dy_i over the axes before; dxhat_i = w_i dy_i,
               dvar = \sum_i dxhat_i (x_i - mean) (-1/2) r^3, dmean = -r \sum_i dxhat_i,
               dx_i = r dxhat_i + 2/m (x_i - mean) dvar + 1/m dmean
                    = r (dxhat_i - 1/m \sum_j dxhat_j - xhat_i 1/m \sum_j dxhat_j xhat_j)
    Shapes:    x (..., *normalized_shape), y as x; weight and bias of `normalized_shape`, or None
    Raises:    ValueError where x does not end in `normalized_shape`, or weight or bias has another shape
    Source:    Ba et al. 2016, arXiv 1607.06450, equation 3
    """
    ending = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not ending or x.shape[-len(ending) :] != ending or not math.prod(ending):
        raise ValueError(
            f"layer_norm: normalized_shape expects the last sizes of x {x.shape}; it is {normalized_shape}"
        )
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != ending:
            raise ValueError(f"layer_norm: {name} expects shape {ending}, normalized_shape; it is {value.shape}")
    total, m = functools.partial(sum_over, tuple(range(x.ndim - len(ending), x.ndim))), math.prod(ending)
    xhat, r, _, _ = standardize(x, total, m, eps)
    y = scale_and_shift(xhat, weight, bias)

    def backward(dy):
        def dx():
            g = dy if weight is None else dy * weight
            return standardize_gradient(g, xhat, r, total(g), total(g, xhat), m)

        return dx, None, lambda: unbroadcast(dy * xhat, ending), lambda: unbroadcast(dy, ending)

    return y, backward
