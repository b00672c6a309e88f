"""GoogLeNet (Szegedy et al. 2014, arXiv 1409.4842), as in the paper and as its weights are published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops
from .._random import Generator
from .._tensor import Tensor

# Table 1 of the paper: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# Mean and standard deviation of ImageNet's red, green and blue, by which published weights' images are standardised.
IMAGENET = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).reshape(2, 3, 1, 1)


class GoogLeNetOutput(NamedTuple):
    """What the net gives while it trains with auxiliary classifiers. The paper's loss is L + 0.3 (L_aux1 + L_aux2)."""

    logits: Any
    aux2: Any
    aux1: Any


class Convolution(nn.Module):
    """A convolution as large as its input / stride, batch norm (or, in the paper's net, a bias of 0.2), and ReLU."""

    def __init__(
        self, before: int, after: int, size: int, stride: int = 1, *, normalize: bool, generator: Generator | None
    ):
        with nn.init.skipped():
            self.conv = nn.Conv2d(before, after, size, stride, size // 2, bias=not normalize)
        self.bn = nn.BatchNorm2d(after, eps=1e-3) if normalize else None
        draw(self.conv.weight, normalize, generator)
        if self.conv.bias is not None:
            nn.init.constant_(self.conv.bias, 0.2)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        return ops.relu(x) if self.bn is None else self.bn(x, relu=True)


class Inception(nn.Module):
    """An image seen in four ways, side by side: 1 x 1, 3 x 3, "5 x 5" and max pooling; 1 x 1 convolutions narrow it.

    Shapes:    x (N, before, H, W), y (N, c1 + c3 + c5 + pooled, H, W)
    """

    def __init__(self, before: int, row: Sequence[int], **form: Any):
        c1, reduce3, c3, reduce5, c5, pooled = row
        self.channels = c1 + c3 + c5 + pooled
        self.branch1 = Convolution(before, c1, 1, **form)
        self.branch2 = nn.Sequential(Convolution(before, reduce3, 1, **form), Convolution(reduce3, c3, 3, **form))
        size = 3 if form["normalize"] else 5
        self.branch3 = nn.Sequential(Convolution(before, reduce5, 1, **form), Convolution(reduce5, c5, size, **form))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Convolution(before, pooled, 1, **form))

    def forward(self, x: Any) -> Any:
        return ops.concatenate([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=1)


class Auxiliary(nn.Module):
    """A classifier half way up, which sends the lower layers a gradient of their own while the net trains."""

    def __init__(self, before: int, channels: int, hidden: int, num_classes: int, dropout: float, **form: Any):
        self.avgpool = nn.AdaptiveAvgPool2d(4) if form["normalize"] else nn.AvgPool2d(5, 3)
        self.conv = Convolution(before, channels, 1, **form)
        self.fc1 = linear(channels * 16, hidden, 0.2, **form)
        self.dropout = nn.Dropout(dropout, generator=form["generator"])
        self.fc2 = linear(hidden, num_classes, 0.0, **form)

    def forward(self, x: Any) -> Any:
        maps = self.avgpool(x)
        if maps.shape[2:] != (4, 4):
            raise ValueError(
                f"GoogLeNet: auxiliary heads expect maps of 4 x 4 behind their pooling, as images of 224 x 224 give; "
                f"they are {maps.shape[2]} x {maps.shape[3]}"
            )
        x = ops.flatten(self.conv(maps), 1)
        return self.fc2(self.dropout(ops.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """A stem of three convolutions, nine inception modules in three stages, average pooling and one linear layer.

    With `normalize` it is the net whose weights are published: batch norm (eps 1e-3), 3 x 3 kernels in the "5 x 5"
    branch, a 2 x 2 pooling before 5a; without it, the paper's: biases, response normalisation, true 5 x 5. With `aux`
    it returns a GoogLeNetOutput while it trains, and the logits alone otherwise. `width` multiplies all channels.
    `transform_input` takes images standardised by ImageNet's mean and deviation to the -1 .. 1 that the published
    weights expect. The state holds `conv{1,2,3}.{conv,bn}`, `inception{3a..5b}.branch{1, 2.0, 2.1, 3.0, 3.1, 4.1}`,
    `aux{1,2}.{conv,fc1,fc2}` and `fc`.

    Shapes:    x (N, in_channels, H, W), the logits (N, num_classes); the paper's auxiliary heads take 224 x 224 only
    Units:     logits in nats
    Source:    Szegedy et al. 2014, arXiv 1409.4842, table 1 and section 5; batch norm: Ioffe and Szegedy 2015,
               arXiv 1502.03167
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        normalize: bool = True,
        aux: bool = False,
        dropout: float = 0.2,
        aux_dropout: float = 0.7,
        width: float = 1.0,
        transform_input: bool = False,
        input_size: int = 224,
        *,
        generator: Generator | None = None,
    ):
        def wide(channels: int) -> int:
            return max(1, round(channels * width))

        def inception(before: int, name: str) -> Inception:
            return Inception(before, [wide(c) for c in MODULES[name]], **form)

        form: Any = {"normalize": normalize, "generator": generator}
        self.input_shape = (1, in_channels, input_size, input_size)
        self.transform_input = transform_input
        self.conv1 = Convolution(in_channels, wide(64), 7, 2, **form)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm1 = nn.Identity() if normalize else nn.LocalResponseNorm(5)
        self.conv2 = Convolution(wide(64), wide(64), 1, **form)
        self.conv3 = Convolution(wide(64), wide(192), 3, **form)
        self.norm2 = nn.Identity() if normalize else nn.LocalResponseNorm(5)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = inception(wide(192), "3a")
        self.inception3b = inception(self.inception3a.channels, "3b")
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = inception(self.inception3b.channels, "4a")
        self.inception4b = inception(self.inception4a.channels, "4b")
        self.inception4c = inception(self.inception4b.channels, "4c")
        self.inception4d = inception(self.inception4c.channels, "4d")
        self.inception4e = inception(self.inception4d.channels, "4e")
        self.maxpool4 = nn.MaxPool2d(2 if normalize else 3, 2, ceil_mode=True)
        self.inception5a = inception(self.inception4e.channels, "5a")
        self.inception5b = inception(self.inception5a.channels, "5b")
        self.aux1 = self.aux2 = None
        self.unused_weights = () if aux else ("aux1.", "aux2.")  # the published file has them
        if aux:
            sizes = wide(128), wide(1024), num_classes, aux_dropout
            self.aux1 = Auxiliary(self.inception4a.channels, *sizes, **form)
            self.aux2 = Auxiliary(self.inception4d.channels, *sizes, **form)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout, generator=generator)
        self.fc = linear(self.inception5b.channels, num_classes, 0.0, **form)

    def forward(self, x: Any) -> Any:
        if self.transform_input:
            mean, deviation = (Tensor(values, device=x.device, dtype=x.dtype) for values in IMAGENET)
            x = (x * deviation + mean - 0.5) / 0.5
        x = self.norm1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        low = self.inception4a(x)
        middle = self.inception4d(self.inception4c(self.inception4b(low)))
        x = self.maxpool4(self.inception4e(middle))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(ops.flatten(self.avgpool(x), 1)))
        if self.aux1 is None or self.aux2 is None or not self.training:
            return logits
        return GoogLeNetOutput(logits, self.aux2(middle), self.aux1(low))


def draw(weight: Tensor, normalize: bool, generator: Generator | None) -> None:
    """Normal with standard deviation 0.01 in the published form; uniform of variance 1 / fan_in in the paper's."""
    if normalize:
        nn.init.trunc_normal_(weight, 0.0, 0.01, generator=generator)
    else:
        nn.init.kaiming_uniform_(weight, nonlinearity="linear", generator=generator)


def linear(before: int, after: int, bias: float, *, normalize: bool, generator: Generator | None) -> nn.Linear:
    """The bias is uniform within +- 1 / sqrt(before) in the published form, and `bias` in the paper's."""
    layer = nn.Linear(before, after, generator=generator)
    draw(layer.weight, normalize, generator)
    if layer.bias is not None and not normalize:
        nn.init.constant_(layer.bias, bias)
    return layer


def googlenet(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> GoogLeNet:
    """The net with batch norm in which weights are published: 6,624,904 parameters at 1000 classes, input 224 x 224.

    13,004,888 with aux=True.
    """
    return GoogLeNet(num_classes, generator=generator, **settings)


def googlenet_paper(num_classes: int = 1000, *, generator: Generator | None = None, **settings: Any) -> GoogLeNet:
    """The paper's net: 6,998,552 parameters at 1000 classes, input 224 x 224; 13,378,280 with aux=True.

    The paper does not say how it was initialised; this is as in Caffe's replication (weights uniform with variance
    1 / fan_in, biases 0.2, those of the classifiers 0).
    """
    return GoogLeNet(num_classes, generator=generator, **{"normalize": False, "dropout": 0.4, **settings})
