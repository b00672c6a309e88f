r"""Two-dimensional convolution (cross-correlation, as in every deep-learning paper), its gradients, and its transpose.

y is linear in x and in the weight. So its input gradient is linear in dy and the weight, its weight gradient in x and
dy, and each of the three operations has the other two for derivatives.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np

from .._namespace import raw, xp_of
from .._op import op
from .elementwise import check_floating
from .shape import pad

Pair: TypeAlias = int | tuple[int, int]
"""One number for height and width, or one for each."""


def pair(name: str, argument: str, value: Any, least: int) -> tuple[int, int]:
    """A size for height and one for width, from one number or two."""
    try:
        sizes = tuple(map(operator.index, value)) if isinstance(value, (tuple, list)) else (operator.index(value),) * 2
    except TypeError:
        sizes = ()
    if len(sizes) != 2 or min(sizes) < least:
        raise ValueError(f"{name}: {argument} expects a whole number >= {least}, or two; it is {value!r}")
    return sizes


def output_size(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    r"""How many windows fit: floor((n + 2 padding - dilation (k - 1) - 1) / stride) + 1."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


@op(linear_in=("x", "weight"))
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Any:
    r"""Two-dimensional convolution.

    Forward:   y[n,o,p,q] = b[o] + \sum_{c,i,j} w[o,c,i,j] x[n, c, s p + d i - P, s q + d j - P], x = 0 outside;
               with groups, output channel o sees only the input channels c of its own group
    Backward:  dx[n,c,h,v] = \sum_{o,i,j} w[o,c,i,j] dy[n,o,p,q] over p, q with s p + d i - P = h, s q + d j - P = v;
               dw[o,c,i,j] = \sum_{n,p,q} dy[n,o,p,q] x[n, c, s p + d i - P, s q + d j - P];
               db[o] = \sum_{n,p,q} dy[n,o,p,q]
    Shapes:    x (N, C, H, W), weight (O, C / groups, kh, kw), bias (O,), y (N, O, oh, ow) with
               oh = floor((H + 2 P - d (kh - 1) - 1) / s) + 1; rows and columns that are left over are not used
    Units:     stride s, padding P, dilation d in pixels, one number or a pair (height, width)
    Raises:    ValueError where shapes, groups or sizes do not fit together; TypeError unless x and weight are floating
               and of one dtype
    Source:    LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II;
               groups: Krizhevsky et al. 2012, section 3.2; dilation: Yu and Koltun 2015, arXiv 1511.07122
    Lesson:    lessons/00_backprop.py, lessons/08_kernels.py, lessons/09_fast_cpu.py
    Kernel:    kernels/cpu/conv2d.py, kernels/cuda/conv2d.cu
    """
    settings = geometry("conv2d", x, weight, stride, padding, dilation, groups)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv2d: bias expects shape {weight.shape[:1]}; it is {bias.shape}")
    x_shape, weight_shape, has_bias = x.shape, weight.shape, bias is not None

    def correlate(x, weight, bias):
        y = _correlate(x, weight, *settings)
        if bias is not None:
            y += bias.reshape(-1, 1, 1)
        return y

    def backward(dy):
        return (
            lambda: conv2d_input_gradient(dy, weight, x_shape, *settings),
            lambda: conv2d_weight_gradient(dy, x, weight_shape, *settings),
            (lambda: xp_of(dy).sum(dy, axis=(0, 2, 3))) if has_bias else None,
        )

    return raw(correlate, x, weight, bias), backward


