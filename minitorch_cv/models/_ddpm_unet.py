"""The U-Net that predicts the noise in a diffusion model (Ho, Jain, Abbeel 2020, arXiv 2006.11239, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import nn, ops
from .._random import Generator
from .._tensor import Tensor
from ._ddpm_block import Attention, Downsample, ResidualBlock, TimeEmbedding, Upsample, checked_labels, convolution


class Level(nn.Module):
    """The residual blocks of one resolution, each followed by attention where the level attends."""

    def __init__(
        self, befores: Sequence[int], after: int, attends: bool, groups: int, block: Any, generator: Generator | None
    ):
        self.block = nn.ModuleList(block(before, after) for before in befores)
        self.attn = nn.ModuleList(Attention(after, groups, generator) for _ in befores if attends)

    def apply_block(self, i: int, x: Any, time: Any) -> Any:
        x = self.block[i](x, time)
        return self.attn[i](x) if len(self.attn) else x


class Down(Level):
    """A level on the way down; it gives what it computes behind each block, and behind the step to half the size."""

    downsample: Downsample | None = None

    def forward(self, x: Any, time: Any) -> list[Any]:
        found = []
        for i in range(len(self.block)):
            x = self.apply_block(i, x, time)
            found.append(x)
        return found if self.downsample is None else [*found, self.downsample(x)]


class Up(Level):
    """A level on the way up: beside x, each block takes the last of what was kept; then comes the doubled size."""

    upsample: Upsample | None = None

    def forward(self, x: Any, time: Any, kept: list[Any]) -> Any:
        for i in range(len(self.block)):
            x = self.apply_block(i, ops.concatenate([x, kept.pop()], axis=1), time)
        return x if self.upsample is None else self.upsample(x)


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, channels: int, groups: int, block: Any, generator: Generator | None):
        self.block_1 = block(channels, channels)
        self.attn_1 = Attention(channels, groups, generator)
        self.block_2 = block(channels, channels)

    def forward(self, x: Any, time: Any) -> Any:
        return self.block_2(self.attn_1(self.block_1(x, time)), time)


class DDPMUNet(nn.Module):
    """The noise in x_t, from x_t and t: down through the resolutions and up again, all of the way down kept.

    `channels` is the width, `multipliers` its multiples at the resolutions, each half of the one before; `blocks` is
    the number of residual blocks of each (one more on the way up); `attention_sizes` are the heights at which attention
    follows each block. `num_classes` adds a learned vector for each label, and a last one for "no label", to that of
    the step, as classifier-free guidance wants it. The state has the names of the published weights: `temb.dense`,
    `conv_in`, `down.{level}.{block,attn,downsample}`, `mid`, `up.{level}...` (0 is the finest), `norm_out`, `conv_out`.

    Shapes:    x (N, in_channels, H, W) with H and W divisible by 2^(levels - 1); t (N,) whole numbers, 0 for the first
               step; label (N,) whole numbers up to num_classes, "no label" where None; y as x
    Units:     y in standard deviations of the noise
    Raises:    ValueError for channels that are odd or no multiple of `groups`, an x of another shape, a t or a label
               that is not (N,), a label that is none of the classes
    Source:    Ho et al. 2020, arXiv 2006.11239, appendix B; labels: Ho and Salimans 2022, arXiv 2207.12598.
               Weights uniform by Glorot and Bengio 2010, biases 0; the last convolution of each block and of the net 0
    """

    def __init__(
        self,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        attention_sizes: Sequence[int] = (16,),
        in_channels: int = 3,
        groups: int = 32,
        dropout: float = 0.1,
        num_classes: int | None = None,
        input_size: int = 32,
        *,
        generator: Generator | None = None,
    ):
        if channels % 2 or channels % groups:
            raise ValueError(f"DDPMUNet: channels expects an even multiple of {groups} groups; it is {channels}")

        def block(before: int, after: int) -> ResidualBlock:
            return ResidualBlock(before, after, 4 * channels, groups, dropout, generator)

        self.input_shape = (1, in_channels, input_size, input_size)
        self.other_inputs = (np.zeros(1, np.int64),)
        self.temb = TimeEmbedding(channels, generator)
        self.no_label = num_classes or None
        """The label of an image that has none."""
        self.label = nn.Embedding(num_classes + 1, 4 * channels, generator=generator) if num_classes else None
        self.conv_in = convolution(in_channels, channels, 3, generator)

        widths = [channels * m for m in multipliers]
        attends = [input_size // 2**i in attention_sizes for i in range(len(widths))]
        kept, before, down, up = [channels], channels, [], []
        for i, after in enumerate(widths):
            down.append(Down([before] + [after] * (blocks - 1), after, attends[i], groups, block, generator))
            kept += [after] * blocks
            if i < len(widths) - 1:
                down[i].downsample = Downsample(after, generator)
                kept.append(after)
            before = after
        self.down = nn.ModuleList(down)
        self.mid = Middle(before, groups, block, generator)
        for i, after in reversed(list(enumerate(widths))):
            befores = [width + kept.pop() for width in [before] + [after] * blocks]
            up.insert(0, Up(befores, after, attends[i], groups, block, generator))
            if i:
                up[0].upsample = Upsample(after, generator)
            before = after
        self.up = nn.ModuleList(up)
        self.norm_out = nn.GroupNorm(groups, widths[0], eps=1e-6)
        self.conv_out = convolution(widths[0], in_channels, 3, generator, zero=True)

    def forward(self, x: Any, t: Any, label: Any = None) -> Any:
        channels, halvings = self.input_shape[1], len(self.down) - 1
        if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % 2**halvings or x.shape[3] % 2**halvings:
            raise ValueError(
                f"DDPMUNet: x expects (N, {channels}, H, W), H and W multiples of {2**halvings}; it is {x.shape}"
            )
        if t.shape != x.shape[:1]:
            raise ValueError(f"DDPMUNet: t expects a step for each of {x.shape[0]} images; it is of shape {t.shape}")
        time = self.temb(Tensor(t, device=x.device, dtype=x.dtype))
        if self.label is not None:
            labels = checked_labels("DDPMUNet", label, x.shape[0], self.no_label)
            time = time + self.label(Tensor(labels, device=x.device))
        elif label is not None:
            raise ValueError("DDPMUNet: label expects a net that was made with num_classes; this one takes none")
        time = ops.silu(time)

        kept = [self.conv_in(x)]
        for level in self.down:
            kept += level(kept[-1], time)
        x = self.mid(kept[-1], time)
        for level in reversed(list(self.up)):
            x = level(x, time, kept)
        return self.conv_out(ops.silu(self.norm_out(x)))


def ddpm_unet(*, generator: Generator | None = None, **settings: Any) -> DDPMUNet:
    """The paper's net for CIFAR-10: 35,746,307 parameters, input 32 x 32, attention at 16 x 16."""
    return DDPMUNet(generator=generator, **settings)


def ddpm_unet_digits(*, generator: Generator | None = None, **settings: Any) -> DDPMUNet:
    """The small net for the ten digits of 28 x 28, each with its label: 1,114,209 parameters, attention at 14 x 14."""
    digits = {"in_channels": 1, "num_classes": 10, "input_size": 28, "attention_sizes": (14,)}
    return ddpm_unet_small(generator=generator, **{**digits, **settings})


def ddpm_unet_small(*, generator: Generator | None = None, **settings: Any) -> DDPMUNet:
    """The same at a size that trains on a processor: width 32, three resolutions, one block each, groups of 8.

    1,113,955 parameters, input 32 x 32, attention at 16 x 16.
    """
    small = {"channels": 32, "multipliers": (1, 2, 2), "blocks": 1, "groups": 8, "dropout": 0.0}
    return DDPMUNet(generator=generator, **{**small, **settings})
