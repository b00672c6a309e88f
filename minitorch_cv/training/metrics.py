"""How good predictions are: top-k accuracy, confusion matrix, and means over batches of different sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from .._device import to_numpy
from .._tensor import Tensor

RESERVED = ("epoch", "lr", "loss", "seconds", "images_per_second")
"""What a run measures of itself."""

# Called as `metric(logits, labels)` on arrays; returns the mean over the batch.
Metric = Callable[[np.ndarray, np.ndarray], float]


def topk_accuracy(logits: Any, labels: Any, k: int = 1) -> float:
    r"""The share of images whose label is among the `k` classes of largest logit.

    Formula: $\frac{1}{N} \sum_n [\,|\{j : z_{nj} > z_{n y_n}\} \cup \{j < y_n : z_{nj} = z_{n y_n}\}| < k\,]$: of equal
    logits the class of smaller index comes first, so that a net that says the same for all classes is not right
    everywhere.
    Shapes: logits (N, C); labels (N,), class indices.
    Units: a share in 0 .. 1.
    Raises: ValueError for other shapes, no image, a label outside 0 .. C - 1, or k outside 1 .. C.

    >>> topk_accuracy(np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), np.array([2, 0])), topk_accuracy(
    ...     np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), np.array([2, 0]), k=2
    ... )
    (0.5, 1.0)
    """
    logits, labels = _arrays("topk_accuracy", logits, labels)
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"topk_accuracy: k expects 1 .. {logits.shape[1]}, the number of classes; it is {k}")
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    before = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    # A logit that is NaN is larger than nothing, yet nothing is right about it.
    right = (before.sum(axis=1) < k) & ~np.isnan(logits).any(axis=1)
    return float(right.mean())


def confusion_matrix(predictions: Any, labels: Any, classes: int | None = None) -> np.ndarray:
    """How often each class was taken for each: entry (i, j) counts images of class i that were predicted as j.

    Shapes: predictions (N,) class indices or (N, C) logits; labels (N,); result (classes, classes), int64.
    Raises: ValueError for other shapes, or a class outside 0 .. classes - 1.

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]))
    array([[1, 1],
           [0, 1]])
    """
    predictions, labels = _plain(predictions), _plain(labels)
    if predictions.ndim == 2:
        classes = predictions.shape[1] if classes is None else classes
        predictions = predictions.argmax(axis=1)
    if predictions.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"confusion_matrix: predictions {predictions.shape} expects labels of shape ({len(predictions)},); "
            f"they are {labels.shape}"
        )
    if classes is None:
        classes = int(max(predictions.max(initial=-1), labels.max(initial=-1))) + 1
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"confusion_matrix: {name} expects classes in 0 .. {classes - 1}; "
                f"they are {values.min()} .. {values.max()}"
            )
    pairs = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return pairs.reshape(classes, classes)


class RunningMeans:
    """Means of several numbers over batches, each batch weighted by its size.

    >>> means = RunningMeans()
    >>> means.update(100, loss=2.0)
    >>> means.update(50, loss=0.5)
    >>> means.means()
    {'loss': 1.5}
    """

    def __init__(self) -> None:
        self.count = 0
        self.totals: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        """Of the batches that told a number: not every batch need tell each."""

    def update(self, size: int, **values: float) -> None:
        """Take in a batch of `size` images with the means `values`."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value) * size
            self.counts[name] = self.counts.get(name, 0) + size
        self.count += size

    def means(self) -> dict[str, float]:
        """The means so far; none before the first batch."""
        return {name: total / self.counts[name] for name, total in self.totals.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "totals": dict(self.totals), "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])
        self.totals = {str(name): float(total) for name, total in state["totals"].items()}
        self.counts = {str(name): int(count) for name, count in state["counts"].items()}


def named_metrics(metrics: Any) -> dict[str, Metric]:
    """Functions by name, of a sequence of "top1", "top5", ... and functions, or of a mapping of names to functions.

    Raises: ValueError for a name that is not known or used twice, TypeError for what is neither.
    """
    if isinstance(metrics, Mapping):
        pairs: list[tuple[Any, Any]] = list(metrics.items())
    else:
        pairs = [
            (metric if isinstance(metric, str) else getattr(metric, "__name__", None), metric) for metric in metrics
        ]
    found: dict[str, Metric] = {}
    for name, given in pairs:
        metric: Any = _topk_by_name(given) if isinstance(given, str) else given
        if not callable(metric) or not isinstance(name, str):
            raise TypeError(
                f"metrics: expects 'top1', 'top5', ... and named functions (logits, labels); one is {metric!r}"
            )
        if name in found or name in RESERVED or name.startswith("test_"):
            raise ValueError(
                f"metrics: expects different names, none of {', '.join(RESERVED)} or test_...; one is {name!r}"
            )
        found[name] = cast(Metric, metric)
    return found


def _topk_by_name(name: str) -> Metric:
    digits = name.removeprefix("top")
    if not (name.startswith("top") and digits.isdecimal() and int(digits) > 0):
        raise ValueError(f"metrics: expects 'top1', 'top5', ... or functions (logits, labels); one is {name!r}")
    k = int(digits)
    return lambda logits, labels: topk_accuracy(logits, labels, k)


def _plain(value: Any) -> Any:
    return to_numpy(value.data) if isinstance(value, Tensor) else np.asarray(value)


def _arrays(name: str, logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = _plain(logits), _plain(labels)
    if logits.ndim != 2 or not len(logits) or labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: logits (N, C) expects labels (N,) of class indices, N >= 1; "
            f"logits are {logits.shape}, labels {labels.dtype} {labels.shape}"
        )
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(
            f"{name}: labels expects 0 .. {logits.shape[1] - 1}; they are {labels.min()} .. {labels.max()}"
        )
    return logits, labels
