"""How channels fill vectors, and weights in the order in which the micro-kernel reads them."""

from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir

from .compiler import INT64, load
from .kernel import kernel
from .language import Pointer, address, advanced, call_transform, helper, number
from .machine import machine


@functools.lru_cache(maxsize=4096)
def tiling(outputs: int, itemsize: int) -> tuple[int, int, int, int, int]:
    """How output channels fill vectors: vectors in a tile, tiles, vectors and lanes in the last tile, lanes left."""
    lanes = machine().lanes(itemsize)
    vectors = -(-outputs // lanes)
    wide = 3 if vectors % 2 and vectors % 3 == 0 and machine().vector_registers == 32 else min(2, vectors)
    tiles = -(-vectors // wide)
    last = vectors - (tiles - 1) * wide
    return wide, tiles, last, last * lanes, (outputs - 1) % lanes + 1


def even_rows(count: int, most: int) -> int:
    """The largest block over rows that divides `count` rows most evenly."""
    return -(-count // -(-count // most))


def strides_in_numbers(array: np.ndarray) -> list[int]:
    """An array's strides in numbers."""
    return [stride // array.itemsize for stride in array.strides]


@functools.cache
def transposition(itemsize: int) -> int:
    """The address of the code that transposes a square of as many rows as a vector has lanes, in registers.

    Each stage interleaves row i with row i + half: after log2(rows) stages every number is where it belongs. It is
    called with `winograd.PARAMETERS`: the source's rows, the target's.
    """
    lanes = machine().lanes(itemsize)
    return load(f"packing.transposition.{lanes}.float{8 * itemsize}", functools.partial(_transposition, itemsize))


def _transposition(itemsize: int, symbol: str) -> str:
    module, lanes = ir.Module(), machine().lanes(itemsize)
    vector = ir.VectorType(ir.FloatType() if itemsize == 4 else ir.DoubleType(), lanes)
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * 8), symbol)
    source, source_row, _, target, target_row = entry.args[:5]
    build = ir.IRBuilder(entry.append_basic_block())

    def row(start, stride, i):
        return build.inttoptr(build.add(start, build.mul(stride, INT64(i))), vector.as_pointer())

    rows = [build.load(row(source, source_row, i), align=itemsize) for i in range(lanes)]
    half = lanes // 2
    order = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
    masks = [ir.Constant(ir.VectorType(ir.IntType(32), lanes), part) for part in (order[:lanes], order[lanes:])]
    for _ in range(lanes.bit_length() - 1):
        rows = [build.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
    for i, value in enumerate(rows):
        build.store(value, row(target, target_row, i), align=itemsize)
    build.ret_void()
    return str(module)


@helper
def copy_matrix(source, of_row, of_column, target, of_target_row, rows, columns, transpose, side):
    """target[r of_target_row + c] = source[r of_row + c of_column]."""
    size = address(source, 1) - address(source, 0)
    if of_column == 1:
        for r in range(rows):
            here, to = advanced(source, r * of_row), advanced(target, r * of_target_row)
            for c in range(columns):
                to[c] = here[c]
        return
    whole_rows, whole_columns = 0, 0
    if of_row == 1:
        whole_rows, whole_columns = rows // side * side, columns // side * side
        for r in range(0, whole_rows, side):
            for c in range(0, whole_columns, side):
                call_transform(
                    transpose, address(source, r + c * of_column), of_column * size, 0,
                    address(target, r * of_target_row + c), of_target_row * size, 0, 1, 0
                )  # fmt: skip
    for r in range(rows):
        for c in range(whole_columns if r < whole_rows else 0, columns):
            target[r * of_target_row + c] = source[r * of_row + c * of_column]


@kernel
def pack_weight(
    task,
    worker,
    weight: Pointer,
    packed: Pointer,
    start: int,
    of_output: int,
    of_input: int,
    of_row: int,
    of_column: int,
    rows: int,
    columns: int,
    inputs: int,
    outputs: int,
    lanes: int,
    tiles: int,
    last_tile: int,
    of_group_output: int,
    of_group_input: int,
    transpose: int,
    side: int,
):
    """Weights as the micro-kernel reads them, zeros in the lanes beyond the outputs. A task is a window row of a tile.

    The weight's own order in memory, and whether taps are flipped or left out, is all in `start` and the strides.
    """
    i = task % rows
    tile = task // rows % tiles
    group = task // rows // tiles
    wide = last_tile if tile == tiles - 1 else lanes
    first = tile * lanes
    valid = min(wide, outputs - first)
    base = start + group * (of_group_output + of_group_input) + first * of_output + i * of_row
    to = (group * ((tiles - 1) * lanes + last_tile) + first) * rows * columns * inputs + i * columns * inputs * wide
    zero = number(weight, 0.0)
    for j in range(columns):
        target = advanced(packed, to + j * inputs * wide)
        source = advanced(weight, base + j * of_column)
        copy_matrix(source, of_input, of_output, target, wide, inputs, valid, transpose, side)
        if valid < wide:
            for c in range(inputs):
                for lane in range(valid, wide):
                    target[c * wide + lane] = zero


@kernel
def order_weight(
    task,
    worker,
    weight: Pointer,
    ordered: Pointer,
    start: int,
    of_output: int,
    of_input: int,
    of_row: int,
    of_column: int,
    columns: int,
    inputs: int,
    outputs: int,
    pieces: int,
    transpose: int,
    side: int,
):
    """Weights as [row][column][input][output], from any order. A task is some of the inputs of one tap."""
    tap, piece = task // pieces, task % pieces
    base = advanced(weight, start + tap // columns * of_row + tap % columns * of_column)
    first, last = piece * inputs // pieces, (piece + 1) * inputs // pieces
    target = advanced(ordered, (tap * inputs + first) * outputs)
    copy_matrix(
        advanced(base, first * of_input), of_input, of_output, target, outputs, last - first, outputs, transpose, side
    )


def transposing(itemsize: int) -> tuple[int, int]:
    """The last settings of `pack_weight` and `order_weight`."""
    return transposition(itemsize), machine().lanes(itemsize)
