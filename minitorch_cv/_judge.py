"""The judge of digits: a net that reads them says how good others' samples are, with real digits beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from . import models
from ._autograd import no_grad
from ._device import to_numpy
from ._tensor import Tensor
from .data import mnist5k, to_float
from .nn import init
from .training import (
    NearestDistances,
    class_entropy,
    class_shares,
    confident_share,
    frechet_distance,
    nearest_distances,
    recognised_share,
    within_class_spread,
)
from .weights import load_weights, trained_weights

COUNT = 1000
"""Samples of every judgement: its figures depend on how many there are."""


@dataclass(frozen=True)
class Judgement:
    """What the judge measured of 1,000 digits. Shares in 0 .. 1; distances in units of pixels in 0 .. 1."""

    recognised: float | None
    """The share that is read as the class asked for; None where none was."""
    confident: float
    """The share that is read as one class with a probability above 0.9."""
    class_shares: tuple[float, ...]
    """Of the digits 0 to 9."""
    class_entropy: float
    """In nats; ln 10 = 2.303 where all are equally frequent."""
    frechet_distance: float
    """The squared one of the judge's features to those of the 1,000 held-out digits."""
    spread_of_pixels: float
    """Within the classes, relative to the held-out digits: the mean of the classes' ratios; 1 is as varied as they."""
    spread_of_features: float
    """The same of the judge's features."""
    nearest_train: float
    """The median distance to the nearest of the 4,000 training digits."""
    nearest_held_out: float
    """The median distance to the nearest of the 1,000 held-out digits."""
    share_nearest_train: float
    """The share to which a training digit lies nearest of all 5,000."""
    copied: float
    """The share that lies to a training digit less than half as far as to any held-out one."""


