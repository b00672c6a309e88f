"""`minitorch-cv sample`: new images from a generative model, by weights that come with the package or are given."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import models
from ._files import written_whole
from ._judge import DigitReport, judge_digits
from ._random import Generator
from .nn import Module, init
from .weights import load_weights, trained_weights
from .weights._trained import trained_names

NAMES = tuple(name for name, entry in models.REGISTRY.items() if entry.samples)
DIGITS = ("vae", "conv_vae", "dcgan_generator_digits", "ddpm_unet_digits")
"""Those whose images a judge of digits can read."""
SHIPPED = tuple(name for name in NAMES if name in trained_names())
"""Those whose trained weights come with the package."""
BATCH = 50
SHOWN = 100
"""Images in a grid at most."""


@dataclass(frozen=True)
class Settings:
    """All that decides which images are drawn."""

    model: str
    weights: str
    count: int = 64
    label: int | str | None = None
    """A class, "all" for each in turn, None for a net without labels."""
    guidance: float | None = None
    """s of unconditional + s (conditional - unconditional); None for a net without labels."""
    steps: int | None = None
    """None for a model that draws an image in one go."""
    eta: float | None = None
    seed: int = 0

    @property
    def labels(self) -> np.ndarray:
        """(count,), int64: the class of each image, -1 where there is none."""
        if self.label == "all":
            return np.arange(self.count) % 10
        return np.full(self.count, -1 if self.label is None else self.label, np.int64)


class ImageNoise(Generator):
    """Noise for a batch, each image's from a stream of its own, so that it does not matter which are drawn together."""

    def __init__(self, seed: int, numbers: range):
        super().__init__(seed)
        self.streams = [self.spawn(number) for number in numbers]

    def normal(self, shape: Any = (), mean: float = 0.0, std: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
        """(N, ...): N the number of images."""
        return np.stack([stream.normal(shape[1:], mean, std, dtype) for stream in self.streams])


def load_sampler(name: str, weights: Path | None) -> tuple[Module, Path]:
    """The model of that name, ready to be sampled from, and the file that its weights are from.

    Raises FileNotFoundError; ValueError where the file does not fit the model.
    """
    try:
        path = trained_weights(name) if weights is None else weights
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no trained weights of {name} come with the package; "
            f"give --weights FILE, or take one of {', '.join(SHIPPED)}"
        ) from None
    with init.skipped():
        model = models.NAMES[name]()
    load_weights(model, path)
    return model.eval(), path


def settings_for(
    model: Module,
    name: str,
    weights: Path,
    count: int,
    label: int | str | None,
    steps: int | None,
    guidance: float | None,
    eta: float | None,
    seed: int,
) -> Settings:
    """The settings with the defaults of this model. Raises ValueError for one that it does not take."""
    walks = isinstance(model, models.DDPMUNet)
    classes = model.no_label if isinstance(model, models.DDPMUNet) else None
    given = {"--class": label, "--guidance": guidance, "--steps": steps, "--eta": eta}
    taken = [*(("--steps", "--eta") if walks else ()), *(("--class", "--guidance") if classes else ())]
    for option, value in given.items():
        if value is not None and option not in taken:
            kind = "a diffusion model" if option in ("--steps", "--eta") else "a net that takes labels"
            raise ValueError(f"{option} expects {kind}, as ddpm_unet_digits; {name} is none")
    if classes:
        label = "all" if label is None else label
        guidance = 2.0 if guidance is None else guidance
        if not math.isfinite(guidance):
            raise ValueError(f"--guidance expects a finite number; it is {guidance}")
        if label != "all" and not 0 <= int(label) < classes:
            raise ValueError(f"--class expects 0 to {classes - 1}, or all; it is {label}")
    if walks:
        steps, eta = 50 if steps is None else steps, 0.0 if eta is None else eta
        # Asked for here, before the first step: both raise where they make no sense.
        next(models.Diffusion(model).ddim((1, *model.input_shape[1:]), steps=steps, eta=eta, generator=Generator()))
    return Settings(name, str(weights), count, label, guidance, steps, eta, seed)


