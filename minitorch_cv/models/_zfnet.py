"""ZFNet (Zeiler and Fergus 2013): AlexNet with a finer first look, found by making its features visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn, ops
from .._random import Generator


class ZFNet(nn.Module):
    """AlexNet with 7 x 7 windows of stride 2 in front in place of 11 x 11 of stride 4, and no groups.

    `channels` are those of the five convolutions, `hidden` the width of the two hidden linear layers, `grid` the height
    and width that the classifier sees; `normalize` puts the response normalisation behind the first two poolings.
    For small images `first` and `second` (kernel size, stride, padding) make the front finer still.

    Shapes:    x (N, in_channels, H, W), the logits (N, num_classes)
    Units:     logits in nats
    Source:    Zeiler and Fergus 2013, arXiv 1311.2901, figure 3; weights normal with standard deviation 0.01, biases 0
               (section 3). AlexNet's response normalisation stands for its "contrast normalised across feature maps"
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        channels: Sequence[int] = (96, 256, 384, 384, 256),
        hidden: int = 4096,
        first: tuple[int, int, int] = (7, 2, 1),
        second: tuple[int, int, int] = (5, 2, 0),
        grid: int = 6,
        dropout: float = 0.5,
        normalize: bool = True,
        input_size: int = 224,
        *,
        generator: Generator | None = None,
    ):
        if len(channels) != 5:
            raise ValueError(f"ZFNet: channels expects five numbers; they are {channels}")
        self.input_shape = (1, in_channels, input_size, input_size)
        sizes = [first, second, (3, 1, 1), (3, 1, 1), (3, 1, 1)]
        layers: list[nn.Module] = []
        before = in_channels
        with nn.init.skipped():
            for i, (after, window) in enumerate(zip(channels, sizes, strict=True)):
                layers += [nn.Conv2d(before, after, *window), nn.ReLU()]
                if i in (0, 1, 4):
                    layers.append(nn.MaxPool2d(3, 2, ceil_mode=i < 2))
                if normalize and i < 2:
                    layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
                before = after
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d(grid)
            self.classifier = nn.Sequential(
                nn.Dropout(dropout, generator=generator),
                nn.Linear(before * grid * grid, hidden),
                nn.ReLU(),
                nn.Dropout(dropout, generator=generator),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, num_classes),
            )
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(layer.weight, 0.0, 0.01, generator=generator)

    def forward(self, x: Any) -> Any:
        return self.classifier(ops.flatten(self.avgpool(self.features(x)), 1))


def zfnet(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> ZFNet:
    """The paper's net: 62,357,608 parameters at 1000 classes, input 224 x 224."""
    return ZFNet(num_classes, generator=generator, **settings)
