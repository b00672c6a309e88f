"""Diffusion against closed forms, each of which finds the faults that are planted in the module's own text.

`pytest -s tests/models/test_diffusion.py` prints the table of the identities, their errors and the faults caught.
"""

import inspect
import math
import types
from fractions import Fraction

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import models, nn
from minitorch_cv.models import _diffusion
from minitorch_cv.optim import Adam, CosineAnnealingLR

# ---- what the identities need


class Mixture:
    """A mixture of normal distributions, and what noise makes of it; all by formula."""

    def __init__(self, weights, centers, deviation):
        self.weights, self.centers, self.deviation = np.array(weights), np.array(centers, float), deviation

    def draw(self, count, rng):
        which = rng.choice(len(self.weights), count, p=self.weights)
        return self.centers[which] + self.deviation * rng.standard_normal((count, self.centers.shape[1]))

    def log_terms(self, x, abar):
        """log of weight times density of each part of p_t at x (N, D): (N, parts)."""
        variance = abar * self.deviation**2 + 1 - abar
        squares = ((x[:, None] - np.sqrt(abar) * self.centers) ** 2).sum(axis=2)
        return np.log(self.weights) - squares / (2 * variance) - 0.5 * x.shape[1] * np.log(2 * np.pi * variance)

    def log_density(self, x, abar=1.0):
        return np.logaddexp.reduce(self.log_terms(x, abar), axis=1)

    def score(self, x, abar):
        """The gradient of log p_t."""
        shares = np.exp(self.log_terms(x, abar) - self.log_density(x, abar)[:, None])
        variance = abar * self.deviation**2 + 1 - abar
        return (np.sqrt(abar) * shares @ self.centers - x) / variance

    def net(self, betas):
        """The best net: eps* = -sqrt(1 - abar) score, all samples at one step."""
        abars = [math.prod(1 - betas[: t + 1]) for t in range(len(betas))]

        def eps(x, t):
            assert (np.asarray(t) == t[0]).all()
            abar = abars[t[0]]
            return mt.Tensor(-math.sqrt(1 - abar) * self.score(x.numpy(), abar))

        return eps


LINE = Mixture([0.3, 0.7], [[-1.2], [0.9]], 0.25)
PLANE = Mixture([0.2, 0.3, 0.5], [[-1.5, 0.5], [1.0, 1.2], [0.4, -1.3]], 0.3)
BETAS = np.linspace(1e-4, 0.09, 200)  # abar at the end: 1e-4


def moments_of_the_chain(betas, x0=1.0):
    """Mean and variance of x_t given x0, step by step by eq. 2 alone."""
    mean, variance, found = x0, 0.0, []
    for beta in betas:
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        found.append((mean, variance))
    return np.array(found)


def relative(actual, expected):
    return float(np.max(np.abs(np.asarray(actual) / np.asarray(expected) - 1)))


def constant(x0):
    """A net that takes everything for x0 (with predicts="x0")."""
    return lambda x, t: mt.Tensor(np.broadcast_to(x0, x.shape).copy())


def label_net(x, t, label=None):
    """Says something else for every label; 3 is none."""
    label = np.full(len(t), 3) if label is None else np.asarray(label)
    return x * mt.Tensor(np.cos(1.0 + label)[:, None]) + mt.Tensor(np.sin(label + t)[:, None])


label_net.no_label = 3


# ---- the identities: each gives an error, whatever module of diffusion it is given

IDENTITIES = {}


def identity(name, tolerance):
    def keep(function):
        IDENTITIES[name] = function, tolerance
        return function

    return keep


@identity("abar_T = 4.03583e-5", 1.5e-6)
def _(d):
    return relative(d.Diffusion(None).alpha_bars[-1], 4.03583e-5)


@identity("betatilde_2 / beta_2 = 0.4547..", 1e-6)
def _(d):
    first = Fraction(1, 10_000)
    second = first + Fraction(199, 10_000) / 999
    process = d.Diffusion(None)
    expected = first / (1 - (1 - first) * (1 - second))
    assert f"{float(expected):.4f}" == "0.4547"
    return relative(process.posterior_variances[1] / process.betas[1], float(expected))


