"""The architectures of the papers, assembled from the layers of `nn`."""

from collections.abc import Callable
from typing import Any

from ._alexnet import AlexNet, alexnet, alexnet_paper
from ._cifar_resnet import CifarResNet, resnet20, resnet32, resnet44, resnet56, resnet110
from ._dcgan import DCGANDiscriminator, DCGANGenerator, dcgan_discriminator, dcgan_generator
from ._ddpm_unet import DDPMUNet, ddpm_unet, ddpm_unet_small
from ._googlenet import GoogLeNet, GoogLeNetOutput, googlenet, googlenet_paper
from ._ledger import Ledger, ledger
from ._resnet import ResNet, resnet18, resnet34, resnet50, resnet50_paper, resnet101, resnet152
from ._vae import VAE, Autoencoder, autoencoder, vae
from ._vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

NAMES: dict[str, Callable[..., Any]] = {
    constructor.__name__: constructor
    for constructor in (
        *(alexnet, alexnet_paper),
        *(vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn),
        *(googlenet, googlenet_paper),
        *(resnet18, resnet34, resnet50, resnet50_paper, resnet101, resnet152),
        *(resnet20, resnet32, resnet44, resnet56, resnet110),
        *(ddpm_unet, ddpm_unet_small),
        *(dcgan_generator, dcgan_discriminator),
        *(vae, autoencoder),
    )
}
