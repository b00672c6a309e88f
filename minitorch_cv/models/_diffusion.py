r"""Diffusion (Sohl-Dickstein et al. 2015; Ho, Jain, Abbeel 2020): noise added step by step, and a net to take it away.

Steps count from 0: index t is the papers' t + 1. \bar a_t is the product of 1 - beta_s over all s up to and with t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops
from .._arguments import whole_number
from .._autograd import no_grad
from .._device import is_array, to_numpy
from .._random import Generator, default_generator
from .._tensor import Tensor

PREDICTIONS = ("eps", "x0", "v")
VARIANCES = ("beta", "posterior")


def linear_schedule(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> np.ndarray:
    """beta of each step, evenly spaced (Ho et al. 2020, section 4)."""
    if not (whole_number("linear_schedule: steps", steps, 0) >= 1 and 0 < first <= last < 1):
        raise ValueError(
            f"linear_schedule: expects steps >= 1 and 0 < first <= last < 1; they are {steps}, {first} and {last}"
        )
    return np.linspace(first, last, steps)


def cosine_schedule(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> np.ndarray:
    r"""beta_t = 1 - f(t + 1) / f(t), at most `largest`, with f(t) = cos^2((t / T + s) / (1 + s) pi / 2), s = `offset`.

    \bar a_t then falls like f, slowly at both ends (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17).
    """
    if not (whole_number("cosine_schedule: steps", steps, 0) >= 1 and offset > 0 and 0 < largest < 1):
        raise ValueError(
            "cosine_schedule: expects steps >= 1, offset > 0 and 0 < largest < 1; "
            f"they are {steps}, {offset} and {largest}"
        )
    f = np.cos((np.arange(steps + 1) / steps + offset) / (1 + offset) * math.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], largest)


class Step(NamedTuple):
    """What a sampler has before it takes step t, and behind the last one, where t is -1."""

    t: int
    x: Tensor
    x0: Tensor | None
    """What the net takes the finished image for; None before the net was first asked."""


class VariationalBound(NamedTuple):
    """The parts of -log p(x0) <= L_T + sum_t L_t for each image, in nats (Ho et al. 2020, eq. 5)."""

    prior: np.ndarray
    """L_T (N,): of q(x_T | x0) from N(0, 1)."""
    steps: np.ndarray
    """(N, T): column 0 is -log p(x0 | x_1), the others KL(q(x_(t-1) | x_t, x0) || p(x_(t-1) | x_t))."""
    values: int
    """Numbers in an image."""

    @property
    def nats(self) -> np.ndarray:
        """(N,)"""
        return self.prior + self.steps.sum(axis=1)

    @property
    def bits_per_dim(self) -> np.ndarray:
        """(N,): nats / (values ln 2)."""
        return self.nats / (self.values * math.log(2))


class Diffusion(nn.Module):
    r"""A net that predicts the noise, the process that adds it and the ways back.

    Forward:   q(x_t | x_0) = N(\sqrt{\bar a_t} x_0, (1 - \bar a_t) I)                                          (eq. 4)
    Posterior: q(x_(t-1) | x_t, x_0) = N(m_t, \tilde b_t I) with \tilde b_t = (1 - \bar a_(t-1)) / (1 - \bar a_t) b_t,
               m_t = (\sqrt{\bar a_(t-1)} b_t x_0 + \sqrt{a_t} (1 - \bar a_(t-1)) x_t) / (1 - \bar a_t)     (eq. 6, 7)

    net: called as net(x_t, t) or net(x_t, t, label) with t (N,) whole numbers; a DDPMUNet, or any function.
    betas: the noise of each step; `linear_schedule()` where it is None.
    predicts: what the net's output is: "eps", the noise; "x0", the image; "v" = \sqrt{\bar a} eps - \sqrt{1 - \bar a}
        x0 (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
    variance: of the ancestral sampler: "posterior" (\tilde b_t, right for data that is one point) or "beta" (right for
        data that is N(0, 1)).
    clip: whether samplers keep the predicted x0 in -1 .. 1, where images lie.
    generator: draws the noise where a method is given none.

    Shapes:    x (N, ...), t (N,), label (N,) or None
    Units:     x: images in -1 .. 1, or data of about unit variance; losses as said
    Raises:    ValueError for betas outside 0 .. 1, another name, a t outside the steps, a label for a net without
    Source:    Ho, Jain, Abbeel 2020, arXiv 2006.11239; sampling in fewer steps: Song, Meng, Ermon 2020,
               arXiv 2010.02502; guidance: Ho and Salimans 2022, arXiv 2207.12598
    Lesson:    lessons/05_diffusion.py
    """

    def __init__(
        self,
        net: Callable[..., Any],
        betas: Any = None,
        predicts: str = "eps",
        variance: str = "posterior",
        clip: bool = True,
        *,
        generator: Generator | None = None,
    ):
        self.betas = np.array(linear_schedule() if betas is None else betas, np.float64)
        if self.betas.ndim != 1 or not self.betas.size or not ((self.betas > 0) & (self.betas < 1)).all():
            raise ValueError("Diffusion: betas expects one axis of numbers within 0 .. 1, as linear_schedule() gives")
        _one_of("predicts", predicts, PREDICTIONS)
        _one_of("variance", variance, VARIANCES)
        self.net, self.predicts, self.variance, self.clip, self.generator = net, predicts, variance, clip, generator
        self.steps = len(self.betas)
        self.alphas = 1 - self.betas
        self.alpha_bars = np.cumprod(self.alphas)
        if not (self.alpha_bars[0] < 1 and self.alpha_bars[-1] > 0):
            raise ValueError(
                "Diffusion: betas expects products of 1 - beta that differ from 1 and from 0 in float64; they go from "
                f"{self.alpha_bars[0]:g} to {self.alpha_bars[-1]:g}"
            )
        self.alpha_bars_before = np.concatenate([[1.0], self.alpha_bars[:-1]])
        self.posterior_variances = self.betas * (1 - self.alpha_bars_before) / (1 - self.alpha_bars)

    # ---- the process that adds noise, and its reverse where x0 is known

    def q_sample(self, x0: Tensor, t: Any, eps: Tensor) -> Tensor:
        r"""x_t = \sqrt{\bar a_t} x_0 + \sqrt{1 - \bar a_t} eps (eq. 4)."""
        alpha_bar = self.alpha_bars[self._checked(t, x0)]
        return x0 * _like(np.sqrt(alpha_bar), x0) + eps * _like(np.sqrt(1 - alpha_bar), x0)

    def posterior(self, x0: Tensor, x_t: Tensor, t: Any) -> tuple[Tensor, np.ndarray]:
        r"""Mean and variance (N,) of q(x_(t-1) | x_t, x_0) (eq. 6, 7); at t = 0 that is x_0 itself."""
        t = self._checked(t, x_t)
        alpha_bar, before, beta = self.alpha_bars[t], self.alpha_bars_before[t], self.betas[t]
        share_of_x0 = np.sqrt(before) * beta / (1 - alpha_bar)
        share_of_x_t = np.sqrt(self.alphas[t]) * (1 - before) / (1 - alpha_bar)
        return x0 * _like(share_of_x0, x0) + x_t * _like(share_of_x_t, x_t), self.posterior_variances[t]

    def respaced(self, steps: int, variance: str | None = None) -> Diffusion:
        r"""The process of `steps` of these steps alone, evenly spaced, with the same net: \bar a is what it was there.

        All that a Diffusion can do is then cheaper, and coarser (Nichol and Dhariwal 2021, section 4). variance: of the
        new process, as this one's where it is None.
        """
        times = self._times("respaced", steps)[::-1]
        alpha_bars = self.alpha_bars[times]
        betas = 1 - alpha_bars / np.concatenate([[1.0], alpha_bars[:-1]])
        variance = self.variance if variance is None else variance
        return Diffusion(_At(self.net, times), betas, self.predicts, variance, self.clip, generator=self.generator)

    def _times(self, method: str, steps: int) -> np.ndarray:
        """From the last of all steps to the first, evenly spaced; one step is the last."""
        steps = whole_number(f"Diffusion: {method}: steps", steps, 0)
        if not 1 <= steps <= self.steps:
            raise ValueError(f"Diffusion: {method}: steps expects a number from 1 to {self.steps}; it is {steps}")
        return np.linspace(self.steps - 1, 0, steps).round().astype(int)

    # ---- what the net says

    def target(self, x0: Tensor, eps: Tensor, t: Any) -> Tensor:
        """What the net should say at step t of this image and this noise."""
        if self.predicts == "eps":
            return eps
        if self.predicts == "x0":
            return x0
        alpha_bar = self.alpha_bars[self._checked(t, x0)]
        return eps * _like(np.sqrt(alpha_bar), x0) - x0 * _like(np.sqrt(1 - alpha_bar), x0)

    def x0_and_eps(self, said: Tensor, x_t: Tensor, t: Any) -> tuple[Tensor, Tensor]:
        """The image and the noise that the net's output stands for."""
        alpha_bar = self.alpha_bars[self._checked(t, x_t)]
        signal, noise = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
        if self.predicts == "eps":
            return (x_t - said * _like(noise, x_t)) * _like(1 / signal, x_t), said
        if self.predicts == "x0":
            return said, (x_t - said * _like(signal, x_t)) * _like(1 / noise, x_t)
        x0 = x_t * _like(signal, x_t) - said * _like(noise, x_t)
        return x0, x_t * _like(noise, x_t) + said * _like(signal, x_t)

    def predict(self, x_t: Tensor, t: Any, label: Any = None, guidance: float = 1.0) -> Tensor:
        """The net's output, guided: unconditional + s (conditional - unconditional), s = `guidance`.

        s = 1 is the conditional net, s = 0 the unconditional one, and a larger s exaggerates what the label says (Ho
        and Salimans 2022, eq. 6, whose w is s - 1). Without a label there is nothing to guide.
        """
        t = self._checked(t, x_t)
        if label is None:
            return self.net(x_t, t)
        if not math.isfinite(guidance):
            raise ValueError(f"Diffusion: guidance expects a finite number; it is {guidance}")
        label = self._labels(label, x_t)
        if guidance == 1.0:
            return self.net(x_t, t, label)
        none = np.full(label.shape, self._no_label())
        if guidance == 0.0:
            return self.net(x_t, t, none)
        both = self.net(ops.concatenate([x_t, x_t]), np.concatenate([t, t]), np.concatenate([label, none]))
        conditional, unconditional = both[: len(label)], both[len(label) :]
        return unconditional + (conditional - unconditional) * guidance

    def _labels(self, label: Any, x: Tensor) -> np.ndarray:
        """The labels as an array (N,)."""
        self._no_label()
        label = _array(label)
        if label.shape != x.shape[:1]:
            raise ValueError(f"Diffusion: label expects one for each of {x.shape[0]}; it is of shape {label.shape}")
        return label

    def _no_label(self) -> int:
        none = getattr(self.net, "no_label", None)
        if none is None:
            raise ValueError("Diffusion: a label expects a net that was made with num_classes; this one takes none")
        return none

    # ---- training

    def loss(
        self, x0: Tensor, label: Any = None, drop_label: float = 0.1, *, generator: Generator | None = None
    ) -> Tensor:
        """L_simple: the mean square of net - target, at one random step for each image (eq. 14, algorithm 1).

        A label is dropped with probability `drop_label`, so that the net learns both ways of guidance.
        """
        source = self._source(generator)
        n = x0.shape[0]
        t = source.integers(0, self.steps, n)
        eps = Tensor(source.normal(x0.shape, dtype=x0.dtype), device=x0.device)
        if label is not None:
            label = self._labels(label, x0)
            label = np.where(source.bernoulli(drop_label, n), self._no_label(), label)
        x_t = self.q_sample(x0, t, eps)
        said = self.net(x_t, t) if label is None else self.net(x_t, t, label)
        return ops.mse_loss(said, self.target(x0, eps, t))

    def variational_bound(
        self, x0: Tensor, label: Any = None, levels: int | None = 256, *, generator: Generator | None = None
    ) -> VariationalBound:
        """-log p(x0) is at most this (eq. 5): one x_t is drawn for each step, so the net is asked T times.

        levels: how many grey values images in -1 .. 1 have; the last step then gives each its share of the normal
            distribution (eq. 13). None: x0 is continuous and the last step gives its density.
        """
        if levels is not None:
            whole_number("Diffusion: variational_bound: levels", levels, 2)
        source, n = self._source(generator), x0.shape[0]
        axes = tuple(range(1, x0.ndim))
        alpha_bar = self.alpha_bars[-1]
        data = np.asarray(to_numpy(x0.data), np.float64)
        prior = _normal_divergence(np.sqrt(alpha_bar) * data, 1 - alpha_bar, 0.0, 1.0).sum(axis=axes)
        found = np.empty((n, self.steps))
        with no_grad():
            for step in range(self.steps):
                t = np.full(n, step)
                eps = Tensor(source.normal(x0.shape, dtype=x0.dtype), device=x0.device)
                x_t = self.q_sample(x0, t, eps)
                guess, _ = self._guess(x_t, t, label, 1.0)
                mean = np.asarray(to_numpy(self.posterior(guess, x_t, t)[0].data), np.float64)
                variance = self._sampling_variance(step, of_data=True)
                if step:
                    true, true_variance = self.posterior(x0, x_t, t)
                    true_mean = np.asarray(to_numpy(true.data), np.float64)
                    each = _normal_divergence(true_mean, true_variance[0], mean, variance)
                elif levels is None:
                    each = 0.5 * ((data - mean) ** 2 / variance + math.log(2 * math.pi * variance))
                else:
                    each = -_log_share(data, mean, math.sqrt(variance), levels)
                found[:, step] = each.sum(axis=axes)
        return VariationalBound(prior, found, data[0].size)

    # ---- sampling

    def sample(
        self,
        shape: tuple[int, ...],
        label: Any = None,
        guidance: float = 1.0,
        *,
        steps: int | None = None,
        eta: float = 0.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """New data of this shape: by all steps (`ddpm`), or by `steps` of them (`ddim`, with `eta`)."""
        if steps is None and eta != 0.0:
            raise ValueError(f"Diffusion: sample: eta expects steps beside it; it is {eta}, and steps is None")
        walk = (
            self.ddpm(shape, label, guidance, generator=generator)
            if steps is None
            else self.ddim(shape, label, guidance, steps, eta, generator=generator)
        )
        *_, last = walk
        return last.x

    def ddpm(
        self, shape: tuple[int, ...], label: Any = None, guidance: float = 1.0, *, generator: Generator | None = None
    ) -> Iterator[Step]:
        r"""Ancestral sampling, all steps (algorithm 2): x_(t-1) = m_t(x_t, predicted x_0) + \sigma_t z, lastly no z.

        Yields what there is before each step, and the sample behind the last.
        """
        source = self._source(generator)
        x, x0 = self._noise(source, shape), None
        for step in reversed(range(self.steps)):
            yield Step(step, x, x0)
            t = np.full(shape[0], step)
            with no_grad():
                x0, _ = self._guess(x, t, label, guidance)
                x, _ = self.posterior(x0, x, t)
                if step:
                    x = x + self._noise(source, shape) * math.sqrt(self._sampling_variance(step))
        yield Step(-1, x, x0)

    def ddim(
        self,
        shape: tuple[int, ...],
        label: Any = None,
        guidance: float = 1.0,
        steps: int = 50,
        eta: float = 0.0,
        *,
        generator: Generator | None = None,
    ) -> Iterator[Step]:
        r"""Sampling by some of the steps, evenly spaced, the first and the last among them (Song et al. 2020, eq. 12).

        x_s = \sqrt{\bar a_s} x_0 + \sqrt{1 - \bar a_s - \sigma^2} eps + \sigma z for the step s before t, with
        \sigma^2 = eta^2 (1 - \bar a_s) / (1 - \bar a_t) (1 - \bar a_t / \bar a_s), and at the end x_0. With eta = 0 the
        first noise decides everything; eta = 1 with all steps is `ddpm` with the posterior's variance.
        """
        times = self._times("ddim", steps)
        if not 0.0 <= eta <= 1.0:
            raise ValueError(f"Diffusion: ddim: eta expects a number in 0 .. 1; it is {eta}")
        source = self._source(generator)
        x, x0 = self._noise(source, shape), None
        for step, following in zip(times, [*times[1:], None], strict=True):
            yield Step(int(step), x, x0)
            t = np.full(shape[0], step)
            with no_grad():
                x0, eps = self._guess(x, t, label, guidance)
                if following is None:
                    x = x0
                    break
                now, after = self.alpha_bars[step], self.alpha_bars[following]
                variance = eta**2 * (1 - after) / (1 - now) * (1 - now / after)
                x = x0 * math.sqrt(after) + eps * math.sqrt(1 - after - variance)
                if variance:
                    x = x + self._noise(source, shape) * math.sqrt(variance)
        yield Step(-1, x, x0)

    def _guess(self, x_t: Tensor, t: np.ndarray, label: Any, guidance: float) -> tuple[Tensor, Tensor]:
        """x0 and eps as the net has them; where x0 is clipped, eps is what then leads to x_t."""
        x0, eps = self.x0_and_eps(self.predict(x_t, t, label, guidance), x_t, t)
        if not self.clip:
            return x0, eps
        x0 = x0.clip(-1.0, 1.0)
        alpha_bar = self.alpha_bars[t]
        return x0, (x_t - x0 * _like(np.sqrt(alpha_bar), x_t)) * _like(1 / np.sqrt(1 - alpha_bar), x_t)

    def _sampling_variance(self, step: int, of_data: bool = False) -> float:
        """Of x_(t-1) at step t. `of_data`: of the last step too, which has none: the next one's, as Ho et al."""
        if self.variance == "beta":
            return float(self.betas[step])
        if of_data and not step:
            step = min(1, self.steps - 1)
        return float(self.posterior_variances[step]) or float(self.betas[step])

    def _noise(self, source: Generator, shape: tuple[int, ...]) -> Tensor:
        parameter = next(self.parameters(), None)
        if parameter is None:
            return Tensor(source.normal(shape, dtype=np.float64))
        return Tensor(source.normal(shape, dtype=parameter.dtype), device=parameter.device)

    def _source(self, generator: Generator | None) -> Generator:
        return generator or self.generator or default_generator()

    def _checked(self, t: Any, x: Tensor) -> np.ndarray:
        t = _array(t)
        if t.shape != x.shape[:1] or t.dtype.kind not in "iu":
            raise ValueError(
                f"Diffusion: t expects a whole number for each of {x.shape[0]}; it is {t.dtype} of shape {t.shape}"
            )
        if t.size and not (0 <= t.min() and t.max() < self.steps):
            raise ValueError(f"Diffusion: t expects steps from 0 to {self.steps - 1}; it has {t.min()} to {t.max()}")
        return t


class _At(nn.Module):
    """A net that is asked at some of its steps: at times[t]."""

    def __init__(self, net: Callable[..., Any], times: np.ndarray):
        self.net, self.times, self.no_label = net, times, getattr(net, "no_label", None)

    def forward(self, x: Any, t: np.ndarray, *label: Any) -> Any:
        return self.net(x, self.times[t], *label)


def _array(values: Any) -> np.ndarray:
    """A Tensor, an array of any device or a list, as a NumPy array."""
    values = values.data if isinstance(values, Tensor) else values
    return to_numpy(values) if is_array(values) else np.asarray(values)


def _like(values: np.ndarray, x: Tensor) -> Tensor:
    """A number for each sample, to be multiplied with x."""
    return Tensor(values.reshape(-1, *(1,) * (x.ndim - 1)), device=x.device, dtype=x.dtype)


def _one_of(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"Diffusion: {argument} expects one of {', '.join(known)}; it is {value!r}")


def _normal_divergence(mean: Any, variance: float, other_mean: Any, other_variance: float) -> Any:
    """KL(N(mean, variance) || N(other)), value by value, in nats."""
    ratio = variance / other_variance
    return 0.5 * (ratio - 1 - math.log(ratio) + (mean - other_mean) ** 2 / other_variance)


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _log_share(x: np.ndarray, mean: np.ndarray, deviation: float, levels: int) -> np.ndarray:
    """log of the probability that N(mean, deviation^2) falls nearest to x of `levels` values from -1 to 1 (eq. 13)."""
    half = 1 / (levels - 1)
    low = np.where(x <= -1 + half, -np.inf, (x - half - mean) / deviation)
    high = np.where(x >= 1 - half, np.inf, (x + half - mean) / deviation)
    # The shorter tail, so that nothing is lost where both ends lie far out: P(low < z < high) = P(-high < z < -low).
    flipped = low + high > 0
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    share = 0.5 * (_erfc(-high / math.sqrt(2)) - _erfc(-low / math.sqrt(2)))
    return np.log(np.maximum(share, 1e-300))
