r"""Winograd's convolution: fewer multiplications, by multiplying polynomials through their values.

A row of m outputs of a filter of r taps costs m r products. But the n = m + r - 1 inputs and the taps are coefficients
of two polynomials, the outputs coefficients of (the transpose of) their product, and that product is known from its
values at n points: n products. With points 0, 1, -1 (2, -2) and infinity, going to values and back takes additions and
a few multiplications by constants, once for each tile and each filter, whereas the products are needed for each pair of
them. In two dimensions, for tiles of 4 x 4 outputs, 36 products do the work of 144.

    y = A^T [ (G w G^T) * (B^T d B) ] A          d: n x n inputs,  w: r x r taps,  y: m x m outputs

      x --- tiles, B^T d B --->  V[k][tile][C]                    k = 1..n^2 values. For each k the sum over channels
                                     x              ---> M[k][tile][O] --- A^T m A ---> y      is a matrix product:
      w -------- G w G^T ----->  U[k][C][O]                       the micro-kernel again.

The gradients are the same three maps transposed: dw = G^T [ (B^T d B) * (A dy A^T) ] G, and dx is the forward walk with
the filter turned round. A 4 x 4 filter of stride 2 (DCGAN) is four filters of 2 x 2, one for each phase of the pixels,
whose channels stand side by side.

Blocks of tiles are chosen so that V and M stay in the second-level cache; U is read from beyond. Where there are few
tiles and many weights (512 channels, 7 x 7) the threads share the matrices by k instead, and U is read once.

Error in float32 against float64, relative to the largest value: F(2x2, 3x3) 1e-6, F(4x4, 3x3) 2e-5 (values at 2 and -2
are of different sizes), F(3x3, 2x2) 1e-6. Measured: up to 600 Gflop/s of a direct convolution's count, where the
processor's peak is 235.

Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray 2015, arXiv 1509.09308.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from .compiler import INT64, load
from .kernel import kernel
from .language import Pointer, address, advanced, call_block, call_transform, helper, number
from .machine import machine
from .memory import channels_last, empty, empty_channels_last, scratch
from .microkernel import block
from .packing import even_rows, order_weight, strides_in_numbers, tiling, transposing
from .threads import get_num_threads

# The transforms in one dimension, on anything that can be added and multiplied by a number: numbers, arrays, and the
# vectors of the code that is written below. In two dimensions they are applied to the columns, then to the rows.


def input_of_f4(d: Sequence) -> list:
    r"""B^T d: values of the inputs' polynomial for F(4, 3), at 0, 1, -1, 2, -2 and infinity (scaled by G's share)."""
    even_1, odd_1 = d[4] - 4 * d[2], d[3] - 4 * d[1]
    even_2, odd_2 = d[4] - d[2], 2 * (d[3] - d[1])
    return [
        *(4 * d[0] - 5 * d[2] + d[4], even_1 + odd_1, even_1 - odd_1, even_2 + odd_2, even_2 - odd_2),
        4 * d[1] - 5 * d[3] + d[5],
    ]


def output_of_f4(m: Sequence) -> list:
    r"""A^T m: the outputs from the products at the six points."""
    sum_1, difference_1, sum_2, difference_2 = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [
        *(m[0] + sum_1 + sum_2, difference_1 + 2 * difference_2, sum_1 + 4 * sum_2),
        difference_1 + 8 * difference_2 + m[5],
    ]


def output_adjoint_of_f4(y: Sequence) -> list:
    r"""A y: values of the polynomial with coefficients y at the six points."""
    even_1, odd_1, even_2, odd_2 = y[0] + y[2], y[1] + y[3], y[0] + 4 * y[2], 2 * y[1] + 8 * y[3]
    return [y[0], even_1 + odd_1, even_1 - odd_1, even_2 + odd_2, even_2 - odd_2, y[3]]


def weight_of_f4(w: Sequence) -> list:
    r"""G w: values of the filter's polynomial, divided by what B^T multiplied."""
    even_1, even_2, odd_2 = w[0] + w[2], (1 / 24) * w[0] + (1 / 6) * w[2], (1 / 12) * w[1]
    return [
        *(0.25 * w[0], (-1 / 6) * (even_1 + w[1]), (-1 / 6) * (even_1 - w[1]), even_2 + odd_2, even_2 - odd_2),
        w[2],
    ]


def weight_adjoint_of_f4(u: Sequence) -> list:
    r"""G^T u."""
    sum_1, difference_1, sum_2, difference_2 = u[1] + u[2], u[1] - u[2], u[3] + u[4], u[3] - u[4]
    return [
        0.25 * u[0] - (1 / 6) * sum_1 + (1 / 24) * sum_2,
        (-1 / 6) * difference_1 + (1 / 12) * difference_2,
        (-1 / 6) * sum_1 + (1 / 6) * sum_2 + u[5],
    ]


def input_of_f2(d: Sequence) -> list:
    r"""B^T d for F(2, 3), at 0, 1, -1 and infinity; for F(3, 2) too, which has the same points."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def output_of_f2(m: Sequence) -> list:
    r"""A^T m for F(2, 3)."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def output_adjoint_of_f2(y: Sequence) -> list:
    r"""A y for F(2, 3)."""
    return [y[0], y[0] + y[1], y[0] - y[1], -1 * y[1]]