@identity("cosine schedule: abar = f(t) / f(0)", 1e-9)
def _(d):
    betas = d.cosine_schedule(50)
    f = [math.cos((t / 50 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(51)]
    expected = [f[t] / f[0] for t in range(1, 50)]
    return relative(d.Diffusion(None, betas).alpha_bars[:-1], expected) + abs(betas[-1] - 0.999)


@identity("closed form = chain: moments", 1e-12)
def _(d):
    betas = np.linspace(0.02, 0.3, 12)
    process, t = d.Diffusion(None, betas), np.arange(12)
    one, none = mt.Tensor(np.ones((12, 1))), mt.Tensor(np.zeros((12, 1)))
    mean = process.q_sample(one, t, none).numpy()[:, 0]
    deviation = process.q_sample(none, t, one).numpy()[:, 0]
    expected = moments_of_the_chain(betas)
    return relative(mean, expected[:, 0]) + relative(deviation**2, expected[:, 1])


@identity("closed form = chain: 100,000 walks (z)", 4.5)
def _(d):
    rng, n, betas = np.random.default_rng(1), 100_000, np.linspace(0.02, 0.3, 8)
    walk = np.full((n, 1), 0.7)
    for beta in betas:  # a new noise in each step
        walk = np.sqrt(1 - beta) * walk + np.sqrt(beta) * rng.standard_normal((n, 1))
    eps = mt.Tensor(rng.standard_normal((n, 1)))
    leap = d.Diffusion(None, betas).q_sample(mt.Tensor(np.full((n, 1), 0.7)), np.full(n, 7), eps).numpy()
    of_mean = (walk.mean() - leap.mean()) / math.sqrt((walk.var() + leap.var()) / n)
    of_variance = (walk.var() / leap.var() - 1) / math.sqrt(4 / n)
    return max(abs(of_mean), abs(of_variance))


@identity("posterior = Bayes on a grid", 1e-6)
def _(d):
    betas, x0, x_t = np.linspace(0.01, 0.3, 20), 0.4, -0.3
    process, moments, error = d.Diffusion(None, betas), moments_of_the_chain(betas, x0), 0.0
    y = np.linspace(-8, 8, 40_001)
    for t in (1, 2, 7, 19):
        mean, variance = moments[t - 1]
        log = -((x_t - math.sqrt(1 - betas[t]) * y) ** 2) / (2 * betas[t]) - (y - mean) ** 2 / (2 * variance)
        share = np.exp(log - log.max())
        share /= share.sum()
        by_grid = share @ y, share @ (y - share @ y) ** 2
        at = (mt.Tensor(np.array([[value]])) for value in (x0, x_t))
        formula, formula_variance = process.posterior(*at, np.array([t]))
        error = max(error, abs(formula.item() - by_grid[0]), relative(formula_variance, by_grid[1]))
    return error


@identity("eps, x0, v: there and back", 1e-12)
def _(d):
    rng, error = np.random.default_rng(0), 0.0
    t = np.array([0, 3, 200, 999])
    x0, eps = (mt.Tensor(rng.standard_normal((4, 3))) for _ in range(2))
    for predicts in ("eps", "x0", "v"):
        process = d.Diffusion(None, predicts=predicts)
        x_t = process.q_sample(x0, t, eps)
        back = process.x0_and_eps(process.target(x0, eps, t), x_t, t)
        for found, true in zip(back, (x0, eps), strict=True):
            error = max(error, float(abs(found.numpy() - true.numpy()).max()) * 1e-2)  # x0 of eps loses 1 / sqrt(abar)
    return error


@identity("v = sqrt(abar) eps - sqrt(1 - abar) x0", 1e-12)
def _(d):
    rng, betas, t = np.random.default_rng(0), np.linspace(0.01, 0.3, 9), np.array([0, 4, 8])
    x0, eps = rng.standard_normal((2, 3, 2))
    abar = np.cumprod(1 - betas)[t][:, None]
    v = d.Diffusion(None, betas, "v").target(mt.Tensor(x0), mt.Tensor(eps), t).numpy()
    return float(abs(v - (np.sqrt(abar) * eps - np.sqrt(1 - abar) * x0)).max())


def gaussian_errors(betas, s):
    """The least mean square error of eps at each step for data N(0, s^2)."""
    abar = np.cumprod(1 - betas)
    return abar * s**2 / (abar * s**2 + 1 - abar)


@identity("eps-MSE of N(0, s^2), best net", 0.012)
def _(d):
    betas, s, generator = np.linspace(1e-3, 0.2, 50), 0.5, mt.Generator(2)
    abar = np.cumprod(1 - betas)

    def net(x, t):
        return x * mt.Tensor((np.sqrt(1 - abar) / (abar * s**2 + 1 - abar))[t][:, None])

    process, losses = d.Diffusion(net, betas), []
    for _ in range(20):
        x0 = mt.Tensor(generator.normal((10_000, 1), std=s, dtype=np.float64))
        losses.append(process.loss(x0, generator=generator).item())
    return relative(np.mean(losses), gaussian_errors(betas, s).mean())


@identity("each of a batch has its own step and noise (z)", 4.5)
def _(d):
    seen, betas, n = [], np.linspace(0.01, 0.3, 9), 4000

    def net(x, t):
        seen.append((x.numpy(), t))
        return x

    d.Diffusion(net, betas).loss(mt.Tensor(np.zeros((n, 1))), generator=mt.Generator(4))
    (x, t), abar = seen[0], np.cumprod(1 - betas)
    eps = x[:, 0] / np.sqrt(1 - abar)[t]
    counts = np.bincount(t, minlength=9)
    of_steps = abs(counts - n / 9).max() / math.sqrt(n * 8 / 81)
    of_spread = abs(eps.var() - 1) / math.sqrt(2 / n)
    of_neighbours = abs((eps[1:] * eps[:-1]).mean()) * math.sqrt(n)
    return max(of_steps, of_spread, of_neighbours)


def sampled(d, mixture, how, n=2000, **settings):
    process = d.Diffusion(mixture.net(BETAS), BETAS, clip=False, **settings)
    shape = (n, mixture.centers.shape[1])
    walk = process.ddpm(shape, generator=mt.Generator(5)) if how == "ddpm" else None
    walk = walk or process.ddim(shape, steps=len(BETAS), generator=mt.Generator(5))
    *_, last = walk
    return last.x.numpy()


def misfit(mixture, x):
    """The largest of: shares of the modes (z), means within a mode (z), and spread within one, off by 6 % being 1."""
    nearest = ((x[:, None] - mixture.centers) ** 2).sum(axis=2).argmin(axis=1)
    errors, n = [], len(x)
    for i, (weight, center) in enumerate(zip(mixture.weights, mixture.centers, strict=True)):
        here = x[nearest == i]
        errors.append(abs(len(here) / n - weight) / math.sqrt(weight * (1 - weight) / n) / 4.5)
        if len(here) < 2:
            return math.inf
        errors.append(abs(here.mean(axis=0) - center).max() / (mixture.deviation / math.sqrt(len(here))) / 6)
        errors.append(abs(here.std(axis=0) / mixture.deviation - 1).max() / 0.1)
    return float(max(errors))


@identity("DDPM, betatilde, best net: modes in 1-D", 1.0)
def _(d):
    return misfit(LINE, sampled(d, LINE, "ddpm"))


@identity("DDPM, beta, best net: modes in 1-D", 1.0)
def _(d):
    return misfit(LINE, sampled(d, LINE, "ddpm", variance="beta"))


@identity("DDPM, betatilde, best net: modes in 2-D", 1.0)
def _(d):
    return misfit(PLANE, sampled(d, PLANE, "ddpm"))


@identity("DDIM, best net: modes in 2-D", 1.0)
def _(d):
    return misfit(PLANE, sampled(d, PLANE, "ddim"))


@identity("0 <= bound - NLL <= 0.15 nats, beta, best net", 0.15)
def _(d):
    x = PLANE.draw(2000, np.random.default_rng(3))
    process = d.Diffusion(PLANE.net(BETAS), BETAS, variance="beta", clip=False)
    gaps = process.variational_bound(mt.Tensor(x), levels=None, generator=mt.Generator(6)).nats + PLANE.log_density(x)
    return gaps.mean() if gaps.mean() >= -3 * gaps.std() / math.sqrt(len(x)) else math.inf


def bound_of_gaussian_data(betas, s, variance):
    """The bound of the best net for N(0, s^2), a value, in nats; each step tells x0 up to Var(x0 | x_t)."""
    abar = np.cumprod(1 - betas)
    before = np.append(1.0, abar[:-1])
    tilde = (1 - before) / (1 - abar) * betas
    unknown = s**2 * (1 - abar) / (abar * s**2 + 1 - abar) * (np.sqrt(before) * betas / (1 - abar)) ** 2
    used = betas if variance == "beta" else np.append(tilde[1], tilde[1:])
    ratio = tilde[1:] / used[1:]
    prior = 0.5 * (abar[-1] * s**2 - abar[-1] - math.log(1 - abar[-1]))
    last = 0.5 * (unknown[0] / used[0] + math.log(2 * math.pi * used[0]))
    return prior + last + (0.5 * (ratio - 1 - np.log(ratio) + unknown[1:] / used[1:])).sum()


def error_of_gaussian_bound(d, variance):
    betas, s = np.linspace(1e-3, 0.15, 60), 0.6
    abars = np.cumprod(1 - betas)

    def net(x, t):
        abar = abars[t[0]]
        return x * (math.sqrt(1 - abar) / (abar * s**2 + 1 - abar))

    x = mt.Tensor(mt.Generator(1).normal((4000, 2), std=s, dtype=np.float64))
    process = d.Diffusion(net, betas, variance=variance, clip=False)
    nats = process.variational_bound(x, levels=None, generator=mt.Generator(2)).nats
    return abs(nats.mean() - 2 * bound_of_gaussian_data(betas, s, variance)) / (nats.std() / math.sqrt(len(nats)))


@identity("bound of N(0, s^2) by formula, betatilde (z)", 4.5)
def _(d):
    return error_of_gaussian_bound(d, "posterior")


@identity("bound of N(0, s^2) by formula, beta (z)", 4.5)
def _(d):
    return error_of_gaussian_bound(d, "beta")


@identity("DDIM, eta 1, all steps = DDPM, betatilde", 1e-10)
def _(d):
    process = d.Diffusion(PLANE.net(BETAS), BETAS, clip=False)
    walks = (
        process.ddpm((5, 2), generator=mt.Generator(7)),
        process.ddim((5, 2), steps=len(BETAS), eta=1.0, generator=mt.Generator(7)),
    )
    pairs = list(zip(*walks, strict=True))
    assert len(pairs) == len(BETAS) + 1 and all(a.t == b.t for a, b in pairs)
    return max(float(abs(a.x.numpy() - b.x.numpy()).max()) for a, b in pairs)


@identity("DDIM, eta 0: only the first noise counts", 0.0)
def _(d):
    class Counting(mt.Generator):
        def normal(self, *args, **settings):
            draws.append(self)
            return super().normal(*args, **settings)

    process, draws = d.Diffusion(PLANE.net(BETAS), BETAS, clip=False), []
    process.sample((4, 2), steps=15, generator=Counting(8))
    return abs(len(draws) - 1)


@identity("the last step adds no noise", 1e-12)
def _(d):
    process = d.Diffusion(constant(np.array([0.25, -0.5])), BETAS, "x0", "beta")
    *_, last = process.ddpm((3, 2), generator=mt.Generator(9))
    return float(abs(last.x.numpy() - np.array([0.25, -0.5])).max())


@identity("guidance: s = 1 labelled, 0 not, linear", 1e-12)
def _(d):
    process = d.Diffusion(label_net, BETAS)
    x, t, label = mt.Tensor(np.random.default_rng(0).standard_normal((3, 2))), np.array([4, 0, 80]), np.array([0, 2, 1])
    with_label, without = label_net(x, t, label).numpy(), label_net(x, t).numpy()
    return max(
        float(abs(process.predict(x, t, label, s).numpy() - (without + s * (with_label - without))).max())
        for s in (1.0, 0.0, 0.5, 2.0, 7.5)
    )


@identity("exp(-L_0) of all 256 levels sums to 1", 1e-9)
def _(d):
    error = 0.0
    levels = mt.Tensor(np.linspace(-1, 1, 256).reshape(256, 1))
    for guess in (-1.0, -0.99, 0.123, 1.0, 1.02):
        process = d.Diffusion(constant(guess), [1e-4, 1.2e-4, 2e-4], "x0", clip=False)
        bound = process.variational_bound(levels, generator=mt.Generator(0))
        error = max(error, abs(np.exp(-bound.steps[:, 0]).sum() - 1))
    return error


@identity("L_0 of levels -> density times their width", 0.02)
def _(d):
    """For a broad last step the share of a level is its density times 2 / 255."""
    x, width = mt.Tensor(np.linspace(-0.8, 0.8, 9).reshape(9, 1)), 2 / 255
    process = d.Diffusion(constant(0.1), [0.05, 0.1], "x0", clip=False)
    bounds = [process.variational_bound(x, levels=levels, generator=mt.Generator(0)) for levels in (256, None)]
    shares, density = (np.exp(-bound.steps[:, 0]) for bound in bounds)
    return relative(shares, density * width)


@identity("labels are dropped at their share (z)", 4.5)
def _(d):
    seen, n = [], 20_000

    def net(x, t, label):
        seen.append(np.asarray(label))
        return x

    net.no_label = 3
    process, label = d.Diffusion(net, BETAS), np.arange(n) % 3
    for share in (0.0, 1.0, 0.15):
        process.loss(mt.Tensor(np.zeros((n, 1))), label, share, generator=mt.Generator(1))
    dropped = [given == 3 for given in seen]
    kept = all((given[~gone] == label[~gone]).all() for given, gone in zip(seen, dropped, strict=True))
    if dropped[0].any() or not dropped[1].all() or not kept:
        return math.inf
    return abs(dropped[2].mean() - 0.15) / math.sqrt(0.15 * 0.85 / n)


# ---- the faults: the module's text, changed in one place, and which identities must then fail

MODES = [name for name in IDENTITIES if "modes in" in name]
BOUNDS = [name for name in IDENTITIES if "bound" in name]
CHAIN = ["closed form = chain: moments", "closed form = chain: 100,000 walks (z)"]
OWN_NOISE = "each of a batch has its own step and noise (z)"
DDIM_IS_DDPM = "DDIM, eta 1, all steps = DDPM, betatilde"
GAUSSIAN = "eps-MSE of N(0, s^2), best net"
GUIDED = "guidance: s = 1 labelled, 0 not, linear"
POSTERIOR = "posterior = Bayes on a grid"
LEVELS = "exp(-L_0) of all 256 levels sums to 1"

FAULTS = {
    "abar_t without beta_t": (
        "np.cumprod(self.alphas)\n",
        "np.concatenate([[1.0], np.cumprod(self.alphas)[:-1]])\n",
        [
            "abar_T = 4.03583e-5",
            *CHAIN,
            POSTERIOR,
            "cosine schedule: abar = f(t) / f(0)",
            GAUSSIAN,
            *MODES[:3],
            *BOUNDS,
        ],
    ),
    "abar_t with beta_(t+1)": (
        "np.cumprod(self.alphas)\n",
        "np.cumprod(np.append(self.alphas, self.alphas[-1]))[1:]\n",
        ["abar_T = 4.03583e-5", *CHAIN, POSTERIOR, "cosine schedule: abar = f(t) / f(0)"],
    ),
    "abar is 1 minus the sum of beta": (
        "np.cumprod(self.alphas)\n",
        "1 - np.cumsum(self.betas)\n",
        ["abar_T = 4.03583e-5", *CHAIN, POSTERIOR],
    ),
    "linear schedule ends one early": (
        "np.linspace(first, last, steps)",
        "np.linspace(first, last, steps + 1)[:-1]",
        ["abar_T = 4.03583e-5", "betatilde_2 / beta_2 = 0.4547.."],
    ),
    "cosine: no square": ("* math.pi / 2) ** 2", "* math.pi / 2)", ["cosine schedule: abar = f(t) / f(0)"]),
    "cosine: 1 + s forgotten": ("/ (1 + offset) *", "*", ["cosine schedule: abar = f(t) / f(0)"]),
    "cosine: abar taken for alpha": ("f[1:] / f[:-1]", "f[1:] / f[0]", ["cosine schedule: abar = f(t) / f(0)"]),
    "q_sample: root of abar missing": (
        "return x0 * _like(np.sqrt(alpha_bar), x0)",
        "return x0 * _like(alpha_bar, x0)",
        [*CHAIN, GAUSSIAN, "eps, x0, v: there and back", *BOUNDS[::2]],
    ),
    "q_sample: root of 1 - abar missing": (
        "+ eps * _like(np.sqrt(1 - alpha_bar), x0)",
        "+ eps * _like(1 - alpha_bar, x0)",
        [*CHAIN, GAUSSIAN, "eps, x0, v: there and back", *BOUNDS],
    ),
    "posterior: root of abar_(t-1) missing": (
        "share_of_x0 = np.sqrt(before)",
        "share_of_x0 = before",
        [POSTERIOR, DDIM_IS_DDPM, *MODES[:3]],
    ),
    "posterior: root of alpha_t missing": (
        "share_of_x_t = np.sqrt(self.alphas[t])",
        "share_of_x_t = self.alphas[t]",
        [POSTERIOR, DDIM_IS_DDPM, *MODES[:3]],
    ),
    "posterior: shares swapped": (
        "x0 * _like(share_of_x0, x0) + x_t * _like(share_of_x_t, x_t)",
        "x0 * _like(share_of_x_t, x0) + x_t * _like(share_of_x0, x_t)",
        [POSTERIOR, DDIM_IS_DDPM, *MODES[:3], *BOUNDS],
    ),
    "posterior: abar_t for abar_(t-1)": (
        "[[1.0], self.alpha_bars[:-1]]",
        "[self.alpha_bars]",
        [POSTERIOR, "betatilde_2 / beta_2 = 0.4547..", DDIM_IS_DDPM],
    ),
    "betatilde: fraction upside down": (
        "(1 - self.alpha_bars_before) / (1 - self.alpha_bars)",
        "(1 - self.alpha_bars) / np.maximum(1 - self.alpha_bars_before, 1e-9)",
        [POSTERIOR, "betatilde_2 / beta_2 = 0.4547..", DDIM_IS_DDPM],
    ),
    "v: sign of x0": (
        "return eps * _like(np.sqrt(alpha_bar), x0) - x0",
        "return eps * _like(np.sqrt(alpha_bar), x0) + x0",
        ["eps, x0, v: there and back", "v = sqrt(abar) eps - sqrt(1 - abar) x0"],
    ),
    "x0 from eps: not divided": (
        "(x_t - said * _like(noise, x_t)) * _like(1 / signal, x_t), said",
        "(x_t - said * _like(noise, x_t)), said",
        ["eps, x0, v: there and back", *MODES],
    ),
    "loss: one noise for the batch": (
        "eps = Tensor(source.normal(x0.shape, dtype=x0.dtype), device=x0.device)\n        if label",
        "eps = Tensor(source.normal((1, *x0.shape[1:]), dtype=x0.dtype) + 0 * x0.numpy())\n        if label",
        [OWN_NOISE, GAUSSIAN],
    ),
    "loss: one step for the batch": (
        "source.integers(0, self.steps, n)",
        "np.repeat(source.integers(0, self.steps, 1), n)",
        [OWN_NOISE, GAUSSIAN],
    ),
    "loss: last step never drawn": (
        "source.integers(0, self.steps, n)",
        "source.integers(0, self.steps - 1, n)",
        [OWN_NOISE],
    ),
    "samplers: one noise for the batch": (
        "Tensor(source.normal(shape, dtype=np.float64))",
        "Tensor(np.repeat(source.normal((1, *shape[1:]), dtype=np.float64), shape[0], 0))",
        MODES,
    ),
    "DDPM: variance taken for the deviation": (
        "* math.sqrt(self._sampling_variance(step))",
        "* self._sampling_variance(step)",
        [DDIM_IS_DDPM, *MODES[:3]],
    ),
    "DDPM: variance taken for its log": (
        "* math.sqrt(self._sampling_variance(step))",
        "* math.exp(0.5 * self._sampling_variance(step))",
        [DDIM_IS_DDPM, *MODES[:3]],
    ),
    "DDPM: noise at the last step": (
        "                if step:\n                    x = x",
        "                if True:\n                    x = x",
        ["the last step adds no noise"],
    ),
    "DDPM: beta taken for betatilde": (
        'if self.variance == "beta"',
        "if True",
        [DDIM_IS_DDPM],
    ),
    "DDIM: sigma^2 not taken from the rest": (
        "math.sqrt(1 - after - variance)",
        "math.sqrt(1 - after)",
        [DDIM_IS_DDPM],
    ),
    "DDIM: sigma for sigma^2": ("variance = eta**2", "variance = eta**2 * 0.5", [DDIM_IS_DDPM]),
    "DDIM: noise with eta 0": (
        "variance = eta**2",
        "variance = (eta**2 + 0.01)",
        ["DDIM, eta 0: only the first noise counts"],
    ),
    "DDIM: root of abar missing": (
        "x0 * math.sqrt(after)",
        "x0 * after",
        [DDIM_IS_DDPM, "DDIM, best net: modes in 2-D"],
    ),
    "guidance: w for s": (
        "unconditional + (conditional - unconditional) * guidance",
        "unconditional + (conditional - unconditional) * (1 + guidance)",
        [GUIDED],
    ),
    "guidance: s = 1 taken for unguided": ("if guidance == 1.0:", "if guidance == 0.0:", [GUIDED]),
    "guidance: other way round": (
        "unconditional + (conditional - unconditional)",
        "conditional + (unconditional - conditional)",
        [GUIDED],
    ),
    "bound: mean for sum": ("each.sum(axis=axes)", "each.mean(axis=axes)", BOUNDS),
    "bound: log-variance for variance": (
        "return 0.5 * (ratio - 1 - math.log(ratio)",
        "return 0.5 * (math.log(ratio) - 1 - ratio",
        BOUNDS,
    ),
    "bound: deviation for variance": (
        "variance = self._sampling_variance(step, of_data=True)",
        "variance = math.sqrt(self._sampling_variance(step, of_data=True))",
        BOUNDS,
    ),
    "bound: the last step left out": (
        "                    each = 0.5 * (",
        "                    each = 0.0 * (",
        BOUNDS,
    ),
    "L_0: outer levels not open": (
        "np.where(x >= 1 - half, np.inf,",
        "np.where(x >= 9 - half, np.inf,",
        [LEVELS],
    ),
    "L_0: levels of half the width": (
        "half = 1 / (levels - 1)",
        "half = 0.5 / (levels - 1)",
        [LEVELS, "L_0 of levels -> density times their width"],
    ),
    "L_0: variance for deviation": (
        "math.sqrt(variance), levels",
        "variance, levels",
        ["L_0 of levels -> density times their width"],
    ),
    "labels: kept at the share": (
        "source.bernoulli(drop_label, n)",
        "~source.bernoulli(drop_label, n)",
        ["labels are dropped at their share (z)"],
    ),
    "labels: one draw for the batch": (
        "source.bernoulli(drop_label, n)",
        "source.bernoulli(drop_label, 1)",
        ["labels are dropped at their share (z)"],
    ),
}


def with_fault(old, new):
    """The module of diffusion with `old` replaced in its text, where it must stand once."""
    text = inspect.getsource(_diffusion)
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the module"
    module = types.ModuleType("faulty_diffusion")
    module.__package__ = _diffusion.__package__
    exec(compile(text.replace(old, new), "faulty_diffusion", "exec"), module.__dict__)
    return module


def error_of(name, module):
    with np.errstate(all="ignore"):
        try:
            return float(IDENTITIES[name][0](module))
        except (ValueError, OverflowError, ZeroDivisionError):  # a root of less than nothing, say
            return math.nan


@pytest.fixture(scope="module")
def table():
    """Name of an identity: its error, and (fault, its error) for each; printed at the end."""
    found = {name: [math.nan, []] for name in IDENTITIES}
    yield found
    print(f"\n\n{'identity':<48}{'error':>10}{'allowed':>10}{'faults caught':>15}{'least error of one':>20}")
    for name, (error, faults) in found.items():
        tolerance, errors = IDENTITIES[name][1], [e for _, e in faults]
        caught = sum(not e <= tolerance for e in errors)
        least = f"{np.nanmin(errors):.2g}" if errors and not np.isnan(errors).all() else ""
        print(f"{name:<48}{error:>10.2g}{tolerance:>10.2g}{f'{caught} of {len(errors)}':>15}{least:>20}")


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity(name, table):
    table[name][0] = error = error_of(name, _diffusion)
    assert error <= IDENTITIES[name][1]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, table):
    old, new, must_fail = FAULTS[fault]
    module = with_fault(old, new)
    survived = []
    for name in must_fail:
        error = error_of(name, module)
        table[name][1].append((fault, error))
        if error <= IDENTITIES[name][1]:
            survived.append(f"{name}: {error}")
    assert not survived


def test_every_identity_has_faults_to_catch():
    aimed_at = {name for *_, names in FAULTS.values() for name in names}
    assert set(IDENTITIES) == aimed_at


# ---- and the rest


def test_two_steps_have_two_noises():
    """One noise in both of two merged steps would give another variance than 1 - abar."""
    rng, (a, b) = np.random.default_rng(0), (0.7, 0.8)
    first, second = rng.standard_normal((2, 200_000))
    separate = math.sqrt(b * (1 - a)) * first + math.sqrt(1 - b) * second
    shared = math.sqrt(b * (1 - a)) * first + math.sqrt(1 - b) * first
    assert abs(separate.var() / (1 - a * b) - 1) < 0.015
    assert abs(shared.var() / (math.sqrt(b * (1 - a)) + math.sqrt(1 - b)) ** 2 - 1) < 0.015
    assert shared.var() > 1.8 * (1 - a * b)


def test_a_small_net_comes_near_the_best_one():
    betas, s, generator = np.linspace(1e-3, 0.2, 50), 0.5, mt.Generator(3)
    process = models.Diffusion(models.MLPDenoiser(1, 32, 2, generator=generator), betas, generator=generator)
    optimizer = Adam(process.parameters(), lr=3e-3)
    schedule, best = CosineAnnealingLR(optimizer, 600), gaussian_errors(betas, s).mean()

    def loss(count):
        return process.loss(mt.Tensor(generator.normal((count, 1), std=s)))

    with mt.no_grad():
        assert abs(loss(50_000).item() - 1) < 0.03, "at first it says 0"
    for _ in range(600):
        optimizer.zero_grad()
        loss(256).backward()
        optimizer.step()
        schedule.step()
    with mt.no_grad():
        reached = np.mean([loss(50_000).item() for _ in range(4)])
    assert 0.985 * best < reached < 1.05 * best


def test_a_bound_with_betatilde_is_looser_for_broad_data():
    """betatilde is the variance of a step back where x0 is known; that of data with a spread is nearer to beta."""
    bounds = {variance: bound_of_gaussian_data(BETAS, 0.6, variance) for variance in models._diffusion.VARIANCES}
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.36)
    assert entropy < bounds["beta"] < entropy + 0.1 < entropy + 1 < bounds["posterior"]


