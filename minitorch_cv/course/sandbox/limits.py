"""What a process in the sandbox may use."""

from __future__ import annotations

from typing import NamedTuple

MIB = 2**20


class Limits(NamedTuple):
    """What one process in the sandbox may use; each has an ending, or an exception that `explain` knows.

    Who sets them guards a machine's memory: at most `processes * memory`, and a temporary folder of `file_size`.
    """

    seconds: float = 10.0
    """By the clock on the wall, for the answer to one request, and for taking the request in."""
    processor_seconds: float = 60.0
    """Of each process, over its whole life; rounded up to whole seconds."""
    memory: int = 2048 * MIB
    """Bytes of address space of each process. Python with NumPy takes 135 MiB of it before any array is made."""
    processes: int = 1
    """Processes and threads at the same time. With 1 no other can be started, and so none be left behind."""
    file_size: int = 16 * MIB
    """Bytes of one file, and under bubblewrap of all files in the temporary folder."""
    output: int = MIB
    """Bytes that the student's code prints in all, on stdout and stderr together."""
    answer: int = 256 * MIB
    """Bytes on the answers' channel in answer to one request."""


def check(limits: Limits) -> None:
    """Refuse limits that cannot be.

    Raises: ValueError.
    """
    for name, value in limits._asdict().items():
        if not value > 0:
            raise ValueError(f"limits: {name} expects a positive number; it is {value!r}")


def in_bytes(count: int) -> str:
    """A number of bytes as a reader wants it: 64 MiB, 1.5 GiB."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
