"""Training steps of the classic nets, and sampling steps, the same lines for this package and for torch.

A step takes a fresh batch of NumPy arrays (images NCHW), copies it into the library's tensors, lets go of the old
gradients, computes the loss, goes backward and updates. Both sides start from the same weights and see the same
batches. Whatever is random is an array of the batch (noise, diffusion steps), or off (dropout, p = 0).
"""

from __future__ import annotations

import abc
import contextlib
import functools
import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minitorch_cv as mt

OURS, TORCH, LAST, DOUBLE = "ours", "torch", "torch channels-last", "ours in float64"
SEED = 3


@dataclass(frozen=True)
class Job:
    """A row of the table: nets, batches, a step, and how fast it is to be in torch's time."""

    title: str
    nets: dict[str, dict[str, Any]]
    """Names in `minitorch_cv.models`, with settings that the twin in torch knows too."""
    batch: Callable[[np.random.Generator], dict[str, np.ndarray]]
    step: Callable[..., float]
    bars: tuple[float, ...] = ()
    """Ours / torch, and ours / torch channels-last where there is one: what must be reached."""
    goals: tuple[float, ...] = ()
    ours_only: dict[str, Any] = field(default_factory=dict)
    """Settings that the twin does not need, because it has them anyway: dropout off."""
    twin: str = ""
    """The twin's name, where it differs."""
    twin_only: dict[str, Any] = field(default_factory=dict)
    rate: float = 0.01
    """Of gradient descent. So small that rounding is not blown up: losses are compared to three digits."""
    adam: dict[str, Any] | None = None
    """Settings of Adam, where that is the optimiser."""
    training: bool = True
    channels_last: bool = True
    shown: bool = True


# ---- steps


def classification(side: Side, x: Any, target: Any) -> float:
    side.zero_grad()
    loss = side.F.cross_entropy(side.nets[0](x), target)
    loss.backward()
    side.update()
    return loss.item()


def classification_with_heads(side: Side, x: Any, target: Any) -> float:
    side.zero_grad()
    main, aux2, aux1 = (side.F.cross_entropy(logits, target) for logits in side.nets[0](x))
    loss = main + 0.3 * (aux1 + aux2)
    loss.backward()
    side.update()
    return loss.item()


def denoising(side: Side, x: Any, noise: Any, signal: Any, spread: Any, t: Any) -> float:
    side.zero_grad()
    loss = side.F.mse_loss(side.nets[0](signal * x + spread * noise, t), noise)
    loss.backward()
    side.update()
    return loss.item()


def game(side: Side, x: Any, z: Any, real: Any, fake: Any) -> float:
    """A step of the discriminator and one of the generator."""
    generator, discriminator = side.nets
    judge = side.F.binary_cross_entropy_with_logits
    images = generator(z)
    side.zero_grad(1)
    loss = judge(discriminator(x), real) + judge(discriminator(images.detach()), fake)
    loss.backward()
    side.update(1)
    side.zero_grad(0)
    fooled = judge(discriminator(images), real)
    fooled.backward()
    side.update(0)
    return loss.item() + fooled.item()


def evidence(side: Side, x: Any, eps: Any) -> float:
    """The model's own forward pass, but for eps, which it would draw."""
    net = side.nets[0]
    side.zero_grad()
    hidden = side.F.relu(net.fc1(x))
    mean, log_variance = net.fc21(hidden), net.fc22(hidden)
    z = mean + (0.5 * log_variance).exp() * eps
    logits = net.fc4(side.F.relu(net.fc3(z)))
    loss = side.F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + side.divergence(mean, log_variance)
    loss = loss / len(x)
    loss.backward()
    side.update()
    return loss.item()


def inference(side: Side, x: Any) -> float:
    with side.no_grad():
        return (side.nets[0](x) ** 2).mean().item()


