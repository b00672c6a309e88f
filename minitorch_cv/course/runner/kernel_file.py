"""A student's kernels, launched on the simulator with every load and store watched.

In the process that runs them, of the package only the simulator needs to be there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

ORDERS = ("forward", "reverse", "random")
"""In which the threads of a block take turns."""
MOST_FINDINGS, MOST_TEXT = 20, 300
"""Of a launch, and characters of what one says."""


class KernelFile:
    """The kernels of a `.cu` file, compiled once for all orders of threads.

    Raises RuntimeError, with the compiler's words, for a file that does not compile.
    """

    def __init__(self, path: str | os.PathLike[str]):
        # Here, for the process of an exercise in Python has no simulator.
        from minitorch_cv.kernels.simulator.watched import WatchedModule

        self.path = Path(path)
        try:
            # Without the line's own text, under which a mark would stand: the words in it were made longer.
            options = ("-fno-diagnostics-show-caret",)
            self.modules = {order: WatchedModule(self.path, options, order) for order in ORDERS}
        except RuntimeError as error:
            # Not where it lies: in the student's folder the file has another one around it.
            text = str(error).replace(f"{self.path.resolve()}", self.path.name)
            raise type(error)(text.replace(f"{self.path}", self.path.name)) from None

    def launch(
        self,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Any],
        shared_bytes: int,
        order: str,
    ) -> dict[str, Any]:
        """The arguments as they are after the launch, what was found wrong with it, and its requests of memory.

        Raises TypeError, ValueError: there is no such kernel, or its parameters are others.
        """
        values = [value.copy() if isinstance(value, np.ndarray) else value for value in arguments]
        seen = self.modules[order].launch(kernel, grid, block, values, shared_bytes)
        findings = [
            {
                "kind": finding.kind,
                "line": finding.line,
                "other_line": finding.other_line,
                "block": finding.block,
                "thread": finding.thread,
                "what": finding.what[:MOST_TEXT],
            }
            for finding in seen.findings[:MOST_FINDINGS]
        ]
        return {"arguments": values, "findings": findings, "counts": asdict(seen.total)}
