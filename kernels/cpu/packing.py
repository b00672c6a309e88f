"""How channels fill vectors, and weights in the order in which the micro-kernel reads them."""

from __future__ import annotations

import functools

import numpy as np

from .compiler import Pointer, advanced, kernel, number
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
        for c0 in range(0, inputs, 16):
            c1 = min(inputs, c0 + 16)
            for c in range(c0, c1):
                place = to + (j * inputs + c) * wide
                if of_output == 1:
                    for lane in range(valid):
                        packed[place + lane] = weight[base + j * of_column + c * of_input + lane]
                for lane in range(valid, wide):
                    packed[place + lane] = zero
            if of_output != 1:
                for lane in range(valid):
                    for c in range(c0, c1):
                        packed[to + (j * inputs + c) * wide + lane] = weight[
                            base + j * of_column + c * of_input + lane * of_output
                        ]


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
):
    """Weights as [row][column][input][output], from any order. A task is some of the inputs of one tap."""
    tap, piece = task // pieces, task % pieces
    base = advanced(weight, start + tap // columns * of_row + tap % columns * of_column)
    to = advanced(ordered, tap * inputs * outputs)
    last = (piece + 1) * inputs // pieces
    for c0 in range(piece * inputs // pieces, last, 16):
        c1 = min(last, c0 + 16)
        for o0 in range(0, outputs, 16):
            o1 = min(outputs, o0 + 16)
            for c in range(c0, c1):
                for o in range(o0, o1):
                    to[c * outputs + o] = base[c * of_input + o * of_output]
