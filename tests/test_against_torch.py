"""Every public operation against torch in float64: values and gradients, over random shapes, arguments and layouts."""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch_cv as mt
from minitorch_cv import Tensor, ops

pytestmark = pytest.mark.yardstick
torch = pytest.importorskip(
    "torch", reason="torch, the reference, is not installed: pip install 'minitorch-cv[yardstick]'"
)
F = torch.nn.functional


class Draw:
    """What a comparison draws: sizes and choices from hypothesis, values from a seed that hypothesis chose."""

    def __init__(self, data):
        self.data = data
        self.rng = np.random.default_rng(self.integer(0, 2**32 - 1))

    def integer(self, low, high):
        return self.data.draw(st.integers(low, high))

    def choice(self, *options):
        return self.data.draw(st.sampled_from(options))

    def flag(self):
        return self.data.draw(st.booleans())

    def shape(self, least=0, most=4, low=1, high=4):
        return tuple(self.integer(low, high) for _ in range(self.integer(least, most)))

    def normal(self, *shape):
        return self.laid_out(self.rng.standard_normal(shape))

    def uniform(self, low, high, *shape):
        return self.laid_out(self.rng.uniform(low, high, shape))

    def apart(self, *shape):
        """Distinct values, so that no maximum is tied, and none at a kink at zero."""
        values = self.rng.permutation(int(np.prod(shape))) - np.prod(shape) // 2 + 0.5
        return self.laid_out(0.37 * values.reshape(shape))

    def away_from_zero(self, *shape):
        values = self.rng.standard_normal(shape)
        return self.laid_out(values + np.copysign(0.1, values))

    def laid_out(self, array):
        """The same values, in one of many orders and spacings in memory."""
        array = np.asarray(array)
        if array.ndim == 0:
            return array
        layout = self.choice("row-major", "column-major", "strided", "reversed", "channels last", "broadcast")
        if layout == "column-major":
            return np.asfortranarray(array)
        if layout == "strided":
            wide = np.full([2 * n + 1 for n in array.shape], np.nan)
            wide[tuple(slice(1, None, 2) for _ in array.shape)] = array
            return wide[tuple(slice(1, None, 2) for _ in array.shape)]
        if layout == "reversed":
            back = tuple(slice(None, None, -1) for _ in array.shape)
            return array[back].copy()[back]
        if layout == "channels last" and array.ndim > 2:
            return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
        if layout == "broadcast" and array.shape[0] == 1:
            return np.broadcast_to(array[0], array.shape)
        return np.ascontiguousarray(array)

    def axes(self, ndim):
        """None, one axis, or several, counted from either end."""
        if ndim == 0 or self.flag():
            return None
        axes = self.data.draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
        axes = tuple(a - ndim if self.flag() else a for a in axes)
        return axes[0] if len(axes) == 1 and self.flag() else axes

    def broadcast_pair(self):
        """Two shapes that broadcast with each other."""
        whole = self.shape()
        pair = []
        for _ in range(2):
            cut = whole[self.integer(0, len(whole)) :]
            pair.append(tuple(1 if self.flag() and self.flag() else n for n in cut))
        return pair


# A comparison takes a Draw and gives the operands by name (floating arrays are differentiated), then the call in ours
# and in torch. Both calls get the operands as keywords.
COMPARISONS = {}


def compare(*names):
    def register(function):
        COMPARISONS.update({name: types.MethodType(function, name) for name in names})
        return function

    return register


def _all_axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


# ---- elementwise

_BINARY = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}


@compare(*_BINARY)
def _binary(name, draw):
    a, b = draw.broadcast_pair()
    operands = {"a": draw.normal(*a), "b": draw.away_from_zero(*b)}
    return operands, lambda a, b: getattr(ops, name)(a, b), lambda a, b: _BINARY[name](a, b)


@compare("power")
def _power(name, draw):
    if draw.flag():
        a, b = draw.broadcast_pair()
        operands = {"x": draw.uniform(0.2, 3, *a), "exponent": draw.normal(*b)}
        return operands, ops.power, lambda x, exponent: x**exponent
    exponent = draw.choice(0, 1, 2, 3, -1, -2, 2.0)
    return {"x": draw.away_from_zero(*draw.shape())}, lambda x: ops.power(x, exponent), lambda x: x**exponent


