r"""Generative adversarial nets (Goodfellow et al. 2014, arXiv 1406.2661): generator, discriminator and their game."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn, ops
from .._autograd import grad, no_grad
from .._random import Generator, default_generator
from .._tensor import Tensor

GAMES = ("minimax", "non_saturating", "hinge", "wasserstein")


class MLPGenerator(nn.Module):
    """Points from noise, by linear layers with ReLU.

    Shapes:    z (N, latent), the points (N, features)
    """

    def __init__(
        self,
        latent: int = 2,
        features: int = 2,
        hidden: int = 512,
        layers: int = 3,
        *,
        generator: Generator | None = None,
    ):
        self.input_shape, self.latent = (1, latent), latent
        self.main = _perceptron(latent, hidden, layers, features, generator)

    def forward(self, z: Any) -> Any:
        return self.main(z)


class MLPDiscriminator(nn.Module):
    """One number for each point, by linear layers with ReLU.

    Shapes:    x (N, ...) with `features` values each, the logits (N,)
    """

    def __init__(self, features: int = 2, hidden: int = 512, layers: int = 3, *, generator: Generator | None = None):
        self.input_shape = (1, features)
        self.main = _perceptron(features, hidden, layers, 1, generator)

    def forward(self, x: Any) -> Any:
        return ops.reshape(self.main(ops.flatten(x, 1)), (-1,))


class GAN(nn.Module):
    r"""Generator G and discriminator D, and what each of them minimises; l = D(x) are logits.

    Losses, the mean over the batch, with real x, false G(z) and s = sigmoid:

    "minimax":         D: -log s(D(x)) - log(1 - s(D(G(z))));  G: log(1 - s(D(G(z))))                         (eq. 1)
    "non_saturating":  D: the same;                            G: -log s(D(G(z)))                        (section 3)
    "hinge":           D: max(0, 1 - D(x)) + max(0, 1 + D(G(z)));  G: -D(G(z))            (Lim and Ye 2017, eq. 4)
    "wasserstein":     D: D(G(z)) - D(x);                      G: -D(G(z))       (Arjovsky et al., arXiv 1701.07875)

    gradient_penalty: lambda of lambda (|dD/dx| - 1)^2 at a random point between each x and G(z), added to D's loss
        (Gulrajani et al. 2017, arXiv 1704.00028, eq. 3): its gradient is a second derivative of D. D must then judge
        each x by itself, so without batch norm.
    labelled: D gives K logits f, one for each class of real x, and l = log sum exp f; to its loss the cross-entropy of
        f with the labels of real x is added (Salimans et al. 2016, arXiv 1606.03498, section 5). G is as it was, and
        needs no label; but a D that knows the classes tells it more.
    generator, discriminator: modules; `generator.latent` numbers make a z. They are not called on each other's device.

    Shapes:    x (N, ...), z (N, latent)
    Units:     losses in nats for "minimax" and "non_saturating", in those of D otherwise
    Raises:    ValueError for another loss or a negative penalty
    Source:    Goodfellow et al. 2014, arXiv 1406.2661
    """

    def __init__(
        self,
        generator: Any,
        discriminator: Any,
        loss: str = "non_saturating",
        gradient_penalty: float = 0.0,
        *,
        labelled: bool = False,
        random: Generator | None = None,
    ):
        if loss not in GAMES:
            raise ValueError(f"GAN: loss expects one of {', '.join(GAMES)}; it is {loss!r}")
        if not gradient_penalty >= 0:
            raise ValueError(f"GAN: gradient_penalty expects a number >= 0; it is {gradient_penalty}")
        self.generator, self.discriminator, self.random = generator, discriminator, random
        self.loss, self.gradient_penalty, self.labelled = loss, gradient_penalty, labelled

    def noise(self, count: int, *, random: Generator | None = None) -> Tensor:
        """z (count, latent) from N(0, I)."""
        parameter = next(self.generator.parameters())
        z = self._source(random).normal((count, self.generator.latent), dtype=parameter.dtype)
        return Tensor(z, device=parameter.device)

    def discriminator_loss(self, real: Tensor, labels: Any = None, *, random: Generator | None = None) -> Tensor:
        """What D minimises, at as many false x as there are real ones; no gradient reaches G.

        Raises: ValueError where the game is labelled and there are no labels.
        """
        if self.labelled and labels is None:
            raise ValueError(
                "discriminator_loss: labels expects those of the real x, as the game is labelled; it is None"
            )
        source = self._source(random)
        with no_grad():
            false = self.generator(self.noise(len(real), random=source))
        scores = self.discriminator(real)
        loss = self.judged(self._logit(scores), self.logits(false))
        if self.labelled:
            loss = loss + ops.cross_entropy(scores, labels)
        if self.gradient_penalty:
            share = source.random((len(real), *(1,) * (real.ndim - 1)), dtype=real.dtype)
            loss = loss + self.gradient_penalty * gradient_penalty(self.logits, real, false, share)
        return loss

    def logits(self, x: Any) -> Any:
        """l = D(x) (N,), whether x are real."""
        return self._logit(self.discriminator(x))

    def _logit(self, scores: Any) -> Any:
        # log softmax f = f - log sum exp f
        return scores[:, 0] - ops.log_softmax(scores, axis=1)[:, 0] if self.labelled else scores

    def generator_loss(self, count: int, *, random: Generator | None = None) -> Tensor:
        """What G minimises, at `count` false x. The gradients that D's parameters get too are not meant for them."""
        return self.fooled(self.logits(self.generator(self.noise(count, random=random))))

    def judged(self, real: Any, false: Any) -> Any:
        """D's loss from its logits of real and false x."""
        if self.loss == "wasserstein":
            return false.mean() - real.mean()
        if self.loss == "hinge":
            return ops.relu(1.0 - real).mean() + ops.relu(1.0 + false).mean()
        return ops.softplus(-real).mean() + ops.softplus(false).mean()

    def fooled(self, false: Any) -> Any:
        """G's loss from D's logits of false x."""
        if self.loss == "minimax":
            return -ops.softplus(false).mean()
        if self.loss == "non_saturating":
            return ops.softplus(-false).mean()
        return -false.mean()

    def sample(self, count: int, *, random: Generator | None = None) -> Tensor:
        """`count` false x, nothing recorded."""
        with no_grad():
            return self.generator(self.noise(count, random=random))

    def _source(self, random: Generator | None) -> Generator:
        return random or self.random or default_generator()


