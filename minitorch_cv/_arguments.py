"""Checks of arguments that several parts of the package have in common."""

from __future__ import annotations

import operator
from typing import Any


def whole_number(name: str, value: Any, least: int, unit: str = "") -> int:
    """`value` as an integer; 2.5 is not rounded, and 2.0 is not taken for 2.

    name: function and argument, as in "DataLoader: batch_size"; unit: what is counted, as in " pixels".
    Raises: TypeError for anything but a whole number, ValueError for one below `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} expects a whole number; it is {value!r}") from None
    if number < least:
        raise ValueError(f"{name} expects {least} or more{unit}; it is {number}")
    return number
