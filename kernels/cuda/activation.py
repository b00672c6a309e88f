"""Bodies of `ops/activation.py` on CUDA."""

from __future__ import annotations

from typing import Any

from .arrays import empty_like, in_layout_of
from .source import Source

SOURCE = Source("activation.cu")
THREADS = 256


def each(kernel: str, *arrays: Any, settings: tuple = ()) -> Any:
    """A new array in the first one's layout, of a kernel on the elements of arrays of one shape."""
    first = in_layout_of(arrays[0], arrays[0])
    others = [in_layout_of(a, first) for a in arrays[1:]]
    y, blocks = empty_like(first), -(-first.size // THREADS)
    SOURCE.launch(kernel, (blocks,), (THREADS,), first, *others, y, *settings, first.size)
    return y


def relu(x) -> Any:
    """`relu` on CUDA."""
    y = each("relu_forward", x)
    return y, lambda dy: each("relu_backward", y, dy)


def leaky_relu(x, negative_slope=0.01) -> Any:
    """`leaky_relu` on CUDA."""
    slope = (negative_slope,)
    y = each("leaky_relu_forward", x, settings=slope)
    return y, lambda dy: each("leaky_relu_backward", x, dy, settings=slope)


def sigmoid(x) -> Any:
    """`sigmoid` on CUDA."""
    y = each("sigmoid_forward", x)
    return y, lambda dy: each("sigmoid_backward", y, dy)


def tanh(x) -> Any:
    """`tanh` on CUDA."""
    y = each("tanh_forward", x)
    return y, lambda dy: each("tanh_backward", y, dy)


def silu(x) -> Any:
    """`silu` on CUDA."""
    return each("silu_forward", x), lambda dy: each("silu_backward", x, dy)


# An index of a kernel is an int.
LARGEST = 2**31 - THREADS


def _not_empty(x, *settings) -> bool:
    return 0 < x.size <= LARGEST


def _with_a_slope(x, negative_slope=0.01) -> bool:
    return 0 < x.size <= LARGEST and isinstance(negative_slope, (int, float))


for _body in (relu, sigmoid, tanh, silu):
    _body.accepts = _not_empty  # pyright: ignore[reportFunctionMemberAccess]
leaky_relu.accepts = _with_a_slope  # pyright: ignore[reportFunctionMemberAccess]