def ancestral_step(side: Side, x: Any, noise: Any, t: Any) -> float:
    """From x_T to x_T-1 of DDPM (Ho et al. 2020, algorithm 2), sigma^2 = beta."""
    beta, kept = 0.02, np.prod(1 - np.linspace(1e-4, 0.02, 1000))
    with side.no_grad():
        guess = side.nets[0](x, t)
        before = (x - guess * float(beta / np.sqrt(1 - kept))) * float(1 / np.sqrt(1 - beta)) + noise * float(beta**0.5)
        return (before**2).mean().item()


def decoding(side: Side, z: Any) -> float:
    """Pixels from codes by the decoder of the VAE."""
    net = side.nets[0]
    with side.no_grad():
        return (side.F.sigmoid(net.fc4(side.F.relu(net.fc3(z)))) ** 2).mean().item()


# ---- batches


def images(n: int, size: int, classes: int | None = None, channels: int = 3) -> Callable:
    def draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
        x = {"x": rng.standard_normal((n, channels, size, size), dtype=np.float32)}
        return x if classes is None else {**x, "target": rng.integers(0, classes, n)}

    return draw


def noisy_images(n: int, size: int) -> Callable:
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))

    def draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
        t = rng.integers(0, 1000, n)
        signal, spread = (np.sqrt(a[t])[:, None, None, None].astype(np.float32) for a in (kept, 1 - kept))
        x, noise = (rng.standard_normal((n, 3, size, size), dtype=np.float32) for _ in range(2))
        return {"x": x, "noise": noise, "signal": signal, "spread": spread, "t": t}

    return draw


def pure_noise(n: int, size: int) -> Callable:
    def draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
        x, noise = (rng.standard_normal((n, 3, size, size), dtype=np.float32) for _ in range(2))
        return {"x": x, "noise": noise, "t": np.full(n, 999)}

    return draw


def codes(n: int, latent: int, name: str) -> Callable:
    return lambda rng: {name: rng.standard_normal((n, latent), dtype=np.float32)}


def images_and_codes(n: int, size: int, latent: int) -> Callable:
    def draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
        x = np.tanh(rng.standard_normal((n, 3, size, size), dtype=np.float32))
        z = rng.standard_normal((n, latent), dtype=np.float32)
        return {"x": x, "z": z, "real": np.ones(n, np.float32), "fake": np.zeros(n, np.float32)}

    return draw


def digits(n: int, pixels: int, latent: int) -> Callable:
    def draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
        x = rng.random((n, pixels), dtype=np.float32) ** 4
        return {"x": x, "eps": rng.standard_normal((n, latent), dtype=np.float32)}

    return draw


