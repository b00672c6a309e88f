"""Gradients held within bounds, in place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._autograd import mark_changed
from .._device import array_namespace
from .._tensor import Tensor


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0) -> float:
    r"""Scale all gradients by one factor so that their joint norm is at most `max_norm`; returns the norm before.

    Raises ValueError where the norm is not finite, before anything changes.
    Source: Pascanu, Mikolov, Bengio 2012, arXiv 1211.5063, algorithm 1.
    """
    norm_type = float(norm_type)
    if not max_norm >= 0.0 or not norm_type > 0.0:
        raise ValueError(
            "clip_grad_norm_: max_norm expects a number >= 0 and norm_type one above 0; "
            f"they are {max_norm} and {norm_type}"
        )
    gradients = _gradients(parameters)
    norms = [_norm(gradient, norm_type) for gradient in gradients if gradient.size]
    total = _norm(np.array(norms), norm_type) if norms else 0.0
    if not math.isfinite(total):
        raise ValueError(f"clip_grad_norm_: parameters expect finite gradients; their norm is {total}")
    if total > max_norm:
        for gradient in gradients:
            gradient *= max_norm / (total + 1e-6)
            mark_changed(gradient)
    return total


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Hold every entry of every gradient within +- `clip_value`."""
    if not clip_value >= 0.0:
        raise ValueError(f"clip_grad_value_: clip_value expects a number >= 0; it is {clip_value}")
    for gradient in _gradients(parameters):
        array_namespace(gradient).clip(gradient, -clip_value, clip_value, out=gradient)
        mark_changed(gradient)


def _norm(values: Any, norm_type: float) -> float:
    """Computed in float64, scaled by the largest entry so that no power overflows."""
    largest = float(abs(values).max())
    if norm_type == math.inf or largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float((abs(values.astype(np.float64) / largest) ** norm_type).sum()) ** (1.0 / norm_type)


def _gradients(parameters: Iterable[Tensor] | Tensor) -> list[Any]:
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad.data for p in tensors if p.grad is not None]
