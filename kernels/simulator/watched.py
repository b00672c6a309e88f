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

from ..signatures import Signature
from .finding import KINDS, Finding
from .module import HERE, LOCK, SimulatedModule, compiler

GUARD = 1 << 20
"""Bytes before and after each array; an access that misses by more is told without the array's name."""

READ, WRITE, ATOMIC, COPY = 1, 2, 4, 8
ALIGNMENT = 256
"""Of memory that a GPU allocates."""
DESTINATION = 1 << 63
"""Marks the program counter of a cp.async where it stands for the write of its destination."""

ORIGIN = (0, 0, 0)
STOPPED = "stopped"
"""What a launch says that a finding has ended."""
NULL_PAGE = 4096
"""No array lies below."""


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
    """A variable of the built library that a kernel can reach.

    Its address is relative: to where thread-local storage begins for one that is `thread_local`, else to the library.
    """

    name: str
    begin: int
    size: int
    is_shared: bool
    is_thread_local: bool


class Region(NamedTuple):
    """Memory that a kernel may touch. `itemsize` is None where the type of the elements is not known."""

    name: str
    begin: int
    size: int
    itemsize: int | None
    is_shared: bool = False
    guarded: bool = True

    def for_the_library(self) -> _Region:
        guard = GUARD if self.guarded and self.itemsize is not None else 0
        end = self.begin + self.size
        return _Region(self.begin, end, self.begin - guard, end + guard, int(self.is_shared), 0)


