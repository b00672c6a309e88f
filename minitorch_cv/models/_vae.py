r"""Variational autoencoders (Kingma and Welling 2013, arXiv 1312.6114), of linear layers and of convolutions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops
from .._arguments import whole_number
from .._autograd import no_grad
from .._device import to_numpy
from .._random import Generator, default_generator
from .._tensor import Tensor

LIKELIHOODS = ("bernoulli", "gaussian")


class EvidenceLowerBound(NamedTuple):
    """log p(x) >= log_likelihood - divergence, for each x, in nats: its two parts, each (N,)."""

    log_likelihood: Any
    """log p(x | z) at one z drawn from q(z | x)."""
    divergence: Any
    """KL(q(z | x) || N(0, 1))."""

    @property
    def bound(self) -> Any:
        """(N,)"""
        return self.log_likelihood - self.divergence


class VariationalAutoencoder(nn.Module):
    r"""What all of them share: q(z | x), a code drawn from it, p(x | z), and the bound on log p(x).

    Bound:     log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)), with p(z) = N(0, I) and
               q(z | x) = N(m(x), diag e^(l(x)))                                                              (eq. 3)
    Likelihoods: "bernoulli": each value of x is 1 with probability sigmoid(decoded); "gaussian": N(decoded, s^2), with
               one learned s^2 = e^`data_log_variance` for all

    Subclasses define `encode(x) -> (mean, log_variance)`, `decode(z)` and `latent`.

    Shapes:    x (N, ...), mean, log_variance and z (N, latent)
    Units:     x in 0 .. 1 for "bernoulli"; bounds in nats for each x, its values summed
    Raises:    ValueError for another likelihood; from all bounds, for an x outside 0 .. 1 where it is "bernoulli"
    Source:    Kingma and Welling 2013, arXiv 1312.6114, section 2 and appendix C; beta: Higgins et al. 2017,
               "beta-VAE"; importance weights: Burda, Grosse, Salakhutdinov 2015, arXiv 1509.00519, eq. 8
    """

    latent: int

    def __init__(self, likelihood: str, generator: Generator | None):
        if likelihood not in LIKELIHOODS:
            raise ValueError(
                f"{type(self).__name__}: likelihood expects one of {', '.join(LIKELIHOODS)}; it is {likelihood!r}"
            )
        self.likelihood, self.generator = likelihood, generator
        self.data_log_variance = nn.Parameter(np.zeros((), np.float32)) if likelihood == "gaussian" else None

    def encode(self, x: Any) -> tuple[Any, Any]:
        """Mean and log_variance of q(z | x)."""
        raise NotImplementedError

    def decode(self, z: Any) -> Any:
        """Logits ("bernoulli") or mean ("gaussian") of p(x | z)."""
        raise NotImplementedError

    def reparameterize(self, mean: Any, log_variance: Any, *, generator: Generator | None = None) -> Any:
        """z = mean + sigma eps with eps from N(0, 1), so that gradients reach mean and log_variance.

        eps comes from `generator`, or else from the model's, or else from the default one; in evaluation mode too.
        """
        source = self._source(generator)
        eps = Tensor(source.normal(mean.shape, dtype=mean.dtype), device=mean.device)
        return mean + ops.exp(0.5 * log_variance) * eps

    def forward(self, x: Any, *, generator: Generator | None = None) -> tuple[Any, Any, Any]:
        """Decoded x, mean, log_variance."""
        mean, log_variance = self.encode(x)
        decoded = self.decode(self.reparameterize(mean, log_variance, generator=generator))
        return ops.reshape(decoded, x.shape), mean, log_variance

    def log_likelihood(self, x: Any, decoded: Any) -> Any:
        """log p(x | z) of each x (N,), its values summed."""
        axes = tuple(range(1, x.ndim))
        if self.data_log_variance is None:
            return -ops.binary_cross_entropy_with_logits(decoded, x, reduction="none").sum(axis=axes)
        log_variance, difference = self.data_log_variance, x - decoded
        squares = (difference * difference).sum(axis=axes)
        return -0.5 * (squares * ops.exp(-log_variance) + (log_variance + math.log(2 * math.pi)) * x[0].size)

    def evidence_lower_bound(self, x: Any, *, generator: Generator | None = None) -> EvidenceLowerBound:
        """The two parts of the bound for each x, with one z each."""
        self._check(x)
        decoded, mean, log_variance = self(x, generator=generator)
        return EvidenceLowerBound(
            self.log_likelihood(x, decoded), ops.gaussian_kl(mean, log_variance, reduction="none")
        )

    def loss(self, x: Any, beta: float = 1.0, *, generator: Generator | None = None) -> Any:
        """The mean over the batch of beta KL - log p(x | z); with beta = 1 the negative bound."""
        found = self.evidence_lower_bound(x, generator=generator)
        return (found.divergence * beta - found.log_likelihood).mean()

    def importance_weighted_bound(
        self, x: Any, samples: int = 100, *, generator: Generator | None = None
    ) -> np.ndarray:
        """log 1/K sum_k p(x, z_k) / q(z_k | x) with K = `samples`, for each x (N,): nearer to log p(x) as K grows."""
        self._check(x)
        whole_number(f"{type(self).__name__}: samples", samples, 1)
        weights = []
        with no_grad():
            mean, log_variance = self.encode(x)
            for _ in range(samples):
                z = self.reparameterize(mean, log_variance, generator=generator)
                standardized = (z - mean) * ops.exp(-0.5 * log_variance)
                # log p(z) - log q(z | x); the 2 pi of both cancel
                prior_over_q = 0.5 * (standardized * standardized + log_variance - z * z).sum(axis=1)
                decoded = ops.reshape(self.decode(z), x.shape)
                weights.append(np.asarray(to_numpy((self.log_likelihood(x, decoded) + prior_over_q).data), np.float64))
        return np.logaddexp.reduce(weights, axis=0) - math.log(samples)

    def sample(self, count: int, *, generator: Generator | None = None) -> Any:
        """The expected x of `count` codes drawn from the prior, in the shape in which the net decodes."""
        parameter = next(self.parameters())
        z = self._source(generator).normal((count, self.latent), dtype=parameter.dtype)
        return self.expected(Tensor(z, device=parameter.device))

    def expected(self, z: Any) -> Any:
        """The mean of p(x | z), nothing recorded."""
        with no_grad():
            decoded = self.decode(z)
            return ops.sigmoid(decoded) if self.likelihood == "bernoulli" else decoded

    def _check(self, x: Any) -> None:
        """Refuse pixels of 0 .. 255, whose "probabilities" make the bound infinite."""
        if self.likelihood == "bernoulli" and x.size:
            low, high = float(x.min()), float(x.max())
            if not (low >= 0 and high <= 1):
                raise ValueError(
                    f"{type(self).__name__}: x expects values in 0 .. 1, as the likelihood is bernoulli; "
                    f"they are {low:g} to {high:g}"
                )

    def _source(self, generator: Generator | None) -> Generator:
        return generator or self.generator or default_generator()


class VAE(VariationalAutoencoder):
    """Encoder and decoder of one hidden layer each.

    The state holds `fc1` (hidden), `fc21` (mean), `fc22` (log_variance), `fc3` (hidden) and `fc4`.

    Shapes:    x (N, ...) with `pixels` values each, mean and log_variance (N, latent), decoded (N, pixels), or as x
    Source:    Kingma and Welling 2013, arXiv 1312.6114, appendix C; layers initialised by PyTorch's default, uniform
               within +- 1 / sqrt(its inputs)
    """

    def __init__(
        self,
        pixels: int = 784,
        hidden: int = 400,
        latent: int = 20,
        likelihood: str = "bernoulli",
        *,
        generator: Generator | None = None,
    ):
        super().__init__(likelihood, generator)
        side = math.isqrt(pixels)
        self.input_shape = (1, 1, side, side) if side * side == pixels else (1, pixels)
        self.latent = latent
        self.fc1 = nn.Linear(pixels, hidden, generator=generator)
        self.fc21 = nn.Linear(hidden, latent, generator=generator)
        self.fc22 = nn.Linear(hidden, latent, generator=generator)
        self.fc3 = nn.Linear(latent, hidden, generator=generator)
        self.fc4 = nn.Linear(hidden, pixels, generator=generator)

    def encode(self, x: Any) -> tuple[Any, Any]:
        hidden = ops.relu(self.fc1(ops.flatten(x, 1)))
        return self.fc21(hidden), self.fc22(hidden)

    def decode(self, z: Any) -> Any:
        return self.fc4(ops.relu(self.fc3(z)))


class ConvVAE(VariationalAutoencoder):
    """Two strided convolutions down to a quarter of the size, and two transposed ones up again.

    Shapes:    x and decoded (N, channels, H, W), H = W = `image_size`, a multiple of 4; mean and log_variance
               (N, latent)
    Raises:    ValueError for another image_size
    Source:    Kingma and Welling 2013, arXiv 1312.6114; kernels of 4 x 4 and stride 2 as in DCGAN (Radford et al. 2015,
               arXiv 1511.06434), so that every pixel of a transposed convolution is covered alike
    """

    def __init__(
        self,
        latent: int = 20,
        width: int = 32,
        channels: int = 1,
        image_size: int = 28,
        likelihood: str = "bernoulli",
        *,
        generator: Generator | None = None,
    ):
        super().__init__(likelihood, generator)
        self.input_shape = (1, channels, image_size, image_size)
        self.latent = latent
        self.encoder = convolutions(channels, width, image_size, generator)
        flat = 2 * width * (image_size // 4) ** 2
        self.mean = nn.Linear(flat, latent, generator=generator)
        self.log_variance = nn.Linear(flat, latent, generator=generator)
        self.decoder = transposed_convolutions(latent, channels, width, image_size, generator)

    def encode(self, x: Any) -> tuple[Any, Any]:
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z: Any) -> Any:
        return self.decoder(z)


class LinearVAE(VariationalAutoencoder):
    r"""q(z | x) = N(V (x - c), diag e^l) with one l for all x, p(x | z) = N(W z + c, s^2 I): probabilistic PCA.

    At its best the bound is log p(x) itself, W spans the first principal directions and s^2 is the mean of the
    discarded eigenvalues: W = U (L - s^2 I)^(1/2) up to a rotation, which diagonal q fixes.

    Shapes:    x and decoded (N, features), mean and log_variance (N, latent)
    Source:    Tipping and Bishop 1999, "Probabilistic principal component analysis"; Lucas, Tucker, Grosse, Norouzi
               2019, arXiv 1911.02469
    """

    def __init__(self, features: int, latent: int, *, generator: Generator | None = None):
        super().__init__("gaussian", generator)
        self.input_shape, self.latent = (1, features), latent
        self.encoder = nn.Linear(features, latent, bias=False, generator=generator)
        self.decoder = nn.Linear(latent, features, generator=generator)
        self.log_variance = nn.Parameter(np.zeros(latent, np.float32))

    def encode(self, x: Any) -> tuple[Any, Any]:
        mean = self.encoder(x - self.decoder.bias)
        return mean, ops.expand(self.log_variance, mean.shape)

    def decode(self, z: Any) -> Any:
        return self.decoder(z)


def convolutions(channels: int, width: int, image_size: int, generator: Generator | None) -> nn.Sequential:
    """(N, channels, H, W) to (N, 2 width (H / 4) (W / 4))."""
    if image_size < 4 or image_size % 4:
        raise ValueError(f"image_size expects a multiple of 4; it is {image_size}")
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, generator=generator),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, 2, 1, generator=generator),
        nn.ReLU(),
        nn.Flatten(),
    )


def transposed_convolutions(
    latent: int, channels: int, width: int, image_size: int, generator: Generator | None
) -> nn.Sequential:
    """(N, latent) to (N, channels, H, W)."""
    quarter = image_size // 4
    return nn.Sequential(
        nn.Linear(latent, 2 * width * quarter**2, generator=generator),
        nn.ReLU(),
        nn.Unflatten(1, (2 * width, quarter, quarter)),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, generator=generator),
        nn.ReLU(),
        nn.ConvTranspose2d(width, channels, 4, 2, 1, generator=generator),
    )


def vae(*, generator: Generator | None = None, **settings: Any) -> VAE:
    """784-400-20 for digits of 28 x 28: 652,824 parameters. `generator` draws the weights, and then the codes."""
    return VAE(generator=generator, **settings)


def conv_vae(*, generator: Generator | None = None, **settings: Any) -> ConvVAE:
    """The one of convolutions, for digits of 28 x 28, 20 numbers in the code: 258,025 parameters."""
    return ConvVAE(generator=generator, **settings)
