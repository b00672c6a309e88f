r"""Attention: one pair of matrices of queries and keys is one task, so a head's scores never leave the core's cache.

The five products of a head (q k^T and P v; on the way back dy v^T, dS k, dS^T q and P^T dy) are the micro-kernel's.
Only k^T and v^T are packed: of the others one operand's rows are vectors as they lie, and transposed ones are but other
strides. The softmax between them walks over a row while it is in the first-level cache.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .activation import exponential
from .kernel import kernel
from .language import Longs, Pointer, address, advanced, call_block, helper, number
from .machine import machine
from .memory import contiguous, empty, scratch
from .microkernel import block
from .packing import even_rows, tiling
from .threads import get_num_threads


@helper
def matrix_product(like, plan, a, a_row, a_inner, b, packed, out, rows, columns, depth):
    """out = a b for one plan: addresses, strides in bytes; b is packed by tiles, or has `columns` numbers in a row."""
    size = address(like, 1) - address(like, 0)
    at_once, lanes, tiles, last_tile, last_lanes = plan[4], plan[5], plan[6], plan[7], plan[8]
    parts = (rows + at_once - 1) // at_once
    for tile in range(tiles):
        is_last = tile == tiles - 1
        wide = (last_tile if is_last else lanes) * size
        begin = b + tile * lanes * size * (depth if packed else 1)
        for part in range(parts):
            code = plan[(2 if is_last else 0) + (1 if part == parts - 1 else 0)]
            r = part * at_once
            # fmt: off
            call_block(
                code, a + r * a_row, 0, 0, a_inner, a_row, begin, 0, 0, wide if packed else columns * size, 1, 1, depth,
                out + (r * columns + tile * lanes) * size, columns * size, 0, 0, last_lanes,
            )
            # fmt: on


@helper
def pack_transposed(matrix, packed, rows, depth, plan):
    """The transpose of (rows, depth) by tiles of its columns, which are the matrix's rows; zeros beyond."""
    lanes, tiles, last_tile = plan[5], plan[6], plan[7]
    zero = number(matrix, 0.0)
    for tile in range(tiles):
        wide = last_tile if tile == tiles - 1 else lanes
        to = advanced(packed, tile * lanes * depth)
        for lane in range(wide):
            row = tile * lanes + lane
            if row < rows:
                for k in range(depth):
                    to[k * wide + lane] = matrix[row * depth + k]
            else:
                for k in range(depth):
                    to[k * wide + lane] = zero


@kernel
def attend(
    task, worker, q: Pointer, k: Pointer, v: Pointer, p: Pointer, y: Pointer, packed_memory: Pointer, packed_size: int,
    plans: Longs, queries: int, keys: int, features: int, values: int, scale: float
):  # fmt: skip
    """One head: p = softmax(scale q k^T), y = p v."""
    size = address(q, 1) - address(q, 0)
    packed = advanced(packed_memory, worker * packed_size)
    pack_transposed(advanced(k, task * keys * features), packed, keys, features, plans)
    weights = advanced(p, task * queries * keys)
    matrix_product(
        q, plans, address(q, task * queries * features), features * size, size, address(packed, 0), True,
        address(weights, 0), queries, keys, features
    )  # fmt: skip
    factor = number(q, scale)
    for row in range(queries):
        here = advanced(weights, row * keys)
        high = here[0]
        for c in range(keys):
            high = here[c] if here[c] > high else high
        total = number(q, 0.0)
        for c in range(keys):
            e = exponential(q, (here[c] - high) * factor)
            here[c] = e
            total += e
        share = number(q, 1.0) / total
        for c in range(keys):
            here[c] *= share
    matrix_product(
        q, advanced(plans, 9), address(weights, 0), keys * size, size, address(v, task * keys * values), False,
        address(y, task * queries * values), queries, values, keys
    )  # fmt: skip


