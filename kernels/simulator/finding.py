"""What the simulator finds wrong with a kernel."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "race",
    "uninitialised-read",
    "out-of-bounds",
    "misaligned",
    "stale-copy",
    "divergent-barrier",
    "warp-collective",
    "undefined-arithmetic",
    "launch",
    "assertion",
    "wrong-result",
    "crash",
    "never-ends",
)
"""The first ten in the order of `Kind` in runtime.h; the last three are what a check of a whole file finds besides."""

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Finding:
    """One mistake: what a thread did, and where. The other thread and line are a race's second party."""

    kind: str
    kernel: str
    block: Place | None
    thread: Place | None
    file: str
    line: int
    what: str
    other_thread: Place | None = None
    other_line: int | None = None

    def __str__(self) -> str:
        return (
            f"{self.kernel}: {self.kind}: {self.file}:{self.line}: block {self.block} thread {self.thread} {self.what}"
        )
