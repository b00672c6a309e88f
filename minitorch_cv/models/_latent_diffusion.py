"""Latent diffusion: noise is added to, and taken from, the codes of an autoencoder (Rombach et al. 2022)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn, ops
from .._autograd import mark_changed, no_grad
from .._device import to_device, to_numpy
from .._random import Generator
from .._tensor import Tensor
from ._diffusion import Diffusion


class LatentDiffusion(nn.Module):
    """A diffusion over the codes of a trained autoencoder, each number of a code brought to mean 0 and deviation 1.

    Forward:   z = (encode(x) - mean) / deviation, and z is what the diffusion learns
    Sampling:  x = decode(mean + deviation z) for a z that the diffusion gives

    first_stage: has `encode(x)` and `decode(code)`: an `Autoencoder`, or a `VariationalAutoencoder`, whose mean is the
        code and whose expected image is decoded. It is trained before, and stays as it is: `loss` gives it no gradient,
        and an optimiser gets `latent.diffusion.parameters()`.
    diffusion: over (N, features), as with an `MLPDenoiser`; with clip=False, since codes reach beyond -1 .. 1.

    `fit(x)` measures mean and deviation, which belong to the state.

    Shapes:    x (N, ...) as the first stage takes it, codes (N, features), label (N,) or None
    Units:     codes as encoded; the loss in those of standardised codes
    Raises:    ValueError for a diffusion that clips, or a loss or sample before `fit`
    Source:    Rombach, Blattmann, Lorenz, Esser, Ommer 2022, arXiv 2112.10752; they divide by one deviation for all
               (section G)
    Lesson:    lessons/05_diffusion.py
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, first_stage: Any, diffusion: Diffusion):
        if diffusion.clip:
            raise ValueError("LatentDiffusion: diffusion expects clip=False: codes are not within -1 .. 1")
        self.first_stage, self.diffusion = first_stage, diffusion
        parameter = next(diffusion.parameters(), None)
        if parameter is None:
            raise ValueError("LatentDiffusion: diffusion expects one of a net with parameters, as MLPDenoiser")
        (_, self.features), self.image_shape = diffusion.net.input_shape, tuple(first_stage.input_shape[1:])  # pyright: ignore
        self.register_buffer("mean", Tensor(np.zeros(self.features, parameter.dtype), device=parameter.device))
        self.register_buffer("deviation", Tensor(np.zeros(self.features, parameter.dtype), device=parameter.device))

    def fit(self, x: Any) -> LatentDiffusion:
        """Measure the codes of these images; a number that is the same in all keeps the deviation 1."""
        codes = np.asarray(to_numpy(self._encoded(x).data), np.float64)
        deviation = codes.std(axis=0)
        for buffer, value in ((self.mean, codes.mean(axis=0)), (self.deviation, np.where(deviation > 0, deviation, 1))):
            buffer.data[...] = to_device(value.astype(buffer.dtype), buffer.device)
            mark_changed(buffer.data)
        return self

    def encode(self, x: Any) -> Tensor:
        """Standardised codes (N, features), nothing recorded."""
        mean, deviation = self._measured()
        return (self._encoded(x) - mean) / deviation

    def decode(self, z: Any) -> Tensor:
        """The images of standardised codes, nothing recorded."""
        mean, deviation = self._measured()
        with no_grad():
            code = z * deviation + mean
            decode = getattr(self.first_stage, "expected", self.first_stage.decode)
            return ops.reshape(decode(code), (z.shape[0], *self.image_shape))

    def loss(self, x: Any, label: Any = None, drop_label: float = 0.1, *, generator: Generator | None = None) -> Tensor:
        """L_simple of the codes of x: see `Diffusion.loss`."""
        return self.diffusion.loss(self.encode(x), label, drop_label, generator=generator)

    def sample(
        self,
        count: int,
        label: Any = None,
        guidance: float = 1.0,
        steps: int | None = 50,
        *,
        eta: float = 0.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """`count` new images; by all steps where `steps` is None: see `Diffusion.sample`."""
        self._measured()
        shape = (count, self.features)
        return self.decode(self.diffusion.sample(shape, label, guidance, steps=steps, eta=eta, generator=generator))

    def _encoded(self, x: Any) -> Tensor:
        with no_grad():
            code = self.first_stage.encode(x)
        return code[0] if isinstance(code, tuple) else code  # a distribution's mean

    def _measured(self) -> tuple[Tensor, Tensor]:
        if not to_numpy(self.deviation.data).any():
            raise ValueError("LatentDiffusion: expects the codes to have been measured: call fit(x) first")
        return self.mean, self.deviation
