"""Which body of each operation ran: a faster one, or the portable one for want of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ._device import device_of, is_array


class Choice(NamedTuple):
    """What was chosen for one kind of call; `body` is "portable", or the module and function of a faster body."""

    operation: str
    device: str
    dtype: str
    body: str


class KernelUsage:
    """How often which body ran, by operation, device and dtype. Printed, it is a table."""

    def __init__(self) -> None:
        self.counts: Counter[Choice] = Counter()

    def portable(self) -> list[str]:
        """The operations for which a portable body was taken."""
        return sorted({choice.operation for choice in self.counts if choice.body == "portable"})

    def __str__(self) -> str:
        rows = [("operation", "device", "dtype", "calls", "body")]
        rows += [(c.operation, c.device, c.dtype, str(n), c.body) for c, n in sorted(self.counts.items())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


listeners: list[KernelUsage] = []
"""Empty, and so free of charge, unless somebody counts."""


@contextmanager
def kernel_usage() -> Iterator[KernelUsage]:
    """Count within it which body every operation runs and every optimiser's update.

    >>> from minitorch_cv import Tensor, kernel_usage
    >>> with kernel_usage() as usage:
    ...     _ = Tensor([1.0, 2.0]).exp()
    >>> usage.portable()
    ['exp']
    """
    usage = KernelUsage()
    listeners.append(usage)
    try:
        yield usage
    finally:
        listeners.remove(usage)


def count(operation: str, body: str, arrays: Iterable) -> None:
    """Tell all who count of one choice."""
    device, dtype = "cpu", ""
    for a in arrays:
        if is_array(a):
            device = device_of(a)
            if a.dtype.kind == "f":
                dtype = a.dtype.name
                break
    for usage in listeners:
        usage.counts[Choice(operation, device, dtype, body)] += 1
