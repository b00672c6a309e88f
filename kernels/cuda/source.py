"""A `.cu` file: the signatures of its kernels, and their launch on a GPU or on the simulator."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._device import device_of, is_array
from .. import loader
from ..signatures import read_signatures

HERE = Path(__file__).parent


class Source:
    """The kernels of one `.cu` file, compiled when the first is launched: for the GPU, or for the simulator."""

    def __init__(self, file: str | Path):
        self.path = HERE / file
        self.signatures = read_signatures(self.path.read_text(encoding="utf-8"))

    def launch(
        self,
        kernel: str,
        grid: tuple,
        block: tuple,
        *arguments: Any,
        shared_bytes: int = 0,
        reached: Sequence[Any] = (),
    ) -> None:
        """Run `kernel` on the device on which its arrays lie.

        An array stands for a pointer to its first element, and so has to be laid out as the kernel expects. None is a
        null pointer. A number becomes what the kernel's parameter is. reached: the arrays whose addresses stand in
        other arrays, for a simulator that watches.
        """
        if kernel not in self.signatures:
            raise ValueError(f"{self.path.name}: no kernel {kernel}; there are {', '.join(self.signatures)}")
        values, device = self.signatures[kernel].bound(arguments), "cpu"
        for value in values:
            if is_array(value):
                device = device_of(value)
                break
        if device == "cuda-sim":
            _simulated(self.path).launch(kernel, grid, block, values, shared_bytes, reached)
        elif device == "cuda":
            loader.module(self.path).launch(kernel, grid, block, values, shared_bytes)
        else:
            raise ValueError(f"{kernel}: arguments expect an array on 'cuda' or 'cuda-sim'; the first is on {device!r}")


@functools.cache
def _simulated(path: Path) -> Any:
    from ..simulator.module import SimulatedModule

    return SimulatedModule(path)
