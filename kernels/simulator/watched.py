"""A `.cu` file built so that every load and store of its kernels is watched: races and wrong addresses are found, and
requests of memory counted.

Arrays are copied between guards for the launch, and back after it, so that one element too far is noticed and harms
nothing. An access outside of every array, a misaligned one and a division by zero end the launch; whatever else is
found, the launch goes on.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .finding import KINDS, Finding
from .module import HERE, SimulatedModule, compiler

GUARD = 1 << 20
"""Bytes before and after each array; an access that misses by more is told without the array's name."""

READ, WRITE, ATOMIC, COPY = 1, 2, 4, 8
DESTINATION = 1 << 63
"""Marks the program counter of a cp.async where it stands for the write of its destination."""

ORIGIN = (0, 0, 0)
STOPPED = "stopped"
"""What a launch says that a finding has ended."""


@dataclass(frozen=True)
class MemoryCounts:
    """Requests of warps, and what serving them takes: 32-byte sectors of global memory, cycles of shared memory.

    A warp whose 32 lanes read 4 bytes each needs 4 sectors if they lie together, 32 if each lies in its own; and of
    shared memory 1 wavefront, or up to 32 where all want different words of the same bank.
    """

    global_loads: int = 0
    global_load_sectors: int = 0
    global_stores: int = 0
    global_store_sectors: int = 0
    shared_accesses: int = 0
    shared_wavefronts: int = 0

    def __add__(self, other: MemoryCounts) -> MemoryCounts:
        return MemoryCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Observation:
    """What was seen of one launch. `counts` are by line of the file (a line of an included header counts for where
    it was included from)."""

    findings: tuple[Finding, ...]
    counts: dict[int, MemoryCounts]

    @property
    def total(self) -> MemoryCounts:
        """The counts of all lines together."""
        return sum(self.counts.values(), MemoryCounts())


class Variable(NamedTuple):
    """A variable of the built library that a kernel can reach."""

    name: str
    begin: int
    end: int
    is_shared: bool


class _Region(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("begin", "end", "guard_begin", "guard_end")] + [
        ("space", ctypes.c_uint32),
        ("itemsize", ctypes.c_uint32),
    ]


class _Found(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("region", ctypes.c_int32),
        ("offset", ctypes.c_int64),
        ("address", ctypes.c_uint64),
        ("where", ctypes.c_uint64),
        ("other_where", ctypes.c_uint64),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_int32),
        ("size", ctypes.c_int32),
        *((name, ctypes.c_uint32 * 3) for name in ("block", "thread", "other_block", "other_thread")),
        ("access", ctypes.c_uint32),
        ("other_access", ctypes.c_uint32),
        ("what", ctypes.c_char * 160),
    ]


class _Counts(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("where", "loads", "load_sectors", "stores", "store_sectors", "shared", "wavefronts")
    ]


MAX_FINDINGS, MAX_SITES = 256, 4096  # as in watch.h


class WatchedModule(SimulatedModule):
    """The kernels of one file, watched while they run. Everything else is as in `SimulatedModule`."""

    @property
    def instrumentation(self) -> tuple[str, ...]:  # type: ignore[override]
        """As for ThreadSanitizer and UBSan, whose functions watch.h defines: nothing of theirs is linked.

        Without scalar replacement of aggregates, a float4 is read by one access, as on a GPU.
        """
        checks = "alignment,signed-integer-overflow,shift-exponent,integer-divide-by-zero"
        if "clang" in Path(compiler()).name:
            return ("-DCUDA_SIMULATOR_WATCHED", "-O1", f"-fsanitize=thread,array-bounds,{checks}")
        return ("-DCUDA_SIMULATOR_WATCHED", "-O1", "-fno-tree-sra", f"-fsanitize=thread,bounds,{checks}")

    def __init__(self, path: Path, options: Sequence[str] = (), order: str = "forward", seed: int = 1):
        super().__init__(path, options, order, seed)
        self.variables, self.bias, self.image = _reachable_variables(self.library)

    def launch(
        self, kernel: str, grid: Sequence[int], block: Sequence[int], values: Sequence[Any], shared_bytes: int = 0
    ) -> Observation:
        """Run `kernel` as `SimulatedModule.launch` does, and return what was seen.

        What would raise there, a launch outside of CUDA's limits included, is a finding here.
        """
        try:
            self._check(kernel, grid, block, shared_bytes)
        except ValueError as error:
            if kernel not in self.parameters:
                raise
            return Observation((Finding("launch", kernel, ORIGIN, ORIGIN, str(self.path), 0, str(error)),), {})
        copies = _copied(values)
        names = [_name(copy, self.parameters[kernel], values) for copy in copies] + [v.name for v in self.variables]
        spans = [_Region(c.begin, c.end, c.begin - GUARD, c.end + GUARD, 0, c.itemsize) for c in copies]
        spans += [_Region(v.begin, v.end, v.begin, v.end, int(v.is_shared), 0) for v in self.variables]
        names.append("dynamic shared memory")
        spans.append(_Region(0, 0, 0, 0, 1, 0))  # the simulator knows its place once it is allocated
        table = (_Region * len(spans))(*spans)
        if self.library.watch_regions(table, len(spans), *map(ctypes.c_uint64, self.image)):
            raise ValueError(f"{kernel}: more arrays and variables than the simulator watches")
        moved = [next(c for c in copies if c.holds(v)).moved(v) if isinstance(v, np.ndarray) else v for v in values]
        moved = [np.uintp(0) if v is None else v for v in moved]
        ended = self._run(kernel, grid, block, moved, shared_bytes)
        for copy in copies:
            copy.take_back()
        found = (_Found * MAX_FINDINGS)()
        seen = found[: self.library.watch_findings(found)]
        counted = (_Counts * MAX_SITES)()
        counts = counted[: self.library.watch_counts(counted)]
        counters = {f.where for f in seen} | {f.other_where for f in seen} | {c.where for c in counts}
        source = _Source(self.path, Path(self.library._name), self.bias, counters)
        findings = [_finding(kernel, f, names, spans, source) for f in seen]
        if ended and ended.what != STOPPED:
            findings.append(ended)
        by_line: dict[int, MemoryCounts] = {}
        for c in counts:
            numbers = (c.loads, c.load_sectors, c.stores, c.store_sectors, c.shared, c.wavefronts)
            line = source.line_of_the_file(c.where)
            by_line[line] = by_line.get(line, MemoryCounts()) + MemoryCounts(*numbers)
        return Observation(tuple(dict.fromkeys(findings)), dict(sorted(by_line.items())))


