"""The variational autoencoder (Kingma and Welling 2013, arXiv 1312.6114), and the plain one, of linear layers."""

from __future__ import annotations

import math
from typing import Any

from .. import nn, ops
from .._random import Generator, default_generator
from .._tensor import Tensor


class VAE(nn.Module):
    """Encoder and decoder of one hidden layer each; the code is drawn from a normal distribution that x determines.

    Its loss, the negative evidence lower bound, is the reconstruction's cross-entropy
    (`ops.binary_cross_entropy_with_logits` summed over the pixels) plus `ops.gaussian_kl(mean, log_variance)`. The
    state holds `fc1` (hidden), `fc21` (mean), `fc22` (log_variance), `fc3` (hidden) and `fc4`.

    Shapes:    x (N, ...) with `pixels` values each, mean and log_variance (N, latent), the logits as x
    Units:     logits in nats: a pixel's expected value in 0 .. 1 is their sigmoid; log_variance is ln sigma^2
    Source:    Kingma and Welling 2013, arXiv 1312.6114, section 2.4 and appendix C; layers initialised by PyTorch's
               default, uniform within +- 1 / sqrt(its inputs)
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: int = 400,
        latent: int = 20,
        *,
        generator: Generator | None = None,
    ):
        side = math.isqrt(pixels)
        self.input_shape = (1, 1, side, side) if side * side == pixels else (1, pixels)
        self.generator = generator
        self.fc1 = nn.Linear(pixels, hidden, generator=generator)
        self.fc21 = nn.Linear(hidden, latent, generator=generator)
        self.fc22 = nn.Linear(hidden, latent, generator=generator)
        self.fc3 = nn.Linear(latent, hidden, generator=generator)
        self.fc4 = nn.Linear(hidden, pixels, generator=generator)

    def encode(self, x: Any) -> tuple[Any, Any]:
        """Mean and log_variance of q(z | x)."""
        hidden = ops.relu(self.fc1(ops.flatten(x, 1)))
        return self.fc21(hidden), self.fc22(hidden)

    def reparameterize(self, mean: Any, log_variance: Any, *, generator: Generator | None = None) -> Any:
        """z = mean + sigma eps with eps from N(0, 1), so that gradients reach mean and log_variance.

        eps comes from `generator`, or else from the model's, or else from the default one; in evaluation mode too.
        """
        source = generator or self.generator or default_generator()
        eps = Tensor(source.normal(mean.shape, dtype=mean.dtype), device=mean.device)
        return mean + ops.exp(0.5 * log_variance) * eps

    def decode(self, z: Any) -> Any:
        """Logits of p(x | z): (N, pixels)."""
        return self.fc4(ops.relu(self.fc3(z)))

    def forward(self, x: Any, *, generator: Generator | None = None) -> tuple[Any, Any, Any]:
        """Logits, mean, log_variance."""
        mean, log_variance = self.encode(x)
        logits = self.decode(self.reparameterize(mean, log_variance, generator=generator))
        return ops.reshape(logits, x.shape), mean, log_variance


class Autoencoder(nn.Module):
    """x squeezed through a short code and back, without any distribution.

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

    def forward(self, x: Any) -> Any:
        return ops.reshape(self.decoder(self.encoder(ops.flatten(x, 1))), x.shape)


def vae(*, generator: Generator | None = None, **settings: Any) -> VAE:
    """784-400-20 for digits of 28 x 28: 652,824 parameters. `generator` draws the weights, and then the codes."""
    return VAE(generator=generator, **settings)


def autoencoder(*, generator: Generator | None = None, **settings: Any) -> Autoencoder:
    """784-256-64 for digits of 28 x 28: 435,536 parameters."""
    return Autoencoder(generator=generator, **settings)
