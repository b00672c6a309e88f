"""`minitorch-cv classify`: what published weights see in a photograph."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import models, ops
from ._autograd import no_grad
from ._tensor import Tensor
from .data import imagenet_classes, read_photograph, standardized_photographs
from .nn import Module, init
from .weights import load_weights, read_weights


class Verdict(NamedTuple):
    """What a model says of one photograph."""

    path: Path
    photograph: np.ndarray
    """(3, size, size), uint8: what the model saw."""
    best: list[tuple[str, float]]
    """The most probable classes' names and probabilities, the best first."""
    seconds: float
    """That the model took."""


def load_classifier(name: str, weights: Path, names: Sequence[str] | None = None) -> tuple[Module, tuple[str, ...]]:
    """The model of that name with the weights in the file, ready to classify; and its classes' names.

    How many classes there are is told by the file. Without `names` 1000 classes bear ImageNet's names, others numbers.
    Raises FileNotFoundError, ValueError where the file does not fit the model, or `names` the file.
    """
    state = read_weights(weights)
    classes = _number_of_classes(state)
    if names is not None and len(names) != classes:
        raise ValueError(f"classify: --classes expects {classes} names, one a line; there are {len(names)}")
    # The published GoogLeNet, told by its auxiliary heads, was trained on images in -1 .. 1.
    published = name == "googlenet" and any(key.startswith("aux1.") for key in state)
    with init.skipped():
        model = models.NAMES[name](num_classes=classes, **({"transform_input": True} if published else {}))
    first = next(key for key, value in model.state_dict().items() if value.ndim == 4)
    if first in state and state[first].ndim == 4 and state[first].shape[1:2] != model.state_dict()[first].shape[1:2]:
        raise ValueError(
            f"classify: --weights expects those of a net that looks at colour photographs, {first} with 3 channels; "
            f"in {weights} it has {state[first].shape[1]}"
        )
    load_weights(model, state)
    if names is None:
        names = imagenet_classes() if classes == 1000 else [str(number) for number in range(classes)]
    return model.eval(), tuple(names)


def check_size(model: Any, size: int) -> None:
    """Raise ValueError where the model cannot look at images of that size."""
    try:
        with no_grad():
            model(Tensor(np.zeros((1, 3, size, size), np.float32)))
    except ValueError as error:
        raise ValueError(f"classify: {type(model).__name__} cannot look at {size} x {size} pixels: {error}") from None


def _number_of_classes(state: dict[str, np.ndarray]) -> int:
    """The outputs of the last linear layer by name; auxiliary classifiers do not count."""
    linear = [key for key, a in state.items() if a.ndim == 2 and key.endswith("weight") and not key.startswith("aux")]
    if not linear:
        raise ValueError("classify: --weights expects those of a classifier; the file has no linear layer's")
    return len(state[max(linear)])


def classify(
    model: Module, names: Sequence[str], paths: Sequence[Path], top: int = 5, size: int = 224, resize: int | None = None
) -> Iterator[Verdict | ValueError | FileNotFoundError]:
    """For each photograph in turn what the model says, or the error that says why it could not be read."""
    for path in paths:
        try:
            photograph = read_photograph(path, size, resize)
        except (FileNotFoundError, ValueError) as error:
            yield error
            continue
        x: Any = Tensor(standardized_photographs(photograph[None]))
        start = time.perf_counter()
        with no_grad():
            probabilities = ops.softmax(model(x), axis=1).numpy()[0]
        seconds = time.perf_counter() - start
        order = np.argsort(-probabilities, kind="stable")[:top]
        yield Verdict(path, photograph, [(str(names[i]), float(probabilities[i])) for i in order], seconds)