# ---- arrays between guards -------------------------------------------------------------------------------------------


class _Copy:
    """The bytes from `low` to `high`, which one array spans or several that overlap, copied between guards."""

    def __init__(self, low: int, high: int, itemsize: int):
        self.low, self.high, self.itemsize = low, high, itemsize
        self.bytes = np.empty(high - low + 2 * GUARD + 16, np.uint8)
        start = self.bytes.ctypes.data + GUARD
        self.begin = start + (low - start) % 16  # as far from a multiple of 16 as the original is
        self.end = self.begin + high - low
        ctypes.memmove(self.begin, low, high - low)

    def holds(self, array: np.ndarray) -> bool:
        return self.low <= array.ctypes.data < self.high or array.size == 0 == self.high - self.low

    def moved(self, array: np.ndarray) -> np.uintp:
        return np.uintp(array.ctypes.data - self.low + self.begin)

    def take_back(self) -> None:
        ctypes.memmove(self.low, self.begin, self.high - self.low)


def _copied(values: Sequence[Any]) -> list[_Copy]:
    spans = sorted(
        (*np.lib.array_utils.byte_bounds(v), v.itemsize) if v.size else (v.ctypes.data, v.ctypes.data, v.itemsize)
        for v in values
        if isinstance(v, np.ndarray)
    )
    merged: list[tuple[int, int, int]] = []
    for low, high, itemsize in spans:
        if merged and low < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]), min(itemsize, merged[-1][2]))
        elif not merged or (low, high) != merged[-1][:2]:
            merged.append((low, high, itemsize))
    return [_Copy(*span) for span in merged]


def _name(copy: _Copy, parameters: Sequence[str], values: Sequence[Any]) -> str:
    return " and ".join(n for n, v in zip(parameters, values) if isinstance(v, np.ndarray) and copy.holds(v))


# ---- the variables and lines of a built library ----------------------------------------------------------------------


def _reachable_variables(library: ctypes.CDLL) -> tuple[list[Variable], int, tuple[int, int]]:
    """The variables of the kernels' source; how far the library was moved when loaded; where it begins and ends."""
    listed = subprocess.run(
        [_binutil("nm"), "-S", "-C", "--defined-only", library._name], capture_output=True, text=True, check=True
    ).stdout
    places: dict[str, int] = {}
    variables = []
    highest = 0
    for line in listed.splitlines():
        address, *rest = line.split(maxsplit=3)
        size = int(rest[0], 16) if len(rest) == 3 else 0
        highest = max(highest, int(address, 16) + size)
        if len(rest) < 3:
            places[rest[-1]] = int(address, 16)
            continue
        _, kind, name = rest
        places[name] = int(address, 16)
        if kind in "bBdDuV" and "simulator::" not in name and not name.startswith(("completed.", "__", "guard ")):
            name = re.sub(r"\.\d+$", "", name.rpartition("::")[2])
            variables.append((name, int(address, 16), int(address, 16) + size))
    bias = ctypes.cast(library.watch_regions, ctypes.c_void_p).value - places["watch_regions"]
    shared = range(places.get("__start_simulated_shared", 0), places.get("__stop_simulated_shared", 0))
    found = [Variable(name, begin + bias, end + bias, begin in shared) for name, begin, end in variables]
    return found, bias, (bias, bias + highest)


