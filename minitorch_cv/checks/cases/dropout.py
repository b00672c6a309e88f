"""Cases of dropout."""

from __future__ import annotations

import numpy as np

from ..._random import Generator
from ...ops import dropout, dropout2d
from ..case import Case, ErrorCase, Fault, wrong_gradient


class _SameMask(Generator):
    """Draws the same mask at each call, so that dropout is one function of its input."""

    def bernoulli(self, p, shape=()):
        return Generator(self.state["seed"]).bernoulli(p, shape)


_MASK = _SameMask()


def _dropped(x, mask, p):
    """Element by element: what is kept, scaled up."""
    mask, y = np.broadcast_to(mask, x.shape), np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        if mask[at]:
            y[at] = x[at] / (1 - p)
    return y


def _naive_dropout(x, p=0.5, training=True, generator=_MASK):
    return _dropped(x, generator.bernoulli(1 - p, x.shape), p) if training else x


def _naive_dropout2d(x, p=0.5, training=True, generator=_MASK):
    return _dropped(x, generator.bernoulli(1 - p, (*x.shape[:2], 1, 1)), p)


def _images(rng):
    return {"x": rng.standard_normal((3, 4, 3, 2))}


def _masked(shape, mask):
    return lambda rng: {"x": rng.standard_normal(shape), "mask": rng.random(mask) < 0.6}


CASES = [
    Case("scale_kept", "a mask for each element", _masked((3, 5), (3, 5)), {"p": 0.4}, _dropped),
    Case("scale_kept", "a mask for each channel", _masked((2, 5, 3, 2), (2, 5, 1, 1)), {"p": 0.25}, _dropped),
    Case("scale_kept", "everything dropped", _masked((2, 3), (2, 3)), {"p": 1.0}, lambda x, mask, p: 0 * x),
    Case("dropout", "training", _images, {"p": 0.3, "generator": _SameMask(1)}, _naive_dropout),
    Case("dropout", "evaluation", _images, {"training": False}, _naive_dropout),
    Case("dropout2d", "training", _images, {"p": 0.3, "generator": _SameMask(2)}, _naive_dropout2d),
]

ERRORS = [
    ErrorCase(
        "dropout",
        lambda: dropout(np.zeros(3), p=1.5),
        ValueError,
        "dropout: p expects a probability in [0, 1]; it is 1.5",
    ),
    ErrorCase(
        "dropout2d",
        lambda: dropout2d(np.zeros((3, 4, 4))),
        ValueError,
        "dropout2d: x expects four axes; it is (3, 4, 4)",
    ),
]

FAULTS = [
    Fault("scale_kept", "dy not masked", wrong_gradient(lambda grads, dy, x, mask, p: [dy * (1 / (1 - min(p, 0.9)))])),
    Fault("scale_kept", "not scaled up", wrong_gradient(lambda grads, dy, x, mask, p: [grads[0] * (1 - p)])),
    Fault("scale_kept", "the mask inverted", wrong_gradient(lambda grads, dy, x, mask, p: [dy * (mask == 0) * 1.5])),
]
