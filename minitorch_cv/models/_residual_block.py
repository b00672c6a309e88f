"""Residual blocks (He, Zhang, Ren, Sun 2015, arXiv 1512.03385), of which `_resnet` and `_cifar_resnet` are made."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from .._random import Generator


class BasicBlock(nn.Module):
    """y = relu(F(x) + shortcut(x)), with F two 3 x 3 convolutions, the first of which may stride.

    `shortcut` is what to do where the shapes of x and F(x) differ: "A" drops pixels and adds channels of zeros, "B"
    projects by a 1 x 1 convolution. None leaves the shortcut out of every block: the paper's plain net, y = relu(F(x)).

    Shapes:    x (N, in_channels, H, W); y (N, channels, H / stride, W / stride), rounded up
    Source:    He et al. 2015, arXiv 1512.03385, figure 5 (left), and section 3.3 for the shortcuts
    """

    expansion = 1  # channels of y for each of `channels`

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        shortcut: str | None = "B",
        *,
        generator: Generator | None = None,
    ):
        self.conv1 = convolution(in_channels, channels, 3, stride, generator)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, 3, 1, generator)
        self.bn2 = nn.BatchNorm2d(channels)
        self.plain = shortcut is None
        self.downsample = change_of_shape(in_channels, channels, stride, shortcut, generator)

    def forward(self, x: Any) -> Any:
        y = self.bn1(self.conv1(x), relu=True)
        return self.bn2(self.conv2(y), residual=identity(self, x), relu=True)


class Bottleneck(nn.Module):
    """y = relu(F(x) + shortcut(x)), with F a 1 x 1 convolution to `channels`, a 3 x 3, and a 1 x 1 to 4 times as many.

    The 3 x 3 convolution strides, as in the nets whose weights are published. `shortcut` is that of BasicBlock.

    Shapes:    x (N, in_channels, H, W); y (N, 4 channels, H / stride, W / stride), rounded up
    Source:    He et al. 2015, arXiv 1512.03385, figure 5 (right)
    """

    expansion = 4
    strides_first = False

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        shortcut: str | None = "B",
        *,
        generator: Generator | None = None,
    ):
        first, second = (stride, 1) if self.strides_first else (1, stride)
        self.conv1 = convolution(in_channels, channels, 1, first, generator)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, 3, second, generator)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = convolution(channels, channels * self.expansion, 1, 1, generator)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.plain = shortcut is None
        self.downsample = change_of_shape(in_channels, channels * self.expansion, stride, shortcut, generator)

    def forward(self, x: Any) -> Any:
        y = self.bn1(self.conv1(x), relu=True)
        y = self.bn2(self.conv2(y), relu=True)
        return self.bn3(self.conv3(y), residual=identity(self, x), relu=True)


class PaperBottleneck(Bottleneck):
    """The bottleneck as the paper has it: its first 1 x 1 convolution strides, and drops three pixels of four."""

    strides_first = True


class Subsample(nn.Module):
    """Shortcut A: every `stride`-th pixel, and channels of zeros behind those of x. It learns nothing."""

    def __init__(self, stride: int, new_channels: int):
        self.stride, self.new_channels = stride, new_channels

    def forward(self, x: Any) -> Any:
        return ops.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_channels={self.new_channels}"


def stage(
    block: type[BasicBlock] | type[Bottleneck],
    depth: int,
    in_channels: int,
    channels: int,
    stride: int,
    shortcut: str | None,
    generator: Generator | None,
) -> nn.Sequential:
    """`depth` blocks, the first of which changes the shape."""
    first = block(in_channels, channels, stride, shortcut, generator=generator)
    inner = channels * block.expansion
    return nn.Sequential(first, *(block(inner, channels, 1, shortcut, generator=generator) for _ in range(depth - 1)))


def identity(block: Any, x: Any) -> Any:
    """What a block adds to F(x): x in F's shape; None in a plain net."""
    if block.plain:
        return None
    return x if block.downsample is None else block.downsample(x)


def change_of_shape(
    in_channels: int, out_channels: int, stride: int, shortcut: str | None, generator: Generator | None
) -> nn.Module | None:
    """The layers that bring x to the shape of F(x); None where it has that shape, and in a plain net."""
    if shortcut not in ("A", "B", None):
        raise ValueError(f"ResNet: shortcut expects 'A', 'B' or None; it is {shortcut!r}")
    if shortcut is None or (stride == 1 and in_channels == out_channels):
        return None
    if shortcut == "A":
        return Subsample(stride, out_channels - in_channels)
    return nn.Sequential(convolution(in_channels, out_channels, 1, stride, generator), nn.BatchNorm2d(out_channels))


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, generator: Generator | None
) -> nn.Conv2d:
    """Without a bias, as batch norm follows; padded by half its size; weights of variance 2 / (O kh kw)."""
    with nn.init.skipped():
        layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return layer
