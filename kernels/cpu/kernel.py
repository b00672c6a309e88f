"""`@kernel`: a function that runs as machine code, task by task, in all threads."""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from .compiler import compile_python, load
from .language import ARRAYS, FORMAT
from .memory import address_of
from .threads import run


class Kernel:
    """A function that is compiled when first called: once for each element type, `function(task, worker, ...)`."""

    def __init__(self, function: Any):
        self.function = function
        module = function.__module__
        self.name = f"{module.rpartition('.')[2]}.{function.__name__}"
        if not module.startswith(f"{__package__}."):  # a reader's own, which the folder's hash knows nothing of
            self.name += "." + _hash_of(function)
        self.kinds = list(function.__annotations__.values())
        expected = function.__code__.co_argcount - 2
        if len(self.kinds) != expected or set(self.kinds) - set(FORMAT):
            raise TypeError(
                f"kernel {self.name}: each parameter after task and worker expects one of {', '.join(FORMAT)} as its "
                "annotation, in a file with `from __future__ import annotations`"
            )
        if "Pointer" not in self.kinds:
            raise TypeError(f"kernel {self.name}: expects a Pointer among its parameters, which tells the element type")
        self.pack = struct.Struct("=" + "".join(FORMAT[kind] for kind in self.kinds)).pack
        self.arrays = [i for i, kind in enumerate(self.kinds) if kind in ARRAYS]
        self.first = self.kinds.index("Pointer")
        self.addresses: dict[str, int] = {}
        KERNELS.append(self)

    def __call__(self, tasks: int, *arguments: Any) -> None:
        """Run tasks 0 to tasks - 1, spread over the threads. An array's place takes an array, an address or None."""
        element = arguments[self.first].dtype.char
        address = self.addresses.get(element) or self.address(element)
        values = list(arguments)
        for i in self.arrays:
            array = values[i]
            if type(array) is not int:
                values[i] = 0 if array is None else address_of(array)
        run(address, self.pack(*values), tasks)

    def address(self, element: str) -> int:
        """Where the machine code lies for elements of that type: "f" for float32, "d" for float64."""
        if element not in self.addresses:
            dtype = _ELEMENTS[element]
            compile_it = functools.partial(compile_python, self.function, self.kinds, dtype)
            self.addresses[element] = load(f"{self.name}.{dtype}", compile_it)
        return self.addresses[element]


def _hash_of(function: Any) -> str:
    """Of what a function does, and of the functions and numbers that it finds by name."""
    digest, pending, seen = hashlib.sha256(), [function], set()
    while pending:
        found = pending.pop()
        code = found.__code__
        if code.co_freevars:
            raise TypeError(f"kernel {function.__name__}: expects parameters for {', '.join(code.co_freevars)}")
        constants = [repr(c) if not isinstance(c, CodeType) else c.co_code for c in code.co_consts]
        kinds = list(found.__annotations__.items())
        digest.update(repr((code.co_code, constants, code.co_names, code.co_varnames, kinds)).encode())
        for name in code.co_names:
            value = found.__globals__.get(name)
            if isinstance(value, (int, float)):
                digest.update(f"{name} {value!r}".encode())
            elif isinstance(value, FunctionType) and value not in seen:
                seen.add(value)
                pending.append(value)
    return digest.hexdigest()[:12]


KERNELS: list[Kernel] = []
"""Every kernel of the modules imported so far."""

_ELEMENTS = {"f": "float32", "d": "float64"}


def kernel(function: Callable) -> Kernel:
    """Make a kernel of `function(task, worker, x: Pointer, ..., n: int, epsilon: float)`.

    `task` says which part of the work is meant and `worker` which thread does it (its scratch memory is its own).
    """
    return Kernel(function)