def test_the_posterior_of_the_first_step_is_the_image():
    process, (x0, x_t) = models.Diffusion(None), np.random.default_rng(0).standard_normal((2, 3, 2))
    mean, variance = process.posterior(mt.Tensor(x0), mt.Tensor(x_t), np.zeros(3, int))
    np.testing.assert_allclose(mean.numpy(), x0, rtol=1e-12)
    assert not variance.any()


def test_a_sampler_shows_its_way():
    process = models.Diffusion(constant(0.5), BETAS, "x0")
    steps = list(process.ddim((2, 3), steps=5, generator=mt.Generator(0)))
    assert [step.t for step in steps] == [199, 149, 100, 50, 0, -1]
    assert steps[0].x0 is None and all((step.x0.numpy() == 0.5).all() for step in steps[1:])
    again = process.sample((2, 3), steps=5, generator=mt.Generator(0))
    np.testing.assert_array_equal(again.numpy(), steps[-1].x.numpy())
    noise = process.sample((2, 3), generator=mt.Generator(0))  # all steps: the ancestral sampler
    *_, last = process.ddpm((2, 3), generator=mt.Generator(0))
    np.testing.assert_array_equal(noise.numpy(), last.x.numpy())
    assert [step.t for step in process.ddim((1, 1), steps=1)] == [199, -1]