def weight_of_f2(w: Sequence) -> list:
    r"""G w for F(2, 3)."""
    even = w[0] + w[2]
    return [w[0], 0.5 * (even + w[1]), 0.5 * (even - w[1]), w[2]]


def weight_adjoint_of_f2(u: Sequence) -> list:
    r"""G^T u for F(2, 3)."""
    return [u[0] + 0.5 * (u[1] + u[2]), 0.5 * (u[1] - u[2]), 0.5 * (u[1] + u[2]) + u[3]]


def output_of_f3(m: Sequence) -> list:
    r"""A^T m for F(3, 2)."""
    return [m[0] + m[1] + m[2], m[1] - m[2], m[1] + m[2] - m[3]]


def output_adjoint_of_f3(y: Sequence) -> list:
    r"""A y for F(3, 2)."""
    even = y[0] + y[2]
    return [y[0], even + y[1], even - y[1], -1 * y[2]]


def weight_of_f3(w: Sequence) -> list:
    r"""G w for F(3, 2)."""
    return [w[0], 0.5 * (w[0] + w[1]), 0.5 * (w[0] - w[1]), w[1]]


def weight_adjoint_of_f3(u: Sequence) -> list:
    r"""G^T u for F(3, 2)."""
    return [u[0] + 0.5 * (u[1] + u[2]), 0.5 * (u[1] - u[2]) + u[3]]


def input_of_f22(d: Sequence) -> list:
    r"""B^T d for F(2, 2), at 0, 1 and infinity."""
    return [d[0] - d[1], d[1], d[2] - d[1]]


def output_of_f22(m: Sequence) -> list:
    r"""A^T m for F(2, 2)."""
    return [m[0] + m[1], m[1] + m[2]]


def output_adjoint_of_f22(y: Sequence) -> list:
    r"""A y for F(2, 2)."""
    return [y[0], y[0] + y[1], y[1]]


def weight_of_f22(w: Sequence) -> list:
    r"""G w for F(2, 2)."""
    return [w[0], w[0] + w[1], w[1]]


def weight_adjoint_of_f22(u: Sequence) -> list:
    r"""G^T u for F(2, 2)."""
    return [u[0] + u[1], u[1] + u[2]]


class Transforms(NamedTuple):
    """F(outputs, taps): its five maps, and n = outputs + taps - 1 points."""

    outputs: int
    taps: int
    input: Callable
    output: Callable
    output_adjoint: Callable
    weight: Callable
    weight_adjoint: Callable

    @property
    def points(self) -> int:
        return self.outputs + self.taps - 1


F4 = Transforms(4, 3, input_of_f4, output_of_f4, output_adjoint_of_f4, weight_of_f4, weight_adjoint_of_f4)
F2 = Transforms(2, 3, input_of_f2, output_of_f2, output_adjoint_of_f2, weight_of_f2, weight_adjoint_of_f2)
F3 = Transforms(3, 2, input_of_f2, output_of_f3, output_adjoint_of_f3, weight_of_f3, weight_adjoint_of_f3)
F22 = Transforms(2, 2, input_of_f22, output_of_f22, output_adjoint_of_f22, weight_of_f22, weight_adjoint_of_f22)

BY_NAME = {"F4": F4, "F2": F2, "F3": F3, "F22": F22}
"""The first two for filters of 3 x 3, the others for the phases of 4 x 4 with stride 2."""


# Their machine code.

PARAMETERS = ("source", "source_row", "source_column", "target", "target_row", "target_column", "vectors", "bias")
"""Addresses, strides in bytes, how many neighbouring vectors of channels there are to transform, and in the code for it
where their biases lie, which are added to each result."""


class _Vector:
    """A vector in the code that is being written."""

    def __init__(self, build: ir.IRBuilder, value: Any):
        self.build, self.value = build, value

    def __add__(self, other: _Vector) -> _Vector:
        return _Vector(self.build, self.build.fadd(self.value, other.value, flags=("contract",)))

    def __sub__(self, other: _Vector) -> _Vector:
        return _Vector(self.build, self.build.fsub(self.value, other.value, flags=("contract",)))

    def __rmul__(self, factor: float) -> _Vector:
        constant = ir.Constant(self.value.type, [float(factor)] * self.value.type.count)
        return _Vector(self.build, self.build.fmul(constant, self.value, flags=("contract",)))


@functools.cache
def transform(one_dimension: Callable, inputs: int, outputs: int, itemsize: int, biased: bool = False) -> int:
    """The address of the code that applies a map to the columns and the rows of a square of vectors."""
    lanes = machine().lanes(itemsize)
    name = f"winograd.{one_dimension.__name__}{'_biased' if biased else ''}.{inputs}x{outputs}x{lanes}"
    write = functools.partial(_transform_module, one_dimension, inputs, outputs, itemsize, biased)
    return load(f"{name}.float{8 * itemsize}", write)


def codes(f: Transforms, itemsize: int) -> tuple[int, ...]:
    """The addresses of all code for F(outputs, taps)."""
    m, r, n = f.outputs, f.taps, f.points
    maps = ((f.input, n, n), (f.output, n, m), (f.output_adjoint, m, n), (f.weight, r, n), (f.weight_adjoint, n, r))
    plain = [transform(one_dimension, before, after, itemsize) for one_dimension, before, after in maps]
    return *plain, transform(f.output, n, m, itemsize, biased=True)


