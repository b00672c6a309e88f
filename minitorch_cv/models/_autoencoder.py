"""Autoencoders (Hinton and Salakhutdinov 2006): an image through a short code and back, without any distribution."""

from __future__ import annotations

import math
from typing import Any

from .. import nn, ops
from .._random import Generator
from ._vae import convolutions, transposed_convolutions


class Autoencoder(nn.Module):
    """x squeezed through a short code and back, by linear layers.

    Shapes:    x (N, ...) with `pixels` values each, the code (N, latent), the reconstruction as x
    Units:     those of x
    Source:    Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks"; layers
               initialised by PyTorch's default, uniform within +- 1 / sqrt(its inputs)
    """

    def __init__(self, pixels: int = 784, hidden: int = 256, latent: int = 64, *, generator: Generator | None = None):
        side = math.isqrt(pixels)
        self.input_shape = (1, 1, side, side) if side * side == pixels else (1, pixels)
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden, generator=generator), nn.ReLU(), nn.Linear(hidden, latent, generator=generator)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden, generator=generator), nn.ReLU(), nn.Linear(hidden, pixels, generator=generator)
        )

    def encode(self, x: Any) -> Any:
        """The code (N, latent)."""
        return self.encoder(ops.flatten(x, 1))

    def decode(self, z: Any) -> Any:
        """(N, pixels)"""
        return self.decoder(z)

    def forward(self, x: Any) -> Any:
        return ops.reshape(self.decode(self.encode(x)), x.shape)

    def loss(self, x: Any) -> Any:
        """The mean square of what is lost."""
        return ops.mse_loss(self(x), x)


class ConvAutoencoder(nn.Module):
    """The same of convolutions: the nets of `ConvVAE`, with a code in place of a distribution.

    Shapes:    x and the reconstruction (N, channels, H, W), H = W = `image_size`, a multiple of 4; the code (N, latent)
    Units:     those of x
    Raises:    ValueError for another image_size
    """

    def __init__(
        self,
        latent: int = 64,
        width: int = 32,
        channels: int = 1,
        image_size: int = 28,
        *,
        generator: Generator | None = None,
    ):
        self.input_shape = (1, channels, image_size, image_size)
        self.encoder = nn.Sequential(
            *convolutions(channels, width, image_size, generator),
            nn.Linear(2 * width * (image_size // 4) ** 2, latent, generator=generator),
        )
        self.decoder = transposed_convolutions(latent, channels, width, image_size, generator)

    def encode(self, x: Any) -> Any:
        """The code (N, latent)."""
        return self.encoder(x)

    def decode(self, z: Any) -> Any:
        """(N, channels, H, W)"""
        return self.decoder(z)

    def forward(self, x: Any) -> Any:
        return self.decode(self.encode(x))

    def loss(self, x: Any) -> Any:
        """The mean square of what is lost."""
        return ops.mse_loss(self(x), x)


def autoencoder(*, generator: Generator | None = None, **settings: Any) -> Autoencoder:
    """784-256-64 for digits of 28 x 28: 435,536 parameters."""
    return Autoencoder(generator=generator, **settings)


def conv_autoencoder(*, generator: Generator | None = None, **settings: Any) -> ConvAutoencoder:
    """The one of convolutions, for digits of 28 x 28, 64 numbers in the code: 471,297 parameters."""
    return ConvAutoencoder(generator=generator, **settings)
