"""The architectures of the papers, assembled from the layers of `nn`."""

from ._alexnet import AlexNet, alexnet, alexnet_paper
from ._autoencoder import Autoencoder, ConvAutoencoder, autoencoder, conv_autoencoder
from ._cifar_resnet import (
    CifarResNet,
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
from ._dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    dcgan_discriminator,
    dcgan_discriminator_digits,
    dcgan_generator,
    dcgan_generator_digits,
)
from ._ddpm_unet import DDPMUNet, ddpm_unet, ddpm_unet_digits, ddpm_unet_small
from ._denoiser import MLPDenoiser
from ._diffusion import Diffusion, Step, VariationalBound, cosine_schedule, linear_schedule
from ._digit_classifier import DigitClassifier, digit_classifier
from ._gan import GAN, MLPDiscriminator, MLPGenerator, gradient_penalty, optimal_discriminator
from ._googlenet import GoogLeNet, GoogLeNetOutput, googlenet, googlenet_paper
from ._latent_diffusion import LatentDiffusion
from ._ledger import Ledger, ledger
from ._registry import NAMES, REGISTRY
from ._resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet50_paper,
    resnet101,
    resnet101_paper,
    resnet152,
    resnet152_paper,
)
from ._vae import VAE, ConvVAE, EvidenceLowerBound, LinearVAE, VariationalAutoencoder, conv_vae, vae
from ._vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from ._zfnet import ZFNet, zfnet