@compare("where")
def _where(name, draw):
    a, b = draw.broadcast_pair()
    condition = draw.rng.random(np.broadcast_shapes(a, b)[draw.integer(0, 1) :]) < 0.5
    return (
        {"a": draw.normal(*a), "b": draw.normal(*b)},
        lambda a, b: ops.where(condition, a, b),
        lambda a, b: torch.where(torch.tensor(condition), a, b),
    )


_UNARY = {
    "negative": (torch.neg, -3, 3),
    "exp": (torch.exp, -3, 3),
    "expm1": (torch.expm1, -3, 3),
    "log": (torch.log, 0.1, 5),
    "log1p": (torch.log1p, -0.9, 5),
    "sqrt": (torch.sqrt, 0.1, 5),
    "sin": (torch.sin, -5, 5),
    "cos": (torch.cos, -5, 5),
    "tanh": (torch.tanh, -5, 5),
    "sigmoid": (torch.sigmoid, -30, 30),
    "silu": (F.silu, -30, 30),
    "log_sigmoid": (F.logsigmoid, -30, 30),
    "erf": (torch.erf, -6, 6),
    "clone": (torch.clone, -3, 3),
}


@compare(*_UNARY)
def _unary(name, draw):
    function, low, high = _UNARY[name]
    return {"x": draw.uniform(low, high, *draw.shape())}, getattr(ops, name), lambda x: function(x)


_KINKED = {"abs": torch.abs, "relu": F.relu, "relu6": F.relu6}


@compare(*_KINKED)
def _kinked(name, draw):
    return {"x": draw.apart(*draw.shape())}, getattr(ops, name), lambda x: _KINKED[name](x)


@compare("leaky_relu", "elu")
def _with_slope(name, draw):
    slope = draw.choice(0.01, 0.2, 1.0, 1.7)
    theirs = getattr(F, name)
    return {"x": draw.apart(*draw.shape())}, lambda x: getattr(ops, name)(x, slope), lambda x: theirs(x, slope)


@compare("softplus")
def _softplus(name, draw):
    beta, threshold = draw.choice(1, 0.5, 2), draw.choice(20, 3)
    values = {"x": draw.apart(*draw.shape()) * draw.choice(0.13, 3)}
    return values, lambda x: ops.softplus(x, beta, threshold), lambda x: F.softplus(x, beta, threshold)


@compare("gelu")
def _gelu(name, draw):
    form = draw.choice("none", "tanh")
    values = {"x": draw.uniform(-8, 8, *draw.shape())}
    return values, lambda x: ops.gelu(x, form), lambda x: F.gelu(x, approximate=form)


@compare("clip")
def _clip(name, draw):
    low, high = draw.choice((-1.0, 1.0), (None, 0.3), (-0.3, None), (-4, 2))
    x = {"x": draw.apart(*draw.shape())}
    return x, lambda x: ops.clip(x, low, high), lambda x: torch.clamp(x, low, high)


@compare("astype")
def _astype(name, draw):
    # Through float32: what is rounded away is the same in both.
    return (
        {"x": draw.normal(*draw.shape())},
        lambda x: ops.astype(ops.astype(x, np.float32), np.float64),
        lambda x: x.to(torch.float32).to(torch.float64),
    )


@compare("to_device")
def _to_device(name, draw):
    return {"x": draw.normal(*draw.shape())}, lambda x: ops.to_device(x, "cpu") * 1.0, lambda x: x.to("cpu") * 1.0


# ---- reductions


@compare("sum", "mean")
def _reduction(name, draw):
    x, keep = draw.normal(*draw.shape()), draw.flag()
    axis = draw.axes(x.ndim)
    theirs = getattr(torch, name)
    return (
        {"x": x},
        lambda x: getattr(ops, name)(x, axis, keep),
        lambda x: theirs(x, dim=_all_axes(x, axis), keepdim=keep),
    )


@compare("var")
def _var(name, draw):
    x, keep = draw.normal(*draw.shape(low=2)), draw.flag()
    axis, correction = draw.axes(x.ndim), 0 if x.ndim == 0 else draw.choice(0, 1)
    return (
        {"x": x},
        lambda x: ops.var(x, axis, correction, keep),
        lambda x: torch.var(x, dim=_all_axes(x, axis), correction=correction, keepdim=keep),
    )


