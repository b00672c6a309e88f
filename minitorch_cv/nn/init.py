r"""Initial values of parameters, written in place; each returns its Tensor.

`fan_in` is the number of inputs of one output, `fan_out` the number of outputs of one input: for weights (O, C, kh, kw)
they are C kh kw and O kh kw. Random ones take `generator`, the default generator where it is None.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._autograd import mark_changed
from .._device import to_device
from .._random import Generator, default_generator
from .._tensor import Tensor

_skipping = threading.local()


@contextmanager
def skipped() -> Iterator[None]:
    """Within it nothing is drawn and new parameters stay zero: for models to load weights into, or only to count."""
    before, _skipping.active = getattr(_skipping, "active", False), True
    try:
        yield
    finally:
        _skipping.active = before


def _set(tensor: Tensor, values: Any) -> Tensor:
    tensor.data[...] = to_device(values, tensor.device) if hasattr(values, "shape") else values
    mark_changed(tensor.data)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every entry `val`."""
    return _set(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Every entry 0."""
    return _set(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Every entry 1."""
    return _set(tensor, 1.0)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    if getattr(_skipping, "active", False):
        return tensor
    return _set(tensor, (generator or default_generator()).normal(tensor.shape, mean, std, tensor.dtype))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Uniform between `a` and `b`."""
    if getattr(_skipping, "active", False):
        return tensor
    return _set(tensor, (generator or default_generator()).uniform(a, b, tensor.shape, tensor.dtype))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, drawn again where it falls outside [a, b]."""
    if not a < b:
        raise ValueError(f"trunc_normal_: b expects more than a = {a}; it is {b}")
    if getattr(_skipping, "active", False):
        return tensor
    generator = generator or default_generator()
    values = generator.normal(tensor.shape, mean, std, tensor.dtype)
    for _ in range(10_000):
        outside = (values < a) | (values > b)
        if not outside.any():
            return _set(tensor, values)
        values[outside] = generator.normal(int(outside.sum()), mean, std, tensor.dtype)
    raise ValueError(f"trunc_normal_: [{a}, {b}] expects to hold some of a normal of mean {mean} and std {std}")


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    r"""Uniform within +- gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""
    bound = gain * math.sqrt(6.0 / sum(fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator=generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    r"""Normal with variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fan_in_and_fan_out(tensor))), generator=generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Generator | None = None,
) -> Tensor:
    r"""Uniform with variance gain^2 / fan (He et al. 2015, arXiv 1502.01852, eq. 10 and 14)."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator=generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Generator | None = None,
) -> Tensor:
    r"""Normal with variance gain^2 / fan (He et al. 2015, arXiv 1502.01852, eq. 10 and 14)."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator=generator)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""The factor that keeps the scale of activations through a non-linearity: sqrt(2) for ReLU, 5/3 for tanh."""
    gains = {
        "linear": 1.0,
        "conv2d": 1.0,
        "conv_transpose2d": 1.0,
        "sigmoid": 1.0,
        "selu": 0.75,
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
    }
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: nonlinearity expects {', '.join(gains)} or leaky_relu; it is {nonlinearity!r}"
        )
    return gains[nonlinearity]


def fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs of one output and outputs of one input, for weights (out, in, ...)."""
    if tensor.ndim < 2:
        raise ValueError(f"initialisation: tensor expects at least two axes (out, in); it is {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming initialisation: mode expects 'fan_in' or 'fan_out'; it is {mode!r}")
    fan = fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