def _transform_module(
    one_dimension: Callable, inputs: int, outputs: int, itemsize: int, biased: bool, symbol: str
) -> str:
    module = ir.Module()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * len(PARAMETERS)), symbol)
    given: dict[str, Any] = dict(zip(PARAMETERS, entry.args, strict=True))
    lanes = machine().lanes(itemsize)
    vector = ir.VectorType(ir.FloatType() if itemsize == 4 else ir.DoubleType(), lanes)
    build = ir.IRBuilder(entry.append_basic_block("entry"))
    loop, done = entry.append_basic_block("loop"), entry.append_basic_block("done")
    before = build.block
    build.branch(loop)
    build.position_at_end(loop)
    count, source, target, bias = (build.phi(INT64) for _ in range(4))

    def place(start, side, i, j):
        row = build.mul(given[f"{side}_row"], ir.Constant(INT64, i))
        column = build.mul(given[f"{side}_column"], ir.Constant(INT64, j))
        return build.inttoptr(build.add(start, build.add(row, column)), vector.as_pointer())

    square = [
        [_Vector(build, build.load(place(source, "source", i, j), align=itemsize)) for i in range(inputs)]
        for j in range(inputs)
    ]
    columns = [one_dimension(column) for column in square]
    added = _Vector(build, build.load(build.inttoptr(bias, vector.as_pointer()), align=itemsize)) if biased else None
    for i in range(outputs):
        for j, value in enumerate(one_dimension([column[i] for column in columns])):
            value = value if added is None else value + added
            build.store(value.value, place(target, "target", i, j), align=itemsize)
    step = ir.Constant(INT64, lanes * itemsize)
    for phi, first, following in (
        (count, given["vectors"], build.sub(count, ir.Constant(INT64, 1))),
        (source, given["source"], build.add(source, step)),
        (target, given["target"], build.add(target, step)),
        (bias, given["bias"], build.add(bias, step)),
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(following, loop)
    left = build.sub(count, ir.Constant(INT64, 1))
    build.cbranch(build.icmp_signed("!=", left, ir.Constant(INT64, 0)), loop, done)
    build.position_at_end(done)
    build.ret_void()
    return str(module)


# The kernels. Tile number t is tile (t // columns % rows, t % columns) of image t // columns // rows.


@helper
def transform_tiles(
    source, height, width, channels, side, span, step, phases, top, rows, columns, first, count,
    target, room, of_channels, spare, code, vectors
):  # fmt: skip
    """Tiles of `span` pixels a side, `step` apart, into target[k][tile][phase and channel]; zeros beyond the image."""
    size = address(source, 1) - address(source, 0)
    zero = number(source, 0.0)
    line = of_channels
    for t in range(count):
        tile = first + t
        image = tile // (rows * columns)
        y = tile // columns % rows * step - top
        x = tile % columns * step - top
        if y >= 0 and x >= 0 and y + span <= height and x + span <= width:
            begin = address(source, ((image * height + y) * width + x) * channels)
            row = width * channels * size
        else:
            for i in range(span):
                inside = y + i >= 0 and y + i < height
                for j in range(span):
                    to = advanced(spare, (i * span + j) * channels)
                    if inside and x + j >= 0 and x + j < width:
                        from_source = advanced(source, ((image * height + y + i) * width + x + j) * channels)
                        for c in range(channels):
                            to[c] = from_source[c]
                    else:
                        for c in range(channels):
                            to[c] = zero
            begin = address(spare, 0)
            row = span * channels * size
        for a in range(phases):
            for b in range(phases):
                call_transform(
                    code, begin + a * row + b * channels * size, phases * row, phases * channels * size,
                    address(target, t * line + (a * phases + b) * channels), side * room * line * size,
                    room * line * size, vectors, 0
                )  # fmt: skip


@helper
def put_tiles(
    products, room, of_channels, bias, out, height, width, channels, side, outputs, phases, offset_0, offset_1, rows,
    columns, first, count, spare, code, vectors
):  # fmt: skip
    """The outputs of tiles from products[k][tile][phase and channel], where they are inside the image."""
    size = address(out, 1) - address(out, 0)
    for t in range(count):
        tile = first + t
        image = tile // (rows * columns)
        for a in range(phases):
            y = (offset_1 if a == 1 else offset_0) + tile // columns % rows * outputs * phases
            for b in range(phases):
                x = (offset_1 if b == 1 else offset_0) + tile % columns * outputs * phases
                begin = address(products, t * of_channels + (a * phases + b) * channels)
                of_row, of_column = side * room * of_channels * size, room * of_channels * size
                reach = (outputs - 1) * phases
                if y >= 0 and x >= 0 and y + reach < height and x + reach < width:
                    call_transform(
                        code, begin, of_row, of_column, address(out, ((image * height + y) * width + x) * channels),
                        phases * width * channels * size, phases * channels * size, vectors, address(bias, 0)
                    )  # fmt: skip
                else:
                    call_transform(
                        code, begin, of_row, of_column, address(spare, 0), outputs * channels * size, channels * size,
                        vectors, address(bias, 0)
                    )  # fmt: skip
                    for i in range(outputs):
                        h = y + i * phases
                        if h >= 0 and h < height:
                            for j in range(outputs):
                                v = x + j * phases
                                if v >= 0 and v < width:
                                    to = advanced(out, ((image * height + h) * width + v) * channels)
                                    value = advanced(spare, (i * outputs + j) * channels)
                                    for c in range(channels):
                                        to[c] = value[c]


@helper
def multiply(
    values, weights, products, k, room, count, inputs, outputs, lanes, tile, tiles, last_lanes, full, last, rows
):
    """products[k][t][o] = sum over c of values[k][t][c] weights[k][c][o], for one tile of outputs."""
    size = address(values, 1) - address(values, 0)
    wide = (last_lanes if tile == tiles - 1 else lanes) * size
    code = last if tile == tiles - 1 else full
    b = address(weights, k * inputs * outputs + tile * lanes * inputs)
    r = 0
    while r < count:
        r = max(0, min(r, count - rows))
        a = address(values, (k * room + r) * inputs)
        o = address(products, (k * room + r) * outputs + tile * lanes)
        # fmt: off
        call_block(
            code, a, 0, 0, size, inputs * size, b, 0, 0, wide, 1, 1, inputs, o, outputs * size, 0, 0, 0,
        )
        # fmt: on
        r += rows


@kernel
def transform_weight(
    task, worker, weight: Pointer, values: Pointer, code: int, points: int, taps: int, phases: int, inputs: int,
    outputs: int, lanes: int, tiles: int, last_lanes: int, of_lane: int
):  # fmt: skip
    """G w G^T for one input channel of the weight [row][column][input][output]; taps are `phases` apart."""
    size = address(weight, 1) - address(weight, 0)
    width = taps * phases
    for a in range(phases):
        for b in range(phases):
            channel = (a * phases + b) * inputs + task
            all_inputs = phases * phases * inputs
            for tile in range(tiles):
                wide = last_lanes if tile == tiles - 1 else lanes
                call_transform(
                    code, address(weight, ((a * width + b) * inputs + task) * outputs + tile * lanes),
                    phases * width * inputs * outputs * size, phases * inputs * outputs * size,
                    address(values, tile * lanes * all_inputs + channel * wide),
                    points * all_inputs * outputs * size, all_inputs * outputs * size, wide // of_lane, 0
                )  # fmt: skip


@kernel
def transform_phased_weight(
    task, worker, weight: Pointer, values: Pointer, code: int, points: int, taps: int, phases: int, inputs: int,
    channels: int, lanes: int, tiles: int, last_lanes: int, of_lane: int
):  # fmt: skip
    """The same for one input channel where the outputs have phases: output (phase, channel)."""
    size = address(weight, 1) - address(weight, 0)
    width = taps * phases
    outputs = phases * phases * channels
    for a in range(phases):
        for b in range(phases):
            for c in range(0, channels, of_lane):
                output = (a * phases + b) * channels + c
                tile = output // lanes
                wide = last_lanes if tile == tiles - 1 else lanes
                call_transform(
                    code, address(weight, ((a * width + b) * inputs + task) * channels + c),
                    phases * width * inputs * channels * size, phases * inputs * channels * size,
                    address(values, tile * lanes * inputs + task * wide + output - tile * lanes),
                    points * inputs * outputs * size, inputs * outputs * size, 1, 0
                )  # fmt: skip


@kernel
def convolve_tiles(
    task, worker, source: Pointer, weights: Pointer, bias: Pointer, out: Pointer, values_memory: Pointer,
    products_memory: Pointer, spare_memory: Pointer, spare_size: int, room: int, input_code: int, output_code: int,
    full: int, last: int,
    rows_at_once: int, lanes: int, tiles: int, last_lanes: int, height: int, width: int, channels: int, side: int,
    span: int, step: int, in_phases: int, top: int, tile_rows: int, tile_columns: int, count: int, out_height: int,
    out_width: int, out_channels: int, outputs: int, out_phases: int, offset_0: int, offset_1: int, of_lane: int
):  # fmt: skip
    """A block of tiles from input to output."""
    inputs, products_wide = in_phases * in_phases * channels, out_phases * out_phases * out_channels
    values = advanced(values_memory, worker * side * side * room * inputs)
    products = advanced(products_memory, worker * side * side * room * products_wide)
    spare = advanced(spare_memory, worker * spare_size)
    first = task * room
    here = min(room, count - first)
    transform_tiles(
        source, height, width, channels, side, span, step, in_phases, top, tile_rows, tile_columns, first, here,
        values, room, inputs, spare, input_code, channels // of_lane
    )  # fmt: skip
    for k in range(side * side):
        for tile in range(tiles):
            multiply(
                values, weights, products, k, room, here, inputs, products_wide, lanes, tile, tiles, last_lanes, full,
                last, rows_at_once
            )  # fmt: skip
    put_tiles(
        products, room, products_wide, bias, out, out_height, out_width, out_channels, side, outputs, out_phases,
        offset_0, offset_1, tile_rows, tile_columns, first, here, spare, output_code, out_channels // of_lane
    )  # fmt: skip


@kernel
def tiles_to_values(
    task, worker, source: Pointer, values: Pointer, spare_memory: Pointer, spare_size: int, tasks: int, code: int,
    height: int, width: int, channels: int, side: int, span: int, step: int, phases: int, top: int, tile_rows: int,
    tile_columns: int, count: int, of_lane: int
):  # fmt: skip
    """B^T d B (or A dy A^T) for some of all tiles."""
    first = task * count // tasks
    line = phases * phases * channels
    transform_tiles(
        source, height, width, channels, side, span, step, phases, top, tile_rows, tile_columns, first,
        (task + 1) * count // tasks - first, advanced(values, first * line), count, line,
        advanced(spare_memory, worker * spare_size), code, channels // of_lane
    )  # fmt: skip


@kernel
def multiply_values(
    task, worker, values: Pointer, weights: Pointer, products: Pointer, count: int, inputs: int, outputs: int,
    lanes: int, tiles: int, last_lanes: int, full: int, last: int, rows: int
):  # fmt: skip
    """One matrix product, or one tile of its columns."""
    multiply(
        values, weights, products, task // tiles, count, count, inputs, outputs, lanes, task % tiles, tiles, last_lanes,
        full, last, rows
    )  # fmt: skip


@kernel
def products_to_tiles(
    task, worker, products: Pointer, bias: Pointer, out: Pointer, spare_memory: Pointer, spare_size: int, tasks: int,
    code: int,
    height: int, width: int, channels: int, side: int, outputs: int, phases: int, offset_0: int, offset_1: int,
    tile_rows: int, tile_columns: int, count: int, of_lane: int
):  # fmt: skip
    """A^T m A for some of all tiles."""
    first = task * count // tasks
    line = phases * phases * channels
    put_tiles(
        advanced(products, first * line), count, line, bias, out, height, width, channels, side, outputs, phases,
        offset_0, offset_1, tile_rows, tile_columns, first, (task + 1) * count // tasks - first,
        advanced(spare_memory, worker * spare_size), code, channels // of_lane
    )  # fmt: skip


@helper
def gather_products(
    values, upstream, sums, k, room, count, inputs, outputs, lanes, tile, tiles, last_lanes, full, full_rest, last,
    last_rest, rows, again
):  # fmt: skip
    """sums[k][c][o] (+)= sum over tiles t of values[k][t][c] upstream[k][t][o], for one tile of outputs."""
    size = address(values, 1) - address(values, 0)
    parts = (inputs + rows - 1) // rows
    b = address(upstream, k * room * outputs + tile * lanes)
    for part in range(parts):
        code = last if tile == tiles - 1 else full
        if part == parts - 1:
            code = last_rest if tile == tiles - 1 else full_rest
        o = address(sums, (k * inputs + part * rows) * outputs + tile * lanes)
        # fmt: off
        call_block(
            code, address(values, k * room * inputs + part * rows), 0, 0, inputs * size, size,
            b, 0, 0, outputs * size, 1, 1, count, o, outputs * size, o if again else 0, outputs * size, 0,
        )
        # fmt: on


@kernel
def gather_tiles(
    task, worker, source: Pointer, dy: Pointer, sums_memory: Pointer, values_memory: Pointer,
    upstream_memory: Pointer, spare_memory: Pointer, spare_size: int, room: int, blocks: int, tasks: int,
    input_code: int, output_code: int, full: int, full_rest: int, last: int, last_rest: int, rows_at_once: int,
    lanes: int, tiles: int, last_lanes: int, height: int, width: int, channels: int, side: int, span: int, step: int,
    phases: int, top: int, tile_rows: int, tile_columns: int, count: int, out_height: int, out_width: int,
    out_channels: int, outputs: int, of_lane: int
):  # fmt: skip
    """The sums over tiles for some of the blocks of tiles: sums [task][k][input][output]."""
    inputs = phases * phases * channels
    values = advanced(values_memory, worker * side * side * room * inputs)
    upstream = advanced(upstream_memory, worker * side * side * room * out_channels)
    spare = advanced(spare_memory, worker * spare_size)
    sums = advanced(sums_memory, task * side * side * inputs * out_channels)
    first_block = task * blocks // tasks
    for at in range(first_block, (task + 1) * blocks // tasks):
        first = at * room
        here = min(room, count - first)
        transform_tiles(
            source, height, width, channels, side, span, step, phases, top, tile_rows, tile_columns, first, here,
            values, room, inputs, spare, input_code, channels // of_lane
        )  # fmt: skip
        transform_tiles(
            dy, out_height, out_width, out_channels, side, outputs, outputs, 1, 0, tile_rows, tile_columns, first,
            here, upstream, room, out_channels, spare, output_code, out_channels // of_lane
        )  # fmt: skip
        for k in range(side * side):
            for tile in range(tiles):
                gather_products(
                    values, upstream, sums, k, room, here, inputs, out_channels, lanes, tile, tiles, last_lanes, full,
                    full_rest, last, last_rest, rows_at_once, at > first_block
                )  # fmt: skip


@kernel
def gather_values(
    task, worker, values: Pointer, upstream: Pointer, sums: Pointer, count: int, inputs: int, outputs: int,
    lanes: int, tiles: int, last_lanes: int, full: int, full_rest: int, last: int, last_rest: int, rows: int
):  # fmt: skip
    """The sums over all tiles for one k and one tile of outputs."""
    gather_products(
        values, upstream, sums, task // tiles, count, count, inputs, outputs, lanes, task % tiles, tiles, last_lanes,
        full, full_rest, last, last_rest, rows, False
    )  # fmt: skip


@kernel
def sums_to_weight(
    task, worker, sums: Pointer, weight: Pointer, parts: int, code: int, points: int, taps: int, phases: int,
    inputs: int, outputs: int, of_lane: int
):  # fmt: skip
    """G^T u G for one input channel (of one phase), after adding up what the tasks have summed."""
    size = address(sums, 1) - address(sums, 0)
    all_inputs = phases * phases * inputs
    whole = points * points * all_inputs * outputs
    for part in range(1, parts):
        for k in range(points * points):
            total = advanced(sums, (k * all_inputs + task) * outputs)
            other = advanced(sums, part * whole + (k * all_inputs + task) * outputs)
            for o in range(outputs):
                total[o] += other[o]
    phase, channel = task // inputs, task % inputs
    width = taps * phases
    call_transform(
        code, address(sums, task * outputs), points * all_inputs * outputs * size, all_inputs * outputs * size,
        address(weight, ((phase // phases * width + phase % phases) * inputs + channel) * outputs),
        phases * width * inputs * outputs * size, phases * inputs * outputs * size, outputs // of_lane, 0
    )  # fmt: skip


# Plans and bodies.

BLOCK_BYTES = 700 * 1024
"""Of V and M together: they stay in the second-level cache."""

LARGE_BLOCK_BYTES = 8 * 2**20
"""The same where the weights do not fit there anyway, and more tiles are worth more."""


class Geometry(NamedTuple):
    """A square filter of `phases * taps` taps and stride `phases`."""

    transforms: Transforms
    images: int
    height: int
    width: int
    inputs: int
    out_height: int
    out_width: int
    outputs: int
    phases: int
    padding: int
    itemsize: int
    threads: int


def _room(count: int, rows: int, inputs: int, outputs: int, points: int, itemsize: int, threads: int) -> int:
    """How many tiles there are in a block."""
    of_tile = points * points * (inputs + outputs) * itemsize
    limit = BLOCK_BYTES if inputs * outputs <= 128 * 128 else LARGE_BLOCK_BYTES
    room = max(rows, limit // of_tile // rows * rows)
    return max(1, min(room, -(-count // threads)))


class Convolution:
    """`convolve_tiles` for one geometry; `transposed` where the outputs have the phases (an input gradient)."""

    def __init__(self, g: Geometry, transposed: bool, biased: bool):
        f, lanes = g.transforms, machine().lanes(g.itemsize)
        m, n = f.outputs, f.points
        if transposed and g.phases > 1:
            # The turned filter's taps a, a + s ... reach outputs h with h + P = s - 1 - a modulo s: h = first + s q,
            # for which they begin `start` before row q of the input. All phases use the tiles that begin `top` before.
            s = g.phases
            phases = range(s - 1, -1, -1)
            firsts = [(phase - g.padding) % s for phase in phases]
            starts = [
                (phase + s * (f.taps - 1) - first - g.padding) // s for phase, first in zip(phases, firsts, strict=True)
            ]
            top = max(starts)
            offsets = [first + s * (start - top) for first, start in zip(firsts, starts, strict=True)]
            rows, columns = (-(-(-(-size // s) + top) // m) for size in (g.out_height, g.out_width))
            in_phases, out_phases, span, step = 1, s, n, m
        else:
            offsets, top = [0, 0], g.padding
            rows, columns = -(-g.out_height // m), -(-g.out_width // m)
            in_phases, out_phases, span, step = g.phases, 1, n * g.phases, m * g.phases
        self.count = g.images * rows * columns
        self.all_inputs, self.all_outputs = in_phases**2 * g.inputs, out_phases**2 * g.outputs
        wide, self.tiles, last_wide, self.last_lanes, _ = tiling(self.all_outputs, g.itemsize)
        self.lanes, self.of_lane = wide * lanes, lanes
        most = machine().rows(wide)
        self.room = max(1, _room(self.count, most, self.all_inputs, self.all_outputs, n, g.itemsize, g.threads))
        self.blocks = -(-self.count // self.room)
        large = self.all_inputs * self.all_outputs * n * n * g.itemsize > 4 * 2**20
        self.shared = large and self.room < 8 * most and g.threads > 1
        self.rows = even_rows(self.count if self.shared else self.room, most)
        codes = block(self.rows, wide, g.itemsize), block(self.rows, last_wide, g.itemsize)
        input_code = transform(f.input, n, n, g.itemsize)
        output_code = transform(f.output, n, m, g.itemsize, biased)
        self.weight_code = transform(f.weight, f.taps, n, g.itemsize)
        self.points, self.taps, self.phases, self.out_phases = n, f.taps, g.phases, out_phases
        self.inputs, self.outputs = g.inputs, g.outputs
        self.spare_size = max(span * span * g.inputs, m * m * g.outputs)
        tiling_of = (self.lanes, self.tiles, self.last_lanes)
        place = (g.height, g.width, g.inputs, n, span, step, in_phases, top, rows, columns, self.count)
        target = (g.out_height, g.out_width, g.outputs)
        self.settings = (
            *(self.spare_size, self.room, input_code, output_code, *codes, self.rows, *tiling_of, *place, *target),
            *(m, out_phases, *offsets, lanes),
        )
        self.tasks = min(self.count, 4 * g.threads)
        self.input_settings = (self.spare_size, self.tasks, input_code, *place, lanes)
        self.multiply_settings = (self.count, self.all_inputs, self.all_outputs, *tiling_of, *codes, self.rows)
        self.output_settings = (
            *(self.spare_size, self.tasks, output_code, *target, n, m, out_phases, *offsets, rows, columns),
            *(self.count, lanes),
        )

    def weights(self, ordered: np.ndarray) -> np.ndarray:
        """G w G^T of the weight [row][column][input][output]."""
        values = scratch("winograd weights", self.points**2 * self.all_inputs * self.all_outputs, ordered.dtype)
        body = transform_phased_weight if self.out_phases > 1 else transform_weight
        body(
            self.inputs,
            *(ordered, values, self.weight_code, self.points, self.taps, self.phases, self.inputs, self.outputs),
            *(self.lanes, self.tiles, self.last_lanes, self.of_lane),
        )
        return values

    def run(self, source: np.ndarray, values: np.ndarray, bias: np.ndarray | None, out: np.ndarray) -> None:
        threads, dtype, points = get_num_threads(), source.dtype, self.points**2
        spare = scratch("winograd spare", self.spare_size * threads, dtype)
        if self.shared:
            tiles = scratch("winograd values", points * self.count * self.all_inputs, dtype)
            products = scratch("winograd products", points * self.count * self.all_outputs, dtype)
            tiles_to_values(self.tasks, source, tiles, spare, *self.input_settings)
            multiply_values(points * self.tiles, tiles, values, products, *self.multiply_settings)
            products_to_tiles(self.tasks, products, bias, out, spare, *self.output_settings)
            return
        tiles = scratch("winograd values", threads * points * self.room * self.all_inputs, dtype)
        products = scratch("winograd products", threads * points * self.room * self.all_outputs, dtype)
        convolve_tiles(self.blocks, source, values, bias, out, tiles, products, spare, *self.settings)


class WeightGradient:
    """`gather_tiles` for one geometry."""

    def __init__(self, g: Geometry):
        f, lanes = g.transforms, machine().lanes(g.itemsize)
        m, n, s = f.outputs, f.points, g.phases
        rows, columns = -(-g.out_height // m), -(-g.out_width // m)
        self.count = g.images * rows * columns
        self.all_inputs, self.outputs, self.of_lane = s * s * g.inputs, g.outputs, lanes
        wide, self.tiles, last_wide, last_lanes, _ = tiling(g.outputs, g.itemsize)
        self.room = _room(self.count, 1, self.all_inputs, g.outputs, n, g.itemsize, g.threads)
        blocks = -(-self.count // self.room)
        self.parts = min(g.threads, blocks)
        self.sum_size = n * n * self.all_inputs * g.outputs
        self.shared = self.sum_size * g.itemsize > 4 * 2**20
        numbers = even_rows(self.all_inputs, machine().rows(wide))
        rest = self.all_inputs - (-(-self.all_inputs // numbers) - 1) * numbers
        codes = [block(r, v, g.itemsize) for v in (wide, last_wide) for r in (numbers, rest)]
        input_code, output_code = transform(f.input, n, n, g.itemsize), transform(f.output_adjoint, m, n, g.itemsize)
        self.weight_code = transform(f.weight_adjoint, n, f.taps, g.itemsize)
        self.points, self.taps, self.phases, self.inputs = n, f.taps, s, g.inputs
        self.spare_size = max((n * s) ** 2 * g.inputs, m * m * g.outputs)
        tiling_of = (wide * lanes, self.tiles, last_lanes)
        place = (g.height, g.width, g.inputs, n, n * s, m * s, s, g.padding, rows, columns, self.count)
        target = (g.out_height, g.out_width, g.outputs)
        self.settings = (
            *(self.spare_size, self.room, blocks, self.parts, input_code, output_code, *codes, numbers, *tiling_of),
            *(*place, *target, m, lanes),
        )
        self.tasks = min(self.count, 4 * g.threads)
        self.input_settings = (self.spare_size, self.tasks, input_code, *place, lanes)
        self.upstream_settings = (
            *(self.spare_size, self.tasks, output_code, *target, n, m, m, 1, 0, rows, columns, self.count, lanes),
        )
        self.gather_settings = (self.count, self.all_inputs, g.outputs, *tiling_of, *codes, numbers)

    def run(self, source: np.ndarray, dy: np.ndarray, dw: np.ndarray) -> None:
        threads, dtype, points = get_num_threads(), source.dtype, self.points**2
        spare = scratch("winograd spare", self.spare_size * threads, dtype)
        parts = 1 if self.shared else self.parts
        sums = scratch("winograd sums", parts * self.sum_size, dtype)
        if self.shared:
            values = scratch("winograd values", points * self.count * self.all_inputs, dtype)
            upstream = scratch("winograd products", points * self.count * self.outputs, dtype)
            tiles_to_values(self.tasks, source, values, spare, *self.input_settings)
            tiles_to_values(self.tasks, dy, upstream, spare, *self.upstream_settings)
            gather_values(points * self.tiles, values, upstream, sums, *self.gather_settings)
        else:
            values = scratch("winograd values", threads * points * self.room * self.all_inputs, dtype)
            upstream = scratch("winograd products", threads * points * self.room * self.outputs, dtype)
            gather_tiles(parts, source, dy, sums, values, upstream, spare, *self.settings)
        sums_to_weight(
            self.all_inputs,
            *(sums, dw, parts, self.weight_code, self.points, self.taps, self.phases, self.inputs, self.outputs),
            self.of_lane,
        )


_convolution = functools.lru_cache(maxsize=1024)(Convolution)
_weight_gradient = functools.lru_cache(maxsize=1024)(WeightGradient)


def ordered_weight(weight: np.ndarray, turned: bool) -> np.ndarray:
    """A weight (O, C, kh, kw) as [row][column][C][O]; turned round, and as [row][column][O][C], for a gradient."""
    o, c, kh, kw = weight.shape
    of_o, of_c, of_i, of_j = strides_in_numbers(weight)
    if not turned and (of_o, of_c, of_j, of_i) == (1, o, o * c, o * c * kw):
        return weight
    ordered = scratch("ordered weight", weight.size, weight.dtype)
    if turned:
        start, of_output, of_input, of_i, of_j = (kh - 1) * of_i + (kw - 1) * of_j, of_c, of_o, -of_i, -of_j
        inputs, outputs = o, c
    else:
        start, of_output, of_input, inputs, outputs = 0, of_o, of_c, c, o
    pieces = max(1, inputs // 64)
    order_weight(
        kh * kw * pieces,
        *(weight, ordered, start, of_output, of_input, of_i, of_j, kw, inputs, outputs, pieces),
        *transposing(weight.itemsize),
    )
    return ordered


def suiting(x_shape: tuple, weight_shape: tuple, settings: tuple, itemsize: int) -> dict[str, Transforms]:
    """The transforms that can compute a convolution, by name: square filters, and channels that fill vectors."""
    (stride, padding, dilation, groups), lanes = settings, machine().lanes(itemsize)
    fits = (
        groups == 1
        and dilation == (1, 1)
        and stride[0] == stride[1]
        and padding[0] == padding[1]
        and weight_shape[0] % lanes == 0
        and weight_shape[1] % lanes == 0
    )
    if fits and stride[0] == 1 and weight_shape[2:] == (3, 3) and padding[0] <= 2:
        return {"F4": F4, "F2": F2}
    if fits and stride[0] == 2 and weight_shape[2:] == (4, 4) and padding[0] <= 3:
        return {"F22": F22, "F3": F3}
    return {}


def estimated_work(f: Transforms, images: int, size: tuple, inputs: int, outputs: int, phases: int, out_phases: int):
    """Multiply-adds for each pair of channels, where a direct convolution has (phases taps)^2 N oh ow.

    `size` is that of the outputs, of one phase where they have phases: those share their tiles, which reach one pixel
    further. The constants were measured: the matrix products run a little slower than a direct convolution, a transform
    costs as much as ten products, and each transformed weight as fifteen, or fifty where they do not fit in the last
    cache.
    """
    further = out_phases - 1
    tiles = images * -(-(size[0] + further) // f.outputs) * -(-(size[1] + further) // f.outputs)
    squares, channels = f.points**2, phases**2 * inputs
    of_weight = 15 if squares * channels * outputs * 4 < 16 * 2**20 else 50
    transforms = 10 * tiles * (channels + outputs) / (channels * outputs)
    return phases**2 * squares * (1.15 * tiles + transforms + of_weight)


def correlate(transforms: Transforms, x, weight, bias, stride: int, padding: int):
    """The value of conv2d."""
    (n, c, h, w), (o, _, k, _) = x.shape, weight.shape
    out_h, out_w = ((size + 2 * padding - k) // stride + 1 for size in (h, w))
    y = empty_channels_last((n, o, out_h, out_w), x.dtype)
    geometry = Geometry(
        transforms, n, h, w, c, out_h, out_w, o, stride, padding, x.itemsize, get_num_threads()
    )  # fmt: skip
    plan = _convolution(geometry, False, bias is not None)
    bias = None if bias is None else np.ascontiguousarray(bias)
    plan.run(channels_last(x), plan.weights(ordered_weight(weight, turned=False)), bias, y)
    return y


def spread(transforms: Transforms, dy, weight, x_shape, stride: int, padding: int):
    """The value of conv2d_input_gradient."""
    (n, c, h, w), (o, _, k, _), (out_h, out_w) = x_shape, weight.shape, dy.shape[2:]
    dx = empty_channels_last(x_shape, dy.dtype)
    own_padding = padding if stride > 1 else k - 1 - padding
    geometry = Geometry(
        transforms, n, out_h, out_w, o, h, w, c, stride, own_padding, dy.itemsize, get_num_threads()
    )  # fmt: skip
    plan = _convolution(geometry, True, False)
    plan.run(channels_last(dy), plan.weights(ordered_weight(weight, turned=True)), None, dx)
    return dx


def gather(transforms: Transforms, dy, x, weight_shape, stride: int, padding: int):
    """The value of conv2d_weight_gradient."""
    (n, c, h, w), (o, _, _, _), (out_h, out_w) = x.shape, weight_shape, dy.shape[2:]
    dw = empty(weight_shape, x.dtype, (2, 3, 1, 0))
    geometry = Geometry(
        transforms, n, h, w, c, out_h, out_w, o, stride, padding, x.itemsize, get_num_threads()
    )  # fmt: skip
    _weight_gradient(geometry).run(channels_last(x), channels_last(dy), dw)
    return dw
