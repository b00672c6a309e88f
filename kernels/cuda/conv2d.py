"""Bodies of `ops/_conv2d.py` on CUDA: implicit matrix products, images channels-last in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minitorch_cv._device import is_array
from minitorch_cv._precision import get_precision
from minitorch_cv.ops import _conv2d as portable

from .arrays import address_of, channels_last, empty, in_order
from .source import Source

SOURCE = Source("conv2d.cu")
TENSOR_CORE = Source("conv2d_tensor_core.cu")
PIPELINED = Source("conv2d_pipelined.cu")
DEPTHWISE = Source("conv2d_depthwise.cu")
THREADS = 256
TILE = 64
PIPELINED_ROWS = 128
"""Rows of a tile of results; it has TILE columns in either case."""
FEW_CHANNELS = 8
"""Groups of no more channels, in and out, are computed one result a thread."""
PIXELS_AT_LEAST = 64
"""A part of the pixels whose products a block sums is no smaller."""
BLOCKS_WANTED = 512
"""Blocks that fill a large GPU a few times over."""

ERROR_BOUNDS = {"fp32": 3e-5, "tf32": 2**-10, "bf16": 2**-7}
"""The largest error of a result, relative to the sum of the sizes of the products that it adds."""


def _launch(kernel: str, rows: int, columns: int, depth: int, *arguments: Any) -> None:
    """Run the kernel of the precision that is set on rows x columns results, `depth` times."""
    precision = get_precision()
    if precision == "fp32":
        SOURCE.launch(kernel, (_tiles(rows), _tiles(columns), depth), (THREADS,), *arguments)
    elif comes_in_fours(*arguments):
        grid = -(-rows // PIPELINED_ROWS), _tiles(columns), depth
        PIPELINED.launch(f"{kernel}_{precision}", grid, (THREADS,), *arguments)
    else:
        TENSOR_CORE.launch(f"{kernel}_{precision}", (_tiles(rows), _tiles(columns), depth), (THREADS,), *arguments)


def comes_in_fours(*arguments: Any) -> bool:
    """Whether the kernels that copy four neighbours at once can serve: channels by fours, 16-byte addresses."""
    c, o, groups = arguments[-15], arguments[-12], arguments[-1]
    return c // groups % 4 == o // groups % 4 == 0 and all(address_of(a) % 16 == 0 for a in arguments if is_array(a))


def has_few_channels(weight_shape: tuple, groups: int) -> bool:
    """Whether all three are computed without matrix products, and so in float32 at any precision."""
    return groups > 1 and max(weight_shape[1], weight_shape[0] // groups) <= FEW_CHANNELS


def _tiles(size: int) -> int:
    return -(-size // TILE)


def _sizes(x_shape: tuple, weight_shape: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> tuple:
    """The geometry in the order of the kernels' parameters."""
    (o, _, kh, kw), (h, w) = weight_shape, x_shape[2:]
    size = map(portable.output_size, (h, w), (kh, kw), stride, padding, dilation)
    return (*x_shape, o, kh, kw, *size, *stride, *padding, *dilation, groups)


def _by_group(weight: Any, groups: int, axes: tuple[int, ...]) -> Any:
    """The weight as (groups, O / groups, C / groups, kh, kw), dense in the order of `axes`."""
    return in_order(weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:]), axes)