def test_fewer_steps_are_a_process_of_their_own():
    whole = models.Diffusion(PLANE.net(BETAS), BETAS, clip=False)
    some, t = whole.respaced(30, "beta"), np.linspace(0, 199, 30).round().astype(int)
    assert some.variance == "beta" and whole.respaced(30).variance == "posterior" and not some.clip
    np.testing.assert_allclose(some.alpha_bars, whole.alpha_bars[t], rtol=1e-12)
    np.testing.assert_allclose(whole.respaced(200).betas, BETAS, rtol=1e-9)
    walks = (
        whole.respaced(30).ddpm((4, 2), generator=mt.Generator(1)),
        whole.ddim((4, 2), steps=30, eta=1.0, generator=mt.Generator(1)),
    )
    for a, b in zip(*walks, strict=True):
        assert b.t == (t[a.t] if a.t >= 0 else -1)
        np.testing.assert_allclose(a.x.numpy(), b.x.numpy(), atol=1e-10)
    labelled = models.Diffusion(label_net, BETAS).respaced(5)
    assert labelled.predict(ONES.double(), T0, [0, 1], 2.0).shape == (2, 3)


def test_a_clipped_guess_lies_among_images():
    process = models.Diffusion(constant(3.0), BETAS, "x0")
    *_, last = process.ddim((2, 3), steps=10)
    assert (last.x.numpy() == 1).all()
    process.clip = False
    *_, last = process.ddim((2, 3), steps=10)
    np.testing.assert_allclose(last.x.numpy(), 3)