def gradient_penalty(discriminator: Any, real: Tensor, false: Tensor, share: np.ndarray) -> Tensor:
    r"""The mean of (|g_n| - 1)^2 with g_n = dD/dx at share x_n + (1 - share) G(z_n), |.| over all axes but the first.

    Backward:  with u_n = 2 (1 - 1/|g_n|) g_n / N, a parameter w gets \sum_n \sum_i u_ni d^2 D(x_n) / (dx_ni dw): the
               second derivative of D along u
    Source:    Gulrajani et al. 2017, arXiv 1704.00028, eq. 3
    """
    weight = Tensor(share, device=real.device, dtype=real.dtype)
    between = Tensor((weight * real + (1.0 - weight) * false).data, requires_grad=True, device=real.device)
    (slope,) = grad(discriminator(between).sum(), [between], create_graph=True)
    squares = (slope * slope).sum(axis=tuple(range(1, slope.ndim)))
    # A slope of exactly zero has no direction: the root's derivative there would be infinite.
    length = ops.sqrt(squares + float(np.finfo(real.dtype).tiny) ** 0.5)
    return ((length - 1.0) ** 2).mean()


def optimal_discriminator(real_density: Any, false_density: Any) -> Any:
    """D* = p / (p + p_G), the probability of "real" of the best D for a fixed G (Goodfellow et al. 2014, eq. 2).

    NaN where both are 0: nothing is ever seen there.
    """
    return real_density / (real_density + false_density)


def _perceptron(before: int, hidden: int, layers: int, after: int, generator: Generator | None) -> nn.Sequential:
    """`layers` hidden layers, each with ReLU, and a last one without; weights by Kaiming, which keeps the scale.

    With nn.Linear's smaller ones a generator of several layers starts as a single point, or a ray, that is long chased
    around the data.
    """
    if layers < 1:
        raise ValueError(f"layers expects at least 1; it is {layers}")
    parts: list[nn.Module] = []
    for width in [hidden] * layers:
        parts += [nn.Linear(before, width, generator=generator), nn.ReLU()]
        before = width
    net = nn.Sequential(*parts, nn.Linear(before, after, generator=generator))
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return net
