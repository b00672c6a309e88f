"""A small convolutional net that reads digits, and so judges those that other nets made."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from .._random import Generator


class DigitClassifier(nn.Module):
    """Three 3 x 3 convolutions, each with batch norm, ReLU and a max pooling by 2, and two linear layers.

    The convolutions have `width`, 2 and 2 times as many channels; `features` numbers, behind ReLU, describe an image to
    the last layer, and to whoever compares sets of images. The state holds `conv{1-3}`, `bn{1-3}`, `fc1` and `fc2`.

    Shapes:    x (N, in_channels, input_size, input_size), the features (N, features), the logits (N, num_classes)
    Units:     pixels in 0 .. 1, the ink 1; logits in nats
    Raises:    ValueError for an input_size below 8
    Source:    made for this package, after LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document
               recognition") with batch norm (arXiv 1502.03167) and dropout (Srivastava et al. 2014) before `fc1`, `fc2`
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        width: int = 32,
        features: int = 64,
        input_size: int = 28,
        dropout: float = 0.3,
        *,
        generator: Generator | None = None,
    ):
        if input_size < 8:
            raise ValueError(f"DigitClassifier: input_size expects 8 or more; it is {input_size}")
        self.input_shape = (1, in_channels, input_size, input_size)
        wide = 2 * width
        self.conv1, self.bn1 = _convolution(in_channels, width, generator), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, wide, generator), nn.BatchNorm2d(wide)
        self.conv3, self.bn3 = _convolution(wide, wide, generator), nn.BatchNorm2d(wide)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout, generator=generator)
        self.fc1 = nn.Linear(wide * (input_size // 8) ** 2, features, generator=generator)
        self.fc2 = nn.Linear(features, num_classes, generator=generator)

    def features(self, x: Any) -> Any:
        """What the net knows of each image before it decides: (N, features), none negative."""
        x = self.pool(self.bn1(self.conv1(x), relu=True))
        x = self.pool(self.bn2(self.conv2(x), relu=True))
        x = self.pool(self.bn3(self.conv3(x), relu=True))
        return ops.relu(self.fc1(self.dropout(ops.flatten(x, 1))))

    def decide(self, features: Any) -> Any:
        """The logits of these features."""
        return self.fc2(self.dropout(features))

    def forward(self, x: Any) -> Any:
        return self.decide(self.features(x))


def _convolution(before: int, after: int, generator: Generator | None) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False, generator=generator)


def digit_classifier(*, generator: Generator | None = None, **settings: Any) -> DigitClassifier:
    """For the ten digits of 28 x 28, 64 features: 93,482 parameters. `generator` draws the weights, then dropout."""
    return DigitClassifier(generator=generator, **settings)
