"""VGG (Simonyan and Zisserman 2014, arXiv 1409.1556): five stages of 3 x 3 convolutions, with names as published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn, ops
from .._random import Generator


class VGG(nn.Module):
    """Stages of 3 x 3 convolutions, each closed by a 2 x 2 max pooling, then three linear layers.

    `depths` are the numbers of convolutions of the stages, `channels` their widths; `normalize` puts batch norm behind
    each convolution; `grid` is the height and width that the classifier sees. The state holds `features.N`, where ReLU,
    pooling and batch norm count too, and `classifier.{0,3,6}`.

    Shapes:    x (N, in_channels, H, W) with H and W at least 2^stages; the logits (N, num_classes)
    Units:     logits in nats
    Source:    Simonyan and Zisserman 2014, arXiv 1409.1556, table 1; batch norm: Ioffe and Szegedy 2015,
               arXiv 1502.03167. Initialised by Glorot and Bengio 2010, eq. 16, which the paper (section 3.1) found to
               do without weights of a shallower net; biases 0
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        depths: Sequence[int] = (2, 2, 3, 3, 3),
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        hidden: int = 4096,
        grid: int = 7,
        dropout: float = 0.5,
        normalize: bool = False,
        input_size: int = 224,
        *,
        generator: Generator | None = None,
    ):
        if len(depths) != len(channels) or not channels:
            raise ValueError(
                f"VGG: depths and channels expect a number for each stage; they are {depths} and {channels}"
            )
        self.input_shape = (1, in_channels, input_size, input_size)
        layers: list[nn.Module] = []
        before = in_channels
        with nn.init.skipped():
            for depth, after in zip(depths, channels, strict=True):
                for _ in range(depth):
                    layers.append(nn.Conv2d(before, after, 3, padding=1))
                    if normalize:
                        layers.append(nn.BatchNorm2d(after))
                    layers.append(nn.ReLU())
                    before = after
                layers.append(nn.MaxPool2d(2))
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d(grid)
            self.classifier = nn.Sequential(
                nn.Linear(before * grid * grid, hidden),
                nn.ReLU(),
                nn.Dropout(dropout, generator=generator),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Dropout(dropout, generator=generator),
                nn.Linear(hidden, num_classes),
            )
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(layer.weight, generator=generator)

    def forward(self, x: Any) -> Any:
        return self.classifier(ops.flatten(self.avgpool(self.features(x)), 1))


def vgg11(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """The paper's net A: 132,863,336 parameters at 1000 classes, input 224 x 224."""
    return VGG(num_classes, depths=(1, 1, 2, 2, 2), generator=generator, **settings)


def vgg13(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """The paper's net B: 133,047,848 parameters at 1000 classes, input 224 x 224."""
    return VGG(num_classes, depths=(2, 2, 2, 2, 2), generator=generator, **settings)


def vgg16(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """The paper's net D: 138,357,544 parameters at 1000 classes, input 224 x 224."""
    return VGG(num_classes, depths=(2, 2, 3, 3, 3), generator=generator, **settings)


def vgg19(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """The paper's net E: 143,667,240 parameters at 1000 classes, input 224 x 224."""
    return VGG(num_classes, depths=(2, 2, 4, 4, 4), generator=generator, **settings)


def vgg11_bn(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """Net A with batch norm: 132,868,840 parameters at 1000 classes, input 224 x 224."""
    return vgg11(num_classes, normalize=True, generator=generator, **settings)


def vgg13_bn(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """Net B with batch norm: 133,053,736 parameters at 1000 classes, input 224 x 224."""
    return vgg13(num_classes, normalize=True, generator=generator, **settings)


def vgg16_bn(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """Net D with batch norm: 138,365,992 parameters at 1000 classes, input 224 x 224."""
    return vgg16(num_classes, normalize=True, generator=generator, **settings)


def vgg19_bn(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> VGG:
    """Net E with batch norm: 143,678,248 parameters at 1000 classes, input 224 x 224."""
    return vgg19(num_classes, normalize=True, generator=generator, **settings)
