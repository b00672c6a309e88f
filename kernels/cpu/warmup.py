"""Every kernel compiled ahead, so that no training step waits for one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

from ..manifest import BODIES, UPDATES
from . import threads, winograd
from .kernel import KERNELS
from .machine import machine
from .microkernel import block
from .packing import transposition

VECTORS = (1, 2, 3)
"""How wide `packing.tiling` makes a tile."""


def pieces(dtypes: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each piece of machine code by a name, and how to make it, or find it on disk."""
    for module in sorted({entry.module for entry in (*BODIES, *UPDATES) if entry.device == "cpu"}):
        importlib.import_module(module)
    yield "threads", threads.pool
    for dtype in dtypes:
        element, itemsize = {"float32": ("f", 4), "float64": ("d", 8)}[dtype]
        for kernel in KERNELS:
            yield f"{kernel.name} {dtype}", lambda kernel=kernel, element=element: kernel.address(element)
        for vectors in VECTORS:
            for rows in range(1, machine().rows(vectors) + 1):
                for ragged in (False, True):
                    name = f"micro-kernel {rows} x {vectors} {dtype}"
                    yield name, lambda r=rows, v=vectors, g=ragged, size=itemsize: block(r, v, size, g)
        yield f"transposition {dtype}", lambda size=itemsize: transposition(size)
        for f in winograd.BY_NAME.values():
            yield f"Winograd {f.outputs}, {f.taps} {dtype}", lambda f=f, size=itemsize: winograd.codes(f, size)
