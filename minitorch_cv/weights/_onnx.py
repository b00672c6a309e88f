"""A model as an ONNX file, which other runtimes read: the graph of one recorded forward pass, node by node."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._autograd import Node, latest_first, recorded
from .._files import contiguous, written_whole
from .._tensor import Tensor
from ..nn import Module, evaluation

OPSET, FORMAT = 22, 10
"""The version of ONNX's operations that is written, and that of the file's format."""


def export_onnx(model: Module, path: str | os.PathLike[str], input_shape: Sequence[int] | None = None) -> None:
    """Write the model, as it is in evaluation, to an ONNX file with its weights in it, under their published names.

    The graph is that of one forward pass on zeros of `input_shape` (default: the model's own), so what depends on
    values, and what is computed from the image without recording (detached), is fixed; the number of images is not. A
    model of more inputs has them in `other_inputs`. onnxruntime runs convolutions in float32 only.
    Raises ModuleNotFoundError without the package onnx; NotImplementedError for an operation that has no counterpart;
    TypeError for a model that returns anything but Tensors; ValueError without any input_shape.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise ModuleNotFoundError('export_onnx: the package onnx is missing: pip install -e ".[export]"') from None

    input_shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if input_shape is None:
        raise ValueError(
            f"export_onnx: input_shape expects the shape of the images, as in (1, 3, 224, 224): "
            f"{type(model).__name__} has none of its own"
        )
    shape = tuple(input_shape)
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    others = [Tensor(np.asarray(contiguous(x), dtype)) for x in getattr(model, "other_inputs", ())]
    inputs = [Tensor(np.zeros(shape, dtype)), *others]
    for x in inputs:
        x.requires_grad = True
    with evaluation(model), recorded():
        result = model(*inputs)
    outputs = list(result) if isinstance(result, tuple) else [result]
    if not all(isinstance(y, Tensor) for y in outputs):
        raise TypeError(f"export_onnx: model expects to return a Tensor or a tuple of them; it returns {result!r:.80}")
    graph = _Graph(model, inputs)
    for i, y in enumerate(outputs):
        graph.add(y, f"output{i or ''}")
    kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    described = [
        [
            onnx.helper.make_tensor_value_info(name, kind, ["N", *x.shape[1:]] if x.ndim else [])
            for name, x in zip(names, tensors, strict=True)
        ]
        for names, tensors in ((graph.inputs, inputs), (graph.outputs, outputs))
    ]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    nodes = [onnx.helper.make_node(*node, **attributes) for node, attributes in graph.nodes]
    made = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, type(model).__name__, *described, constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=FORMAT,
        producer_name="minitorch_cv",
    )
    onnx.checker.check_model(made)
    with written_whole(Path(path)) as temporary:
        temporary.write_bytes(made.SerializeToString())


class _Graph:
    """What is written so far: nodes, constants, and the name of each Tensor's value."""

    def __init__(self, model: Module, inputs: list[Tensor]):
        self.published = {id(value.data): name for name, value in model.state_dict().items()}
        taken = set(self.published.values())
        free = (name for name in (f"x{i or ''}" for i in itertools.count()) if name not in taken)
        self.inputs = list(itertools.islice(free, len(inputs)))
        self.names = {id(x): name for x, name in zip(inputs, self.inputs, strict=True)}
        self.outputs: list[str] = []
        self.of_node: dict[Node, str] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[tuple[tuple, dict[str, Any]]] = []

    def add(self, y: Tensor, output: str) -> None:
        """The operations that lead to y, in the order in which they were computed; its value gets a name of its own."""
        for node in reversed(latest_first("export_onnx", y._node) if y._node is not None else []):
            if node in self.of_node:
                continue
            name = node.operation.__name__
            if name not in _CONVERTERS:
                raise NotImplementedError(f"export_onnx: the operation {name} has no counterpart in ONNX here")
            bound = inspect.signature(node.operation.body).bind(*node.inputs, **node.settings)
            bound.apply_defaults()
            self.of_node[node] = _CONVERTERS[name](self, SimpleNamespace(**bound.arguments))
        output = f"/{output}" if output in self.published.values() else output
        self.nodes.append((("Identity", [self.value(y)], [output]), {}))
        self.outputs.append(output)

    def value(self, x: Any) -> str:
        """The name of a value: an input's, an operation's, or that of a constant."""
        if isinstance(x, Tensor):
            if x._node in self.of_node:
                return self.of_node[x._node]
            if id(x) in self.names:
                return self.names[id(x)]
            return self.constant(x.data, self.published.get(id(x.data)))
        return "" if x is None else self.constant(x)

    def constant(self, array: Any, name: str | None = None) -> str:
        name = name or f"/constant_{len(self.constants)}"  # a slash is in no attribute's name
        self.constants.setdefault(name, contiguous(array))
        return name

    def shape(self, numbers: Sequence[int]) -> str:
        """Numbers that ONNX wants as an input of whole numbers."""
        return self.constant(np.array(numbers, np.int64))

    def call(self, kind: str, *operands: Any, **attributes: Any) -> str:
        """A node of that kind; what it gives."""
        inputs = [x if isinstance(x, str) else self.value(x) for x in operands]
        while inputs and not inputs[-1]:
            inputs.pop()
        output = f"/{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(((kind, inputs, [output]), attributes))
        return output