NO_DROPOUT = {"dropout": 0.0}
JOBS: dict[str, Job] = {
    "resnet20": Job(
        "ResNet-20, 32x32, batch 128",
        {"resnet20": {}},
        images(128, 32, 10),
        classification,
        (0.65, 0.88),
        (0.45, 0.70),
    ),
    "resnet18": Job(
        "ResNet-18, 224x224, batch 8",
        {"resnet18": {}},
        images(8, 224, 1000),
        classification,
        (0.65, 0.80),
        (0.50, 0.65),
        rate=1e-3,
    ),
    "vgg16": Job(
        "VGG-16, 224x224, batch 4",
        {"vgg16": {}},
        images(4, 224, 1000),
        classification,
        (0.50,),
        (0.35,),
        ours_only=NO_DROPOUT,
    ),
    "googlenet": Job(
        "GoogLeNet with its auxiliary heads, 224x224, batch 8",
        {"googlenet": {"aux": True}},
        images(8, 224, 1000),
        classification_with_heads,
        (1.0,),
        (0.75,),
        ours_only={**NO_DROPOUT, "aux_dropout": 0.0},
        rate=1e-5,
    ),
    "alexnet": Job(
        "AlexNet (the paper's, two groups), 227x227, batch 16",
        {"alexnet_paper": {}},
        images(16, 227, 1000),
        classification,
        (1.0,),
        (0.80,),
        ours_only=NO_DROPOUT,
        rate=1e-3,
        twin="alexnet",
        twin_only={
            "channels": (96, 256, 384, 384, 256),
            "groups": (1, 2, 1, 2, 2),
            "first": (11, 4, 0),
            "normalize": True,
        },
    ),
    "ddpm_unet": Job(
        "DDPM U-Net, small, 32x32, batch 32",
        {"ddpm_unet_small": {}},
        noisy_images(32, 32),
        denoising,
        (0.65,),
        (0.45,),
        ours_only=NO_DROPOUT,
        adam={"lr": 2e-4},
    ),
    "dcgan": Job(
        "DCGAN, 32x32, batch 64, discriminator and generator",
        {"dcgan_generator": {}, "dcgan_discriminator": {}},
        images_and_codes(64, 32, 100),
        game,
        (1.0,),
        (0.70,),
        adam={"lr": 2e-4, "betas": (0.5, 0.999)},
    ),
    "vae": Job(
        "VAE 784-400-20, batch 128",
        {"vae": {}},
        digits(128, 784, 20),
        evidence,
        (0.70,),
        (0.50,),
        adam={"lr": 1e-3},
        channels_last=False,
    ),
    "resnet50_inference": Job(
        "ResNet-50, inference, 224x224, batch 1",
        {"resnet50": {}},
        images(1, 224),
        inference,
        (1.0,),
        (0.80,),
        training=False,
    ),
    "ddpm_unet_sampling": Job(
        "DDPM U-Net, small, a sampling step, 32x32, batch 16",
        {"ddpm_unet_small": {}},
        pure_noise(16, 32),
        ancestral_step,
        (1.0,),
        ours_only=NO_DROPOUT,
        training=False,
    ),
    "dcgan_sampling": Job(
        "DCGAN, sampling, 32x32, batch 64",
        {"dcgan_generator": {}},
        codes(64, 100, "x"),
        inference,
        (1.0,),
        training=False,
    ),
    "vae_sampling": Job(
        "VAE 784-400-20, sampling, batch 128",
        {"vae": {}},
        codes(128, 20, "z"),
        decoding,
        (1.0,),
        training=False,
        channels_last=False,
    ),
    "tiny": Job(
        "ResNet-20 a quarter as wide, 16x16, batch 4 (tries the benchmark)",
        {"resnet20": {"width": 4}},
        images(4, 16, 10),
        classification,
        (1000.0, 1000.0),
        (100.0, 100.0),
        shown=False,
    ),
}


# ---- sides

Weights = list[dict[str, np.ndarray]]
"""A state for each net."""


class Side(abc.ABC):
    """A library's nets, optimisers and functions, under the names that the steps use."""

    F: Any
    no_grad: Callable[[], contextlib.AbstractContextManager]

    def __init__(self, job: Job, nets: list[Any], sgd: Callable, adam: Callable):
        self.job, self.nets, self.updating = job, nets, True
        for net in nets:
            net.train(job.training)
        self.optimizers: list[Any] = []
        for net in nets if job.training else []:
            if job.adam is None:
                self.optimizers.append(sgd(net.parameters(), lr=job.rate, momentum=0.9, weight_decay=1e-4))
            else:
                self.optimizers.append(adam(net.parameters(), **job.adam))

    @abc.abstractmethod
    def tensor(self, array: np.ndarray) -> Any:
        """A copy of the array as the library's tensor."""

    def zero_grad(self, number: int = 0) -> None:
        self.optimizers[number].zero_grad()

    def update(self, number: int = 0) -> None:
        if self.updating:
            self.optimizers[number].step()

    def step(self, batch: dict[str, np.ndarray]) -> float:
        """The loss."""
        return self.job.step(self, **{name: self.tensor(array) for name, array in batch.items()})

    def gradients(self) -> dict[str, np.ndarray]:
        found = {}
        for name, net in zip(self.job.nets, self.nets, strict=True):
            found.update({f"{name}.{key}": p.grad.numpy() for key, p in net.named_parameters()})
        return found


