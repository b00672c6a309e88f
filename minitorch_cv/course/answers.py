"""Whether two answers are the same, and if not, where they first differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

RELATIVE_TOLERANCE = 1e-9
"""Far above the rounding of float64, far below that of float32: neither is right or wrong by luck."""
MOST_TOLD = 6
"""Of the wrong values of a list, so many are told."""


def difference(given: Any, expected: Any, tolerance: float = RELATIVE_TOLERANCE) -> str:
    """What is wrong with an answer, without the numbers that were expected; empty where it is right.

    Numbers may differ by `tolerance`, relative to the largest expected; integers, strings and shapes not at all. A
    tuple and a list of the same values are the same, as are a number and an array of no axes. NaN is never right, nor
    is float32 where its rounding is more than the tolerance.
    """
    if isinstance(expected, Mapping):
        return _mapping(given, expected, tolerance)
    if isinstance(expected, (tuple, list)):
        return _sequence(given, expected, tolerance)
    if isinstance(expected, (str, type(None))):
        return "" if type(given) is type(expected) and given == expected else f"it is {_short(given)}"
    if isinstance(expected, (bool, np.bool_)):
        if not isinstance(given, (bool, np.bool_)):
            return f"expected True or False; it is {kind(given)}"
        return "" if bool(given) == bool(expected) else f"it is {given}"
    return _numbers(given, np.asarray(expected), tolerance)


def is_same(answer: Any, other: Any) -> bool:
    """Whether two answers are the same, neither of which need be right: NaN is the same as NaN."""
    return not difference(_nan_apart(answer), _nan_apart(other))


def _nan_apart(value: Any) -> Any:
    """An answer with its NaN as zeros, and where they were: NaN is never right, but two answers may have the same."""
    if isinstance(value, Mapping):
        return {key: _nan_apart(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_nan_apart(entry) for entry in value]
    if isinstance(value, (float, np.ndarray, np.floating)) and (array := np.asarray(value)).dtype.kind in "fc":
        missing = np.isnan(array)
        return [np.where(missing, 0.0, array), missing] if missing.any() else value
    return value


def _mapping(given: Any, expected: Mapping, tolerance: float) -> str:
    if not isinstance(given, Mapping):
        return f"expected a dict with {_listed(expected)}; it is {kind(given)}"
    if set(given) != set(expected):
        return f"expected the keys {_listed(expected)}; they are {_listed(given)}"
    problems = ((key, difference(given[key], value, tolerance)) for key, value in expected.items())
    return "; ".join(f"{key}: {problem}" for key, problem in problems if problem)


def _sequence(given: Any, expected: Any, tolerance: float) -> str:
    if isinstance(given, np.ndarray) and given.ndim and len(given) == len(expected):
        given = list(given)
    if not isinstance(given, (tuple, list)):
        return f"expected {len(expected)} values; it is {kind(given)}"
    if len(given) != len(expected):
        return f"expected {len(expected)} values; there are {len(given)}"
    compared = ((i, difference(own, value, tolerance)) for i, (own, value) in enumerate(zip(given, expected)))
    problems = [f"value {i}: {problem}" for i, problem in compared if problem]
    more = [f"and {len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
    return "; ".join(problems[:MOST_TOLD] + more)


def _numbers(given: Any, expected: np.ndarray, tolerance: float) -> str:
    try:
        array = np.asarray(given)
    except ValueError:  # a ragged list
        return f"expected {_shape(expected)}; it is {kind(given)}"
    if expected.dtype == np.float64 and array.dtype.kind == "f" and np.finfo(array.dtype).eps > tolerance:
        return f"it is {array.dtype}: compute in float64"
    if array.dtype.kind not in "biufc" or given is None:
        return f"expected {_shape(expected)}; it is {kind(given)}"
    if array.shape != expected.shape:
        return f"expected {_shape(expected)}; its shape is {array.shape}"
    if expected.dtype.kind in "biu":
        wrong = array != expected
    else:
        scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
        with np.errstate(invalid="ignore"):
            near = np.isfinite(expected) & (np.abs(array - expected) <= tolerance * scale)
        wrong = ~(near | (np.isinf(expected) & (array == expected)))
    if not wrong.any():
        return ""
    if array.ndim == 0:
        return f"it is {_short(array[()])}"
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} entries are wrong, the first at {first}, where it is {array[first]:.6g}"


def _shape(array: np.ndarray) -> str:
    what = "integers" if array.dtype.kind in "iu" else "numbers"
    return (
        f"an array of {what} {array.shape}" if array.ndim else f"a {what[:-1]}" if what == "numbers" else "an integer"
    )


def kind(value: Any) -> str:
    """What an answer is, in words."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {value.shape}"
    if value is None:
        return "None: is `return` missing?"
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, (tuple, list)) else f"{_short(value)}"


def _listed(mapping: Mapping) -> str:
    return ", ".join(str(key) for key in mapping) or "none"


def _short(value: Any) -> str:
    text = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    return text if len(text) <= 60 else text[:57] + "..."
