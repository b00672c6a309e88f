"""Bodies of `ops/attention.py` on CUDA: the matrix of probabilities is never in memory."""

from __future__ import annotations

import math
from typing import Any

from ..._device import array_namespace
from ..._namespace import unbroadcast
from .arrays import empty
from .source import Source

SOURCE = Source("attention.cu")
WARPS = 8
TILE, WIDE = 32, 64
"""Rows of a block, and columns of a result that it adds up, as in attention.cu."""


def _pieces(size: int, piece: int) -> int:
    return -(-size // piece)


def _shared_by_heads(mask: Any, shape: tuple[int, ...]) -> Any:
    """The mask as (1, queries, keys) where all heads have the same, else as (heads, queries, keys)."""
    xp = array_namespace(mask)
    batch = shape[:-2] if math.prod(mask.shape[:-2]) > 1 else ()
    if not batch:
        mask = mask.reshape(mask.shape[-2:] if mask.ndim > 1 else (1, *mask.shape))
    full = xp.broadcast_to(mask, (*batch, *shape[-2:]))
    return xp.ascontiguousarray(full).reshape(-1, *shape[-2:])


def masked_attention(query, key, value, mask, keep, scale, dropout_p) -> Any:
    """`masked_attention` on CUDA."""
    xp = array_namespace(query)
    query, key, value = (xp.ascontiguousarray(x) for x in (query, key, value))
    batch, (queries, E), (keys, V) = query.shape[:-2], query.shape[-2:], value.shape[-2:]
    heads, shape = math.prod(batch), (*batch, queries, keys)
    full = None if mask is None else _shared_by_heads(mask, shape)
    adds = mask is not None and mask.dtype.kind == "f"
    kept = None if keep is None else xp.ascontiguousarray(xp.broadcast_to(keep, shape))
    kept_scale = 0.0 if keep is None or dropout_p == 1 else 1 / (1 - dropout_p)
    operands = query, key, value, *((None, full) if adds else (full, None)), kept
    sizes = queries, keys, E, V, 1 if full is None else len(full), scale, kept_scale
    y, lse = empty((*batch, queries, V), query), empty((heads, queries), query)
    by_queries, by_keys, block = _pieces(queries, TILE), _pieces(keys, TILE), (TILE, WARPS)
    SOURCE.launch("attention_forward", (by_queries, heads, _pieces(V, WIDE)), block, *operands, y, lse, *sizes)

    def backward(dy):
        dy, D = xp.ascontiguousarray(dy), empty((heads, queries), query)
        dq, dk, dv = (empty(x.shape, query) for x in (query, key, value))
        dscores = empty(shape, query) if adds else None
        rows = heads * queries
        SOURCE.launch("row_products", (_pieces(rows, WARPS),), block, dy, y, D, rows, V)
        grid = by_queries, heads, _pieces(E, WIDE)
        SOURCE.launch("attention_query_gradient", grid, block, *operands, dy, lse, D, dq, dscores, *sizes)
        grid = by_keys, heads, _pieces(E, WIDE) + _pieces(V, WIDE)
        SOURCE.launch("attention_key_gradient", grid, block, *operands, dy, lse, D, dk, dv, *sizes)
        return dq, dk, dv, unbroadcast(dscores, mask) if adds else None

    return y, backward


def _fits(query, key, value, mask, keep, scale, dropout_p) -> bool:
    """Whether every query has keys of its own and there is something to compute."""
    return (
        min(query.ndim, key.ndim, value.ndim) >= 2
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and min(query.size, key.size, value.size) > 0
        and math.prod(query.shape[:-2]) < 2**16
        and (mask is None or mask.dtype.name in ("bool", "float32"))
        and (keep is None or keep.dtype.kind == "b")
    )


masked_attention.accepts = _fits  # pyright: ignore[reportFunctionMemberAccess]
