r"""Matrix products: by the micro-kernel where there are many rows, by streaming the weights where there are few.

Many rows: the right operand is packed by tiles, as a convolution's weights are, and a task computes some rows of one
tile; transposed operands are only other strides. Over 512 numbers at a time, so that a tile's part stays in the
second-level cache.

Few rows, at most 16 (a classifier of 100 million weights, 4 images): nothing but reading the weights counts, 27 GB/s
here. Each weight is read once, in the order in which it lies, and used for all rows while it is in a register:

    y = x w^T    four rows of w against four of x: sixteen sums over a vector's lanes at a time
    dx = dy w    four rows of w added into a piece of dx that stays in the first-level cache
    dw = dy^T x  each row of dw written once

Measured: 194 Gflop/s of two cores' 235 at 512 x 512 x 512.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .conv2d_direct import sum_rows
from .kernel import kernel
from .language import Pointer, address, advanced, call_block, helper, number
from .machine import machine
from .memory import contiguous, empty, scratch
from .microkernel import block
from .packing import even_rows, pack_weight, tiling, transposing
from .threads import get_num_threads

FEW_ROWS = 16
DEPTH = 512
"""So many numbers are summed over before the next tile's part is read."""


@helper
def multiply_tile(
    a, a_row, a_inner, b, b_inner, out, out_row, start, start_row, rows, depth, at_once, full, rest, last_lanes
):
    """A block's columns for `rows` rows; addresses and strides in bytes. `rest` is the code for the last rows."""
    parts = (rows + at_once - 1) // at_once
    for part in range(parts):
        r = part * at_once
        # fmt: off
        call_block(
            rest if part == parts - 1 else full, a + r * a_row, 0, 0, a_inner, a_row, b, 0, 0, b_inner, 1, 1, depth,
            out + r * out_row, out_row, start + r * start_row if start != 0 else 0, start_row, last_lanes,
        )
        # fmt: on


@kernel
def multiply(
    task, worker, a: Pointer, packed: Pointer, bias: Pointer, y: Pointer, of_row: int, of_depth: int, rows: int,
    columns: int, depth: int, lanes: int, tiles: int, last_tile: int, last_lanes: int, at_once: int, full: int,
    full_rest: int, last: int, last_rest: int, chunk: int, chunks: int, at_a_time: int, of_packed_row: int
):  # fmt: skip
    """Some rows of one tile of a b + bias, where a[r, k] lies at r of_row + k of_depth.

    b is packed by tiles (`of_packed_row` 0), or has its rows that far apart.
    """
    size = address(a, 1) - address(a, 0)
    tile, first = task // chunks, task % chunks * chunk
    here = min(chunk, rows - first)
    is_last = tile == tiles - 1
    wide = (last_tile if is_last else lanes) * size
    code = last if is_last else full
    code_of_rest = code
    if first + here == rows:
        code_of_rest = last_rest if is_last else full_rest
    out = address(y, first * columns + tile * lanes)
    b, b_row = address(packed, tile * lanes * depth), wide
    if of_packed_row != 0:
        b, b_row = address(packed, tile * lanes), of_packed_row * size
    start, start_row = 0, 0
    if address(bias, 0) != 0:
        start = address(bias, tile * lanes)
    for k in range(0, depth, at_a_time):
        multiply_tile(
            address(a, first * of_row + k * of_depth), of_row * size, of_depth * size,
            b + k * b_row, b_row, out, columns * size, start, start_row, here,
            min(at_a_time, depth - k), at_once, code, code_of_rest, last_lanes
        )  # fmt: skip
        start, start_row = out, columns * size