def test_noise_has_the_nets_dtype_and_the_generators_stream():
    net = models.MLPDenoiser(2, 8, 1, num_classes=3, generator=mt.Generator(0))
    process = models.Diffusion(net, BETAS, generator=mt.Generator(1))
    first = process.sample((2, 2), [0, 2], steps=2)
    assert first.dtype == np.float32
    assert (process.sample((2, 2), [0, 2], steps=2).numpy() != first.numpy()).any(), "the stream goes on"
    process.generator.state = {"seed": 1, "offset": 0}
    np.testing.assert_array_equal(process.sample((2, 2), mt.Tensor(np.array([0, 2])), steps=2).numpy(), first.numpy())


def test_the_bound_of_images_has_bits():
    process = models.Diffusion(constant(0.0), BETAS, "x0")
    bound = process.variational_bound(mt.Tensor(np.zeros((3, 1, 2, 2))), generator=mt.Generator(0))
    assert bound.steps.shape == (3, 200) and bound.prior.shape == (3,) and bound.values == 4
    np.testing.assert_allclose(bound.nats, bound.prior + bound.steps.sum(axis=1))
    np.testing.assert_allclose(bound.bits_per_dim, bound.nats / (4 * math.log(2)))


ONES, T0 = mt.Tensor(np.ones((2, 3), np.float32)), np.zeros(2, int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: models.linear_schedule(0),
            "linear_schedule: expects steps >= 1 and 0 < first <= last < 1; they are 0, 0.0001 and 0.02",
        ),
        (
            lambda: models.cosine_schedule(10, largest=1.0),
            "cosine_schedule: expects steps >= 1, offset > 0 and 0 < largest < 1; they are 10, 0.008 and 1.0",
        ),
        (
            lambda: models.Diffusion(None, [0.1, 1.0]),
            "Diffusion: betas expects one axis of numbers within 0 .. 1, as linear_schedule() gives",
        ),
        (
            lambda: models.Diffusion(None, predicts="noise"),
            "Diffusion: predicts expects one of eps, x0, v; it is 'noise'",
        ),
        (
            lambda: models.Diffusion(None, variance="tilde"),
            "Diffusion: variance expects one of beta, posterior; it is 'tilde'",
        ),
        (
            lambda: models.Diffusion(None).q_sample(ONES, np.array([0]), ONES),
            "Diffusion: t expects a whole number for each of 2; it is int64 of shape (1,)",
        ),
        (
            lambda: models.Diffusion(None).q_sample(ONES, np.array([0.0, 1.0]), ONES),
            "Diffusion: t expects a whole number for each of 2; it is float64 of shape (2,)",
        ),
        (
            lambda: models.Diffusion(None, BETAS).q_sample(ONES, np.array([0, 200]), ONES),
            "Diffusion: t expects steps from 0 to 199; it has 0 to 200",
        ),
        (
            lambda: models.Diffusion(models.MLPDenoiser(3)).loss(ONES, [1, 2]),
            "Diffusion: a label expects a net that was made with num_classes; this one takes none",
        ),
        (
            lambda: models.MLPDenoiser(3)(ONES, T0, [1, 2]),
            "MLPDenoiser: label expects a net that was made with num_classes; this one takes none",
        ),
        (
            lambda: models.MLPDenoiser(3, num_classes=4)(ONES, T0, [1, 2, 3]),
            "MLPDenoiser: label expects one for each of 2 images; it is of shape (3,)",
        ),
        (
            lambda: models.MLPDenoiser(3, num_classes=4)(ONES, T0, [1, 5]),
            "MLPDenoiser: label expects whole numbers up to 4, which means none; it has 5",
        ),
        (
            lambda: models.MLPDenoiser(3, num_classes=4)(ONES, T0, [1.0, 2.0]),
            "MLPDenoiser: label expects whole numbers up to 4, which means none; it has float64",
        ),
        (
            lambda: models.Diffusion(None, np.full(2000, 0.9)),
            "Diffusion: betas expects products of 1 - beta that differ from 1 and from 0 in float64; they go from "
            "0.1 to 0",
        ),
        (
            lambda: models.Diffusion(models.MLPDenoiser(3, num_classes=4)).predict(ONES, T0, [1]),
            "Diffusion: label expects one for each of 2; it is of shape (1,)",
        ),
        (
            lambda: models.Diffusion(lambda x, t: x).predict(ONES, T0, [1, 2]),
            "Diffusion: a label expects a net that was made with num_classes; this one takes none",
        ),
        (
            lambda: models.Diffusion(models.MLPDenoiser(3, num_classes=4)).predict(ONES, T0, [1, 2], float("nan")),
            "Diffusion: guidance expects a finite number; it is nan",
        ),
        (
            lambda: models.Diffusion(lambda x, t: x, BETAS).variational_bound(ONES, levels=1),
            "Diffusion: variational_bound: levels expects 2 or more; it is 1",
        ),
        (
            lambda: models.Diffusion(None, BETAS).sample((1, 1), eta=0.5),
            "Diffusion: sample: eta expects steps beside it; it is 0.5, and steps is None",
        ),
        (
            lambda: models.Diffusion(None, BETAS).sample((1, 1), steps=201),
            "Diffusion: ddim: steps expects a number from 1 to 200; it is 201",
        ),
        (
            lambda: models.Diffusion(None, BETAS).respaced(0),
            "Diffusion: respaced: steps expects a number from 1 to 200; it is 0",
        ),
        (
            lambda: models.Diffusion(None, BETAS).sample((1, 1), steps=5, eta=1.5),
            "Diffusion: ddim: eta expects a number in 0 .. 1; it is 1.5",
        ),
    ],
)
def test_what_it_cannot_take_is_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


