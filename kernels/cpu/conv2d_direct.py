r"""Convolution without columns: the micro-kernel sums over a window where it lies.

Channels are last in memory, so the kw pixels of a window's row are one run of kw C numbers, and the window is kh such
runs. The micro-kernel's three loops walk them; its rows are neighbouring output pixels, its vectors output channels:

      x, a band of rows                  weight, packed                     y
      +-----------------------+          [tile][kh][kw C][lanes]            +---------------+
      | p0 [== kw C ==]       |           one tile: the lanes of J          | p0 [lanes]    |
      |  p1 [== kw C ==]      |  x        vectors, for each number    =     | p1 [lanes]    |  R pixels at once
      |   p2 [== kw C ==]     |           of the window                     | p2 [lanes]    |
      +-----------------------+                                             +---------------+

One task is a band of an image's rows that fits the second-level cache (with its zeros around it, if there is padding:
such a band is copied). The input gradient is the same walk over dy, once for each phase of the stride: the pixels h
with equal (h + P) mod s are reached by the same taps. The weight gradient has the window's numbers for rows and sums
over pixels: for small weights each task keeps sums of its own, added up at the end in a fixed order; large weights are
divided among the tasks, and each sums over all pixels.

Error in float32 against float64: 3e-6 of the largest value (a sum of a thousand products in another order).
Measured (AVX-512, two cores of 235 Gflop/s, 56x56, 64 channels): 217 forward, 219 and 215 for the gradients.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minitorch_cv.ops import _conv2d as portable

from .kernel import kernel
from .language import Pointer, address, advanced, call_block, helper, number
from .machine import machine
from .memory import channels_last, empty, empty_channels_last, scratch
from .microkernel import block
from .packing import even_rows, pack_weight, strides_in_numbers, tiling, transposing
from .threads import get_num_threads

BAND_BYTES = 160 * 1024
"""Of a band of input rows: with the weights of a tile it stays in the second-level cache."""

SHARED_WEIGHT_BYTES = 2**20
"""Up to so many bytes of weights each task sums a gradient of its own."""


@helper
def copy_band(source, image, height, width, channels, first_row, rows, first_column, columns, band):
    """Rows and columns of one image, zeros where there is no image."""
    zero = number(source, 0.0)
    low = max(0, -first_column) * channels
    high = max(low, min(columns, width - first_column) * channels)
    length = columns * channels
    for i in range(rows):
        row = first_row + i
        to = advanced(band, i * length)
        if row < 0 or row >= height:
            for e in range(length):
                to[e] = zero
        else:
            start = advanced(source, ((image * height + row) * width + first_column) * channels)
            for e in range(low):
                to[e] = zero
            for e in range(low, high):
                to[e] = start[e]
            for e in range(high, length):
                to[e] = zero


@kernel
def correlate_band(
    task,
    worker,
    source: Pointer,
    packed: Pointer,
    bias: Pointer,
    out: Pointer,
    bands_memory: Pointer,
    band_size: int,
    full_block: int,
    last_block: int,
    pixels: int,
    lanes: int,
    tiles: int,
    last_tile: int,
    last_lanes: int,
    height: int,
    width: int,
    channels: int,
    groups: int,
    kh: int,
    kw: int,
    row_step: int,
    column_step: int,
    row_stride: int,
    column_stride: int,
    top: int,
    left: int,
    out_height: int,
    out_width: int,
    out_start: int,
    of_image: int,
    of_row: int,
    of_column: int,
    outputs: int,
    band: int,
    bands: int,
    chunks: int,
    copied: int,
):
    """A band of output rows of one image, for some of the tiles of output channels."""
    size = address(source, 1) - address(source, 0)
    chunk = task % chunks
    image = task // chunks // bands
    q0 = task // chunks % bands * band
    q1 = min(out_height, q0 + band)
    inputs = channels // groups
    window = kh * kw * inputs
    padded_outputs = (tiles - 1) * lanes + last_tile
    columns = width
    base = address(source, ((image * height + q0 * row_stride - top) * width - left) * channels)
    if copied:
        columns = (out_width - 1) * column_stride + (kw - 1) * column_step + 1
        rows = (q1 - q0 - 1) * row_stride + (kh - 1) * row_step + 1
        own = advanced(bands_memory, worker * band_size)
        copy_band(source, image, height, width, channels, q0 * row_stride - top, rows, -left, columns, own)
        base = address(own, 0)
    of_pixel = column_stride * channels * size
    if column_step == 1 and groups == 1:
        outer, steps, run = 1, kh, kw * inputs
        of_outer, of_middle = 0, columns * channels * row_step * size
        b_outer, b_middle = 0, run
    else:
        outer, steps, run = kh, kw, inputs
        of_outer, of_middle = columns * channels * row_step * size, column_step * channels * size
        b_outer, b_middle = kw * inputs, inputs
    for at in range(chunk * groups * tiles // chunks, (chunk + 1) * groups * tiles // chunks):
        group, tile = at // tiles, at % tiles
        last = tile == tiles - 1
        code = last_block if last else full_block
        wide = (last_tile if last else lanes) * size
        weights = address(packed, (group * padded_outputs + tile * lanes) * window)
        channel = group * outputs + tile * lanes
        begin = address(bias, channel) if address(bias, 0) != 0 else 0
        for q in range(q0, q1):
            row = base + ((q - q0) * row_stride * columns * channels + group * inputs) * size
            to = address(out, out_start + image * of_image + q * of_row + channel)
            r = 0
            while r < out_width:
                r = min(r, out_width - pixels)
                a, o = row + r * of_pixel, to + r * of_column * size
                # fmt: off
                call_block(
                    code, a, of_outer, of_middle, size, of_pixel, weights, b_outer * wide, b_middle * wide, wide,
                    outer, steps, run, o, of_column * size, begin, 0, last_lanes,
                )
                # fmt: on
                r += pixels


@kernel
def gather_weights(
    task,
    worker,
    source: Pointer,
    dy: Pointer,
    sums: Pointer,
    bands_memory: Pointer,
    band_size: int,
    tiles_memory: Pointer,
    tiles_size: int,
    full_block: int,
    full_rest: int,
    last_block: int,
    last_rest: int,
    numbers: int,
    rest: int,
    lanes: int,
    tiles: int,
    last_tile: int,
    last_lanes: int,
    images: int,
    height: int,
    width: int,
    channels: int,
    groups: int,
    kh: int,
    kw: int,
    row_step: int,
    column_step: int,
    row_stride: int,
    column_stride: int,
    top: int,
    left: int,
    out_height: int,
    out_width: int,
    outputs: int,
    band: int,
    bands: int,
    tasks: int,
    copied: int,
):
    """The weight gradient summed over some of the bands, for every weight: sums [task][kh][kw][C / groups][O]."""
    size = address(source, 1) - address(source, 0)
    inputs = channels // groups
    all_outputs = groups * outputs
    mine = address(sums, task * kh * kw * inputs * all_outputs)
    columns = width
    if copied:
        columns = (out_width - 1) * column_stride + (kw - 1) * column_step + 1
    run, taps = kw * inputs, 1
    if column_step != 1 or groups != 1:
        run, taps = inputs, kw
    parts = (run + numbers - 1) // numbers
    first_band = task * images * bands // tasks
    for place in range(first_band, (task + 1) * images * bands // tasks):
        image = place // bands
        q0 = place % bands * band
        q1 = min(out_height, q0 + band)
        if copied:
            rows = (q1 - q0 - 1) * row_stride + (kh - 1) * row_step + 1
            own = advanced(bands_memory, worker * band_size)
            copy_band(source, image, height, width, channels, q0 * row_stride - top, rows, -left, columns, own)
            base = address(own, 0)
        else:
            base = address(source, ((image * height + q0 * row_stride - top) * width - left) * channels)
        pixels = (q1 - q0) * out_width
        dy_here = advanced(dy, (image * out_height + q0) * out_width * all_outputs)
        for at in range(groups * tiles):
            group, tile = at // tiles, at % tiles
            last = tile == tiles - 1
            wide = last_tile if last else lanes
            code = last_block if last else full_block
            code_of_rest = last_rest if last else full_rest
            channel = group * outputs + tile * lanes
            upstream, of_dy = address(dy_here, 0), all_outputs * size
            if groups * tiles > 1:  # a tile's numbers lie far apart: in one piece they stay in the first-level cache
                valid = min(wide, outputs - tile * lanes)
                own_tile = advanced(tiles_memory, worker * tiles_size)
                from_dy = advanced(dy_here, channel)
                if valid == 32:
                    for p in range(pixels):
                        for e in range(32):
                            own_tile[p * 32 + e] = from_dy[p * all_outputs + e]
                else:
                    for p in range(pixels):
                        for e in range(valid):
                            own_tile[p * wide + e] = from_dy[p * all_outputs + e]
                upstream, of_dy = address(own_tile, 0), wide * size
            for i in range(kh):
                for j in range(taps):
                    a = base + (i * row_step * columns * channels + j * column_step * channels + group * inputs) * size
                    to = mine + (((i * kw + j) * inputs) * all_outputs + channel) * size
                    for part in range(parts):
                        o = to + part * numbers * all_outputs * size
                        # fmt: off
                        call_block(
                            code_of_rest if part == parts - 1 else code,
                            a + part * numbers * size, 0, row_stride * columns * channels * size,
                            column_stride * channels * size, size,
                            upstream, 0, out_width * of_dy, of_dy, 1, q1 - q0, out_width,
                            o, all_outputs * size, 0 if place == first_band else o, all_outputs * size, last_lanes,
                        )
                        # fmt: on


@kernel
def gather_large_weights(
    task,
    worker,
    source: Pointer,
    dy: Pointer,
    out: Pointer,
    full_block: int,
    full_rest: int,
    last_block: int,
    last_rest: int,
    numbers: int,
    lanes: int,
    tiles: int,
    last_tile: int,
    last_lanes: int,
    images: int,
    height: int,
    width: int,
    channels: int,
    groups: int,
    kh: int,
    kw: int,
    row_step: int,
    column_step: int,
    row_stride: int,
    column_stride: int,
    out_height: int,
    out_width: int,
    outputs: int,
):
    """The gradient of some of a window's numbers, summed over all pixels. x is padded and dy packed by tiles."""
    size = address(source, 1) - address(source, 0)
    inputs = channels // groups
    all_outputs = groups * outputs
    run, taps = kw * inputs, 1
    if column_step != 1 or groups != 1:
        run, taps = inputs, kw
    parts = (run + numbers - 1) // numbers
    part = task % parts
    j = task // parts % taps
    i = task // parts // taps % kh
    group = task // parts // taps // kh
    first = part * numbers
    a = address(source, i * row_step * width * channels + j * column_step * channels + group * inputs + first)
    pixels = images * out_height * out_width
    for tile in range(tiles):
        last = tile == tiles - 1
        wide = (last_tile if last else lanes) * size
        code = last_block if last else full_block
        if part == parts - 1:
            code = last_rest if last else full_rest
        upstream = address(dy, (group * ((tiles - 1) * lanes + last_tile) + tile * lanes) * pixels)
        o = address(out, ((i * kw + j) * inputs + first) * all_outputs + group * outputs + tile * lanes)
        # fmt: off
        call_block(
            code, a, height * width * channels * size, row_stride * width * channels * size,
            column_stride * channels * size, size,
            upstream, out_height * out_width * wide, out_width * wide, wide, images, out_height, out_width,
            o, all_outputs * size, 0, 0, last_lanes,
        )
        # fmt: on


