r"""Dropout: elements or channels at random set to zero while training."""

from __future__ import annotations

from typing import Any

from .._device import array_namespace, device_of, to_device
from .._namespace import raw, xp_of
from .._op import op
from .._random import Generator, default_generator


def dropout(x, p=0.5, training=True, *, generator: Generator | None = None):
    r"""Each element set to zero with probability p while training, the others scaled up ("inverted" dropout).

    Forward:   y_i = m_i x_i / (1 - p), m_i = 1 with probability 1 - p, else 0; y = x where not training
    Backward:  dx_i = m_i dy_i / (1 - p)
    Shapes:    y as x
    Raises:    ValueError unless 0 <= p <= 1
    Source:    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting";
               there, as in Krizhevsky et al. 2012, section 4.2, outputs are scaled by 1 - p when testing instead
    Lesson:    lessons/01_alexnet.py
    """
    return _dropped("dropout", x, p, training, x.shape, generator)


def dropout2d(x, p=0.5, training=True, *, generator: Generator | None = None):
    r"""Each channel of each image set to zero with probability p while training, the others scaled up.

    Forward:   y_nchw = m_nc x_nchw / (1 - p), m_nc = 1 with probability 1 - p, else 0; y = x where not training
    Backward:  dx_nchw = m_nc dy_nchw / (1 - p)
    Shapes:    x and y (N, C, H, W)
    Raises:    ValueError unless 0 <= p <= 1 and x has four axes
    Source:    Tompson et al. 2014, arXiv 1411.4280, section 3.2
    """
    if x.ndim != 4:
        raise ValueError(f"dropout2d: x expects four axes; it is {x.shape}")
    return _dropped("dropout2d", x, p, training, (*x.shape[:2], 1, 1), generator)


def _dropped(name: str, x: Any, p: float, training: bool, shape: tuple, generator: Generator | None) -> Any:
    check_probability(name, "p", p)
    if not training or p == 0:
        return x
    return scale_kept(x, keep_mask(x, p, shape, generator), p)


def check_probability(name: str, argument: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: {argument} expects a probability in [0, 1]; it is {p}")


def keep_mask(x: Any, p: float, shape: tuple, generator: Generator | None) -> Any:
    """Booleans that are True with probability 1 - p, on the device of x and, where of its shape, in its layout."""
    drawn = (default_generator() if generator is None else generator).bernoulli(1 - p, shape)
    data = raw(lambda v: v, x)
    drawn = to_device(drawn, device_of(data))
    if shape != data.shape:
        return drawn
    mask = array_namespace(data).empty_like(data, dtype=bool)  # in the order of x in memory, so that y keeps it
    mask[...] = drawn
    return mask


@op(linear_in=("x",))
def scale_kept(x, mask, p):
    r"""What a mask keeps, scaled up: what `dropout` and `dropout2d` record once the mask is drawn.

    Forward:   y_i = m_i x_i / (1 - p)
    Backward:  dx_i = m_i dy_i / (1 - p)
    Shapes:    mask (booleans) broadcasts to x, y as x
    Lesson:    lessons/01_alexnet.py
    """
    scale = 1 / (1 - p) if p < 1 else 0.0
    mask = raw(lambda m: m, mask)

    def backward(dy):
        return xp_of(dy).where(mask, dy * scale, 0.0)

    return raw(lambda v: xp_of(v).where(mask, v * scale, 0), x), backward
