"""ResNet (He, Zhang, Ren, Sun 2015, arXiv 1512.03385) for ImageNet, with names as published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn, ops
from .._random import Generator
from ._residual_block import BasicBlock, Bottleneck, PaperBottleneck, convolution, stage


class ResNet(nn.Module):
    """A 7 x 7 convolution and a pooling, four stages of residual blocks, global average pooling, one linear layer.

    `depths` are the numbers of blocks of the stages; `width` is the width of the first, and each further stage has
    twice the channels at half the height and width. `shortcut` is that of the blocks. The state holds `conv1`, `bn1`,
    `layer{1-4}.{i}.conv{1,2,3}`, `.bn{1,2,3}`, `.downsample.{0,1}` and `fc`.

    Shapes:    x (N, in_channels, H, W), the logits (N, num_classes)
    Units:     logits in nats
    Source:    He et al. 2015, arXiv 1512.03385, table 1; initialised by He et al. 2015, arXiv 1502.01852, counting
               outputs, with the linear layer's weights uniform within +- 1 / sqrt(its inputs)
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        shortcut: str | None = "B",
        input_size: int = 224,
        *,
        generator: Generator | None = None,
    ):
        if len(depths) != 4:
            raise ValueError(f"ResNet: depths expects the blocks of four stages; it is {depths}")
        self.input_shape = (1, in_channels, input_size, input_size)
        self.conv1 = convolution(in_channels, width, 7, 2, generator)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = width
        for i, depth in enumerate(depths):
            layer = stage(block, depth, before, width * 2**i, 1 if i == 0 else 2, shortcut, generator)
            setattr(self, f"layer{i + 1}", layer)
            before = width * 2**i * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes, generator=generator)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.bn1(self.conv1(x), relu=True))
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, name)(x)
        return self.fc(ops.flatten(self.avgpool(x), 1))


def resnet18(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """11,689,512 parameters at 1000 classes, input 224 x 224."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, generator=generator, **settings)


def resnet34(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """21,797,672 parameters at 1000 classes, input 224 x 224."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, generator=generator, **settings)


def resnet50(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """25,557,032 parameters at 1000 classes, input 224 x 224."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, generator=generator, **settings)


def resnet50_paper(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """The paper's, whose first 1 x 1 convolutions stride: 25,557,032 parameters, input 224 x 224."""
    return ResNet(PaperBottleneck, (3, 4, 6, 3), num_classes, generator=generator, **settings)


def resnet101(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """44,549,160 parameters at 1000 classes, input 224 x 224."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, generator=generator, **settings)


def resnet152(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """60,192,808 parameters at 1000 classes, input 224 x 224."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, generator=generator, **settings)


def resnet101_paper(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """The paper's, whose first 1 x 1 convolutions stride: 44,549,160 parameters, input 224 x 224."""
    return ResNet(PaperBottleneck, (3, 4, 23, 3), num_classes, generator=generator, **settings)


def resnet152_paper(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ResNet:
    """The paper's, whose first 1 x 1 convolutions stride: 60,192,808 parameters, input 224 x 224."""
    return ResNet(PaperBottleneck, (3, 8, 36, 3), num_classes, generator=generator, **settings)