def _pair(value: Any) -> list[int]:
    return list(value) if isinstance(value, (tuple, list)) else [value, value]


def _like(x: Any, number: float) -> np.ndarray:
    """A number in x's type."""
    return np.asarray(number, x.dtype)


def _conv2d(g: _Graph, a: Any) -> str:
    return g.call(
        *("Conv", a.x, a.weight, a.bias),
        kernel_shape=list(a.weight.shape[2:]),
        strides=_pair(a.stride),
        pads=_pair(a.padding) * 2,
        dilations=_pair(a.dilation),
        group=a.groups,
    )


def _transposed(g: _Graph, a: Any) -> str:
    kernel, stride, padding, dilation = a.weight.shape[2:], *map(_pair, (a.stride, a.padding, a.dilation))
    smallest = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(a.dy.shape[2:], stride, padding, dilation, kernel, strict=True)
    ]
    return g.call(
        *("ConvTranspose", a.dy, a.weight),
        kernel_shape=list(kernel),
        strides=stride,
        pads=padding * 2,
        dilations=dilation,
        group=a.groups,
        output_padding=[n - m for n, m in zip(a.x_shape[2:], smallest, strict=True)],
    )


def _batch_norm(g: _Graph, a: Any) -> str:
    ones, zeros = np.ones(a.mean.shape, a.x.dtype), np.zeros(a.mean.shape, a.x.dtype)
    weight, bias = (ones if a.weight is None else a.weight), (zeros if a.bias is None else a.bias)
    return g.call("BatchNormalization", a.x, weight, bias, a.mean, a.var, epsilon=a.eps)


def _batch_norm_relu(g: _Graph, a: Any) -> str:
    y = _batch_norm(g, a)
    return g.call("Relu", y if a.residual is None else g.call("Add", y, a.residual))


def _group_norm(g: _Graph, a: Any) -> str:
    ones = np.ones(a.x.shape[1], a.x.dtype)
    weight, bias = (ones if a.weight is None else a.weight), (ones * 0 if a.bias is None else a.bias)
    return g.call("GroupNormalization", a.x, weight, bias, num_groups=a.num_groups, epsilon=a.eps)


def _layer_norm(g: _Graph, a: Any) -> str:
    shape = a.normalized_shape if isinstance(a.normalized_shape, tuple) else (a.normalized_shape,)
    weight = np.ones(shape, a.x.dtype) if a.weight is None else a.weight
    return g.call("LayerNormalization", a.x, weight, a.bias, axis=-len(shape), epsilon=a.eps)


def _response_norm(g: _Graph, a: Any) -> str:
    if a.size % 2 == 0:
        raise NotImplementedError(f"export_onnx: local_response_norm expects an odd size in ONNX; it is {a.size}")
    return g.call("LRN", a.x, size=a.size, alpha=a.alpha, beta=a.beta, bias=a.k)


def _windows(a: Any) -> dict[str, Any]:
    return {
        "kernel_shape": _pair(a.kernel_size),
        "strides": _pair(a.kernel_size if a.stride is None else a.stride),
        "pads": _pair(a.padding) * 2,
        "ceil_mode": int(a.ceil_mode),
    }


def _max_pool(g: _Graph, a: Any) -> str:
    return g.call("MaxPool", a.x, **_windows(a), dilations=_pair(a.dilation))


def _avg_pool(g: _Graph, a: Any) -> str:
    if a.divisor_override is not None:
        raise NotImplementedError("export_onnx: avg_pool2d with divisor_override has no counterpart in ONNX")
    return g.call("AveragePool", a.x, **_windows(a), count_include_pad=int(a.count_include_pad))


