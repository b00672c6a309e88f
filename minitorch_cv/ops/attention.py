r"""Attention: a mean of values, weighted by how well each one's key fits a query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._device import array_namespace
from .._namespace import raw, unbroadcast, xp_of
from .._op import op
from .._random import Generator
from ._dropout import check_probability, keep_mask


def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    *,
    generator: Generator | None = None,
):
    r"""Scaled dot-product attention.

    Forward:   y = P v with P = softmax(a q k^T + mask) over the keys, a = `scale` (1 / sqrt(E) where None). A boolean
               `attn_mask` is True where a query may see a key, a floating one is added; `is_causal` lets query i see
               keys 0 .. i. A query that may see no key gets zeros, and no gradient. With `dropout_p` elements of P are
               dropped and the others scaled up, whether training or not: pass 0 to evaluate
    Backward:  dv = P^T dy, dP = dy v^T, dS_ij = P_ij (dP_ij - \sum_k P_ik dP_ik), dq = a dS k, dk = a dS^T q,
               dmask = dS; each summed over the axes along which it was broadcast
    Shapes:    query (..., L, E), key (..., S, E), value (..., S, V), y (..., L, V); attn_mask broadcasts to (..., L, S)
    Raises:    ValueError where shapes do not fit, for a probability outside [0, 1], or for two masks at once
    Source:    Vaswani et al. 2017, arXiv 1706.03762, section 3.2.1, equation 1
    """
    name = "scaled_dot_product_attention"
    check_probability(name, "dropout_p", dropout_p)
    shape = _scores_shape(name, query, key, value)
    if attn_mask is not None:
        if is_causal:
            raise ValueError(f"{name}: attn_mask expects None with is_causal; it is of shape {attn_mask.shape}")
        _check_mask(name, attn_mask, shape)
    elif is_causal:
        xp = array_namespace(raw(lambda v: v, query))
        attn_mask = xp.arange(shape[-2])[:, None] >= xp.arange(shape[-1])
    keep = keep_mask(query, dropout_p, shape, generator) if dropout_p else None
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    return masked_attention(query, key, value, attn_mask, keep, scale, dropout_p)


@op(linear_in=("value",))
def masked_attention(query, key, value, mask, keep, scale, dropout_p):
    r"""Attention with its masks drawn: what `scaled_dot_product_attention` records.

    Forward:   S = a q k^T + mask (or -inf where a boolean mask is False), P = softmax(S) over the keys,
               A = keep * P / (1 - p), y = A v; a row of S that is -inf throughout has P = 0
    Backward:  dv = A^T dy; dA = dy v^T, dP = keep * dA / (1 - p); dS_ij = P_ij (dP_ij - \sum_k P_ik dP_ik);
               dq = a dS k, dk = a dS^T q, dmask = dS; each summed over the axes along which it was broadcast
    Shapes:    query (..., L, E), key (..., S, E), value (..., S, V), y (..., L, V); mask broadcasts to (..., L, S),
               keep is of that shape
    Source:    Vaswani et al. 2017, arXiv 1706.03762, section 3.2.1, equation 1
    Kernel:    kernels/cpu/attention.py, kernels/cuda/attention.cu
    """
    xp = xp_of(query)
    added = mask is not None and mask.dtype.kind == "f"
    kept_scale = 0.0 if keep is None or dropout_p == 1 else 1 / (1 - dropout_p)

    def drop(p):
        return p if keep is None else xp_of(p).where(keep, p * kept_scale, 0.0)

    scores = xp.matmul(query, xp.swapaxes(key, -1, -2)) * scale
    if added:
        scores = scores + mask
    elif mask is not None:
        scores = xp.where(mask, scores, -math.inf)
    e = xp.exp(scores - raw(_highest, scores))
    total = xp.sum(e, axis=-1, keepdims=True)
    p = e / xp.where(total == 0, 1.0, total)
    a = drop(p)

    def backward(dy):
        xp = xp_of(dy)
        dp = drop(xp.matmul(dy, xp.swapaxes(value, -1, -2)))
        ds = p * (dp - xp.sum(p * dp, axis=-1, keepdims=True))
        return (
            lambda: unbroadcast(xp.matmul(ds, key) * scale, query),
            lambda: unbroadcast(xp.matmul(xp.swapaxes(ds, -1, -2), query) * scale, key),
            lambda: unbroadcast(xp.matmul(xp.swapaxes(a, -1, -2), dy), value),
            (lambda: unbroadcast(ds, mask)) if added else None,
        )

    return xp.matmul(a, value), backward


def _highest(scores: Any) -> Any:
    """What to subtract so that no exponential overflows: the largest of each row, 0 where all are -inf."""
    xp = xp_of(scores)
    highest = scores.max(axis=-1, keepdims=True, initial=-math.inf)
    return xp.where(highest == -math.inf, 0, highest)


def _scores_shape(name: str, query: Any, key: Any, value: Any) -> tuple[int, ...]:
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(f"{name}: query, key and value expect at least two axes; {shapes}")
    if query.shape[-1] != key.shape[-1] or query.shape[-1] == 0:
        raise ValueError(f"{name}: query and key expect one last size > 0; {shapes}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"{name}: key and value expect one number of rows; {shapes}")
    try:
        batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    except ValueError:
        raise ValueError(f"{name}: the axes before the last two expect to broadcast; {shapes}") from None
    return (*batch, query.shape[-2], key.shape[-2])


def _check_mask(name: str, mask: Any, shape: tuple[int, ...]) -> None:
    if mask.dtype.kind not in "bf":
        raise ValueError(f"{name}: attn_mask expects booleans or floating values; it is of type {mask.dtype}")
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: attn_mask expects a shape that broadcasts to {shape}; it is {mask.shape}")
