"""Losses as modules."""

from __future__ import annotations

from typing import Any

from .. import ops
from .._tensor import Tensor
from .module import Module


def _buffer(value: Any) -> Tensor | None:
    return value if value is None or isinstance(value, Tensor) else Tensor(value)


class CrossEntropyLoss(Module):
    """-log softmax(x) at the target, of logits and class indices or probabilities: see `ops.cross_entropy`."""

    weight: Tensor | None

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        self.register_buffer("weight", _buffer(weight))
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, x: Any, target: Any) -> Any:
        return ops.cross_entropy(x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(Module):
    """-x at the target, of log-probabilities and class indices: see `ops.nll_loss`."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        self.register_buffer("weight", _buffer(weight))
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, x: Any, target: Any) -> Any:
        return ops.nll_loss(x, target, self.weight, self.ignore_index, self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of logits: see `ops.binary_cross_entropy_with_logits`."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        self.register_buffer("weight", _buffer(weight))
        self.register_buffer("pos_weight", _buffer(pos_weight))
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return ops.binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)


class MSELoss(Module):
    """(x - target)^2: see `ops.mse_loss`."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return ops.mse_loss(x, target, self.reduction)


class L1Loss(Module):
    """|x - target|: see `ops.l1_loss`."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return ops.l1_loss(x, target, self.reduction)


class GaussianNLLLoss(Module):
    """-log of a normal density with the given mean and variance: see `ops.gaussian_nll_loss`."""

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        self.full, self.eps, self.reduction = full, eps, reduction

    def forward(self, x: Any, target: Any, var: Any) -> Any:
        return ops.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)
