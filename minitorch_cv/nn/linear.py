"""Layers that are matrix products or look-ups, and changes of shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from .._arguments import whole_number
from .._random import Generator
from . import init
from .module import Module, Parameter


def default_weights(
    shape: tuple[int, ...], bias: int | None, fan_in: int, generator: Generator | None, device: str | None, dtype: Any
) -> tuple[Parameter, Parameter | None]:
    """Weight and bias, uniform within +- 1 / sqrt(fan_in): PyTorch's default for linear and convolution layers.

    A convolution's weight (O, C, kh, kw) has its outputs last in memory: neighbours there are what a vector holds.
    """
    bound = 1.0 / math.sqrt(max(fan_in, 1))
    order = (3, 2, 0, 1) if len(shape) == 4 else tuple(range(len(shape)))
    weight = np.zeros([shape[axis] for axis in np.argsort(order)], dtype).transpose(order)
    values = (weight,) if bias is None else (weight, np.zeros(bias, dtype))
    tensors = [Parameter(value, device=device) for value in values]
    for tensor in tensors:
        init.uniform_(tensor, -bound, bound, generator=generator)
    return tensors[0], tensors[1] if bias is not None else None


class Linear(Module):
    """y = x w^T + b on the last axis: see `ops.linear`."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = np.float32,
        *,
        generator: Generator | None = None,
    ):
        in_features = whole_number("Linear: in_features", in_features, 0)
        out_features = whole_number("Linear: out_features", out_features, 0)
        self.in_features, self.out_features = in_features, out_features
        self.weight, self.bias = default_weights(
            (out_features, in_features), out_features if bias else None, in_features, generator, device, dtype
        )

    def forward(self, x: Any) -> Any:
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Embedding(Module):
    """One learned vector for each of `num_embeddings` integers, normal at first: see `ops.embedding`."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: str | None = None,
        dtype: Any = np.float32,
        *,
        generator: Generator | None = None,
    ):
        num_embeddings = whole_number("Embedding: num_embeddings", num_embeddings, 0)
        embedding_dim = whole_number("Embedding: embedding_dim", embedding_dim, 0)
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim), dtype), device=device)
        init.normal_(self.weight, generator=generator)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, x: Any) -> Any:
        return ops.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Flatten(Module):
    """The axes from `start_dim` to `end_dim` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        return ops.flatten(x, self.start_dim, self.end_dim)


class Unflatten(Module):
    """One axis as several."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Any:
        axis = self.dim % x.ndim
        return ops.reshape(x, (*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"{self.dim}, {self.unflattened_size}"


class Identity(Module):
    """y = x."""

    def forward(self, x: Any) -> Any:
        return x
