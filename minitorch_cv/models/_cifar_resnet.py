"""The ResNets for CIFAR-10 (He, Zhang, Ren, Sun 2015, arXiv 1512.03385, section 4.2) and their plain counterparts."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from .._random import Generator
from ._residual_block import BasicBlock, convolution, stage


class CifarResNet(nn.Module):
    """6 n + 2 layers: a 3 x 3 convolution, three stages of n basic blocks, average pooling, one linear layer.

    The stages have `width`, 2 and 4 times as many channels, and a half and a quarter of the height and width.
    `shortcut` is "A" in the paper: what changes its shape drops pixels and adds channels of zeros, without parameters;
    "B" projects (2,752 parameters more), None makes the plain net of the same depth. The state holds `conv1`, `bn1`,
    `layer{1-3}.{i}.conv{1,2}`, `.bn{1,2}` and `fc`.

    Shapes:    x (N, in_channels, H, W), the logits (N, num_classes)
    Units:     logits in nats
    Raises:    ValueError for a depth that is not 6 n + 2
    Source:    He et al. 2015, arXiv 1512.03385, section 4.2; initialised by He et al. 2015, arXiv 1502.01852, counting
               outputs, with the linear layer's weights uniform within +- 1 / sqrt(its inputs)
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 16,
        shortcut: str | None = "A",
        input_size: int = 32,
        *,
        generator: Generator | None = None,
    ):
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"CifarResNet: depth expects 6 n + 2, as in 20; it is {depth}")
        n = (depth - 2) // 6
        self.input_shape = (1, in_channels, input_size, input_size)
        self.conv1 = convolution(in_channels, width, 3, 1, generator)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(BasicBlock, n, width, width, 1, shortcut, generator)
        self.layer2 = stage(BasicBlock, n, width, 2 * width, 2, shortcut, generator)
        self.layer3 = stage(BasicBlock, n, 2 * width, 4 * width, 2, shortcut, generator)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4 * width, num_classes, generator=generator)

    def forward(self, x: Any) -> Any:
        x = self.bn1(self.conv1(x), relu=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(ops.flatten(self.avgpool(x), 1))


def resnet20(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """269,722 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(20, num_classes, generator=generator, **settings)


def resnet32(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """464,154 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(32, num_classes, generator=generator, **settings)


def resnet44(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """658,586 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(44, num_classes, generator=generator, **settings)


def resnet56(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """853,018 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(56, num_classes, generator=generator, **settings)


def resnet110(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """1,727,962 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(110, num_classes, generator=generator, **settings)


def plain20(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """ResNet-20 without its shortcuts: 269,722 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(20, num_classes, shortcut=None, generator=generator, **settings)


def plain32(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """ResNet-32 without its shortcuts: 464,154 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(32, num_classes, shortcut=None, generator=generator, **settings)


def plain44(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """ResNet-44 without its shortcuts: 658,586 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(44, num_classes, shortcut=None, generator=generator, **settings)


def plain56(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """ResNet-56 without its shortcuts: 853,018 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(56, num_classes, shortcut=None, generator=generator, **settings)


def plain110(num_classes: int = 10, *, generator: Generator | None = None, **settings: Any) -> CifarResNet:
    """ResNet-110 without its shortcuts: 1,727,962 parameters at 10 classes, input 32 x 32."""
    return CifarResNet(110, num_classes, shortcut=None, generator=generator, **settings)
