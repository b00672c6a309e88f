"""The words in which kernels are written, beside Python's own: kinds of parameters, and what only machine code can do.

A kernel works on numbers and on pointers: `x[i]` is the i-th number at x, and nothing checks it. The compiler knows the
functions below and puts a few instructions in their place; called from Python they raise TypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What a kernel's parameters may be; their names stand in its annotations.
Pointer = Any
"""An array of the element type for which the kernel is compiled: float32 or float64."""
Bytes = Any
"""An array of int8."""
Longs = Any
"""An array of int64."""
Doubles = Any
"""An array of float64, whatever the element type."""

ARRAYS = ("Pointer", "Bytes", "Longs", "Doubles")
FORMAT = {**dict.fromkeys(ARRAYS, "q"), "int": "q", "float": "d"}
"""How each kind of parameter is passed, in the letters of `struct`."""

HELPERS: list[Callable] = []
"""Those that the compiler does not know yet."""


def helper(function: Callable) -> Callable:
    """Mark a function that kernels call and that is compiled into each."""
    HELPERS.append(function)
    return function


def address(pointer: Any, index: int) -> int:
    """The address of pointer[index]."""
    raise TypeError("address() is for kernels")


def advanced(pointer: Any, index: int) -> Any:
    """The array that begins at pointer[index]."""
    raise TypeError("advanced() is for kernels")


def array_at(like: Any, where: int) -> Any:
    """The array of the element type at an address; `like` is any array of that type."""
    raise TypeError("array_at() is for kernels")


def number(pointer: Any, value: float) -> Any:
    """`value` in the pointer's element type: a bare 0.0 would turn float32 into float64."""
    raise TypeError("number() is for kernels")


def rounded(x: float) -> float:
    """The nearest whole number."""
    raise TypeError("rounded() is for kernels")


def multiply_add(a: float, b: float, c: float) -> float:
    """a b + c, which no optimisation may take apart."""
    raise TypeError("multiply_add() is for kernels")


def power_of_two(x: float) -> float:
    """2^x for a whole number x between -126 and 127, in float64 between -1022 and 1023."""
    raise TypeError("power_of_two() is for kernels")


def call_block(block: int, *arguments: int) -> None:
    """Call a micro-kernel at its address, with its `microkernel.PARAMETERS`."""
    raise TypeError("call_block() is for kernels")


def call_transform(transform: int, *arguments: int) -> None:
    """Call a transform at its address, with its `winograd.PARAMETERS`."""
    raise TypeError("call_transform() is for kernels")