@op(linear_in=("dy", "weight"))
def conv2d_input_gradient(
    dy: Any,
    weight: Any,
    x_shape: tuple[int, ...],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Any:
    r"""The input gradient of `conv2d`, and so the transposed convolution: each dy is spread through the weights.

    Forward:   dx[n,c,h,v] = \sum_{o,i,j} w[o,c,i,j] dy[n,o,p,q] over all p, q with s p + d i - P = h, s q + d j - P = v
    Backward:  with u the gradient of dx: ddy = conv2d(u, w); dw = conv2d's weight gradient for input u and gradient dy
    Shapes:    dy (N, O, oh, ow), weight (O, C / groups, kh, kw), dx of `x_shape` (N, C, H, W)
    Raises:    ValueError where dy is not of the shape that conv2d gives for `x_shape`
    Lesson:    lessons/00_backprop.py, lessons/02_vgg.py
    Kernel:    kernels/cpu/conv2d.py, kernels/cuda/conv2d.cu
    """
    settings = gradient_geometry(
        "conv2d_input_gradient", dy, "weight", weight, x_shape, weight.shape, stride, padding, dilation, groups
    )
    weight_shape = weight.shape

    def backward(u):
        return (
            lambda: conv2d(u, weight, None, *settings),
            lambda: conv2d_weight_gradient(dy, u, weight_shape, *settings),
        )

    return raw(_spread, dy, weight, x_shape, *settings), backward


@op(linear_in=("dy", "x"))
def conv2d_weight_gradient(
    dy: Any,
    x: Any,
    weight_shape: tuple[int, ...],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Any:
    r"""The weight gradient of `conv2d`: dy correlated with the input.

    Forward:   dw[o,c,i,j] = \sum_{n,p,q} dy[n,o,p,q] x[n, c, s p + d i - P, s q + d j - P]
    Backward:  with u the gradient of dw: ddy = conv2d(x, u); dx = conv2d's input gradient for weight u and gradient dy
    Shapes:    dy (N, O, oh, ow), x (N, C, H, W), dw of `weight_shape` (O, C / groups, kh, kw)
    Raises:    ValueError where dy is not of the shape that conv2d gives for x and `weight_shape`
    Lesson:    lessons/00_backprop.py, lessons/02_vgg.py
    Kernel:    kernels/cpu/conv2d.py, kernels/cuda/conv2d.cu
    """
    settings = gradient_geometry(
        "conv2d_weight_gradient", dy, "x", x, x.shape, weight_shape, stride, padding, dilation, groups
    )
    x_shape = x.shape

    def backward(u):
        return (
            lambda: conv2d(x, u, None, *settings),
            lambda: conv2d_input_gradient(dy, u, x_shape, *settings),
        )

    return raw(_gather_weights, dy, x, weight_shape, *settings), backward


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Any:
    r"""Transposed convolution: `conv2d_input_gradient` used forward, each x spread through the weights.

    Forward:   y[n,o,h,v] = b[o] + \sum_{c,i,j} w[c,o,i,j] x[n,c,p,q] over s p + d i - P = h, s q + d j - P = v
    Backward:  dx = conv2d(dy, w), dw = conv2d's weight gradient for input dy and gradient x, db[o] = \sum_{n,h,v} dy
    Shapes:    x (N, C, H, W), weight (C, O / groups, kh, kw), bias (O,), y (N, O, oh, ow) with
               oh = (H - 1) s - 2 P + d (kh - 1) + output_padding + 1
    Units:     stride s, padding P, output_padding, dilation d in pixels, one number or a pair (height, width)
    Raises:    ValueError where shapes, groups or sizes do not fit, and unless output_padding < max(stride, dilation);
               TypeError unless x and weight are floating and of one dtype
    Source:    Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin and Visin 2016, arXiv 1603.07285, section 4
    Lesson:    lessons/02_vgg.py
    """
    name = "conv_transpose2d"
    _check_dtypes(name, "x", x, "weight", weight)
    stride, dilation = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
    padding, extra = pair(name, "padding", padding, 0), pair(name, "output_padding", output_padding, 0)
    _check_axes(name, x, weight)
    if weight.shape[0] != x.shape[1]:
        raise ValueError(f"{name}: weight {weight.shape} expects {weight.shape[0]} channels; x is {x.shape}")
    if not isinstance(groups, (int, np.integer)) or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"{name}: groups expects a divisor of the {x.shape[1]} channels of x; it is {groups}")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"{name}: output_padding expects less than stride or dilation; it is {output_padding}")
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        raise ValueError(f"{name}: bias expects shape {(weight.shape[1] * groups,)}; it is {bias.shape}")
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, d, e in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, extra, strict=True)
    )
    if min(size) < 1:
        raise ValueError(f"{name}: padding {padding} leaves no output; it would be {size[0]} x {size[1]}")
    # Beyond a stride, output_padding (less than dilation) makes room for windows more: those of zeros.
    windows = tuple(e // s for e, s in zip(extra, stride, strict=True))
    if any(windows):
        x = pad(x, (0, windows[1], 0, windows[0]))
    y_shape = (x.shape[0], weight.shape[1] * groups, *size)
    y = conv2d_input_gradient(x, weight, y_shape, stride, padding, dilation, groups)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def geometry(name: str, x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> tuple:
    """The settings as pairs, after a check that input and weight fit together."""
    _check_dtypes(name, "x", x, "weight", weight)
    _check_axes(name, x, weight)
    settings = _settings(name, weight.shape, stride, padding, dilation, groups)
    if x.shape[1] != weight.shape[1] * groups:
        within = f" in {groups} groups" if groups > 1 else ""
        raise ValueError(
            f"{name}: weight {weight.shape} expects {weight.shape[1] * groups} channels{within}; x is {x.shape}"
        )
    _output_shape(name, x.shape, weight.shape, *settings[:3])
    return settings


def _check_dtypes(name: str, first: str, a: Any, second: str, b: Any) -> None:
    """The values take the dtype of the first: bytes of an image would be rounded, and overflow, without a word."""
    check_floating(name, first, a)
    if a.dtype != b.dtype:
        raise TypeError(f"{name}: {second} expects {a.dtype}, the dtype of {first}; it is {b.dtype}")


def _check_axes(name: str, x: Any, weight: Any) -> None:
    if x.ndim != 4 or weight.ndim != 4:
        one_image = "; for one image x[None]" if x.ndim == 3 and weight.ndim == 4 else ""
        raise ValueError(f"{name}: x and weight expect four axes; they are {x.shape} and {weight.shape}{one_image}")


def _settings(name: str, weight_shape: tuple, stride: Any, padding: Any, dilation: Any, groups: int) -> tuple:
    if not isinstance(groups, (int, np.integer)) or groups < 1 or weight_shape[0] % groups:
        raise ValueError(f"{name}: groups expects a divisor of the {weight_shape[0]} output channels; it is {groups}")
    sizes = pair(name, "stride", stride, 1), pair(name, "padding", padding, 0), pair(name, "dilation", dilation, 1)
    return (*sizes, groups)


def _output_shape(
    name: str, x_shape: tuple, weight_shape: tuple, stride: tuple, padding: tuple, dilation: tuple
) -> tuple:
    size = tuple(map(output_size, x_shape[2:], weight_shape[2:], stride, padding, dilation))
    if min(size) < 1:
        height, width = (d * (k - 1) + 1 for k, d in zip(weight_shape[2:], dilation, strict=True))
        raise ValueError(
            f"{name}: a window of {height} x {width} expects a larger input; x is {x_shape} with padding {padding}"
        )
    return (x_shape[0], weight_shape[0], *size)


def gradient_geometry(
    name: str,
    dy: Any,
    other_name: str,
    other: Any,
    x_shape: tuple,
    weight_shape: tuple,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> tuple:
    """The settings as pairs, after a check that dy fits to them and to the other operand."""
    _check_dtypes(name, "dy", dy, other_name, other)
    settings = _settings(name, weight_shape, stride, padding, dilation, groups)
    expected = _output_shape(name, x_shape, weight_shape, *settings[:3])
    if dy.shape != expected:
        raise ValueError(f"{name}: dy expects shape {expected}, that of conv2d's output; it is {dy.shape}")
    return settings


# The values. A window of x is a row of a matrix ("columns"), so that a convolution is a matrix product. In memory the
# channels come last: a window's row is then kh runs of kw C neighbouring numbers.


def _correlate(x, weight, stride, padding, dilation, groups):
    xp, (n, _, oh, ow) = xp_of(x), _output_shape("conv2d", x.shape, weight.shape, stride, padding, dilation)
    y = xp.empty((n, oh, ow, weight.shape[0]), dtype=x.dtype)
    rows = _weight_rows(weight, groups)
    for images in _blocks(x.shape, weight.shape, oh * ow, x.itemsize):
        columns = _columns(x[images], weight.shape, stride, padding, dilation, groups)
        y[images] = _merge_groups(columns @ rows).reshape(y[images].shape)
    return y.transpose(0, 3, 1, 2)


def _spread(dy, weight, x_shape, stride, padding, dilation, groups):
    """The transpose of taking windows: through each place in the window, all of dy is added up where it came from."""
    (n, c, h, w), (o, _, kh, kw), (oh, ow) = x_shape, weight.shape, dy.shape[2:]
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    dx = xp_of(dy).zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=dy.dtype)
    rows = _split_groups(dy, groups)
    weight = weight.reshape(groups, o // groups, c // groups, kh, kw)
    for i in range(kh):
        for j in range(kw):
            here = dx[:, i * dh : i * dh + sh * (oh - 1) + 1 : sh, j * dw : j * dw + sw * (ow - 1) + 1 : sw]
            here += _merge_groups(rows @ weight[..., i, j]).reshape(n, oh, ow, c)
    return dx[:, ph : ph + h, pw : pw + w].transpose(0, 3, 1, 2)


def _gather_weights(dy, x, weight_shape, stride, padding, dilation, groups):
    xp, (o, c, kh, kw) = xp_of(x), weight_shape
    total = xp.zeros((groups, kh * kw * c, o // groups), dtype=x.dtype)
    for images in _blocks(x.shape, weight_shape, dy.shape[2] * dy.shape[3], x.itemsize):
        columns = _columns(x[images], weight_shape, stride, padding, dilation, groups)
        total += columns.swapaxes(1, 2) @ _split_groups(dy[images], groups)
    return total.reshape(groups, kh, kw, c, o // groups).transpose(0, 4, 3, 1, 2).reshape(weight_shape)


def _columns(x, weight_shape, stride, padding, dilation, groups):
    """The windows as rows of a matrix for each group: (groups, N oh ow, kh kw C / groups)."""
    xp, (n, c, h, w), (_, _, kh, kw) = xp_of(x), x.shape, weight_shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    oh, ow = output_size(h, kh, sh, ph, dh), output_size(w, kw, sw, pw, dw)
    padded = xp.zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=x.dtype)
    padded[:, ph : ph + h, pw : pw + w] = x.transpose(0, 2, 3, 1)
    of_image, of_row, of_column, of_channel = padded.strides
    windows = xp.lib.stride_tricks.as_strided(
        padded,
        (groups, n, oh, ow, kh, kw, c // groups),
        (c // groups * of_channel, of_image, sh * of_row, sw * of_column, dh * of_row, dw * of_column, of_channel),
    )
    return windows.reshape(groups, n * oh * ow, kh * kw * (c // groups))


def _weight_rows(weight, groups):
    """The weights as a matrix for each group: (groups, kh kw C / groups, O / groups)."""
    o, c, kh, kw = weight.shape
    return (
        weight.reshape(groups, o // groups, c, kh, kw)
        .transpose(0, 3, 4, 2, 1)
        .reshape(groups, kh * kw * c, o // groups)
    )


def _split_groups(dy, groups):
    """(N, O, oh, ow) to (groups, N oh ow, O / groups)."""
    n, o, oh, ow = dy.shape
    return dy.transpose(0, 2, 3, 1).reshape(n * oh * ow, groups, o // groups).swapaxes(0, 1)


def _merge_groups(y):
    """(groups, rows, O / groups) to (rows, O)."""
    return y[0] if len(y) == 1 else y.swapaxes(0, 1).reshape(y.shape[1], -1)


_COLUMN_BYTES = 16 * 2**20  # beyond this the columns leave the cache, and a large batch would need gigabytes


def _blocks(x_shape: tuple, weight_shape: tuple, windows: int, itemsize: int):
    """Slices over the images, each with columns of about _COLUMN_BYTES."""
    images = max(1, _COLUMN_BYTES // max(1, windows * x_shape[1] * weight_shape[2] * weight_shape[3] * itemsize))
    return (slice(start, start + images) for start in range(0, x_shape[0], images))
