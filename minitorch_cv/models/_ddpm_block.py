"""The parts of which the diffusion U-Net is made (Ho, Jain, Abbeel 2020, arXiv 2006.11239): see `_ddpm_unet`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import nn, ops
from .._device import to_numpy
from .._random import Generator
from .._tensor import Tensor


def checked_labels(net: str, label: Any, count: int, no_label: int | None) -> np.ndarray:
    """`label` as whole numbers (count,), all `no_label` where it is None; raises ValueError for what is no label."""
    if label is None:
        return np.full(count, no_label)
    label = np.asarray(to_numpy(label.data) if isinstance(label, Tensor) else label)
    if label.shape != (count,):
        raise ValueError(f"{net}: label expects one for each of {count} images; it is of shape {label.shape}")
    known = np.isin(label, np.arange((no_label or 0) + 1))
    if label.dtype.kind not in "iu" or not known.all():
        strange = label.dtype if known.all() else label[~known][0]
        raise ValueError(f"{net}: label expects whole numbers up to {no_label}, which means none; it has {strange}")
    return label


class TimeEmbedding(nn.Module):
    """A step t as waves of `channels` / 2 frequencies from 1 to 1/10000, then two linear layers with SiLU between.

    Shapes:    t (N,) whole numbers, y (N, 4 channels)
    Source:    Vaswani et al. 2017, arXiv 1706.03762, section 3.5
    """

    def __init__(self, channels: int, generator: Generator | None):
        self.frequencies = np.exp(np.linspace(0.0, -math.log(10_000.0), channels // 2))
        hidden = 4 * channels
        self.dense = nn.ModuleList([linear(channels, hidden, generator), linear(hidden, hidden, generator)])

    def forward(self, t: Tensor) -> Any:
        angles = t.unsqueeze(1) * Tensor(self.frequencies, device=t.device, dtype=t.dtype)
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)
        return self.dense[1](ops.silu(self.dense[0](waves)))


class ResidualBlock(nn.Module):
    """y = x + F(x, time): each convolution of F follows group norm and SiLU, and time shifts what is between them.

    Shapes:    x (N, before, H, W), time (N, time_channels), y (N, after, H, W)
    """

    def __init__(
        self, before: int, after: int, time_channels: int, groups: int, dropout: float, generator: Generator | None
    ):
        self.norm1 = nn.GroupNorm(groups, before, eps=1e-6)
        self.conv1 = convolution(before, after, 3, generator)
        self.temb_proj = linear(time_channels, after, generator)
        self.norm2 = nn.GroupNorm(groups, after, eps=1e-6)
        self.dropout = nn.Dropout(dropout, generator=generator)
        self.conv2 = convolution(after, after, 3, generator, zero=True)
        self.nin_shortcut = convolution(before, after, 1, generator) if before != after else None

    def forward(self, x: Any, time: Any) -> Any:
        y = self.conv1(ops.silu(self.norm1(x)))
        y = y + self.temb_proj(time).reshape(x.shape[0], -1, 1, 1)
        y = self.conv2(self.dropout(ops.silu(self.norm2(y))))
        return y + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class Attention(nn.Module):
    """y = x + what each pixel gathers from all pixels, by one head of attention over the normalised x.

    Shapes:    x and y (N, channels, H, W)
    """

    def __init__(self, channels: int, groups: int, generator: Generator | None):
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.q = convolution(channels, channels, 1, generator)
        self.k = convolution(channels, channels, 1, generator)
        self.v = convolution(channels, channels, 1, generator)
        self.proj_out = convolution(channels, channels, 1, generator, zero=True)

    def forward(self, x: Any) -> Any:
        n, c, h, w = x.shape

        def pixels(image: Any) -> Any:
            return image.permute(0, 2, 3, 1).reshape(n, h * w, c)

        normal = self.norm(x)
        q, k, v = (pixels(projection(normal)) for projection in (self.q, self.k, self.v))
        gathered = ops.scaled_dot_product_attention(q, k, v).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return x + self.proj_out(gathered)


class Downsample(nn.Module):
    """Half the height and width by a 3 x 3 convolution of stride 2, padded on the right and below."""

    def __init__(self, channels: int, generator: Generator | None):
        self.conv = convolution(channels, channels, 3, generator, stride=2, padding=0)

    def forward(self, x: Any) -> Any:
        return self.conv(ops.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the height and width by repeating pixels, then a 3 x 3 convolution."""

    def __init__(self, channels: int, generator: Generator | None):
        self.conv = convolution(channels, channels, 3, generator)

    def forward(self, x: Any) -> Any:
        return self.conv(ops.interpolate(x, scale_factor=2))


def convolution(
    before: int,
    after: int,
    size: int,
    generator: Generator | None,
    stride: int = 1,
    padding: int | None = None,
    zero: bool = False,
) -> nn.Conv2d:
    """Padded by half its size; weights by Glorot and Bengio, or zero; biases zero."""
    with nn.init.skipped():
        layer = nn.Conv2d(before, after, size, stride, size // 2 if padding is None else padding)
    if not zero:
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    return layer


def linear(before: int, after: int, generator: Generator | None) -> nn.Linear:
    """Weights by Glorot and Bengio, biases zero."""
    with nn.init.skipped():
        layer = nn.Linear(before, after)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    return layer
