"""DCGAN (Radford, Metz, Chintala 2015, arXiv 1511.06434): an image from noise, and its judge."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from .._random import Generator


class DCGANGenerator(nn.Module):
    """An image from noise: a transposed convolution to 4 x 4 pixels, then one to twice the size each, tanh at the end.

    For images of 28 x 28 and the like a 3 x 3 one makes 7 x 7 of the 4 x 4. `width` is the number of channels before
    the image; each layer nearer the noise has twice as many. All but the last are followed by batch norm and ReLU. The
    state holds `main.N`, where ReLU and batch norm count too.

    Shapes:    z (N, latent) or (N, latent, 1, 1), the image (N, channels, image_size, image_size)
    Units:     pixels in -1 .. 1
    Raises:    ValueError for an image_size that is not 8, 16, 32, ... or 14, 28, 56, ...
    Source:    Radford et al. 2015, arXiv 1511.06434, figure 1 and section 4: weights normal with standard deviation
               0.02; those of batch norm around 1
    """

    def __init__(
        self,
        latent: int = 100,
        channels: int = 3,
        width: int = 64,
        image_size: int = 32,
        *,
        generator: Generator | None = None,
    ):
        first, doublings = first_size_and_doublings(type(self).__name__, image_size)
        self.input_shape = (1, latent, 1, 1)
        self.latent = latent
        odd = first == 7
        widths = [width * 2**i for i in reversed(range(doublings + odd))]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip([latent, *widths], widths)):
            kernel = (4, 1, 0) if i == 0 else (3, 2, 1) if i == 1 and odd else (4, 2, 1)  # size, stride, padding
            layers += [nn.ConvTranspose2d(before, after, *kernel, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())
        initialize(self, generator)

    def forward(self, z: Any) -> Any:
        return self.main(ops.reshape(z, (*z.shape[:2], 1, 1)))


class DCGANDiscriminator(nn.Module):
    """Whether an image is real: strided 4 x 4 convolutions, each half the size, until one number is left.

    From 7 x 7 pixels, of 28 x 28 and the like, a 3 x 3 convolution makes 4 x 4: else nothing but a weighted sum would
    see more than a part of the image, and digits would be made of good strokes that do not belong together.
    `width` is the number of channels behind the first convolution; each further one has twice as many. All but the
    first and last are followed by batch norm, all but the last by a leaky ReLU of slope 0.2. The state holds `main.N`,
    where these count too.

    classes: how many numbers there are for an image: one for each class where the game is labelled.
    Shapes:    x (N, channels, image_size, image_size), the logits (N,), or (N, classes) for more than one
    Units:     logits in nats: the probability of "real" is their sigmoid
    Raises:    ValueError for an image_size that is not 8, 16, 32, ... or 14, 28, 56, ...
    Source:    Radford et al. 2015, arXiv 1511.06434, section 3 and 4: weights normal with standard deviation 0.02;
               those of batch norm around 1
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        image_size: int = 32,
        classes: int = 1,
        *,
        generator: Generator | None = None,
    ):
        first, doublings = first_size_and_doublings(type(self).__name__, image_size)
        self.input_shape = (1, channels, image_size, image_size)
        widths = [width * 2**i for i in range(doublings)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        last = widths[-1]
        if first == 7:
            layers += [nn.Conv2d(last, 2 * last, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * last), nn.LeakyReLU(0.2)]
            last = 2 * last
        self.main = nn.Sequential(*layers, nn.Conv2d(last, classes, 4, bias=False))
        initialize(self, generator)

    def forward(self, x: Any) -> Any:
        logits = ops.flatten(self.main(x), 1)
        return ops.reshape(logits, (-1,)) if logits.shape[1] == 1 else logits


def first_size_and_doublings(name: str, image_size: int) -> tuple[int, int]:
    """4 or 7, and how often it is doubled to make `image_size`."""
    for first in (4, 7):
        doublings = (image_size // first).bit_length() - 1
        if doublings >= 1 and image_size == first << doublings:
            return first, doublings
    raise ValueError(f"{name}: image_size expects 8, 16, 32, 64, ... or 14, 28, 56, ...; it is {image_size}")


def initialize(model: nn.Module, generator: Generator | None) -> None:
    """Weights of convolutions N(0, 0.02), those of batch norm N(1, 0.02), in place."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d) and layer.weight is not None:
            nn.init.normal_(layer.weight, 1.0, 0.02, generator=generator)


def dcgan_generator(
    latent: int = 100, channels: int = 3, *, generator: Generator | None = None, **settings: Any
) -> DCGANGenerator:
    """1,068,928 parameters for 32 x 32 images in colour; 3,576,704 with image_size=64, the paper's."""
    return DCGANGenerator(latent, channels, generator=generator, **settings)


def dcgan_generator_digits(*, generator: Generator | None = None, **settings: Any) -> DCGANGenerator:
    """For digits of 28 x 28: four transposed convolutions, 32 numbers of noise, 558,976 parameters."""
    return DCGANGenerator(generator=generator, **{"latent": 32, "channels": 1, "image_size": 28, **settings})


def dcgan_discriminator_digits(*, generator: Generator | None = None, **settings: Any) -> DCGANDiscriminator:
    """For digits of 28 x 28: four convolutions, 431,872 parameters."""
    return DCGANDiscriminator(generator=generator, **{"channels": 1, "image_size": 28, **settings})


def dcgan_discriminator(
    channels: int = 3, *, generator: Generator | None = None, **settings: Any
) -> DCGANDiscriminator:
    """663,296 parameters for 32 x 32 images in colour; 2,765,568 with image_size=64, the paper's."""
    return DCGANDiscriminator(channels, generator=generator, **settings)