# ---- against torch: the same weights, the same noise


@pytest.fixture
def pair(torch_twin, torch, one_thread_for_torch):
    """The small U-Net for digits, no layer zero, and its twin."""
    narrow = {"channels": 16, "groups": 4, "num_classes": 10, "in_channels": 1, "input_size": 16}
    ours = models.ddpm_unet_small(**narrow, attention_sizes=(8,), generator=mt.Generator(3))
    for parameter in ours.parameters():
        if not parameter.numpy().any():
            nn.init.normal_(parameter, 0.0, 0.05, generator=mt.Generator(4))
    theirs = torch_twin("ddpm_unet_small", **narrow, attention_sizes=(8,))
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})
    return ours, theirs


def norm_ratio(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def test_a_training_step_equals_torchs(torch, pair):
    """L_simple, its gradient, and the weights behind a step of Adam."""
    ours, theirs = pair
    process, n = models.Diffusion(ours), 6
    rng = np.random.default_rng(0)
    x0, label = rng.uniform(-1, 1, (n, 1, 16, 16)).astype(np.float32), rng.integers(0, 10, n)
    source = mt.Generator(11)  # what the loss draws, in its order
    t, eps, dropped = source.integers(0, 1000, n), source.normal(x0.shape), source.bernoulli(0.4, n)
    assert 0 < dropped.sum() < n

    optimizer = Adam(ours.parameters(), lr=1e-3)
    loss = process.loss(mt.Tensor(x0), label, 0.4, generator=mt.Generator(11))
    loss.backward()
    gradients = np.concatenate([p.grad.numpy().ravel() for p in ours.parameters()])
    optimizer.step()

    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[t].float()[:, None, None, None]
    noise = torch.tensor(eps)
    x_t = abar.sqrt() * torch.tensor(x0) + (1 - abar).sqrt() * noise
    said = theirs(x_t, torch.tensor(t), torch.tensor(np.where(dropped, 10, label)))
    their_optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    their_loss = torch.nn.functional.mse_loss(said, noise)
    their_loss.backward()
    expected = np.concatenate([p.grad.numpy().ravel() for p in theirs.parameters()])
    their_optimizer.step()

    assert abs(loss.item() / their_loss.item() - 1) <= 1e-5
    assert norm_ratio(gradients, expected) <= 1e-4
    after, their_after = (
        np.concatenate([np.ravel(p.detach().numpy() if hasattr(p, "detach") else p.numpy()) for p in net.parameters()])
        for net in (ours, theirs)
    )
    assert norm_ratio(after, their_after) <= 1e-4


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_sampling_step_equals_torchs(guidance, torch, pair):
    """The first step of the ancestral sampler, as eq. 12 of the post writes it."""
    ours, theirs = pair
    process, label = models.Diffusion(ours, clip=False), np.array([3, 8])
    walk = process.ddpm((2, 1, 16, 16), label, guidance, generator=mt.Generator(12))
    next(walk)
    after = next(walk).x.numpy()

    source = mt.Generator(12)
    x, z = (torch.tensor(source.normal((2, 1, 16, 16))) for _ in range(2))
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar, beta = torch.cumprod(1 - betas, 0), betas[-1]
    with torch.no_grad():
        t = torch.full((2,), 999)
        without = theirs(x, t)
        eps = without + guidance * (theirs(x, t, torch.tensor(label)) - without)
    mean = (x - beta / (1 - abar[-1]).sqrt() * eps) / (1 - beta).sqrt()
    expected = mean + (beta * (1 - abar[-2]) / (1 - abar[-1])).sqrt() * z
    assert norm_ratio(after, expected.numpy()) <= 1e-4