@compare("max", "min")
def _extreme(name, draw):
    x, keep = draw.apart(*draw.shape()), draw.flag()
    axis = draw.axes(x.ndim)
    theirs = getattr(torch, "a" + name)
    return (
        {"x": x},
        lambda x: getattr(ops, name)(x, axis, keep),
        lambda x: theirs(x, dim=_all_axes(x, axis), keepdim=keep),
    )


@compare("argmax", "argmin")
def _index_of_extreme(name, draw):
    x = draw.apart(*draw.shape(1))
    axis = draw.choice(None, *range(-x.ndim, x.ndim))
    return {"x": x}, lambda x: getattr(ops, name)(x, axis), lambda x: getattr(torch, name)(x, axis)


# ---- shape


@compare("reshape")
def _reshape(name, draw):
    x = draw.normal(*draw.shape(1))
    sizes = draw.choice((-1,), (x.size,), (x.shape[0], -1), (-1, x.shape[-1]), (1, x.size, 1), x.shape[::-1])
    return {"x": x}, lambda x: ops.reshape(x, sizes), lambda x: x.reshape(sizes)


@compare("flatten")
def _flatten(name, draw):
    x = draw.normal(*draw.shape(1))
    start = draw.integer(0, x.ndim - 1)
    end = draw.integer(start, x.ndim - 1)
    if draw.flag():
        end -= x.ndim
    return {"x": x}, lambda x: ops.flatten(x, start, end), lambda x: torch.flatten(x, start, end)


@compare("permute")
def _permute(name, draw):
    x = draw.normal(*draw.shape())
    axes = tuple(a - x.ndim if draw.flag() else a for a in draw.data.draw(st.permutations(range(x.ndim))))
    return {"x": x}, lambda x: ops.permute(x, axes), lambda x: x.permute(axes)


@compare("transpose")
def _transpose(name, draw):
    x = draw.normal(*draw.shape(1))
    a, b = (draw.integer(-x.ndim, x.ndim - 1) for _ in range(2))
    return {"x": x}, lambda x: ops.transpose(x, a, b), lambda x: x.transpose(a, b)


@compare("expand")
def _expand(name, draw):
    whole = draw.shape(1)
    x = draw.normal(*(1 if draw.flag() else n for n in whole[draw.integer(0, len(whole)) :]))
    kept = [(-1 if n == m and draw.flag() else n) for n, m in zip(whole, (None,) * (len(whole) - x.ndim) + x.shape)]
    return {"x": x}, lambda x: ops.expand(x, kept), lambda x: x.expand(kept)


@compare("squeeze", "unsqueeze")
def _one_axis(name, draw):
    shape = list(draw.shape(0, 3))
    if name == "squeeze":
        position = draw.integer(0, len(shape))
        shape.insert(position, 1)
        axis = draw.choice(None, position, position - len(shape))
        return (
            {"x": draw.normal(*shape)},
            lambda x: ops.squeeze(x, axis),
            lambda x: x.squeeze() if axis is None else x.squeeze(axis),
        )
    axis = draw.integer(-len(shape) - 1, len(shape))
    return {"x": draw.normal(*shape)}, lambda x: ops.unsqueeze(x, axis), lambda x: x.unsqueeze(axis)


@compare("flip")
def _flip(name, draw):
    x = draw.normal(*draw.shape(1))
    axis = draw.axes(x.ndim)
    axes = _all_axes(x, (axis,) if isinstance(axis, int) else axis)
    return {"x": x}, lambda x: ops.flip(x, axis), lambda x: torch.flip(x, axes)


@compare("concatenate", "stack")
def _join(name, draw):
    shape = draw.shape(1, 3)
    count = draw.integer(1, 3)
    if name == "stack":
        axis = draw.integer(-len(shape) - 1, len(shape))
        shapes = [shape] * count
    else:
        axis = draw.integer(-len(shape), len(shape) - 1)
        shapes = [
            tuple(draw.integer(0, 3) if k == axis % len(shape) else n for k, n in enumerate(shape))
            for _ in range(count)
        ]
    theirs = torch.stack if name == "stack" else torch.cat
    return (
        {f"x{i}": draw.normal(*s) for i, s in enumerate(shapes)},
        lambda **x: getattr(ops, name)(list(x.values()), axis),
        lambda **x: theirs(list(x.values()), axis),
    )


