"""Activations, softmax and dropout as modules."""

from __future__ import annotations

from typing import Any

from .. import ops
from .._pytorch_names import unknown_argument
from .._random import Generator
from .module import Module


class ReLU(Module):
    """max(x, 0): see `ops.relu`."""

    def forward(self, x: Any) -> Any:
        return ops.relu(x)


class ReLU6(Module):
    """min(max(x, 0), 6): see `ops.relu6`."""

    def forward(self, x: Any) -> Any:
        return ops.relu6(x)


class LeakyReLU(Module):
    """x, or `negative_slope` x where x is negative: see `ops.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        return ops.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x, or alpha (e^x - 1) where x is negative: see `ops.elu`."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return ops.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Sigmoid(Module):
    """1 / (1 + e^-x): see `ops.sigmoid`."""

    def forward(self, x: Any) -> Any:
        return ops.sigmoid(x)


class LogSigmoid(Module):
    """The logarithm of the sigmoid: see `ops.log_sigmoid`."""

    def forward(self, x: Any) -> Any:
        return ops.log_sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent: see `ops.tanh`."""

    def forward(self, x: Any) -> Any:
        return ops.tanh(x)


class Softplus(Module):
    """ln(1 + e^(beta x)) / beta: see `ops.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> Any:
        return ops.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class SiLU(Module):
    """x sigmoid(x), also called swish: see `ops.silu`."""

    def forward(self, x: Any) -> Any:
        return ops.silu(x)


class GELU(Module):
    """x times the normal distribution function of x: see `ops.gelu`."""

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        return ops.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """Positive numbers that add up to one along `axis`: see `ops.softmax`."""

    def __init__(self, axis: int = -1, **unknown: Any):
        if unknown:
            raise unknown_argument("Softmax", unknown)
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return ops.softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Module):
    """The logarithm of softmax along `axis`: see `ops.log_softmax`."""

    def __init__(self, axis: int = -1, **unknown: Any):
        if unknown:
            raise unknown_argument("LogSoftmax", unknown)
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return ops.log_softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class Dropout(Module):
    """Zeroes elements with probability `p` while training and scales the rest: see `ops.dropout`.

    The mask comes from `generator`, the default generator where it is None.
    """

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{type(self).__name__}: p expects a probability in [0, 1]; it is {p}")
        self.p, self.generator = p, generator

    def forward(self, x: Any) -> Any:
        return ops.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """Zeroes whole channels with probability `p` while training and scales the rest: see `ops.dropout2d`."""

    def forward(self, x: Any) -> Any:
        return ops.dropout2d(x, self.p, self.training, generator=self.generator)
