"""AlexNet (Krizhevsky, Sutskever, Hinton 2012), in the paper's form and in the form in which weights are published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn, ops
from .._random import Generator


class AlexNet(nn.Module):
    """Five convolutions, three overlapping max poolings, three linear layers with dropout before the first two.

    The defaults are the one-tower net of "One weird trick" (Krizhevsky 2014, arXiv 1404.5997). `channels` and `groups`
    are those of the five convolutions; `first` is kernel size, stride and padding of the first; `pool` size and stride
    of the poolings; `normalize` puts the paper's local response normalisation behind the first two; `grid` is the
    height and width that the classifier sees.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 192, 384, 256, 256),
        groups: Sequence[int] = (1, 1, 1, 1, 1),
        hidden: int = 4096,
        first: tuple[int, int, int] = (11, 4, 2),
        pool: tuple[int, int] = (3, 2),
        grid: int = 6,
        dropout: float = 0.5,
        normalize: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
        input_size: int = 224,
        *,
        generator: Generator | None = None,
    ):
        if len(channels) != 5 or len(groups) != 5:
            raise ValueError(f"AlexNet: channels and groups expect five numbers each; they are {channels} and {groups}")
        self.input_shape = (1, in_channels, input_size, input_size)
        sizes = [first, (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)]
        layers: list[nn.Module] = []
        for i, (size, stride, padding) in enumerate(sizes):
            before = channels[i - 1] if i else in_channels
            layers += [
                nn.Conv2d(before, channels[i], size, stride, padding, groups=groups[i], generator=generator),
                activation(),
            ]
            if normalize and i < 2:
                layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))  # the paper's 1e-4 on the sum
            if i in (0, 1, 4):
                layers.append(nn.MaxPool2d(*pool))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(grid)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout, generator=generator),
            nn.Linear(channels[4] * grid * grid, hidden, generator=generator),
            activation(),
            nn.Dropout(dropout, generator=generator),
            nn.Linear(hidden, hidden, generator=generator),
            activation(),
            nn.Linear(hidden, num_classes, generator=generator),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(ops.flatten(self.avgpool(self.features(x)), 1))


def alexnet(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> AlexNet:
    """The one-tower net in which weights are published: 61,100,840 parameters at 1000 classes, input 224 x 224."""
    return AlexNet(num_classes, generator=generator, **settings)


def alexnet_paper(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> AlexNet:
    """The paper's net: two groups, response normalisation, its initialisation. 60,965,224 parameters, input 227 x 227.

    Weights are normal with standard deviation 0.01; biases are 1 in convolutions 2, 4, 5 and the hidden linear layers,
    which starts their ReLUs in the positive part, and 0 elsewhere (section 5).
    """
    paper = {
        "channels": (96, 256, 384, 384, 256),
        "groups": (1, 2, 1, 2, 2),
        "first": (11, 4, 0),
        "normalize": True,
        "input_size": 227,
    }
    with nn.init.skipped():
        model = AlexNet(num_classes, generator=generator, **{**paper, **settings})
    initialize_as_in_paper(model, generator)
    return model


def initialize_as_in_paper(model: AlexNet, generator: Generator | None = None, std: float = 0.01) -> AlexNet:
    """Draw the weights again as section 5 of the paper says, in place."""
    convolutions: list[Any] = [m for m in model.features if isinstance(m, nn.Conv2d)]
    linears: list[Any] = [m for m in model.classifier if isinstance(m, nn.Linear)]
    ones = [convolutions[1], convolutions[3], convolutions[4], *linears[:-1]]
    for layer in (*convolutions, *linears):
        nn.init.normal_(layer.weight, 0.0, std, generator=generator)
        nn.init.constant_(layer.bias, 1.0 if any(layer is other for other in ones) else 0.0)
    return model
