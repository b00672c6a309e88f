"""The models by name, with the sizes that their papers and published weights give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ._alexnet import alexnet, alexnet_paper
from ._autoencoder import autoencoder, conv_autoencoder
from ._cifar_resnet import (
    plain20,
    plain32,
    plain44,
    plain56,
    plain110,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
)
from ._dcgan import dcgan_discriminator, dcgan_discriminator_digits, dcgan_generator, dcgan_generator_digits
from ._ddpm_unet import ddpm_unet, ddpm_unet_digits, ddpm_unet_small
from ._digit_classifier import digit_classifier
from ._googlenet import googlenet, googlenet_paper
from ._resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet50_paper,
    resnet101,
    resnet101_paper,
    resnet152,
    resnet152_paper,
)
from ._vae import conv_vae, vae
from ._vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from ._zfnet import zfnet


class Entry(NamedTuple):
    """A model as its paper, or its published weights, have it. The tests hold the sizes to the ledger."""

    constructor: Callable[..., Any]
    parameters: int
    giga_multiply_adds: str
    """Of convolutions and linear layers for one image of the model's own size, to three or four digits."""
    weights: bool
    """Whether weights are published under the names of its state."""
    paper: str

    @property
    def classifies(self) -> bool:
        """Whether it takes photographs and returns logits of classes."""
        return self.paper not in (_DCGAN, _DDPM, _VAE, _CODES, _OWN)

    @property
    def samples(self) -> bool:
        """Whether new images are drawn from it."""
        return self.paper in (_DDPM, _VAE) or self.constructor in (dcgan_generator, dcgan_generator_digits)


_ALEXNET, _ZFNET = "Krizhevsky et al. 2012", "Zeiler and Fergus 2013"
_VGG, _GOOGLENET, _RESNET = "Simonyan and Zisserman 2014", "Szegedy et al. 2014", "He et al. 2015"
_DCGAN, _DDPM = "Radford et al. 2015", "Ho et al. 2020"
_VAE, _CODES = "Kingma and Welling 2013", "Hinton and Salakhutdinov 2006"
_OWN = "none: this package's judge of digits"

REGISTRY: dict[str, Entry] = {
    entry.constructor.__name__: entry
    for entry in (
        Entry(alexnet, 61_100_840, "0.714", True, "Krizhevsky 2014"),
        Entry(alexnet_paper, 60_965_224, "0.724", False, _ALEXNET),
        Entry(zfnet, 62_357_608, "1.168", False, _ZFNET),
        Entry(vgg11, 132_863_336, "7.609", True, _VGG),
        Entry(vgg11_bn, 132_868_840, "7.609", True, _VGG),
        Entry(vgg13, 133_047_848, "11.308", True, _VGG),
        Entry(vgg13_bn, 133_053_736, "11.308", True, _VGG),
        Entry(vgg16, 138_357_544, "15.470", True, _VGG),
        Entry(vgg16_bn, 138_365_992, "15.470", True, _VGG),
        Entry(vgg19, 143_667_240, "19.632", True, _VGG),
        Entry(vgg19_bn, 143_678_248, "19.632", True, _VGG),
        Entry(googlenet, 6_624_904, "1.498", True, _GOOGLENET),
        Entry(googlenet_paper, 6_998_552, "1.583", False, _GOOGLENET),
        Entry(resnet18, 11_689_512, "1.814", True, _RESNET),
        Entry(resnet34, 21_797_672, "3.664", True, _RESNET),
        Entry(resnet50, 25_557_032, "4.089", True, _RESNET),
        Entry(resnet50_paper, 25_557_032, "3.858", False, _RESNET),
        Entry(resnet101, 44_549_160, "7.801", True, _RESNET),
        Entry(resnet101_paper, 44_549_160, "7.570", False, _RESNET),
        Entry(resnet152, 60_192_808, "11.514", True, _RESNET),
        Entry(resnet152_paper, 60_192_808, "11.282", False, _RESNET),
        Entry(resnet20, 269_722, "0.0406", False, _RESNET),
        Entry(resnet32, 464_154, "0.0689", False, _RESNET),
        Entry(resnet44, 658_586, "0.0972", False, _RESNET),
        Entry(resnet56, 853_018, "0.1255", False, _RESNET),
        Entry(resnet110, 1_727_962, "0.2529", False, _RESNET),
        Entry(plain20, 269_722, "0.0406", False, _RESNET),
        Entry(plain32, 464_154, "0.0689", False, _RESNET),
        Entry(plain44, 658_586, "0.0972", False, _RESNET),
        Entry(plain56, 853_018, "0.1255", False, _RESNET),
        Entry(plain110, 1_727_962, "0.2529", False, _RESNET),
        Entry(dcgan_generator, 1_068_928, "0.0180", False, _DCGAN),
        Entry(dcgan_discriminator, 663_296, "0.0176", False, _DCGAN),
        Entry(dcgan_generator_digits, 558_976, "0.0115", False, _DCGAN),
        Entry(dcgan_discriminator_digits, 431_872, "0.0113", False, _DCGAN),
        Entry(ddpm_unet, 35_746_307, "6.05", True, _DDPM),
        Entry(ddpm_unet_small, 1_113_955, "0.2572", False, _DDPM),
        Entry(ddpm_unet_digits, 1_114_209, "0.1960", False, _DDPM),
        Entry(vae, 652_824, "0.000651", False, _VAE),
        Entry(conv_vae, 258_025, "0.0036", False, _VAE),
        Entry(autoencoder, 435_536, "0.000434", False, _CODES),
        Entry(conv_autoencoder, 471_297, "0.0038", False, _CODES),
        Entry(digit_classifier, 93_482, "0.00568", False, _OWN),
    )
}

NAMES: dict[str, Callable[..., Any]] = {name: entry.constructor for name, entry in REGISTRY.items()}
