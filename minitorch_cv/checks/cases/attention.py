"""Cases of attention."""

from __future__ import annotations

import math

import numpy as np

from ...ops import matmul, scaled_dot_product_attention, softmax, transpose
from ..case import Case, ErrorCase, Fault, wrong_gradient
from .dropout import _MASK, _SameMask


def _naive_masked(query, key, value, mask, keep, scale, dropout_p):
    """One query after the other."""
    batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    rows, keys, width = query.shape[-2], key.shape[-2], value.shape[-1]
    query, key, value = (np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (query, key, value))
    mask = np.broadcast_to(True if mask is None else mask, (*batch, rows, keys))
    keep = np.broadcast_to(True if keep is None else keep, (*batch, rows, keys))
    y = np.zeros((*batch, rows, width))
    for at in np.ndindex(*batch, rows):
        weights = []
        for j in range(keys):
            score = scale * sum(a * b for a, b in zip(query[at], key[(*at[:-1], j)], strict=True))
            seen = bool(mask[(*at, j)]) if mask.dtype == bool else True
            score += 0.0 if mask.dtype == bool else mask[(*at, j)]
            weights.append(math.exp(score) if seen else 0.0)
        for j, w in enumerate(weights):
            if w and keep[(*at, j)]:
                y[at] += w / sum(weights) / (1 - dropout_p) * value[(*at[:-1], j)]
    return y


def _naive_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=_MASK):
    shape = (*np.broadcast_shapes(query.shape[:-2], key.shape[:-2]), query.shape[-2], key.shape[-2])
    keep = generator.bernoulli(1 - dropout_p, shape) if dropout_p else None
    if is_causal:
        attn_mask = np.array([[j <= i for j in range(shape[-1])] for i in range(shape[-2])])
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return _naive_masked(query, key, value, attn_mask, keep, scale, dropout_p)


def _qkv(query, key, value):
    def draw(rng):
        return {name: rng.standard_normal(s) for name, s in (("query", query), ("key", key), ("value", value))}

    return draw


def _one_query_sees_nothing(rng):
    mask = rng.random((4, 5)) < 0.6
    mask[0], mask[1] = True, False
    return _qkv((2, 4, 3), (2, 5, 3), (2, 5, 2))(rng) | {"attn_mask": mask}


def _added_mask(rng):
    return _qkv((2, 3, 4, 3), (2, 1, 5, 3), (1, 3, 5, 2))(rng) | {"attn_mask": rng.standard_normal((3, 1, 5))}


def _drawn_masks(rng):
    masks = {"mask": rng.random((3, 5)) < 0.8, "keep": rng.random((2, 3, 5)) < 0.7}
    return _qkv((2, 3, 4), (2, 5, 4), (2, 5, 2))(rng) | masks


CASES = [
    Case(
        "scaled_dot_product_attention",
        "one set of queries for two sets of keys",
        _qkv((1, 4, 3), (2, 5, 3), (2, 5, 2)),
        {},
        _naive_attention,
    ),
    Case("scaled_dot_product_attention", "one head", _qkv((4, 3), (5, 3), (5, 2)), {}, _naive_attention),
    Case(
        "scaled_dot_product_attention",
        "causal, own scale, two heads",
        _qkv((1, 2, 4, 3), (1, 2, 5, 3), (1, 2, 5, 2)),
        {"is_causal": True, "scale": 0.7},
        _naive_attention,
    ),
    Case("scaled_dot_product_attention", "one query sees no key", _one_query_sees_nothing, {}, _naive_attention),
    Case("scaled_dot_product_attention", "added mask, heads broadcast", _added_mask, {}, _naive_attention),
    Case(
        "scaled_dot_product_attention",
        "dropout",
        _qkv((2, 4, 3), (2, 5, 3), (2, 5, 2)),
        {"dropout_p": 0.3, "generator": _SameMask(3)},
        _naive_attention,
    ),
    Case(
        "masked_attention",
        "no mask",
        _qkv((2, 3, 4), (2, 5, 4), (2, 5, 2)),
        {"mask": None, "keep": None, "scale": 0.5, "dropout_p": 0.0},
        _naive_masked,
    ),
    Case("masked_attention", "both masks", _drawn_masks, {"scale": 0.5, "dropout_p": 0.3}, _naive_masked),
]

_q, _k, _v = np.zeros((2, 4, 3)), np.zeros((2, 5, 3)), np.zeros((2, 5, 6))

ERRORS = [
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _v, _v),
        ValueError,
        "scaled_dot_product_attention: query and key expect one last size > 0; "
        "query (2, 4, 3), key (2, 5, 6), value (2, 5, 6)",
    ),
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _k, _v[:, :4]),
        ValueError,
        "scaled_dot_product_attention: key and value expect one number of rows; "
        "query (2, 4, 3), key (2, 5, 3), value (2, 4, 6)",
    ),
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _k, np.zeros((3, 5, 6))),
        ValueError,
        "scaled_dot_product_attention: the axes before the last two expect to broadcast; "
        "query (2, 4, 3), key (2, 5, 3), value (3, 5, 6)",
    ),
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _k, _v, np.ones((5, 4), bool)),
        ValueError,
        "scaled_dot_product_attention: attn_mask expects a shape that broadcasts to (2, 4, 5); it is (5, 4)",
    ),
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _k, _v, np.ones((4, 5), int)),
        ValueError,
        "scaled_dot_product_attention: attn_mask expects booleans or floating values; it is of type int64",
    ),
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _k, _v, np.ones((4, 5), bool), is_causal=True),
        ValueError,
        "scaled_dot_product_attention: attn_mask expects None with is_causal; it is of shape (4, 5)",
    ),
    ErrorCase(
        "scaled_dot_product_attention",
        lambda: scaled_dot_product_attention(_q, _k, _v, dropout_p=-0.1),
        ValueError,
        "scaled_dot_product_attention: dropout_p expects a probability in [0, 1]; it is -0.1",
    ),
]


def _unscaled(grads, dy, query, key, value, mask, keep, scale, dropout_p):
    return [grads[0] * (1 / scale), grads[1] * (1 / scale), *grads[2:]]


def _weights_not_transposed(grads, dy, query, key, value, *rest):
    """dv as if every key had the mean of all queries' gradients."""
    return [*grads[:2], grads[2] * 0 + grads[2].mean(axis=-2, keepdims=True), *grads[3:]]


def _through_values_alone(grads, dy, query, key, value, *rest):
    return [None, None, *grads[2:]]


def _row_sum_missing(grads, dy, query, key, value, mask, keep, scale, dropout_p):
    """dq from dS = P dP, as if softmax had no denominator."""
    if mask is not None or keep is not None:
        return grads
    ds = softmax(matmul(query, transpose(key, -1, -2)) * scale) * matmul(dy, transpose(value, -1, -2))
    return [matmul(ds, key) * scale, *grads[1:]]


FAULTS = [
    Fault("masked_attention", "dq and dk not scaled", wrong_gradient(_unscaled)),
    Fault("masked_attention", "dv without the weights", wrong_gradient(_weights_not_transposed)),
    Fault("masked_attention", "dS without the sum over the row", wrong_gradient(_row_sum_missing)),
    Fault("masked_attention", "nothing through the weights", wrong_gradient(_through_values_alone)),
]