class _Region(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("begin", "end", "guard_begin", "guard_end")] + [
        ("space", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
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


MAX_FINDINGS, MAX_SITES = 256, 16384  # as in watch.h


class WatchedModule(SimulatedModule):
    """The kernels of one file, watched while they run. Everything else is as in `SimulatedModule`."""

    @property
    def instrumentation(self) -> tuple[str, ...]:  # type: ignore[override]
        """As for ThreadSanitizer and UBSan, whose functions watch.h defines: nothing of theirs is linked.

        Without scalar replacement of aggregates, a float4 is read by one access, as on a GPU.
        """
        checks = "alignment,signed-integer-overflow,shift-exponent,integer-divide-by-zero"
        if "clang" in Path(compiler()).name:
            both = ("-mllvm", "-tsan-instrument-read-before-write=1")  # of "s[i] += x", the read too
            return ("-DCUDA_SIMULATOR_WATCHED", "-O1", f"-fsanitize=thread,array-bounds,{checks}", *both)
        return ("-DCUDA_SIMULATOR_WATCHED", "-O1", "-fno-tree-sra", f"-fsanitize=thread,bounds,{checks}")

    def __init__(self, path: Path, options: Sequence[str] = (), order: str = "forward", seed: int = 1):
        super().__init__(path, options, order, seed)
        self.variables, functions, end = _symbols(Path(self.library._name))
        self.bias = (ctypes.cast(self.library.watch_regions, ctypes.c_void_p).value or 0) - functions["watch_regions"]
        self.image = self.bias, self.bias + end
        self.library.watch_shared.restype = ctypes.c_uint64

    def launch(
        self,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        values: Sequence[Any],
        shared_bytes: int = 0,
        reached: Sequence[np.ndarray] = (),
    ) -> Observation:
        """Run `kernel` as `SimulatedModule.launch` does, and return what was seen.

        What would raise there, a launch outside of CUDA's limits included, is a finding here.
        """
        signature = self._signature(kernel)
        values = signature.bound(values)
        try:
            self._check(kernel, grid, block, shared_bytes)
        except ValueError as error:
            what = str(error).removeprefix(f"{kernel}: ")
            return Observation((Finding("launch", kernel, ORIGIN, ORIGIN, str(self.path), signature.line, what),), {})
        copies = _copied(values)
        moved = [next(c for c in copies if c.holds(v)).moved(v) if isinstance(v, np.ndarray) else v for v in values]
        moved = [np.uintp(0) if v is None else v for v in moved]
        with LOCK:
            spans = self._watch(signature, values, copies, reached, shared_bytes)
            ended = self._run(kernel, grid, block, moved, shared_bytes)
            found, counted = (_Found * MAX_FINDINGS)(), (_Counts * MAX_SITES)()
            seen = found[: self.library.watch_findings(found)]
            counts = counted[: self.library.watch_counts(counted)]
        for copy in copies:
            if any(isinstance(v, np.ndarray) and v.flags.writeable and copy.holds(v) for v in values):
                copy.take_back()
        counters = {f.where for f in seen} | {f.other_where for f in seen} | {c.where for c in counts}
        source = _Source(self.path, Path(self.library._name), self.bias, counters)
        findings = [_finding(kernel, f, spans, source) for f in seen]
        if ended and ended.what != STOPPED:
            findings.append(ended)
        by_line: dict[int, MemoryCounts] = {}
        for c in counts:
            numbers = (c.loads, c.load_sectors, c.stores, c.store_sectors, c.shared, c.wavefronts)
            line = source.line_of_the_file(c.where)
            by_line[line] = by_line.get(line, MemoryCounts()) + MemoryCounts(*numbers)
        return Observation(tuple(dict.fromkeys(findings)), dict(sorted(by_line.items())))

    def _watch(
        self,
        signature: Signature,
        values: Sequence[Any],
        copies: list[_Copy],
        reached: Sequence[np.ndarray],
        shared_bytes: int,
    ) -> list[Region]:
        """Tell the library of all memory that the launch may touch."""
        shared = self.library.watch_shared()
        spans = [Region(_name(c, signature, values), c.begin, c.end - c.begin, c.itemsize) for c in copies]
        for i, array in enumerate(reached):  # where it is, for that is where the addresses point
            low, high = np.lib.array_utils.byte_bounds(array)
            spans.append(Region(f"reached[{i}]", low, high - low, array.itemsize, guarded=False))
        for v in self.variables:
            begin = v.begin + (shared if v.is_thread_local else self.bias)
            spans.append(Region(v.name, begin, v.size, None, v.is_shared))
        spans.append(Region("dynamic shared memory", 0, shared_bytes, 1, True))  # where it lies, the library knows
        table = (_Region * len(spans))(*(span.for_the_library() for span in spans))
        if self.library.watch_regions(table, len(spans), *map(ctypes.c_uint64, self.image)):
            raise ValueError(f"{signature.name}: more arrays and variables than the simulator watches")
        return spans


# ---- arrays between guards -------------------------------------------------------------------------------------------


class _Copy:
    """The bytes from `low` to `high`, which one array spans or several that overlap, copied between guards.

    They lie `offset` bytes past a multiple of 256, as on a GPU, which allocates at such multiples.
    """

    def __init__(self, low: int, high: int, itemsize: int, offset: int):
        self.low, self.high, self.itemsize = low, high, itemsize
        self.bytes = np.empty(high - low + 2 * GUARD + 2 * ALIGNMENT, np.uint8)
        start = self.bytes.ctypes.data + GUARD
        self.begin = start + -start % ALIGNMENT + offset
        self.end = self.begin + high - low
        ctypes.memmove(self.begin, low, high - low)

    def holds(self, array: np.ndarray) -> bool:
        return self.low <= array.ctypes.data < self.high or (self.low == self.high == array.ctypes.data)

    def moved(self, array: np.ndarray) -> np.uintp:
        return np.uintp(array.ctypes.data - self.low + self.begin)

    def take_back(self) -> None:
        ctypes.memmove(self.low, self.begin, self.high - self.low)


def _copied(values: Sequence[Any]) -> list[_Copy]:
    merged: list[_Span] = []
    for span in sorted(_span(v) for v in values if isinstance(v, np.ndarray)):
        if merged and (span.low < merged[-1].high or span[:2] == merged[-1][:2]):
            last = merged[-1]
            merged[-1] = last._replace(high=max(last.high, span.high), itemsize=min(last.itemsize, span.itemsize))
        else:
            merged.append(span)
    return [_Copy(*span) for span in merged]


class _Span(NamedTuple):
    low: int
    high: int
    itemsize: int
    offset: int


def _span(array: np.ndarray) -> _Span:
    low, high = np.lib.array_utils.byte_bounds(array) if array.size else (array.ctypes.data, array.ctypes.data)
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return _Span(low, high, array.itemsize, (low - owner.ctypes.data) % ALIGNMENT)


def _name(copy: _Copy, signature: Signature, values: Sequence[Any]) -> str:
    arrays = [(p.name, v) for p, v in zip(signature.parameters, values, strict=True) if isinstance(v, np.ndarray)]
    return " and ".join(name for name, array in arrays if copy.holds(array))


# ---- the variables and lines of a built library ----------------------------------------------------------------------


def _symbols(library: Path) -> tuple[list[Variable], dict[str, int], int]:
    """The variables of the kernels' source; the addresses of all functions; where the library ends."""
    command = [binutil("nm"), "-S", "-C", "--defined-only", "--format=sysv", str(library)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    variables, functions, end = [], {}, 0
    for line in listed.splitlines():
        name, *columns = (column.strip() for column in line.rsplit("|", 6))
        if len(columns) != 6 or not columns[0]:
            continue
        address, _, type, size, _, section = columns
        begin, size = int(address, 16), int(size or "0", 16)
        if type != "TLS":
            end = max(end, begin + size)
        if type == "FUNC":
            functions[name] = begin
        elif type in ("OBJECT", "TLS") and not re.match(r"simulator::|completed\.|__|guard ", name):
            name = re.sub(r"\.\d+$", "", name.rpartition("::")[2])
            shared = type == "TLS" or section == "simulated_shared"
            variables.append(Variable(name, begin, size, shared, type == "TLS"))
    return variables, functions, end


class _Source:
    """From program counters to lines of source."""

    def __init__(self, path: Path, library: Path, bias: int, counters: set[int]):
        self.path, self.frames = path.resolve(), {}
        counters = {c for c in counters if c}
        if not counters:
            return
        asked = {c: hex((c & ~DESTINATION) - 1 - bias) for c in counters}  # the call, not what follows it
        command = [binutil("addr2line"), "-a", "-i", "-e", str(library), *dict.fromkeys(asked.values())]
        told: dict[int, list[tuple[str, int]]] = {}
        frames: list[tuple[str, int]] = []
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            if line.startswith("0x"):
                frames = told.setdefault(int(line, 16), [])
            else:
                file, _, number = re.sub(r" \(discriminator \d+\)$", "", line).rpartition(":")
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
def binutil(name: str) -> str:
    """A program that reads libraries. Raises RuntimeError without one."""
    for candidate in (name, f"llvm-{name}"):
        if found := shutil.which(candidate):
            return found
    raise RuntimeError(
        f"watching kernels needs {name}. Debian and Ubuntu: apt install binutils; Fedora: dnf install binutils"
    )


# ---- words -----------------------------------------------------------------------------------------------------------


def _finding(kernel: str, found: _Found, spans: list[Region], source: _Source) -> Finding:
    kind, block, thread = KINDS[found.kind], tuple(found.block), tuple(found.thread)
    if found.where == 0:  # UBSan's, with a place and a sentence of its own
        return Finding(kind, kernel, block, thread, found.file.decode(), found.line, found.what.decode())
    file, line = source.place(found.where)
    what = f"{_verb(found.access)} {_element(found, spans)}"
    if kind == "out-of-bounds":
        return Finding(kind, kernel, block, thread, file, line, what + _extent(found, spans))
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


def _element(found: _Found, spans: list[Region]) -> str:
    if found.region < 0:
        return "through a null pointer" if found.address < NULL_PAGE else "at an address far from every array"
    span = spans[found.region]
    itemsize = span.itemsize or found.size
    first, count = found.offset // itemsize, max(found.size // itemsize, 1)
    if itemsize == 1:
        return f"byte {first} of {span.name}" + (f" and {count - 1} more" if count > 1 else "")
    return f"{span.name}[{first}]" + (f" to [{first + count - 1}]" if count > 1 else "")


def _extent(found: _Found, spans: list[Region]) -> str:
    if found.region < 0:
        return ""
    span = spans[found.region]
    itemsize = span.itemsize or found.size
    return f"; there are {span.size // itemsize} {'bytes' if itemsize == 1 else 'elements'}"