@kernel
def pad_images(
    task,
    worker,
    source: Pointer,
    padded: Pointer,
    height: int,
    width: int,
    channels: int,
    top: int,
    left: int,
    rows: int,
    columns: int,
):
    """One image with its zeros around it."""
    to = advanced(padded, task * rows * columns * channels)
    copy_band(source, task, height, width, channels, -top, rows, -left, columns, to)


@kernel
def pack_pixels(
    task,
    worker,
    dy: Pointer,
    packed: Pointer,
    pixels: int,
    groups: int,
    outputs: int,
    lanes: int,
    tiles: int,
    last_tile: int,
):
    """One tile of channels of every pixel, in one piece."""
    group, tile = task // tiles, task % tiles
    wide = last_tile if tile == tiles - 1 else lanes
    valid = min(wide, outputs - tile * lanes)
    start = advanced(dy, group * outputs + tile * lanes)
    to = advanced(packed, (group * ((tiles - 1) * lanes + last_tile) + tile * lanes) * pixels)
    for p in range(pixels):
        for e in range(valid):
            to[p * wide + e] = start[p * groups * outputs + e]


@kernel
def add_up(task, worker, parts: Pointer, total: Pointer, count: int, size: int, tasks: int):
    """The sum of `count` arrays, one after the other."""
    for e in range(task * size // tasks, (task + 1) * size // tasks):
        total[e] = parts[e] + parts[size + e]
    for part in range(2, count):
        for e in range(task * size // tasks, (task + 1) * size // tasks):
            total[e] += parts[part * size + e]


@kernel
def sum_pixels(task, worker, dy: Pointer, sums: Pointer, rows: int, width: int, tasks: int):
    """The sum of some of the rows: sums [task][width]."""
    own = advanced(sums, task * width)
    zero = number(dy, 0.0)
    for e in range(width):
        own[e] = zero
    for row in range(task * rows // tasks, (task + 1) * rows // tasks):
        here = advanced(dy, row * width)
        for e in range(width):
            own[e] += here[e]


# Plans: everything about a call that follows from its shapes, worked out once.


class Walk:
    """`correlate_band` for one geometry: its settings after the arrays, and the size of a worker's band."""

    def __init__(self, itemsize, images, height, width, channels, groups, window, step, stride, start, size, outputs):
        (kh, kw), (row_stride, column_stride), (top, left) = window, stride, start
        (row_step, column_step), (out_height, out_width) = step, size
        wide, self.tiles, last_wide, self.last_tile, last_lanes = tiling(outputs, itemsize)
        lanes = machine().lanes(itemsize)
        self.lanes, self.groups, self.inputs, self.outputs, self.window = (
            wide * lanes,
            groups,
            channels // groups,
            outputs,
            window,
        )
        self.pixels = even_rows(out_width, machine().rows(wide))
        self.copied = (
            top > 0
            or left > 0
            or (out_height - 1) * row_stride + (kh - 1) * row_step + 1 - top > height
            or (out_width - 1) * column_stride + (kw - 1) * column_step + 1 - left > width
        )
        columns = (out_width - 1) * column_stride + (kw - 1) * column_step + 1 if self.copied else width
        row_bytes = columns * channels * itemsize
        band = max(1, min(out_height, (BAND_BYTES // row_bytes - (kh - 1) * row_step - 1) // row_stride + 1))
        threads = get_num_threads()
        while band > 1 and images * -(-out_height // band) < 4 * threads:
            band = -(-band // 2)
        band = even_rows(out_height, band)
        bands = -(-out_height // band)
        chunks = min(groups * self.tiles, max(1, -(-4 * threads // (images * bands)))) if threads > 1 else 1
        self.band_size = ((band - 1) * row_stride + (kh - 1) * row_step + 1) * columns * channels if self.copied else 0
        self.tasks = images * bands * chunks
        self.blocks = (
            block(self.pixels, wide, itemsize, self.tiles == 1 and last_lanes != lanes),
            block(self.pixels, last_wide, itemsize, last_lanes != lanes),
        )
        self.settings = (
            *self.blocks,
            self.pixels,
            self.lanes,
            self.tiles,
            self.last_tile,
            last_lanes,
            height,
            width,
            channels,
            groups,
            kh,
            kw,
            row_step,
            column_step,
            row_stride,
            column_stride,
            top,
            left,
            out_height,
            out_width,
        )
        self.ending = (outputs, band, bands, chunks, int(self.copied))
        self.packed_size = groups * ((self.tiles - 1) * self.lanes + self.last_tile) * kh * kw * self.inputs

    def pack(
        self, weight: np.ndarray, start: int, of_output: int, of_input: int, of_tap: tuple, of_group: tuple
    ) -> np.ndarray:
        """The weights in the micro-kernel's order; strides in numbers, not bytes."""
        packed = scratch("packed", self.packed_size, weight.dtype)
        kh, kw = self.window
        pack_weight(
            self.groups * self.tiles * kh,
            *(weight, packed, start, of_output, of_input, *of_tap, kh, kw, self.inputs, self.outputs),
            *(self.lanes, self.tiles, self.last_tile, *of_group, *transposing(weight.itemsize)),
        )
        return packed

    def run(self, source, packed, bias, out, out_start, of_image, of_row, of_column) -> None:
        """Compute into `out`, whose strides are in numbers."""
        band = scratch("band", self.band_size * get_num_threads(), source.dtype) if self.copied else None
        correlate_band(
            self.tasks,
            *(source, packed, bias, out, band, self.band_size, *self.settings),
            *(out_start, of_image, of_row, of_column, *self.ending),
        )


@functools.lru_cache(maxsize=1024)
def _forward_walk(itemsize, x_shape, weight_shape, stride, padding, dilation, groups, threads):
    (n, c, h, w), (o, _, kh, kw) = x_shape, weight_shape
    size = tuple(map(portable.output_size, (h, w), (kh, kw), stride, padding, dilation))
    if (kh, kw) == (1, 1) and stride == (1, 1) and padding == (0, 0):
        pixels = n * h * w
        w = next((d for d in range(224, 31, -1) if pixels % d == 0), w if n * h * w % w == 0 else pixels)
        n, h, size = pixels // w, 1, (1, w)
    return Walk(itemsize, n, h, w, c, groups, (kh, kw), dilation, stride, padding, size, o // groups)


def correlate(x, weight, bias, stride, padding, dilation, groups):
    """The value of conv2d."""
    walk = _forward_walk(x.itemsize, x.shape, weight.shape, stride, padding, dilation, groups, get_num_threads())
    size = tuple(map(portable.output_size, x.shape[2:], weight.shape[2:], stride, padding, dilation))
    y = empty_channels_last((x.shape[0], weight.shape[0], *size), x.dtype)
    of_o, of_c, of_i, of_j = strides_in_numbers(weight)
    packed = walk.pack(weight, 0, of_o, of_c, (of_i, of_j), (weight.shape[0] // groups * of_o, 0))
    rows, columns, outputs = *walk.settings[-2:], weight.shape[0]
    bias = None if bias is None else np.ascontiguousarray(bias)
    walk.run(channels_last(x), packed, bias, y, 0, rows * columns * outputs, columns * outputs, outputs)
    return y


class _Phase:
    """The pixels h with (h + P) mod s = phase along one axis, and the taps that reach them.

    They are h = first + s q. Tap k reaches them where d k = phase modulo s: every `tap_step`-th one from `tap`, the
    neighbours `step` rows of dy apart. Read backwards they are a correlation that begins `start` rows before dy's
    first.
    """

    def __init__(self, phase: int, n: int, k: int, stride: int, padding: int, dilation: int):
        common = math.gcd(stride, dilation)
        self.tap_step, self.step = stride // common, dilation // common
        self.first = (phase - padding) % stride
        self.count = -(-(n - self.first) // stride)
        taps = [t for t in range(k) if dilation * t % stride == phase]
        self.taps = len(taps)
        if taps:
            self.last_tap = taps[-1]
            self.start = (dilation * self.last_tap - self.first - padding) // stride


@functools.lru_cache(maxsize=1024)
def _phases(itemsize, dy_shape, x_shape, weight_shape, stride, padding, dilation, groups, threads):
    """The walks over dy, and whether some pixels are reached by none."""
    (n, o, oh, ow), (_, c, h, w), (kh, kw) = dy_shape, x_shape, weight_shape[2:]
    walks, complete = [], True
    pointwise = (kh, kw) == (1, 1) and stride == (1, 1) and padding == (0, 0)
    for row_phase in range(stride[0]):
        rows = _Phase(row_phase, h, kh, stride[0], padding[0], dilation[0])
        for column_phase in range(stride[1]):
            columns = _Phase(column_phase, w, kw, stride[1], padding[1], dilation[1])
            if rows.count <= 0 or columns.count <= 0:
                continue
            if not rows.taps or not columns.taps:
                complete = False
                continue
            if pointwise:
                walk = _forward_walk(
                    itemsize, (n, o, oh, ow), (c, o // groups, 1, 1), stride, padding, dilation, groups, threads
                )
            else:
                walk = Walk(
                    itemsize,
                    n,
                    oh,
                    ow,
                    o,
                    groups,
                    (rows.taps, columns.taps),
                    (rows.step, columns.step),
                    (1, 1),
                    (rows.start, columns.start),
                    (rows.count, columns.count),
                    c // groups,
                )
            walks.append((walk, rows, columns))
    return walks, complete


def spread(dy, weight, x_shape, stride, padding, dilation, groups):
    """The value of conv2d_input_gradient."""
    _, c, h, w = x_shape
    dx = empty_channels_last(x_shape, dy.dtype)
    walks, complete = _phases(
        dy.itemsize, dy.shape, x_shape, weight.shape, stride, padding, dilation, groups, get_num_threads()
    )
    if not complete:
        dx[...] = 0.0
    source = channels_last(dy)
    of_o, of_c, of_i, of_j = strides_in_numbers(weight)
    for walk, rows, columns in walks:
        start = rows.last_tap * of_i + columns.last_tap * of_j
        taps = (-rows.tap_step * of_i, -columns.tap_step * of_j)
        packed = walk.pack(weight, start, of_c, of_o, taps, (0, weight.shape[0] // groups * of_o))
        if len(walks) == 1 and stride == (1, 1):
            height, width = walk.settings[-2:]
            walk.run(source, packed, None, dx, 0, height * width * c, width * c, c)
        else:
            at = (rows.first * w + columns.first) * c
            walk.run(source, packed, None, dx, at, h * w * c, stride[0] * w * c, stride[1] * c)
    return dx


class Gather:
    """`gather_weights` for one geometry."""

    def __init__(self, itemsize, dy_shape, x_shape, weight_shape, stride, padding, dilation, groups, threads):
        (n, c, h, w), (o, inputs, kh, kw), (oh, ow) = x_shape, weight_shape, dy_shape[2:]
        outputs, lanes = o // groups, machine().lanes(itemsize)
        wide, self.tiles, last_wide, self.last_tile, last_lanes = tiling(outputs, itemsize)
        self.lanes, ragged = wide * lanes, last_lanes != lanes
        run = kw * inputs if dilation[1] == 1 and groups == 1 else inputs
        numbers = even_rows(run, machine().rows(wide))
        rest = run - (-(-run // numbers) - 1) * numbers
        blocks = [
            block(rows, vectors, itemsize, ragged and (vectors == last_wide and (last or self.tiles == 1)))
            for vectors, last in ((wide, False), (last_wide, True))
            for rows in (numbers, rest)
        ]
        span = ((oh - 1) * stride[0] + (kh - 1) * dilation[0] + 1, (ow - 1) * stride[1] + (kw - 1) * dilation[1] + 1)
        self.copied = padding != (0, 0) or span[0] > h or span[1] > w
        self.large = kh * kw * inputs * o * itemsize > SHARED_WEIGHT_BYTES
        if self.large:
            self.padded = (n, span[0], span[1], c) if self.copied else (n, h, w, c)
            self.top_left = padding
            self.tasks = groups * kh * (1 if run == kw * inputs else kw) * -(-run // numbers)
            self.settings = (
                *blocks,
                numbers,
                self.lanes,
                self.tiles,
                self.last_tile,
                last_lanes,
                n,
                *self.padded[1:3],
                c,
                groups,
                kh,
                kw,
                *dilation,
                *stride,
                oh,
                ow,
                outputs,
            )
            self.packed_size = n * oh * ow * groups * ((self.tiles - 1) * self.lanes + self.last_tile)
            return
        columns = span[1] if self.copied else w
        row_bytes = columns * c * itemsize
        band = max(1, min(oh, (3 * BAND_BYTES // 4 // row_bytes - (kh - 1) * dilation[0] - 1) // stride[0] + 1))
        while band > 1 and n * -(-oh // band) < threads:
            band = -(-band // 2)
        band = even_rows(oh, band)
        bands = -(-oh // band)
        self.tasks = min(n * bands, threads)
        self.band_size = ((band - 1) * stride[0] + (kh - 1) * dilation[0] + 1) * columns * c if self.copied else 0
        self.tile_size = band * ow * self.lanes
        self.settings = (
            *blocks,
            numbers,
            rest,
            self.lanes,
            self.tiles,
            self.last_tile,
            last_lanes,
            n,
            h,
            w,
            c,
            groups,
            kh,
            kw,
            *dilation,
            *stride,
            *padding,
            oh,
            ow,
            outputs,
            band,
            bands,
            self.tasks,
            int(self.copied),
        )


_gather_plan = functools.lru_cache(maxsize=1024)(Gather)


def gather(dy, x, weight_shape, stride, padding, dilation, groups):
    """The value of conv2d_weight_gradient: (O, C / groups, kh, kw), in memory with the outputs last."""
    threads = get_num_threads()
    plan = _gather_plan(x.itemsize, dy.shape, x.shape, weight_shape, stride, padding, dilation, groups, threads)
    dw = empty(weight_shape, x.dtype, (2, 3, 1, 0))
    source, upstream = channels_last(x), channels_last(dy)
    if plan.large:
        n, rows, columns, c = plan.padded
        if plan.copied:
            padded = empty(plan.padded, x.dtype)
            pad_images(n, source, padded, *x.shape[2:], c, *plan.top_left, rows, columns)
            source = padded
        packed = empty((plan.packed_size,), x.dtype)
        pack_pixels(
            groups * plan.tiles,
            *(upstream, packed, n * dy.shape[2] * dy.shape[3], groups, weight_shape[0] // groups),
            *(plan.lanes, plan.tiles, plan.last_tile),
        )
        gather_large_weights(plan.tasks, source, packed, dw, *plan.settings)
        return dw
    sums = dw if plan.tasks == 1 else scratch("weight sums", plan.tasks * dw.size, x.dtype)
    gather_weights(
        plan.tasks,
        *(source, upstream, sums, scratch("band", max(1, plan.band_size * threads), x.dtype), plan.band_size),
        *(scratch("tile", plan.tile_size * threads, x.dtype), plan.tile_size, *plan.settings),
    )
    if plan.tasks > 1:
        pieces = max(1, min(4 * threads, dw.size // 4096))
        add_up(pieces, sums, dw, plan.tasks, dw.size, pieces)
    return dw


def sum_rows(rows: np.ndarray) -> np.ndarray:
    """The sum over the first axis of a matrix in one piece."""
    count, width = rows.shape
    fold = next((f for f in (64 // width, 32 // width, 16 // width) if f > 1 and count % f == 0), 1)
    tasks = max(1, min(get_num_threads(), rows.size // 8192))
    sums = scratch("row sums", tasks * width * fold, rows.dtype)
    sum_pixels(tasks, rows, sums, count // fold, width * fold, tasks)
    return sums.reshape(tasks * fold, width).sum(axis=0)


def sum_over_pixels(dy: np.ndarray) -> np.ndarray:
    """The gradient of a bias: dy (N, C, H, W) summed over N, H and W."""
    return sum_rows(channels_last(dy).reshape(-1, dy.shape[1]))