class Ours(Side):
    F = mt.ops
    no_grad = staticmethod(mt.no_grad)

    def __init__(self, job: Job, weights: Weights | None, dtype: Any = np.float32):
        self.dtype = np.dtype(dtype)
        nets = []
        for i, (name, settings) in enumerate(job.nets.items()):
            with mt.nn.init.skipped():
                net = mt.models.NAMES[name](**settings, **job.ours_only)
            if weights is None:
                for parameter in net.parameters():
                    parameter.data.fill(0.01)
            else:
                net.load_state_dict(weights[i])
            nets.append(net.to(dtype=self.dtype) if self.dtype != np.float32 else net)
        super().__init__(job, nets, mt.optim.SGD, mt.optim.Adam)

    def tensor(self, array: np.ndarray) -> Any:
        return mt.Tensor(array.astype(self.dtype) if array.dtype.kind == "f" else array.copy())

    def divergence(self, mean: Any, log_variance: Any) -> Any:
        return mt.ops.gaussian_kl(mean, log_variance, reduction="sum")


class Torch(Side):
    def __init__(self, job: Job, weights: Weights | None, channels_last: bool = False):
        import torch

        self.F, self.no_grad = torch.nn.functional, torch.no_grad
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.torch, nets = torch, []
        for i, (name, settings) in enumerate(job.nets.items()):
            with torch.device("meta"):  # without memory or values, which take a second for the large ones
                net = twins().torch_twin(job.twin or name, **settings, **job.twin_only)
            net = net.to_empty(device="cpu")
            if weights is None:
                for values in (*net.parameters(), *net.buffers()):
                    values.data.fill_(0.01 if values.is_floating_point() else 0)
            else:
                net.load_state_dict({key: torch.from_numpy(value) for key, value in weights[i].items()})
            nets.append(net.to(memory_format=self.format))
        super().__init__(job, nets, torch.optim.SGD, torch.optim.Adam)

    def tensor(self, array: np.ndarray) -> Any:
        tensor = self.torch.from_numpy(array)
        return tensor.to(memory_format=self.format, copy=True) if array.ndim == 4 else tensor.clone()

    def divergence(self, mean: Any, log_variance: Any) -> Any:
        return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()


@functools.cache
def twins() -> Any:
    """The nets in torch, with which the tests compare ours."""
    path = Path(__file__).resolve().parents[1] / "tests" / "models" / "torch_twins.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def initial_weights(job: Job) -> Weights:
    """A state for each net. What starts at zero, and would hide the gradients behind it, is drawn too."""
    states, generator = [], mt.Generator(SEED)
    for name, settings in job.nets.items():
        net = mt.models.NAMES[name](**settings, **job.ours_only, generator=generator)
        for parameter in net.parameters():
            if not parameter.numpy().any() and parameter.ndim > 1:
                mt.nn.init.normal_(parameter, 0.0, 0.02, generator=generator)
        states.append({key: np.array(value.numpy()) for key, value in net.state_dict().items()})
    return states


def make_side(kind: str, job: Job, weights: Weights | None) -> Side:
    """A side with these weights; with None all are 0.01, which takes no memory beside the net's."""
    if kind in (OURS, DOUBLE):
        return Ours(job, weights, np.float64 if kind == DOUBLE else np.float32)
    return Torch(job, weights, channels_last=kind == LAST)


def batches(job: Job, count: int = 4) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(SEED)
    return [job.batch(rng) for _ in range(count)]


def stepper(side: Side, drawn: list[dict[str, np.ndarray]]) -> Callable[[], float]:
    """A step on the next batch, at each call."""
    endless = itertools.cycle(drawn)
    return lambda: side.step(next(endless))