@functools.lru_cache(maxsize=1024)
def _plan(rows: int, columns: int, depth: int, itemsize: int, threads: int) -> tuple:
    wide, tiles, last_wide, last_tile, last_lanes = tiling(columns, itemsize)
    lanes = machine().lanes(itemsize)
    at_once = even_rows(rows, machine().rows(wide))
    chunk = at_once * max(1, -(-rows // at_once) * tiles // (4 * threads * tiles) or 1)
    chunks = -(-rows // chunk)
    rest = (rows - 1) % at_once + 1
    ragged = last_lanes != lanes
    codes = [
        block(r, vectors, itemsize, ragged and (is_last or tiles == 1))
        for vectors, is_last in ((wide, False), (last_wide, True))
        for r in (at_once, rest)
    ]
    settings = (rows, columns, depth, wide * lanes, tiles, last_tile, last_lanes, at_once, *codes, chunk, chunks, DEPTH)
    return tiles * chunks, ((tiles - 1) * wide * lanes + last_tile) * depth, settings


def product(a: np.ndarray, a_strides: tuple, b: np.ndarray, b_strides: tuple, sizes: tuple, bias=None) -> np.ndarray:
    """a b (+ bias) for sizes (rows, depth, columns); strides in numbers, of a over (row, depth), b (depth, column)."""
    rows, depth, columns = sizes
    tasks, packed_size, settings = _plan(rows, columns, depth, a.itemsize, get_num_threads())
    lanes, tiles, last_tile = settings[3:6]
    y = empty((rows, columns), a.dtype)
    # Rows 2 KB apart would all meet in a few sets of the first-level cache.
    if b_strides[1] == 1 and b_strides[0] * b.itemsize % 2048 and rows < 512:
        multiply(tasks, a, b, bias, y, *a_strides, *settings, b_strides[0])
        return y
    packed = scratch("packed", packed_size, b.dtype)
    pack_weight(
        tiles,
        *(b, packed, 0, b_strides[1], b_strides[0], 0, 0, 1, 1, depth, columns, lanes, tiles, last_tile, 0, 0),
        *transposing(b.itemsize),
    )
    multiply(tasks, a, packed, bias, y, *a_strides, *settings, 0)
    return y


@kernel
def few_rows(
    task, worker, x: Pointer, weight: Pointer, bias: Pointer, y: Pointer, rows: int, features: int, outputs: int,
    tasks: int
):  # fmt: skip
    """y = x w^T + b for some of the outputs, four by four."""
    zero = number(x, 0.0)
    end = (task + 1) * outputs // tasks
    o = task * outputs // tasks
    while o < end:
        few = min(4, end - o)
        w0 = advanced(weight, o * features)
        w1 = advanced(weight, (o + min(1, few - 1)) * features)
        w2 = advanced(weight, (o + min(2, few - 1)) * features)
        w3 = advanced(weight, (o + min(3, few - 1)) * features)
        n = 0
        while n < rows:
            more = min(2, rows - n)
            x0, x1 = advanced(x, n * features), advanced(x, (n + more - 1) * features)
            s00, s01, s02, s03 = zero, zero, zero, zero
            s10, s11, s12, s13 = zero, zero, zero, zero
            for k in range(features):
                a, b = x0[k], x1[k]
                s00 += a * w0[k]
                s01 += a * w1[k]
                s02 += a * w2[k]
                s03 += a * w3[k]
                s10 += b * w0[k]
                s11 += b * w1[k]
                s12 += b * w2[k]
                s13 += b * w3[k]
            for r in range(more):
                to = advanced(y, (n + r) * outputs + o)
                b0 = zero
                for j in range(few):
                    if address(bias, 0) != 0:
                        b0 = bias[o + j]
                    if j == 0:
                        to[j] = b0 + (s00 if r == 0 else s10)
                    elif j == 1:
                        to[j] = b0 + (s01 if r == 0 else s11)
                    elif j == 2:
                        to[j] = b0 + (s02 if r == 0 else s12)
                    else:
                        to[j] = b0 + (s03 if r == 0 else s13)
            n += more
        o += few


@kernel
def few_rows_input_gradient(
    task, worker, dy: Pointer, weight: Pointer, dx: Pointer, rows: int, features: int, outputs: int, tasks: int
):
    """dx = dy w for some of the features, in pieces of 1024."""
    zero = number(dy, 0.0)
    end = (task + 1) * features // tasks
    for first in range(task * features // tasks, end, 1024):
        here = min(1024, end - first)
        for n in range(rows):
            to = advanced(dx, n * features + first)
            for k in range(here):
                to[k] = zero
        o = 0
        while o + 4 <= outputs:
            w0, w1 = advanced(weight, o * features + first), advanced(weight, (o + 1) * features + first)
            w2, w3 = advanced(weight, (o + 2) * features + first), advanced(weight, (o + 3) * features + first)
            for n in range(rows):
                g = advanced(dy, n * outputs + o)
                g0, g1, g2, g3 = g[0], g[1], g[2], g[3]
                to = advanced(dx, n * features + first)
                for k in range(here):
                    to[k] += (g0 * w0[k] + g1 * w1[k]) + (g2 * w2[k] + g3 * w3[k])
            o += 4
        while o < outputs:
            w0 = advanced(weight, o * features + first)
            for n in range(rows):
                g0 = dy[n * outputs + o]
                to = advanced(dx, n * features + first)
                for k in range(here):
                    to[k] += g0 * w0[k]
            o += 1


@kernel
def few_rows_weight_gradient(
    task, worker, dy: Pointer, x: Pointer, dw: Pointer, rows: int, features: int, outputs: int, tasks: int
):
    """dw = dy^T x for some of the outputs, two images at a time."""
    for o in range(task * outputs // tasks, (task + 1) * outputs // tasks):
        to = advanced(dw, o * features)
        g0 = dy[o]
        for k in range(features):
            to[k] = g0 * x[k]
        n = 1
        while n + 2 <= rows:
            g0, g1 = dy[n * outputs + o], dy[(n + 1) * outputs + o]
            x0, x1 = advanced(x, n * features), advanced(x, (n + 1) * features)
            for k in range(features):
                to[k] += g0 * x0[k] + g1 * x1[k]
            n += 2
        while n < rows:
            g0, x0 = dy[n * outputs + o], advanced(x, n * features)
            for k in range(features):
                to[k] += g0 * x0[k]
            n += 1


def _pieces(size: int) -> int:
    """Into how many tasks an operand of that size is divided."""
    return max(1, min(4 * get_num_threads(), size // 4096))


def linear(x, weight, bias=None) -> Any:
    """`ops.linear` on the processor."""
    outputs, features = weight.shape
    if x.shape[-1] != features:
        raise ValueError(f"linear: weight {weight.shape} expects {features} features; x is {x.shape}")
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"linear: bias expects shape {(outputs,)}; it is {bias.shape}")
    rows_shape, has_bias = x.shape[:-1], bias is not None
    flat, weight = contiguous(x).reshape(-1, features), contiguous(weight)
    bias = None if bias is None else np.ascontiguousarray(bias)
    rows, few = len(flat), len(flat) <= FEW_ROWS
    if few:
        y, tasks = empty((rows, outputs), x.dtype), _pieces(weight.size)
        few_rows(tasks, flat, weight, bias, y, rows, features, outputs, tasks)
    else:
        y = product(flat, (features, 1), weight, (1, features), (rows, features, outputs), bias)

    def backward(dy):
        dy = contiguous(dy).reshape(-1, outputs)

        def dx():
            if not few:
                return product(dy, (outputs, 1), weight, (features, 1), (rows, outputs, features)).reshape(x_shape)
            dx, tasks = empty((rows, features), dy.dtype), _pieces(weight.size)
            few_rows_input_gradient(tasks, dy, weight, dx, rows, features, outputs, tasks)
            return dx.reshape(x_shape)

        def dweight():
            if not few:
                return product(dy, (1, outputs), flat, (features, 1), (outputs, rows, features))
            dw, tasks = empty((outputs, features), dy.dtype), _pieces(weight.size)
            few_rows_weight_gradient(tasks, dy, flat, dw, rows, features, outputs, tasks)
            return dw

        return dx, dweight, (lambda: sum_rows(dy)) if has_bias else None

    x_shape = x.shape
    return y.reshape(*rows_shape, outputs), backward


def matmul(a, b) -> Any:
    """`ops.matmul` on the processor, of two matrices."""
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: b {b.shape} expects {b.shape[0]} columns of a; a is {a.shape}")
    (rows, depth), columns = a.shape, b.shape[1]

    def strides(x, transposed=False):
        first, second = x.strides[0] // x.itemsize, x.strides[1] // x.itemsize
        return (second, first) if transposed else (first, second)

    def backward(dy):
        return (
            lambda: product(dy, strides(dy), b, strides(b, True), (rows, columns, depth)),
            lambda: product(a, strides(a, True), dy, strides(dy), (depth, rows, columns)),
        )

    return product(a, strides(a), b, strides(b), (rows, depth, columns)), backward


def _affine(x, weight, bias=None) -> bool:
    """Whether there is something to compute, of one type."""
    return weight.ndim == 2 and x.ndim > 0 and x.size > 0 and weight.size > 0 and x.dtype == weight.dtype


def _two_matrices(a, b) -> bool:
    return getattr(a, "ndim", 0) == 2 == getattr(b, "ndim", 0) and a.dtype == b.dtype and a.size > 0 and b.size > 0


linear.accepts = _affine  # pyright: ignore[reportFunctionMemberAccess]
matmul.accepts = _two_matrices  # pyright: ignore[reportFunctionMemberAccess]