def _adaptive_avg_pool(g: _Graph, a: Any) -> str:
    image = a.x.shape[2:]
    sizes = [n if m is None else m for n, m in zip(image, _pair(a.output_size), strict=True)]
    if sizes == [1, 1]:
        return g.call("GlobalAveragePool", a.x)
    if any(n % m for n, m in zip(image, sizes, strict=True)):
        raise NotImplementedError(
            f"export_onnx: adaptive_avg_pool2d from {image} to {tuple(sizes)} has no counterpart in ONNX: its windows "
            "differ in size"
        )
    window = [n // m for n, m in zip(image, sizes, strict=True)]
    return g.call("AveragePool", a.x, kernel_shape=window, strides=window)


def _linear(g: _Graph, a: Any) -> str:
    if a.x.ndim == 2:
        return g.call("Gemm", a.x, a.weight, a.bias, transB=1)
    y = g.call("MatMul", a.x, g.call("Transpose", a.weight, perm=[1, 0]))
    return y if a.bias is None else g.call("Add", y, a.bias)


def _reshape(g: _Graph, a: Any) -> str:
    shape = list(a.shape) if isinstance(a.shape, (tuple, list)) else [a.shape]
    if a.x.ndim and shape[0] == a.x.shape[0]:
        shape[0] = 0  # as many as there are images
    return g.call("Reshape", a.x, g.shape(shape))


def _getitem(g: _Graph, a: Any) -> str:
    index = a.index if isinstance(a.index, tuple) else (a.index,)
    if not all(isinstance(i, slice) and (i.step is None or i.step > 0) for i in index):
        raise NotImplementedError(f"export_onnx: getitem expects slices that go forward; the index is {a.index!r}")
    cut = [(axis, i) for axis, i in enumerate(index) if i != slice(None)]
    if not cut:
        return g.call("Identity", a.x)
    starts = [0 if i.start is None else i.start for _, i in cut]
    ends = [np.iinfo(np.int64).max if i.stop is None else i.stop for _, i in cut]
    steps = [i.step or 1 for _, i in cut]
    return g.call("Slice", a.x, g.shape(starts), g.shape(ends), g.shape([axis for axis, _ in cut]), g.shape(steps))


def _pad(g: _Graph, a: Any) -> str:
    before, after = zip(*a.widths, strict=True)
    return g.call("Pad", a.x, g.shape([*before, *after]), _like(a.x, a.value))


def _attention(g: _Graph, a: Any) -> str:
    if a.mask is not None or a.keep is not None:
        raise NotImplementedError("export_onnx: attention with a mask or dropout has no counterpart here")
    axes = list(range(a.key.ndim))
    key = g.call("Transpose", a.key, perm=[*axes[:-2], axes[-1], axes[-2]])
    scores = g.call("Mul", g.call("MatMul", a.query, key), _like(a.query, a.scale))
    return g.call("MatMul", g.call("Softmax", scores, axis=-1), a.value)


def _reduced(kind: str) -> Callable:
    def convert(g: _Graph, a: Any) -> str:
        axes = range(a.x.ndim) if a.axis is None else [a.axis] if isinstance(a.axis, int) else a.axis
        return g.call(kind, a.x, g.shape(list(axes)), keepdims=int(a.keepdims))

    return convert


def _of_one(kind: str, *names: str) -> Callable:
    """An operation on x; `names` are settings that ONNX calls alike, or "theirs=ours"."""
    pairs = [(name.partition("=")[0], name.rpartition("=")[2]) for name in names]
    return lambda g, a: g.call(kind, a.x, **{theirs: getattr(a, ours) for theirs, ours in pairs})


def _of_two(kind: str) -> Callable:
    def convert(g: _Graph, a: Any) -> str:
        like = a.a if isinstance(a.a, Tensor) else a.b
        return g.call(kind, *(x if isinstance(x, Tensor) else np.asarray(x, like.dtype) for x in (a.a, a.b)))

    return convert


_CONVERTERS: dict[str, Callable[[_Graph, Any], str]] = {
    "conv2d": _conv2d,
    "conv2d_input_gradient": _transposed,
    "linear": _linear,
    "matmul": _of_two("MatMul"),
    "masked_attention": _attention,
    "batch_norm_eval": _batch_norm,
    "batch_norm_relu_eval": _batch_norm_relu,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _response_norm,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "add_relu": lambda g, a: g.call("Relu", g.call("Add", a.x, a.residual)),
    "relu": _of_one("Relu"),
    "leaky_relu": _of_one("LeakyRelu", "alpha=negative_slope"),
    "elu": _of_one("Elu", "alpha"),
    "sigmoid": _of_one("Sigmoid"),
    "tanh": _of_one("Tanh"),
    "silu": lambda g, a: g.call("Mul", a.x, g.call("Sigmoid", a.x)),
    "gelu_erf": _of_one("Gelu"),
    "softmax": _of_one("Softmax", "axis"),
    "log_softmax": _of_one("LogSoftmax", "axis"),
    "exp": _of_one("Exp"),
    "log": _of_one("Log"),
    "sqrt": _of_one("Sqrt"),
    "abs": _of_one("Abs"),
    "sin": _of_one("Sin"),
    "cos": _of_one("Cos"),
    "negative": _of_one("Neg"),
    "clone": _of_one("Identity"),
    "add": _of_two("Add"),
    "subtract": _of_two("Sub"),
    "multiply": _of_two("Mul"),
    "divide": _of_two("Div"),
    "maximum": _of_two("Max"),
    "minimum": _of_two("Min"),
    "power": lambda g, a: g.call("Pow", a.x, _like(a.x, a.exponent)),
    "sum": _reduced("ReduceSum"),
    "mean": _reduced("ReduceMean"),
    "reshape": _reshape,
    "permute": lambda g, a: g.call("Transpose", a.x, perm=[axis % a.x.ndim for axis in a.axes]),
    "embedding": lambda g, a: g.call("Gather", a.weight, a.x, axis=0),
    "concatenate_operands": lambda g, a: g.call("Concat", *a.arrays, axis=a.axis),
    "getitem": _getitem,
    "pad_constant": _pad,
    "take_rows_and_columns": lambda g, a: g.call(
        "Gather", g.call("Gather", a.x, g.shape(a.rows), axis=2), g.shape(a.columns), axis=3
    ),
}
