"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from .._autograd import no_grad
from .._device import array_namespace
from .._random import Generator, default_generator
from .._tensor import Tensor
from .convolution import Conv2d, ConvTranspose2d
from .linear import Linear
from .module import Module, Parameter


class _BatchNorm(Module):
    """Normalises each channel over the batch: see `ops.batch_norm`. The running statistics are buffers.

    `momentum` is the weight of the newest batch in them; None makes them the plain mean over all batches.
    """

    axes: tuple[int, ...] = ()
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Any  # a Tensor, or None without running statistics

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: Any = np.float32,
        *,
        bias: bool = True,
    ):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(np.ones(num_features, dtype), device=device) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype), device=device) if affine and bias else None
        tracked = track_running_stats
        self.register_buffer("running_mean", Tensor(np.zeros(num_features, dtype), device=device) if tracked else None)
        self.register_buffer("running_var", Tensor(np.ones(num_features, dtype), device=device) if tracked else None)
        self.register_buffer("num_batches_tracked", Tensor(np.array(0, np.int64)) if tracked else None)

    def forward(self, x: Any, residual: Any = None, relu: bool = False) -> Any:
        if x.ndim not in self.axes:
            raise ValueError(
                f"{type(self).__name__}: x expects {' or '.join(map(str, self.axes))} axes; it is {x.shape}"
            )
        by_batch = self.training or not self.track_running_stats
        momentum = self.momentum
        if self.training and self.track_running_stats and momentum is None:
            momentum = 1.0 / (self.num_batches_tracked.item() + 1)
        statistics, weights = (self.running_mean, self.running_var), (self.weight, self.bias)
        y = ops.batch_norm(x, *statistics, *weights, by_batch, momentum or 0.0, self.eps, residual=residual, relu=relu)
        if self.training and self.track_running_stats:
            self.num_batches_tracked.data = (self.num_batches_tracked + 1).data  # an array still: array + 1 is a scalar
        return y

    def extra_repr(self) -> str:
        settings = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
        return settings + _affine(self) + ("" if self.track_running_stats else ", track_running_stats=False")


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L): see `ops.batch_norm`.

    `momentum` is the weight of the newest batch in the running statistics; None makes them the mean over all batches.
    With relu=True the value is rectified, after a `residual`, if there is one, has been added to it.
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W): see `ops.batch_norm`.

    `momentum` is the weight of the newest batch in the running statistics; None makes them the mean over all batches.
    With relu=True the value is rectified, after a `residual`, if there is one, has been added to it: a residual block
    ends with `bn(conv(x), residual=identity, relu=True)`.
    """

    axes = (4,)


class GroupNorm(Module):
    """Normalises each image over groups of its channels: see `ops.group_norm`."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: str | None = None,
        dtype: Any = np.float32,
        *,
        bias: bool = True,
    ):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups expects a divisor of the {num_channels} channels; it is {num_groups}"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(np.ones(num_channels, dtype), device=device) if affine else None
        self.bias = Parameter(np.zeros(num_channels, dtype), device=device) if affine and bias else None

    def forward(self, x: Any) -> Any:
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}" + _affine(self)


class LayerNorm(Module):
    """Normalises over the last axes: see `ops.layer_norm`."""

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = np.float32,
    ):
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, dtype), device=device) if elementwise_affine else None
        self.bias = (
            Parameter(np.zeros(self.normalized_shape, dtype), device=device) if elementwise_affine and bias else None
        )

    def forward(self, x: Any) -> Any:
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}" + _affine(self)


class LocalResponseNorm(Module):
    """Divides each channel by a power of its neighbours' energy: see `ops.local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Any:
        return ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _affine(layer: Any) -> str:
    """What of weight and bias a layer does without."""
    if layer.weight is None:
        return ", affine=False"
    return "" if layer.bias is not None else ", bias=False"


class SpectralNorm(Module):
    r"""A linear layer or convolution with its weight divided by its largest singular value: y = layer(x / sigma).

    Forward:   sigma = u^T W v, W the weight as a matrix (out, rest); u and v follow the singular vectors by one power
               iteration v = W^T u / |W^T u|, u = W v / |W v| each time it is called in training
    Backward:  dsigma / dW = u v^T, u and v being constants

    The state holds the layer's under `layer.` and u and v as buffers. What is divided is x, which for a linear layer is
    the same, and leaves the bias as it is.

    layer: Linear, Conv2d or ConvTranspose2d.
    Raises:    TypeError for another layer
    Source:    Miyato, Kataoka, Koyama, Yoshida 2018, arXiv 1802.05957, algorithm 1
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: Module, eps: float = 1e-12, *, generator: Generator | None = None):
        if not isinstance(layer, (Linear, Conv2d, ConvTranspose2d)):
            raise TypeError(f"SpectralNorm: layer expects a Linear or a convolution; it is {type(layer).__name__}")
        self.layer, self.eps = layer, eps
        matrix = self._matrix()
        source = generator or default_generator()
        for name, length in (("u", matrix.shape[0]), ("v", matrix.shape[1])):
            direction = source.normal(length, dtype=matrix.dtype)
            self.register_buffer(name, Tensor(direction / np.linalg.norm(direction), device=matrix.device))
        with no_grad():
            for _ in range(15):  # so that the first batch already sees nearly the largest singular value
                self._iterate(matrix)

    def forward(self, x: Any) -> Any:
        matrix = self._matrix()
        if self.training:
            with no_grad():
                self._iterate(matrix)
        sigma = (Tensor(self.u.data) * ops.matmul(matrix, Tensor(self.v.data))).sum()
        return self.layer(x / sigma)

    def _matrix(self) -> Any:
        weight = self.layer.weight
        if isinstance(self.layer, ConvTranspose2d):  # (in, out, kh, kw)
            weight = weight.permute(1, 0, 2, 3)
        return weight.reshape(weight.shape[0], -1)

    def _iterate(self, matrix: Any) -> None:
        w = matrix.data
        xp = array_namespace(w)
        v = w.T @ self.u.data
        v = v / max(float(xp.linalg.norm(v)), self.eps)
        u = w @ v
        u = u / max(float(xp.linalg.norm(u)), self.eps)
        for buffer, value in ((self.u, u), (self.v, v)):
            buffer.data = value  # rebound, so that whoever keeps the old array can go back to it