def correlate(x, weight, bias, stride, padding, dilation, groups) -> Any:
    """The value of conv2d."""
    sizes = _sizes(x.shape, weight.shape, stride, padding, dilation, groups)
    n, o, (oh, ow) = x.shape[0], weight.shape[0], sizes[7:9]
    y = empty((n, o, oh, ow), x, (0, 2, 3, 1))
    bias = None if bias is None else in_order(bias, (0,))
    if has_few_channels(weight.shape, groups):
        weight, blocks = in_order(weight, (2, 3, 1, 0)), -(-y.size // THREADS)
        x = channels_last(x)
        DEPTHWISE.launch("conv2d_depthwise_forward", (blocks,), (THREADS,), x, weight, bias, y, *sizes)
        return y
    weight = _by_group(weight, groups, (0, 3, 4, 2, 1))
    _launch("conv2d_forward", n * oh * ow, o // groups, groups, channels_last(x), weight, bias, y, *sizes)
    return y


def spread(dy, weight, x_shape, stride, padding, dilation, groups) -> Any:
    """The value of conv2d_input_gradient."""
    sizes = _sizes(x_shape, weight.shape, stride, padding, dilation, groups)
    n, c, h, w = x_shape
    dx = empty(tuple(x_shape), dy, (0, 2, 3, 1))
    if has_few_channels(weight.shape, groups):
        weight, blocks = _by_group(weight, groups, (3, 4, 1, 0, 2)), -(-dx.size // THREADS)
        dy = channels_last(dy)
        DEPTHWISE.launch("conv2d_depthwise_input_gradient", (blocks,), (THREADS,), dy, weight, dx, *sizes)
        return dx
    weight = _by_group(weight, groups, (0, 3, 4, 1, 2))
    _launch("conv2d_input_gradient", n * h * w, c // groups, groups, channels_last(dy), weight, dx, *sizes)
    return dx


def parts_of(pixels: int, blocks: int) -> tuple[int, int]:
    """How many parts the pixels are summed in, and the pixels of a part: enough parts to fill a GPU with blocks."""
    parts = max(1, min(BLOCKS_WANTED // blocks, pixels // PIXELS_AT_LEAST))
    per_part = -(-pixels // parts)
    return -(-pixels // per_part), per_part


def gather(dy, x, weight_shape, stride, padding, dilation, groups) -> Any:
    """The value of conv2d_weight_gradient."""
    sizes = _sizes(x.shape, weight_shape, stride, padding, dilation, groups)
    o, channels, kh, kw = weight_shape
    pixels, dy, x = dy.size // o, channels_last(dy), channels_last(x)
    if has_few_channels(weight_shape, groups):
        dw, kernel = empty((kh, kw, channels, o), x), "conv2d_depthwise_weight_gradient_parts"
        blocks = -(-dw.size // THREADS)

        def sum_parts(partial, parts, per_part):
            DEPTHWISE.launch(kernel, (blocks, parts), (THREADS,), dy, x, partial, per_part, *sizes)

        return _in_parts(dw, pixels, blocks, sum_parts).transpose(3, 2, 0, 1)
    entries, columns = kh * kw * channels, o // groups
    dw, kernel = empty((groups, kh, kw, channels, columns), x), "conv2d_weight_gradient_parts"

    def multiply_parts(partial, parts, per_part):
        _launch(kernel, entries, columns, groups * parts, dy, x, partial, per_part, *sizes)

    dw = _in_parts(dw, pixels, _tiles(entries) * _tiles(columns) * groups, multiply_parts)
    return dw.transpose(0, 4, 3, 1, 2).reshape(weight_shape)


def sum_pixels(dy) -> Any:
    """The bias's gradient: dy summed over images and pixels."""
    o, dy = dy.shape[1], channels_last(dy)
    pixels, blocks = dy.size // o, -(-o // 32)

    def sum_parts(partial, parts, per_part):
        SOURCE.launch("conv2d_bias_gradient_parts", (blocks, parts), (THREADS,), dy, partial, per_part, pixels, o)

    return _in_parts(empty((o,), dy), pixels, blocks, sum_parts)


def _in_parts(sums: Any, pixels: int, blocks: int, launch: Callable[[Any, int, int], None]) -> Any:
    """`sums`, computed by `launch` in parts of the pixels, of so many blocks each, and added up."""
    parts, per_part = parts_of(pixels, blocks)
    partial = sums if parts == 1 else empty((parts, *sums.shape), sums)
    launch(partial, parts, per_part)
    if parts > 1:
        SOURCE.launch("conv2d_sum_of_parts", (-(-sums.size // THREADS),), (THREADS,), partial, sums, parts, sums.size)
    return sums


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Any:
    """`ops.conv2d` on CUDA."""
    settings = portable.geometry("conv2d", x, weight, stride, padding, dilation, groups)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv2d: bias expects shape {weight.shape[:1]}; it is {bias.shape}")
    x_shape, weight_shape, has_bias = x.shape, weight.shape, bias is not None

    def backward(dy):
        return (
            lambda: portable.conv2d_input_gradient(dy, weight, x_shape, *settings),
            lambda: portable.conv2d_weight_gradient(dy, x, weight_shape, *settings),
            (lambda: sum_pixels(dy)) if has_bias else None,
        )

    return correlate(x, weight, bias, *settings), backward


def conv2d_input_gradient(dy, weight, x_shape, stride=1, padding=0, dilation=1, groups=1) -> Any:
    """`ops.conv2d_input_gradient` on CUDA."""
    settings = portable.gradient_geometry(
        "conv2d_input_gradient", dy, "weight", weight, x_shape, weight.shape, stride, padding, dilation, groups
    )
    weight_shape = weight.shape

    def backward(u):
        return (
            lambda: portable.conv2d(u, weight, None, *settings),
            lambda: portable.conv2d_weight_gradient(dy, u, weight_shape, *settings),
        )

    return spread(dy, weight, x_shape, *settings), backward


def conv2d_weight_gradient(dy, x, weight_shape, stride=1, padding=0, dilation=1, groups=1) -> Any:
    """`ops.conv2d_weight_gradient` on CUDA."""
    settings = portable.gradient_geometry(
        "conv2d_weight_gradient", dy, "x", x, x.shape, weight_shape, stride, padding, dilation, groups
    )
    x_shape = x.shape

    def backward(u):
        return (
            lambda: portable.conv2d(x, u, None, *settings),
            lambda: portable.conv2d_input_gradient(dy, u, x_shape, *settings),
        )

    return gather(dy, x, weight_shape, *settings), backward


LARGEST = 2**31 - 512
"""Pixels and weights that the kernels' numbers of 32 bits can count, a block beyond the last included."""
LARGEST_GRID = 65535
"""Blocks along a grid's second and third axis."""


def within_limits(weight_shape: tuple, groups: Any, *images: tuple) -> bool:
    """Whether the kernels can count the pixels of the images, and CUDA the blocks."""
    o, channels = weight_shape[:2]
    if not isinstance(groups, int) or groups < 1:
        return True  # to be refused, with its reason, by the body
    return (
        math.prod(weight_shape) <= LARGEST
        and all(n * h * w <= LARGEST for n, _, h, w in images)
        and (has_few_channels(weight_shape, groups) or max(groups, _tiles(max(o // groups, channels))) <= LARGEST_GRID)
    )


def _accepts(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> bool:
    if 0 in (x.size, weight.size) or not x.ndim == weight.ndim == 4:
        return False  # the portable body says what is wrong
    (n, _, h, w), (top, left) = x.shape, portable.pair("conv2d", "padding", padding, 0)
    y_at_most = n, weight.shape[0], h + 2 * top, w + 2 * left
    return within_limits(weight.shape, groups, x.shape, y_at_most)


def _accepts_input_gradient(dy, weight, x_shape, stride=1, padding=0, dilation=1, groups=1) -> bool:
    if 0 in (dy.size, weight.size, *x_shape) or not dy.ndim == weight.ndim == len(x_shape) == 4:
        return False
    return within_limits(weight.shape, groups, dy.shape, x_shape)


def _accepts_weight_gradient(dy, x, weight_shape, stride=1, padding=0, dilation=1, groups=1) -> bool:
    if 0 in (dy.size, x.size, *weight_shape) or not dy.ndim == x.ndim == len(weight_shape) == 4:
        return False
    return within_limits(weight_shape, groups, dy.shape, x.shape)


conv2d.accepts = _accepts  # pyright: ignore[reportFunctionMemberAccess]
conv2d_input_gradient.accepts = _accepts_input_gradient  # pyright: ignore[reportFunctionMemberAccess]
conv2d_weight_gradient.accepts = _accepts_weight_gradient  # pyright: ignore[reportFunctionMemberAccess]
