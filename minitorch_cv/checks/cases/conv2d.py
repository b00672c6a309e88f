"""Cases of `conv2d`, its gradients and its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import conv2d, conv2d_input_gradient, conv2d_weight_gradient, conv_transpose2d
from ..case import Case, ErrorCase, Fault, wrong_gradient


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def naive_conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The index formula, one output at a time."""
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    (n, _, h, w), (o, c, kh, kw) = x.shape, weight.shape
    y = np.zeros((n, o, (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1))
    for at in np.ndindex(*y.shape):
        image, out, p, q = at
        first = out // (o // groups) * c
        for channel, i, j in np.ndindex(c, kh, kw):
            y[at] += weight[out, channel, i, j] * x[image, first + channel, p * sh + i * dh, q * sw + j * dw]
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def naive_conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Each input spread through the weights, one at a time."""
    (sh, sw), (ph, pw), (dh, dw), (eh, ew) = _pair(stride), _pair(padding), _pair(dilation), _pair(output_padding)
    (n, c, h, w), (_, o, kh, kw) = x.shape, weight.shape
    y = np.zeros((n, o * groups, (h - 1) * sh + dh * (kh - 1) + 1 + eh, (w - 1) * sw + dw * (kw - 1) + 1 + ew))
    for image, channel, p, q in np.ndindex(*x.shape):
        first = channel // (c // groups) * o
        for out, i, j in np.ndindex(o, kh, kw):
            y[image, first + out, p * sh + i * dh, q * sw + j * dw] += (
                x[image, channel, p, q] * weight[channel, out, i, j]
            )
    y = y[:, :, ph : y.shape[2] - ph, pw : y.shape[3] - pw]
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def naive_conv2d_input_gradient(dy, weight, x_shape, stride=1, padding=0, dilation=1, groups=1):
    """Each dy spread through the weights to where it came from, one at a time."""
    (sh, sw), (ph, pw), (dh, dw), (n, c, h, w) = _pair(stride), _pair(padding), _pair(dilation), x_shape
    dx = np.zeros((n, c, h + 2 * ph, w + 2 * pw))
    per_group = weight.shape[0] // groups
    for image, out, p, q in np.ndindex(*dy.shape):
        first = out // per_group * weight.shape[1]
        for channel, i, j in np.ndindex(*weight.shape[1:]):
            place = image, first + channel, p * sh + i * dh, q * sw + j * dw
            dx[place] += weight[out, channel, i, j] * dy[image, out, p, q]
    return dx[:, :, ph : ph + h, pw : pw + w]


def naive_conv2d_weight_gradient(dy, x, weight_shape, stride=1, padding=0, dilation=1, groups=1):
    """Each weight's gradient: dy times the inputs that the weight has met."""
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dweight = np.zeros(weight_shape)
    for out, channel, i, j in np.ndindex(*weight_shape):
        source = out // (weight_shape[0] // groups) * weight_shape[1] + channel
        for image, p, q in np.ndindex(dy.shape[0], *dy.shape[2:]):
            met = x[image, source, p * sh + i * dh, q * sw + j * dw]
            dweight[out, channel, i, j] += dy[image, out, p, q] * met
    return dweight


def _inputs(x, weight, bias):
    def draw(rng):
        given = {"x": rng.standard_normal(x), "weight": rng.standard_normal(weight)}
        return given | ({"bias": rng.standard_normal(bias)} if bias else {})

    return draw


CASES = [
    Case("conv2d", "3x2 window", _inputs((2, 3, 5, 4), (4, 3, 3, 2), (4,)), {}, naive_conv2d),
    Case(
        "conv2d",
        "no bias, stride 2 with leftover rows, padding 1",
        _inputs((2, 2, 6, 7), (3, 2, 3, 3), None),
        {"stride": 2, "padding": 1},
        naive_conv2d,
    ),
    Case(
        "conv2d",
        "uneven stride, padding, dilation; 2 groups",
        _inputs((2, 4, 7, 6), (6, 2, 2, 3), (6,)),
        {"stride": (2, 1), "padding": (0, 2), "dilation": (2, 1), "groups": 2},
        naive_conv2d,
    ),
    Case("conv2d", "depthwise", _inputs((1, 3, 4, 5), (6, 1, 3, 3), (6,)), {"padding": 1, "groups": 3}, naive_conv2d),
    Case(
        "conv2d",
        "channels that fill vectors",  # in bodies with vectors: Winograd's
        _inputs((1, 16, 8, 9), (16, 16, 3, 3), (16,)),
        {"padding": 1},
        naive_conv2d,
        second_order=False,
    ),
    Case("conv2d", "1x1 window, stride 2", _inputs((2, 3, 5, 4), (2, 3, 1, 1), (2,)), {"stride": 2}, naive_conv2d),
    Case(
        "conv2d_input_gradient",
        "stride 2 with leftover rows",
        lambda rng: {"dy": rng.standard_normal((2, 3, 2, 3)), "weight": rng.standard_normal((3, 2, 3, 2))},
        {"x_shape": (2, 2, 6, 7), "stride": 2, "padding": (0, 0)},
        naive_conv2d_input_gradient,
    ),
    Case(
        "conv2d_weight_gradient",
        "2 groups, padding",
        lambda rng: {"dy": rng.standard_normal((2, 4, 4, 6)), "x": rng.standard_normal((2, 4, 4, 5))},
        {"weight_shape": (4, 2, 3, 2), "padding": 1, "groups": 2},
        naive_conv2d_weight_gradient,
    ),
    Case("conv_transpose2d", "3x2 window", _inputs((2, 3, 3, 4), (3, 4, 3, 2), (4,)), {}, naive_conv_transpose2d),
    Case(
        "conv_transpose2d",
        "stride 2, padding, output padding, dilation, 2 groups",
        _inputs((2, 4, 3, 2), (4, 2, 3, 3), (4,)),
        {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2, "dilation": (1, 2)},
        naive_conv_transpose2d,
    ),
    Case(
        "conv_transpose2d",
        "output padding beyond the stride",
        _inputs((1, 2, 3, 2), (2, 3, 2, 2), None),
        {"dilation": (3, 2), "output_padding": (2, 1)},
        naive_conv_transpose2d,
    ),
]

_x, _weight = np.zeros((2, 3, 8, 8)), np.zeros((4, 3, 3, 3))
_half: Any = 0.5

ERRORS = [
    ErrorCase(
        "conv2d",
        lambda: conv2d(np.ones((1, 3, 5, 5), np.uint8), np.ones((2, 3, 3, 3), np.float32)),
        TypeError,
        "conv2d: x expects floating values; it is of type uint8",
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(np.ones((1, 3, 5, 5), np.float32), np.ones((2, 3, 3, 3))),
        TypeError,
        "conv2d: weight expects float32, the dtype of x; it is float64",
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(np.zeros((32, 1, 28, 28)), np.zeros((8, 3, 5, 5))),
        ValueError,
        "conv2d: weight (8, 3, 5, 5) expects 3 channels; x is (32, 1, 28, 28)",
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(np.zeros((3, 8, 8)), _weight),
        ValueError,
        "conv2d: x and weight expect four axes; they are (3, 8, 8) and (4, 3, 3, 3); for one image x[None]",
    ),
    ErrorCase(
        "conv2d", lambda: conv2d(_x, _weight, np.zeros(3)), ValueError, "conv2d: bias expects shape (4,); it is (3,)"
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(_x, _weight, stride=0),
        ValueError,
        "conv2d: stride expects a whole number >= 1, or two; it is 0",
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(_x, _weight, padding=_half),
        ValueError,
        "conv2d: padding expects a whole number >= 0, or two; it is 0.5",
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(_x, _weight, groups=3),
        ValueError,
        "conv2d: groups expects a divisor of the 4 output channels; it is 3",
    ),
    ErrorCase(
        "conv2d",
        lambda: conv2d(_x, _weight, dilation=4),
        ValueError,
        "conv2d: a window of 9 x 9 expects a larger input; x is (2, 3, 8, 8) with padding (0, 0)",
    ),
    ErrorCase(
        "conv2d_input_gradient",
        lambda: conv2d_input_gradient(np.zeros((2, 4, 5, 5)), _weight, (2, 3, 8, 8)),
        ValueError,
        "conv2d_input_gradient: dy expects shape (2, 4, 6, 6), that of conv2d's output; it is (2, 4, 5, 5)",
    ),
    ErrorCase(
        "conv2d_weight_gradient",
        lambda: conv2d_weight_gradient(np.zeros((2, 4, 5, 5)), _x, (4, 3, 3, 3)),
        ValueError,
        "conv2d_weight_gradient: dy expects shape (2, 4, 6, 6), that of conv2d's output; it is (2, 4, 5, 5)",
    ),
    ErrorCase(
        "conv_transpose2d",
        lambda: conv_transpose2d(_x, _weight),
        ValueError,
        "conv_transpose2d: weight (4, 3, 3, 3) expects 4 channels; x is (2, 3, 8, 8)",
    ),
    ErrorCase(
        "conv_transpose2d",
        lambda: conv_transpose2d(_x, np.zeros((3, 4, 3, 3)), output_padding=1),
        ValueError,
        "conv_transpose2d: output_padding expects less than stride or dilation; it is 1",
    ),
]


def _flipped(grads, dy, x, weight, *settings):
    return [conv2d_input_gradient(dy, weight[:, :, ::-1, ::-1], x.shape, *settings[1:]), *grads[1:]]


def _bias_mean(grads, dy, x, weight, bias=None, *settings):
    return [*grads[:2], None if bias is None else grads[2] * (1 / dy.shape[0])]


def _summed_over_batch_only_once(grads, dy, x, weight, bias=None, *settings):
    return [grads[0], conv2d_weight_gradient(dy[:1], x[:1], weight.shape, *settings), *grads[2:]]


FAULTS = [
    Fault("conv2d", "dx with the window flipped in space", wrong_gradient(_flipped)),
    Fault("conv2d", "db averaged over the images", wrong_gradient(_bias_mean)),
    Fault("conv2d", "dw of the first image alone", wrong_gradient(_summed_over_batch_only_once)),
]
