"""Faults planted in a right gradient, to see whether a check catches them.

Every fault is a function of one array: it takes a right gradient and returns a wrong one of the same shape and dtype,
or ``None`` where the fault cannot be made (the transpose of a vector) or would change nothing (zeros set to zero).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from types import MappingProxyType

import numpy as np

ArrayFault = Callable[[np.ndarray], "np.ndarray | None"]


def _changed(wrong: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """``wrong`` as an array, or ``None`` where it equals ``right``: a fault that changes nothing is no fault."""
    return None if np.array_equal(wrong, right) else np.asarray(wrong)


def zero(gradient: np.ndarray) -> np.ndarray | None:
    """Every entry zero: what a forgotten ``return`` of the computed gradient looks like."""
    return _changed(np.zeros_like(gradient), gradient)


def one_percent_too_large(gradient: np.ndarray) -> np.ndarray | None:
    """Every entry times 1.01: what a check with a loose tolerance lets pass."""
    return _changed(gradient * gradient.dtype.type(1.01), gradient)


def sign(gradient: np.ndarray) -> np.ndarray | None:
    """Every entry negated."""
    return _changed(-gradient, gradient)


def transposed(gradient: np.ndarray) -> np.ndarray | None:
    """Two axes exchanged, in the values though not in the shape.

    The last two axes of equal length are exchanged; where no two lengths agree, the entries of the transposed array
    fill the given shape in order, as after a ``reshape`` used in place of a transpose.
    """
    equal = [(a, b) for a, b in combinations(range(gradient.ndim), 2) if gradient.shape[a] == gradient.shape[b] > 1]
    if equal:
        return _changed(np.swapaxes(gradient, *equal[-1]).copy(), gradient)
    if gradient.ndim < 2:
        return None
    return _changed(np.swapaxes(gradient, -1, -2).reshape(gradient.shape), gradient)


def rolled(gradient: np.ndarray) -> np.ndarray | None:
    """Moved by one entry along the last axis longer than 1: an index off by one."""
    long_axes = [axis for axis in range(gradient.ndim) if gradient.shape[axis] > 1]
    return _changed(np.roll(gradient, 1, axis=long_axes[-1]), gradient) if long_axes else None


def one_entry_dropped(gradient: np.ndarray) -> np.ndarray | None:
    """One entry zero, that of median size among those that are not: what sampling a few entries lets pass."""
    flat = np.ravel(gradient)
    present = np.flatnonzero(flat)
    if present.size < 2:  # dropping the only entry is the fault `zero`
        return None
    wrong = flat.copy()
    wrong[present[np.argsort(np.abs(flat[present]), kind="stable")[present.size // 2]]] = 0
    return wrong.reshape(gradient.shape)


def overwritten(gradient: np.ndarray) -> np.ndarray | None:
    """Every second entry halved: of two equal contributions the second has replaced the first (``=`` for ``+=``)."""
    wrong = np.ravel(gradient).copy()
    wrong[::2] *= gradient.dtype.type(0.5)
    return _changed(wrong.reshape(gradient.shape), gradient)


GENERIC: Mapping[str, ArrayFault] = MappingProxyType(
    {
        "zero": zero,
        "x1.01": one_percent_too_large,
        "sign": sign,
        "transposed": transposed,
        "rolled": rolled,
        "one entry dropped": one_entry_dropped,
        "overwritten": overwritten,
    }
)
"""The faults that any gradient can have, by name."""