class _Source:
    """From program counters to lines of source."""

    def __init__(self, path: Path, library: Path, bias: int, counters: set[int]):
        self.path, self.frames = path.resolve(), {}
        counters = {c for c in counters if c}
        if not counters:
            return
        asked = {c: hex((c & ~DESTINATION) - 1 - bias) for c in counters}  # the call, not what follows it
        command = [_binutil("addr2line"), "-a", "-i", "-e", str(library), *dict.fromkeys(asked.values())]
        told: dict[int, list[tuple[str, int]]] = {}
        frames: list[tuple[str, int]] = []
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            if line.startswith("0x"):
                frames = told.setdefault(int(line, 16), [])
            else:
                file, _, number = line.partition(" ")[0].rpartition(":")
                frames.append((file, int(number) if number.isdigit() else 0))
        for counter, address in asked.items():
            frames = told[int(address, 16)]
            self.frames[counter] = [f for f in frames if Path(f[0]).parent != HERE] or frames

    def place(self, counter: int) -> tuple[str, int]:
        """The file and line of an instruction: the innermost that is not the simulator's own."""
        return self.frames[counter][0]

    def line_of_the_file(self, counter: int) -> int:
        """The line of the `.cu` file itself: that of the call, for an instruction of a header."""
        return next((line for file, line in self.frames[counter] if Path(file) == self.path), 0)


@functools.cache
def _binutil(name: str) -> str:
    for candidate in (name, f"llvm-{name}"):
        if found := shutil.which(candidate):
            return found
    raise RuntimeError(
        f"watching kernels needs {name}. Debian and Ubuntu: apt install binutils; Fedora: dnf install binutils"
    )


# ---- words -----------------------------------------------------------------------------------------------------------


def _finding(kernel: str, found: _Found, names: list[str], spans: list[_Region], source: _Source) -> Finding:
    kind, block, thread = KINDS[found.kind], tuple(found.block), tuple(found.thread)
    if found.where == 0:  # UBSan's, with a place and a sentence of its own
        return Finding(kind, kernel, block, thread, found.file.decode(), found.line, found.what.decode())
    file, line = source.place(found.where)
    what = f"{_verb(found.access)} {_element(found, names, spans)}"
    if kind == "out-of-bounds":
        return Finding(kind, kernel, block, thread, file, line, what + _bounds(found, names, spans))
    if kind == "uninitialised-read":
        return Finding(kind, kernel, block, thread, file, line, f"{what}, which no thread of this block has written")
    other_thread, other_block = tuple(found.other_thread), tuple(found.other_block)
    other_file, other_line = source.place(found.other_where)
    at = f"line {other_line}" if other_file == file else f"{Path(other_file).name}:{other_line}"
    if kind == "stale-copy":
        what += f", to which the cp.async of thread {other_thread} at {at} is still on its way"
    elif other_block != block:
        what += f", which block {other_block} {_past(found.other_access)} at {at}: nothing orders the two blocks"
    else:
        what += f", which thread {other_thread} {_past(found.other_access)} at {at}: no barrier lies between"
    return Finding(kind, kernel, block, thread, file, line, what, other_thread, other_line)


def _verb(access: int) -> str:
    if access & ATOMIC:
        return "atomically changes"
    by = " by cp.async" if access & COPY else ""
    return ("writes" if access & WRITE else "reads") + by


def _past(access: int) -> str:
    if access & ATOMIC:
        return "changed atomically"
    by = " by cp.async" if access & COPY else ""
    return ("wrote" if access & WRITE else "read") + by


def _element(found: _Found, names: list[str], spans: list[_Region]) -> str:
    if found.region < 0:
        if found.address < 4096:
            return "through a null pointer"
        return f"{found.size} bytes at an address far from every array"
    itemsize = spans[found.region].itemsize or found.size
    name, (index, rest) = names[found.region], divmod(found.offset, itemsize)
    if name == "dynamic shared memory":
        return f"byte {found.offset} of {name}"
    count = found.size // itemsize
    return (
        f"{name}[{index}]"
        + (f" to [{index + count - 1}]" if count > 1 else "")
        + (f" and {rest} bytes" if rest else "")
    )


def _bounds(found: _Found, names: list[str], spans: list[_Region]) -> str:
    if found.region < 0:
        return ""
    span = spans[found.region]
    size = span.end - span.begin
    if names[found.region] == "dynamic shared memory":
        return f"; the launch gave it {size} bytes"
    itemsize = span.itemsize or found.size
    return f"; {names[found.region]} has {size // itemsize} elements"
