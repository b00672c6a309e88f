"""A `.cu` file: the signatures of its kernels, and their launch on a GPU or on the simulator."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..._device import device_of, is_array
from .. import loader

HERE = Path(__file__).parent

KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?:void\s+__launch_bounds__\s*\(([^)]*)\)|void|__launch_bounds__\s*\(([^)]*)\)\s*void)'
    r"\s+(\w+)\s*\(([^)]*)\)"
)

SCALARS = {
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned int": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
}
ELEMENTS = {
    "float": "float32",
    "double": "float64",
    "int": "int32",
    "unsigned": "uint32",
    "bool": "bool",
    "unsigned char": "uint8",
    "long long": "int64",
    "unsigned long long": "uint64",
}


class Parameter(NamedTuple):
    """One parameter of a kernel, as its source declares it."""

    name: str
    type: str
    is_pointer: bool
    is_const: bool


class Source:
    """The kernels of one `.cu` file, compiled when the first is launched: for the GPU, or for the simulator."""

    def __init__(self, file: str | Path):
        self.path = HERE / file
        self.signatures = read_signatures(self.path.read_text(encoding="utf-8"))

    def launch(self, kernel: str, grid: tuple, block: tuple, *arguments: Any, shared_bytes: int = 0) -> None:
        """Run `kernel` on the device on which its arrays lie.

        An array stands for a pointer to its first element, and so has to be laid out as the kernel expects. None is a
        null pointer. A number becomes what the kernel's parameter is.
        """
        if kernel not in self.signatures:
            raise ValueError(f"{self.path.name}: no kernel {kernel}; there are {', '.join(self.signatures)}")
        values, device = self._bound(kernel, arguments), "cpu"
        for value in values:
            if is_array(value):
                device = device_of(value)
                break
        if device == "cuda-sim":
            _simulated(self.path).launch(kernel, grid, block, values, shared_bytes)
        elif device == "cuda":
            loader.module(self.path).launch(kernel, grid, block, values, shared_bytes)
        else:
            raise ValueError(f"{kernel}: arguments expect an array on 'cuda' or 'cuda-sim'; the first is on {device!r}")

    def _bound(self, kernel: str, arguments: tuple) -> list[Any]:
        """The arguments as the kernel's parameters want them; raises TypeError for what does not fit."""
        parameters = self.signatures[kernel]
        if len(arguments) != len(parameters):
            raise TypeError(f"{kernel}: expects {len(parameters)} arguments; {len(arguments)} came")
        values = []
        for parameter, value in zip(parameters, arguments, strict=True):
            if parameter.is_pointer:
                expected = ELEMENTS[parameter.type]
                if value is not None and (not is_array(value) or value.dtype != expected):
                    came = value.dtype if is_array(value) else repr(value)
                    raise TypeError(f"{kernel}: {parameter.name} expects an array of {expected}; it is {came}")
                values.append(value)
            else:
                values.append(SCALARS[parameter.type](value))
        return values


def read_signatures(text: str) -> dict[str, list[Parameter]]:
    """The kernels (`extern "C" __global__`) in a source and their parameters."""
    found = {}
    for *_, name, parameters in KERNEL.findall(text):
        found[name] = [_parameter(name, declaration) for declaration in parameters.split(",") if declaration.strip()]
    return found


def _parameter(kernel: str, declaration: str) -> Parameter:
    words = declaration.replace("__restrict__", " ").replace("*", " * ").split()
    is_const, is_pointer = "const" in words, "*" in words
    *kind, name = [w for w in words if w not in ("const", "*")]
    kind = " ".join(kind)
    if kind not in (ELEMENTS if is_pointer else SCALARS):
        raise TypeError(f"{kernel}: the type of {declaration.strip()!r} is not known to the launcher")
    return Parameter(name, kind, is_pointer, is_const)


@functools.cache
def _simulated(path: Path) -> Any:
    from ..simulator.module import SimulatedModule

    return SimulatedModule(path)