@kernel
def attend_gradient(
    task, worker, dy: Pointer, q: Pointer, k: Pointer, v: Pointer, p: Pointer, dq: Pointer, dk: Pointer, dv: Pointer,
    packed_memory: Pointer, packed_size: int, scores_memory: Pointer, plans: Longs, queries: int, keys: int,
    features: int, values: int, scale: float
):  # fmt: skip
    """One head: ds = p (dy v^T - its mean under p) scale, dq = ds k, dk = ds^T q, dv = p^T dy."""
    size = address(q, 1) - address(q, 0)
    packed = advanced(packed_memory, worker * packed_size)
    ds = advanced(scores_memory, worker * queries * keys)
    weights = advanced(p, task * queries * keys)
    upstream = address(dy, task * queries * values)
    pack_transposed(advanced(v, task * keys * values), packed, keys, values, plans)
    matrix_product(
        q, plans, upstream, values * size, size, address(packed, 0), True, address(ds, 0), queries, keys, values
    )
    factor = number(q, scale)
    for row in range(queries):
        here, share = advanced(ds, row * keys), advanced(weights, row * keys)
        mean = number(q, 0.0)
        for c in range(keys):
            mean += here[c] * share[c]
        for c in range(keys):
            here[c] = share[c] * (here[c] - mean) * factor
    matrix_product(
        q, advanced(plans, 9), address(ds, 0), keys * size, size, address(k, task * keys * features), False,
        address(dq, task * queries * features), queries, features, keys
    )  # fmt: skip
    matrix_product(
        q, advanced(plans, 18), address(ds, 0), size, keys * size, address(q, task * queries * features), False,
        address(dk, task * keys * features), keys, features, queries
    )  # fmt: skip
    matrix_product(
        q, advanced(plans, 27), address(weights, 0), size, keys * size, upstream, False,
        address(dv, task * keys * values), keys, values, queries
    )  # fmt: skip


def _plan(rows: int, columns: int, itemsize: int) -> list[int]:
    """The micro-kernels' codes for a product: whole and last blocks over rows, of whole tiles and of the last."""
    wide, tiles, last_wide, last_tile, last_lanes = tiling(columns, itemsize)
    lanes = machine().lanes(itemsize)
    at_once = even_rows(rows, machine().rows(wide))
    rest = (rows - 1) % at_once + 1
    codes = [
        block(r, vectors, itemsize, last_lanes != lanes and (is_last or tiles == 1))
        for vectors, is_last in ((wide, False), (last_wide, True))
        for r in (at_once, rest)
    ]
    return [*codes, at_once, wide * lanes, tiles, last_tile, last_lanes]


@functools.lru_cache(maxsize=256)
def _plans(itemsize: int, *shapes: tuple[int, int]) -> np.ndarray:
    return np.array([_plan(rows, columns, itemsize) for rows, columns in shapes], dtype=np.int64)


def _packed_size(keys: int, depth: int, itemsize: int) -> int:
    lanes = machine().lanes(itemsize)
    return -(-keys // lanes) * lanes * depth


def masked_attention(query, key, value, mask, keep, scale, dropout_p) -> Any:
    """`masked_attention` on the processor, without masks."""
    query, key, value = contiguous(query), contiguous(key), contiguous(value)
    batch, (queries, features), (keys, values) = query.shape[:-2], query.shape[-2:], value.shape[-2:]
    heads, itemsize, dtype = math.prod(batch), query.itemsize, query.dtype
    sizes = (queries, keys, features, values, float(scale))

    def packed(depth):
        size = _packed_size(keys, depth, itemsize)
        return scratch("packed", size * get_num_threads(), dtype), size

    p, y = empty((*batch, queries, keys), dtype), empty((*batch, queries, values), dtype)
    plans = _plans(itemsize, (queries, keys), (queries, values))
    attend(heads, query, key, value, p, y, *packed(features), plans, *sizes)

    def backward(dy):
        dq, dk, dv = (empty(x.shape, dtype) for x in (query, key, value))
        scores = scratch("scores", queries * keys * get_num_threads(), dtype)
        plans = _plans(itemsize, (queries, keys), (queries, features), (keys, features), (keys, values))
        attend_gradient(
            heads, contiguous(dy), query, key, value, p, dq, dk, dv, *packed(values), scores, plans, *sizes
        )  # fmt: skip
        return dq, dk, dv, None

    return y, backward


def _without_masks(query, key, value, mask, keep, scale, dropout_p) -> bool:
    return (
        mask is None
        and keep is None
        and scale > 0
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and query.shape[-1] == key.shape[-1]
        and key.shape[-2] == value.shape[-2]
        and query.size > 0
        and value.size > 0
        and query.dtype == key.dtype == value.dtype
    )


masked_attention.accepts = _without_masks  # pyright: ignore[reportFunctionMemberAccess]
