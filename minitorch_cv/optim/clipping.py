"""Gradients held within bounds, in place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .._device import array_namespace
from .._tensor import Tensor


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0) -> float:
    r"""Scale all gradients by one factor so that their joint norm is at most `max_norm`; returns the norm before.

    Raises ValueError where the norm is not finite, before anything changes.
    Source: Pascanu, Mikolov, Bengio 2012, arXiv 1211.5063, algorithm 1.
    """
    gradients = _gradients(parameters)
    if norm_type == math.inf:
        total = max((float(abs(g).max()) for g in gradients if g.size), default=0.0)
    else:
        total = sum(float((abs(g) ** norm_type).sum(dtype="float64")) for g in gradients) ** (1.0 / norm_type)
    if not math.isfinite(total):
        raise ValueError(f"clip_grad_norm_: parameters expect finite gradients; their norm is {total}")
    if total > max_norm:
        for gradient in gradients:
            gradient *= max_norm / (total + 1e-6)
    return total


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Hold every entry of every gradient within +- `clip_value`."""
    for gradient in _gradients(parameters):
        array_namespace(gradient).clip(gradient, -clip_value, clip_value, out=gradient)


def _gradients(parameters: Iterable[Tensor] | Tensor) -> list[Any]:
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad.data for p in tensors if p.grad is not None]
