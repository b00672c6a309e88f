"""The kernels that a `.cu` file declares, `extern "C" __global__ void name(...)`, and what each expects of a launch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._device import is_array

MAX_THREADS = 1024

PARENTHESES = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
"""With two more within each other."""
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?:void\s+)?'
    rf"(?:__launch_bounds__\s*({PARENTHESES})\s*)?(?:void\s+)?(\w+)\s*\(([^)]*)\)"
)

SCALARS = {
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned int": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
    "bool": np.bool_,
}
WHOLE = (int, np.integer, np.bool_)
NUMBERS = (*WHOLE, float, np.floating)
ELEMENTS = {
    **{
        f"{name}{n}": dtype
        for name, dtype in (("float", "float32"), ("int", "int32"), ("uint", "uint32"))
        for n in (2, 4)
    },
    "float": "float32",
    "double": "float64",
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "bool": "bool",
    "char": "int8",
    "unsigned char": "uint8",
    "long long": "int64",
    "unsigned long long": "uint64",
}
"""The dtype of the array whose first element a pointer points to."""


class Parameter(NamedTuple):
    """One parameter of a kernel, as its source declares it."""

    name: str
    type: str
    is_pointer: bool


class Signature(NamedTuple):
    """A kernel: its parameters, the threads that a block of it may have, and the line at which it is declared."""

    name: str
    parameters: tuple[Parameter, ...]
    thread_limit: int
    line: int

    def bound(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments as the parameters want them: arrays as they are, numbers of the declared type.

        None stands for a null pointer. Raises TypeError for what does not fit, a number that would change included.
        """
        if len(arguments) != len(self.parameters):
            names = ", ".join(parameter.name for parameter in self.parameters)
            raise TypeError(f"{self.name}: expects {len(self.parameters)} arguments ({names}); {len(arguments)} came")
        return [self._bound(p, value) for p, value in zip(self.parameters, arguments, strict=True)]

    def _bound(self, parameter: Parameter, value: Any) -> Any:
        if not parameter.is_pointer:
            if is_array(value) and value.ndim:
                raise TypeError(
                    f"{self.name}: {parameter.name} expects a number; it is an array of shape {value.shape}"
                )
            return self._number(parameter, value)
        expected = ELEMENTS[parameter.type]
        if value is not None and (not is_array(value) or value.dtype != expected):
            came = value.dtype if is_array(value) else repr(value)
            raise TypeError(f"{self.name}: {parameter.name} expects an array of {expected}; it is {came}")
        return value

    def _number(self, parameter: Parameter, value: Any) -> np.generic:
        """The value in the parameter's type. An int does for a float; a float for an int would lose its fraction."""
        given = value.item() if is_array(value) else value
        convert = SCALARS[parameter.type]
        is_whole = not issubclass(convert, np.floating)
        if not isinstance(given, WHOLE if is_whole else NUMBERS):
            raise TypeError(f"{self.name}: {parameter.name} expects a number of type {parameter.type}; it is {value!r}")
        try:
            number = convert(given)
        except OverflowError:
            number = None
        if number is None or (is_whole and number != given):
            raise TypeError(f"{self.name}: {parameter.name} expects what {parameter.type} can hold; it is {value!r}")
        return number


def without_comments(text: str) -> str:
    """The source with its comments blanked, lines kept."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.DOTALL)


def read_signatures(text: str) -> dict[str, Signature]:
    """The kernels in a source. Raises TypeError for a parameter of a type that no launch can give."""
    code = without_comments(text)
    found = {}
    for match in KERNEL.finditer(code):
        bounds, name, declared = match.groups()
        parameters = tuple(_parameter(name, one) for one in declared.split(",") if one.strip())
        bound = re.match(r"\(\s*(\d+)\s*[,)]", bounds or "")
        limit = int(bound[1]) if bound else MAX_THREADS
        found[name] = Signature(name, parameters, limit, code.count("\n", 0, match.start()) + 1)
    return found


def _parameter(kernel: str, declaration: str) -> Parameter:
    words = declaration.replace("__restrict__", " ").replace("*", " * ").split()
    is_pointer = "*" in words
    *kind, name = [w for w in words if w not in ("const", "*", "volatile")]
    kind = " ".join(kind)
    if kind not in (ELEMENTS if is_pointer else SCALARS):
        raise TypeError(f"{kernel}: the type of {' '.join(declaration.split())!r} is not known to the launcher")
    return Parameter(name, kind, is_pointer)