def _index(draw, shape):
    """An index with numbers, slices, Ellipsis, new axes and at most one block of index arrays or masks."""
    kind = draw.choice("basic", "array", "arrays", "mask")
    if kind == "mask":
        return draw.rng.random(shape[: draw.integer(1, len(shape))]) < 0.5
    if kind == "arrays" and len(shape) > 1:
        n = draw.integer(1, 4)
        return draw.rng.integers(-shape[0], shape[0], (n, 1)), draw.rng.integers(0, shape[1], draw.choice(1, 3))
    parts = []
    for n in shape[: draw.integer(1, len(shape))]:
        low = draw.integer(0, n - 1)
        parts.append(draw.choice(low - n, slice(low, n), slice(None, n, 2), slice(None)))
    if kind == "array":
        parts[draw.integer(0, len(parts) - 1)] = draw.rng.integers(0, min(shape[: len(parts)]), draw.integer(1, 5))
        parts = [slice(None) if isinstance(p, int) else p for p in parts]
    elif draw.flag():
        parts.insert(draw.integer(0, len(parts)), None)
    return tuple(parts)


def _as_torch_index(index):
    as_torch = lambda i: torch.tensor(i) if isinstance(i, np.ndarray) else i
    return tuple(map(as_torch, index)) if isinstance(index, tuple) else as_torch(index)


@compare("getitem")
def _getitem(name, draw):
    x = draw.normal(*draw.shape(1, 3))
    index = _index(draw, x.shape)
    return {"x": x}, lambda x: ops.getitem(x, index), lambda x: x[_as_torch_index(index)]


@compare("scatter_add")
def _scatter_add(name, draw):
    shape = draw.shape(1, 3)
    index = _index(draw, shape)
    positions = torch.arange(int(np.prod(shape))).reshape(shape)[_as_torch_index(index)]
    zeros = torch.zeros(int(np.prod(shape)), dtype=torch.float64)
    return (
        {"values": draw.normal(*positions.shape)},
        lambda values: ops.scatter_add(values, index, shape),
        lambda values: zeros.scatter_add(0, positions.ravel(), values.ravel()).reshape(shape),
    )


@compare("take_along_axis")
def _take_along_axis(name, draw):
    x = draw.normal(*draw.shape(1, 3))
    axis = draw.integer(-x.ndim, x.ndim - 1)
    shape = [draw.integer(1, 5) if k == axis % x.ndim else n for k, n in enumerate(x.shape)]
    indices = draw.rng.integers(0, x.shape[axis], shape)
    return (
        {"x": x},
        lambda x: ops.take_along_axis(x, indices, axis),
        lambda x: torch.take_along_dim(x, torch.tensor(indices), axis),
    )


@compare("pad")
def _pad(name, draw):
    mode = draw.choice("constant", "reflect", "replicate", "circular")
    x = draw.normal(*(draw.integer(1, 3) for _ in range(2)), *(draw.integer(3, 5) for _ in range(2)))
    sizes = tuple(draw.integer(0, 2) for _ in range(4))
    value = draw.choice(0.0, -1.5) if mode == "constant" else 0.0
    theirs = lambda x: F.pad(x, sizes, mode, *([value] if mode == "constant" else []))
    return {"x": x}, lambda x: ops.pad(x, sizes, mode, value), theirs


# ---- products and convolutions


@compare("matmul")
def _matmul(name, draw):
    n, k, m = (draw.integer(1, 4) for _ in range(3))
    batch_a, batch_b = draw.broadcast_pair()
    a = (k,) if draw.flag() and draw.flag() else (*batch_a[-2:], n, k)
    b = (k,) if draw.flag() and draw.flag() else (*batch_b[-2:], k, m)
    return {"a": draw.normal(*a), "b": draw.normal(*b)}, ops.matmul, lambda a, b: torch.matmul(a, b)


@compare("linear")
def _linear(name, draw):
    features, outputs = draw.integer(1, 5), draw.integer(1, 5)
    operands = {"x": draw.normal(*draw.shape(0, 3), features), "weight": draw.normal(outputs, features)}
    if draw.flag():
        operands["bias"] = draw.normal(outputs)
    return operands, ops.linear, lambda x, weight, bias=None: F.linear(x, weight, bias)