@dataclass(frozen=True)
class DigitReport:
    """Samples beside real digits, measured alike."""

    samples: Judgement
    real: Judgement
    """Of the 1,000 held-out digits (for nearest_held_out each of them against the others); what compares two sets,
    frechet_distance and the spreads, of the first 1,000 training digits against them."""
    expected_share_nearest_train: float
    """Of samples that know no more of the training digits than of the others."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def table(self) -> Any:
        """The report as a table for the terminal (rich)."""
        from rich.table import Table

        table = Table(title=f"{COUNT:,} samples, judged by digit_classifier")
        for heading in ("measure", "samples", "real digits", "better"):
            table.add_column(heading, justify="left" if heading in ("measure", "better") else "right", no_wrap=True)
        for words, better, text in self._rows():
            table.add_row(words, *(text(judgement) for judgement in (self.samples, self.real)), better)
        return table

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, no_color=True)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get()

    def _rows(self) -> list[tuple[str, str, Any]]:
        expected = self.expected_share_nearest_train
        rows: list[tuple[str, str, Any]] = [
            (
                "recognised as the class asked for",
                "high",
                lambda j: "" if j.recognised is None else f"{j.recognised:.1%}",
            ),
            ("recognised with probability > 0.9", "high", lambda j: f"{j.confident:.1%}"),
            (
                "share of the rarest and the commonest class",
                "near 10 %",
                lambda j: f"{min(j.class_shares):.1%}, {max(j.class_shares):.1%}",
            ),
            ("entropy over the classes, nats", "near 2.303", lambda j: f"{j.class_entropy:.3f}"),
            ("Frechet distance of features, squared", "as real", lambda j: f"{j.frechet_distance:.2f}"),
            ("spread within classes: pixels", "near 1", lambda j: f"{j.spread_of_pixels:.2f}"),
            ("spread within classes: features", "near 1", lambda j: f"{j.spread_of_features:.2f}"),
            ("median distance to nearest training digit", "as real", lambda j: f"{j.nearest_train:.2f}"),
            ("median distance to nearest held-out digit", "as real", lambda j: f"{j.nearest_held_out:.2f}"),
            ("nearest of all is a training digit", f"near {expected:.0%}", lambda j: f"{j.share_nearest_train:.1%}"),
            ("copies of a training digit", "near 0 %", lambda j: f"{j.copied:.1%}"),
        ]
        return rows[0 if self.samples.recognised is not None else 1 :]


def judge_digits(images: Any, labels: Sequence[int] | np.ndarray | None = None) -> DigitReport:
    """How good 1,000 sampled digits are: read by a net, and compared with real ones.

    images: (N, 1, 28, 28) with N >= 1,000, uint8 in 0 .. 255 or floats in 0 .. 1, the ink bright; the first 1,000
        count, so that none can be chosen.
    labels: (N,), the digits that were asked for, where the model takes labels.
    Raises: ValueError for other shapes or values, or fewer samples.

    The spreads group samples by what the judge reads, not by what was asked for. It has only seen digits: what is none
    it may read with confidence too, so look at the samples, and at the Frechet distance.

    >>> from minitorch_cv.data import mnist5k
    >>> train = mnist5k("train")
    >>> report = judge_digits(train.images, train.labels)     # whoever copies the training digits is found out
    >>> report.samples.copied, report.samples.nearest_train
    (1.0, 0.0)
    """
    images = _samples(images)
    if labels is not None:
        labels = np.asarray(labels)
        if labels.ndim != 1 or len(labels) < COUNT or labels.dtype.kind not in "iu":
            raise ValueError(
                f"judge_digits: labels expects a digit for each sample; it is {labels.dtype} of shape {labels.shape}"
            )
        labels = labels[:COUNT]
    train, test = mnist5k("train"), mnist5k("test")
    seen, unseen = to_float(train.images), to_float(test.images)
    real_logits, real_features = _read(unseen)
    some_logits, some_features = _read(seen[:COUNT])
    logits, features = _read(images)

    def compared(x: np.ndarray, features: np.ndarray, logits: np.ndarray) -> tuple[float, float, float]:
        found, read = logits.argmax(axis=1), real_logits.argmax(axis=1)
        of_pixels = within_class_spread(x, found, unseen, read)
        of_features = within_class_spread(features, found, real_features, read)
        return frechet_distance(features, real_features), _mean(of_pixels), _mean(of_features)

    near = nearest_distances(images, seen, unseen)
    return DigitReport(
        _judgement(logits, labels, compared(images, features, logits), near),
        _judgement(
            real_logits,
            None if labels is None else test.labels,
            compared(seen[:COUNT], some_features, some_logits),
            nearest_distances(unseen, seen, unseen)._replace(held_out=_nearest_other(unseen)),
        ),
        near.expected_share,
    )


def _judgement(
    logits: np.ndarray, labels: Any, compared: tuple[float, float, float], near: NearestDistances
) -> Judgement:
    return Judgement(
        None if labels is None else recognised_share(logits, labels),
        confident_share(logits),
        tuple(map(float, class_shares(logits))),
        class_entropy(logits),
        *compared,
        float(np.median(near.train)),
        float(np.median(near.held_out)),
        near.share_nearest_train,
        near.copied_share(),
    )


def _samples(images: Any) -> np.ndarray:
    """The first 1,000, float32 in 0 .. 1."""
    images = np.asarray(to_numpy(images.data if isinstance(images, Tensor) else images))
    if images.shape[1:] != (1, 28, 28) or len(images) < COUNT:
        raise ValueError(f"judge_digits: images expects shape (N, 1, 28, 28) with N >= {COUNT:,}; it is {images.shape}")
    images = images[:COUNT]
    if images.dtype == np.uint8:
        return to_float(images)
    if images.dtype.kind != "f" or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"judge_digits: images expects uint8 in 0 .. 255 or floats in 0 .. 1; "
            f"it is {images.dtype} in {images.min()} .. {images.max()}"
        )
    return images.astype(np.float32)


@lru_cache(maxsize=1)
def _judge() -> models.DigitClassifier:
    with init.skipped():
        judge = models.digit_classifier()
    load_weights(judge, trained_weights("digit_classifier"))
    judge.eval()
    return judge


def _read(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The judge's logits (N, 10) and features (N, 64)."""
    logits, features = [], []
    with no_grad():
        for first in range(0, len(images), 250):
            known = _judge().features(Tensor(images[first : first + 250]))
            features.append(known.numpy())
            logits.append(_judge().decide(known).numpy())
    return np.concatenate(logits), np.concatenate(features)


def _nearest_other(images: np.ndarray) -> np.ndarray:
    """The distance of each image to the nearest of the others (N,)."""
    flat = _flat(images).astype(np.float64)
    squares = (flat * flat).sum(axis=1)
    distances = squares[:, None] + squares - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    return np.sqrt(np.maximum(distances.min(axis=1), 0.0))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _mean(ratios: np.ndarray) -> float:
    """Of the classes that can be compared; NaN where there is none."""
    known = ratios[np.isfinite(ratios)]
    return float(known.mean()) if known.size else float("nan")