def sample(
    model: Module, settings: Settings, batch: int = BATCH, advance: Callable[[], object] = lambda: None
) -> np.ndarray:
    """`settings.count` images (N, C, H, W), uint8; `advance` is called after each of `passes(settings, batch)`.

    Image i of a seed has the same noise whatever the batch and the count. A batch of another size may round otherwise,
    so that single pixels differ by one of the 256 grey levels.
    Raises ValueError where the model gives what is no number.
    """
    found = []
    for first in range(0, settings.count, batch):
        images = _batch(model, settings, range(first, min(first + batch, settings.count)), advance)
        if not np.isfinite(images).all():
            raise ValueError("the model gives what is no number: are these weights trained ones, and of this model?")
        found.append(np.clip(np.rint(images * 255), 0, 255).astype(np.uint8))
    return np.concatenate(found)


def passes(settings: Settings, batch: int = BATCH) -> int:
    """How often the model is called."""
    return -(-settings.count // batch) * (settings.steps or 1)


def write(prefix: Path, images: np.ndarray, settings: Settings) -> list[Path]:
    """PREFIX.npz with all images, PREFIX.png with the first 100 side by side; the paths."""
    from . import viz

    columns = 10 if settings.label == "all" or len(images) >= SHOWN else None
    figure = viz.image_grid(images[:SHOWN], columns)
    picture, arrays = (prefix.with_name(prefix.name + ending) for ending in (".png", ".npz"))
    with written_whole(arrays) as temporary, open(temporary, "wb") as file:
        told = json.dumps(asdict(settings))
        np.savez_compressed(file, images=images, labels=settings.labels, seed=settings.seed, settings=told)
    with written_whole(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    return [picture, arrays]


def judge(prefix: Path, images: np.ndarray, settings: Settings) -> tuple[DigitReport, Path]:
    """What the judge of digits says of the first 1,000, and PREFIX.json, where it is written too."""
    report = judge_digits(images, None if settings.label is None else settings.labels)
    path = prefix.with_name(f"{prefix.name}.json")
    with written_whole(path) as temporary:
        temporary.write_text(report.to_json() + "\n", encoding="utf-8")
    return report, path


def prefix_of(output: str | None, name: str) -> Path:
    """FOLDER/MODEL for a folder (there, or ending in a slash), otherwise what was given, .png or .npz taken off.

    The folder is made where it is not there. Raises OSError where it cannot be.
    """
    output = output or "./"
    path = Path(output)
    if path.suffix in (".png", ".npz"):
        path = path.with_suffix("")
    elif path.is_dir() or output.endswith(("/", "\\")):
        path = path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _batch(model: Any, settings: Settings, numbers: range, advance: Callable[[], object]) -> np.ndarray:
    """The images of these numbers, in 0 .. 1; `advance` is called after each pass of the model."""
    noise, shape = ImageNoise(settings.seed, numbers), (len(numbers), *model.input_shape[1:])
    if isinstance(model, models.DDPMUNet):
        labels = None if settings.label is None else settings.labels[numbers.start : numbers.stop]
        guidance = 1.0 if settings.guidance is None else settings.guidance
        walk = models.Diffusion(model).ddim(
            shape, labels, guidance, settings.steps or 1, settings.eta or 0.0, generator=noise
        )
        step = next(walk)
        while step.t >= 0:  # behind the last one it is -1
            step = next(walk)
            advance()
        return (step.x.numpy() + 1) / 2
    if isinstance(model, models.VariationalAutoencoder):
        images = model.sample(len(numbers), generator=noise).numpy().reshape(shape)
    else:
        images = (models.GAN(model, None).sample(len(numbers), random=noise).numpy() + 1) / 2
    advance()
    return images