@compare("conv2d", "conv_transpose2d")
def _conv2d(name, draw):
    groups, n = draw.choice(1, 1, 2, 3), draw.integer(1, 2)
    c, o = groups * draw.integer(1, 2), groups * draw.integer(1, 2)
    kernel = draw.integer(1, 3), draw.integer(1, 3)
    stride, padding, dilation = (
        tuple(draw.integer(low, high) for _ in range(2)) for low, high in ((1, 3), (0, 2), (1, 2))
    )
    size = tuple(draw.integer(d * (k - 1) + 1, d * (k - 1) + 5) for k, d in zip(kernel, dilation))
    if name == "conv2d":
        weight, arguments = draw.normal(o, c // groups, *kernel), (stride, padding, dilation, groups)
    else:
        extra = tuple(draw.integer(0, max(s, d) - 1) for s, d in zip(stride, dilation))
        padding = tuple(min(p, d * (k - 1) // 2) for p, d, k in zip(padding, dilation, kernel))
        weight, arguments = draw.normal(c, o // groups, *kernel), (stride, padding, extra, groups, dilation)
    operands = {"x": draw.normal(n, c, *size), "weight": weight}
    if draw.flag():
        operands["bias"] = draw.normal(o)
    if draw.flag() and stride[0] == stride[1]:
        arguments = (stride[0], *arguments[1:])
    ours, theirs = getattr(ops, name), getattr(F, name)
    return (
        operands,
        lambda x, weight, bias=None: ours(x, weight, bias, *arguments),
        lambda x, weight, bias=None: theirs(x, weight, bias, *arguments),
    )


@compare("conv2d_input_gradient", "conv2d_weight_gradient")
def _conv2d_gradient(name, draw):
    stride, padding = draw.integer(1, 3), draw.integer(0, 1)
    x, weight = draw.normal(2, 2, 5, 6), draw.normal(3, 2, 3, 2)
    size = [(n + 2 * padding - k) // stride + 1 for n, k in zip((5, 6), (3, 2))]
    dy = draw.normal(2, 3, *size)
    if name == "conv2d_input_gradient":
        return (
            {"dy": dy, "weight": weight},
            lambda dy, weight: ops.conv2d_input_gradient(dy, weight, x.shape, stride, padding),
            lambda dy, weight: torch.nn.grad.conv2d_input(x.shape, weight, dy, stride, padding),
        )
    return (
        {"dy": dy, "x": x},
        lambda dy, x: ops.conv2d_weight_gradient(dy, x, weight.shape, stride, padding),
        lambda dy, x: torch.nn.grad.conv2d_weight(x, weight.shape, dy, stride, padding),
    )


# ---- pooling and resizing


def _window(draw):
    kernel = draw.choice(1, 2, 3, (2, 3), (3, 1))
    stride = draw.choice(None, 1, 2, 3, (1, 2))
    smallest = min(kernel) if isinstance(kernel, tuple) else kernel
    return kernel, stride, draw.integer(0, smallest // 2)


def _image(draw, values="normal"):
    return getattr(draw, values)(draw.integer(1, 2), draw.integer(1, 3), draw.integer(5, 8), draw.integer(5, 8))


@compare("max_pool2d")
def _max_pool2d(name, draw):
    kernel, stride, padding = _window(draw)
    arguments = kernel, stride, padding, draw.choice(1, 2), draw.flag()
    return {"x": _image(draw, "apart")}, lambda x: ops.max_pool2d(x, *arguments), lambda x: F.max_pool2d(x, *arguments)


@compare("max_unpool2d")
def _max_unpool2d(name, draw):
    image = torch.tensor(np.ascontiguousarray(_image(draw, "apart")))
    pooled, indices = F.max_pool2d(image, 2, 2, return_indices=True)
    size = tuple(image.shape[2:]) if draw.flag() else None
    if size is None:
        indices = F.max_pool2d(image[:, :, : pooled.shape[2] * 2, : pooled.shape[3] * 2], 2, 2, return_indices=True)[1]
    return (
        {"x": draw.normal(*pooled.shape)},
        lambda x: ops.max_unpool2d(x, indices.numpy(), 2, 2, output_size=size),
        lambda x: F.max_unpool2d(x, indices, 2, 2, output_size=size),
    )


@compare("avg_pool2d")
def _avg_pool2d(name, draw):
    kernel, stride, padding = _window(draw)
    arguments = kernel, stride, padding, draw.flag(), draw.flag(), draw.choice(None, None, 3)
    return {"x": _image(draw)}, lambda x: ops.avg_pool2d(x, *arguments), lambda x: F.avg_pool2d(x, *arguments)


@compare("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(name, draw):
    size = draw.choice(1, 2, 3, (2, 5), (9, 4))
    return {"x": _image(draw)}, lambda x: ops.adaptive_avg_pool2d(x, size), lambda x: F.adaptive_avg_pool2d(x, size)


@compare("interpolate")
def _interpolate(name, draw):
    mode = draw.choice("nearest", "bilinear")
    corners = draw.choice(None, False, True) if mode == "bilinear" else None
    size, factor = draw.choice((7, None), ((3, 10), None), (None, 2), (None, 1.5), (None, 0.6))
    arguments = {"size": size, "scale_factor": factor, "mode": mode, "align_corners": corners}
    return {"x": _image(draw)}, lambda x: ops.interpolate(x, **arguments), lambda x: F.interpolate(x, **arguments)


# ---- normalisation


def _scale_and_shift(draw, *shape):
    return {"weight": draw.normal(*shape), "bias": draw.normal(*shape)} if draw.flag() else {}


@compare("batch_norm")
def _batch_norm(name, draw):
    c, training, momentum = draw.integer(1, 4), draw.flag(), draw.choice(0.1, 0.3)
    x = draw.normal(draw.integer(2, 4), c, *draw.choice((), (3,), (3, 2)))
    mean, variance = draw.rng.standard_normal(c), draw.rng.uniform(0.5, 2, c)
    ours, theirs = (mean.copy(), variance.copy()), (torch.tensor(mean), torch.tensor(variance))
    relu = draw.flag()
    residuals = {"residual": draw.normal(*x.shape)} if relu and draw.flag() else {}

    def check_statistics():
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-12)

    def ours_by_name(x, weight=None, bias=None, residual=None):
        return ops.batch_norm(x, *ours, weight, bias, training, momentum, 1e-3, residual=residual, relu=relu)

    def theirs_by_name(x, weight=None, bias=None, residual=None):
        y = F.batch_norm(x, *theirs, weight, bias, training, momentum, 1e-3)
        check_statistics()
        y = y if residual is None else y + residual
        return F.relu(y) if relu else y

    return {"x": x, **_scale_and_shift(draw, c), **residuals}, ours_by_name, theirs_by_name


@compare("group_norm")
def _group_norm(name, draw):
    groups = draw.integer(1, 3)
    c = groups * draw.integer(1, 3)
    x = draw.normal(draw.integer(1, 3), c, *draw.choice((2,), (3, 2)))
    return (
        {"x": x, **_scale_and_shift(draw, c)},
        lambda x, weight=None, bias=None: ops.group_norm(x, groups, weight, bias, 1e-3),
        lambda x, weight=None, bias=None: F.group_norm(x, groups, weight, bias, 1e-3),
    )


@compare("layer_norm")
def _layer_norm(name, draw):
    x = draw.normal(*draw.shape(1, 4, low=2))
    shape = x.shape[draw.integer(0, x.ndim - 1) :]
    return (
        {"x": x, **_scale_and_shift(draw, *shape)},
        lambda x, weight=None, bias=None: ops.layer_norm(x, shape, weight, bias, 1e-3),
        lambda x, weight=None, bias=None: F.layer_norm(x, shape, weight, bias, 1e-3),
    )


@compare("local_response_norm")
def _local_response_norm(name, draw):
    x = draw.normal(draw.integer(1, 2), draw.integer(1, 6), *draw.choice((3,), (3, 2)))
    arguments = draw.integer(1, 6), draw.choice(1e-4, 0.3), draw.choice(0.75, 0.5), draw.choice(1.0, 2.0)
    return {"x": x}, lambda x: ops.local_response_norm(x, *arguments), lambda x: F.local_response_norm(x, *arguments)


# ---- softmax, losses, attention, lookup


@compare("softmax", "log_softmax")
def _softmax(name, draw):
    x = draw.normal(*draw.shape(1)) * draw.choice(1, 30)
    axis = draw.integer(-x.ndim, x.ndim - 1)
    return {"x": x}, lambda x: getattr(ops, name)(x, axis), lambda x: getattr(F, name)(x, axis)


def _class_weight(draw, classes):
    return draw.rng.uniform(0.3, 2, classes) if draw.flag() else None


def _torch_or_none(array):
    return None if array is None else torch.tensor(array)


@compare("cross_entropy", "nll_loss")
def _classification(name, draw):
    classes = draw.integer(2, 5)
    places = draw.choice((), (3,), (2, 3))
    shape = (draw.integer(2, 4), classes, *places)
    weight, reduction = _class_weight(draw, classes), draw.choice("mean", "sum", "none")
    smoothing = draw.choice(0.0, 0.1) if name == "cross_entropy" else None
    if name == "cross_entropy" and draw.flag():
        target = draw.rng.dirichlet(np.ones(classes), (shape[0], *places))
        target, ignored = np.moveaxis(target, -1, 1), -100
    else:
        target, ignored = draw.rng.integers(0, classes, (shape[0], *places)), draw.choice(-100, -1)
        target.flat[0] = draw.choice(ignored, 0)
        target.flat[-1] = 1
    arguments = {"ignore_index": ignored, "reduction": reduction}
    if smoothing is not None:
        arguments["label_smoothing"] = smoothing
    return (
        {"x": draw.normal(*shape)},
        lambda x: getattr(ops, name)(x, target, weight, **arguments),
        lambda x: getattr(F, name)(x, torch.tensor(np.ascontiguousarray(target)), _torch_or_none(weight), **arguments),
    )


@compare("mse_loss", "l1_loss", "smooth_l1_loss")
def _regression(name, draw):
    shape, reduction = draw.shape(1), draw.choice("mean", "sum", "none")
    settings = {"beta": draw.choice(1.0, 0.4)} if name == "smooth_l1_loss" else {}
    operands = {"x": draw.apart(*shape), "target": draw.apart(*shape) + 0.11}
    ours, theirs = getattr(ops, name), getattr(F, name)
    return (
        operands,
        lambda x, target: ours(x, target, reduction=reduction, **settings),
        lambda x, target: theirs(x, target, reduction=reduction, **settings),
    )


@compare("binary_cross_entropy_with_logits")
def _binary_cross_entropy(name, draw):
    shape, reduction = draw.shape(1, 3), draw.choice("mean", "sum", "none")
    target = draw.rng.uniform(0, 1, shape)
    weight, positive = _class_weight(draw, shape[-1]), _class_weight(draw, shape[-1])
    return (
        {"x": draw.normal(*shape) * draw.choice(1, 30)},
        lambda x: ops.binary_cross_entropy_with_logits(x, target, weight, reduction=reduction, pos_weight=positive),
        lambda x: F.binary_cross_entropy_with_logits(
            x,
            torch.tensor(target),
            _torch_or_none(weight),
            reduction=reduction,
            pos_weight=_torch_or_none(positive),
        ),
    )


@compare("gaussian_nll_loss")
def _gaussian_nll_loss(name, draw):
    shape, reduction, full = draw.shape(1, 3, low=2), draw.choice("mean", "sum", "none"), draw.flag()
    operands = {"x": draw.normal(*shape), "target": draw.normal(*shape)}
    operands["var"] = draw.uniform(0.2, 2, *shape[:-1], draw.choice(1, shape[-1]))
    return (
        operands,
        lambda x, target, var: ops.gaussian_nll_loss(x, target, var, full, reduction=reduction),
        lambda x, target, var: F.gaussian_nll_loss(x, target, var, full, reduction=reduction),
    )


@compare("gaussian_kl")
def _gaussian_kl(name, draw):
    shape, reduction = (draw.integer(1, 3), *draw.shape(1, 2)), draw.choice("mean", "sum", "none")

    def theirs(mean, log_variance):
        normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
        return divergence if reduction == "none" else getattr(torch, reduction)(divergence)

    operands = {"mean": draw.normal(*shape), "log_variance": draw.normal(*shape)}
    return operands, lambda mean, log_variance: ops.gaussian_kl(mean, log_variance, reduction), theirs


@compare("scaled_dot_product_attention")
def _attention(name, draw):
    batch, (queries, keys, e, v) = draw.shape(1, 2), (draw.integer(1, 4) for _ in range(4))
    kind = draw.choice("none", "causal", "boolean", "floating")
    operands = {
        "query": draw.normal(*batch, queries, e),
        "key": draw.normal(*batch, keys, e),
        "value": draw.normal(*batch, keys, v),
    }
    scale, settings = draw.choice(None, 0.7), {"is_causal": kind == "causal"}
    if kind == "floating":
        operands["mask"] = draw.normal(queries, keys)
    seen = draw.rng.random((queries, keys)) < 0.6
    seen[:, 0] = True  # what a query that sees nothing gets is a matter of convention

    def ours(query, key, value, mask=None):
        mask = seen if kind == "boolean" else mask
        return ops.scaled_dot_product_attention(query, key, value, mask, scale=scale, **settings)

    def theirs(query, key, value, mask=None):
        mask = torch.tensor(seen) if kind == "boolean" else mask
        return F.scaled_dot_product_attention(query, key, value, mask, scale=scale, **settings)

    return operands, ours, theirs


@compare("embedding")
def _embedding(name, draw):
    rows = draw.integer(1, 5)
    indices = draw.rng.integers(0, rows, draw.shape(1, 3))
    padding = draw.choice(None, 0, -1)
    return (
        {"weight": draw.normal(rows, draw.integer(1, 4))},
        lambda weight: ops.embedding(indices, weight, padding),
        lambda weight: F.embedding(torch.tensor(indices), weight, padding),
    )


@compare("add_relu")
def _add_relu(name, draw):
    shape = draw.shape(1)
    operands = {"x": draw.apart(*shape), "residual": draw.apart(*shape) + 0.11}
    return operands, ops.add_relu, lambda x, residual: F.relu(x + residual)


@compare("dropout", "dropout2d")
def _dropout(name, draw):
    """What remains of ones is the mask; torch multiplies by it."""
    shape, p, seed = (2, 3, draw.integer(1, 4), 4), draw.choice(0.0, 0.3, 0.5, 1.0), draw.integer(0, 9)
    ours = lambda x: getattr(ops, name)(x, p, generator=mt.Generator(seed))
    mask = ours(np.ones(shape))
    kept = mask != 0
    if name == "dropout2d":
        assert (kept == kept[:, :, :1, :1]).all()
    factor = 1 / (1 - p) if p < 1 else 0.0
    return {"x": draw.normal(*shape)}, ours, lambda x: x * torch.tensor(np.where(kept, factor, 0.0))


# ---- the test

PUBLIC = {
    name
    for name, value in vars(ops).items()
    if callable(value) and not name.startswith("_") and not isinstance(value, (type, types.ModuleType))
}


def test_every_public_operation_is_compared():
    assert PUBLIC - set(COMPARISONS) == set(), "add a comparison with torch"


def _close(what, ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, torch has {theirs.shape}"
    if ours.size:
        scale = max(np.abs(theirs).max(), 1e-3)
        error = np.abs(ours - theirs).max() / scale
        assert error <= 1e-9, f"{what}: off by {error:.1e} of the largest value"


@pytest.mark.parametrize("name", sorted(set(COMPARISONS) & PUBLIC))
@settings(max_examples=20, print_blob=False)
@given(data=st.data())
def test_against_torch(name, data):
    draw = Draw(data)
    operands, ours, theirs = COMPARISONS[name](draw)
    before = {key: array.copy() for key, array in operands.items()}
    xs = {key: Tensor(array, requires_grad=True) for key, array in operands.items()}
    references = {key: torch.tensor(array, requires_grad=True) for key, array in before.items()}
    y, expected = ours(**xs), theirs(**references)
    _close("value", y.numpy(), expected.detach().numpy())
    on_arrays = ours(**operands)
    assert isinstance(on_arrays, (np.ndarray, np.generic))
    np.testing.assert_array_equal(on_arrays, y.numpy())
    for key, array in operands.items():
        np.testing.assert_array_equal(array, before[key], err_msg=f"{key} was changed")
    if not expected.requires_grad:
        assert not y.requires_grad
        return
    dy = draw.rng.standard_normal(y.shape)
    gradients = mt.grad(y, list(xs.values()), draw.laid_out(dy))
    expected_gradients = torch.autograd.grad(
        expected, list(references.values()), torch.tensor(dy), allow_unused=True, materialize_grads=True
    )
    for key, gradient, expected_gradient in zip(operands, gradients, expected_gradients, strict=True):
        _close(f"d{key}", gradient.numpy(), expected_gradient.numpy())
