"""Memory that is used again: a fresh large array costs a page fault every 4 KB, more than many kernels cost.

`empty(shape, dtype)` gives an array on a block that another array has left. A block comes back when its last view dies:
the array that it is handed out under is the base of every view, slice, detached value and exported buffer, and only the
death of that base returns the block. So nothing that anyone can still see is ever written over. A step of training asks
for the same sizes again and again, so nearly each request finds a block of its own size.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import math
import mmap
import os
import sys
import threading
import weakref
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SMALLEST = 32 * 1024
"""Below so many bytes NumPy's own allocator does as well."""

PAGE = 4096


class Statistics(NamedTuple):
    """What the pool has done so far, and what it holds."""

    requests: int
    reused: int
    bytes_waiting: int
    """In blocks that wait to be used again."""
    bytes_in_use: int


class Block(NamedTuple):
    """Memory from the operating system."""

    memory: mmap.mmap
    start: int
    """Where arrays begin in it: were it the same place of a page in all, they would meet in the same cache sets."""
    size: int


_starts = itertools.cycle(range(0, PAGE, 5 * 64))


_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
"""Not shared with a forked child, which is what mmap does unless told otherwise."""


def _fresh(size: int) -> Block:
    try:
        memory = mmap.mmap(-1, size + PAGE, **_PRIVATE)
    except OSError as error:
        raise MemoryError(f"memory: {size} bytes expected from the operating system; it says {error}") from None
    if hasattr(mmap, "MADV_HUGEPAGE") and size >= 2**21:
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return Block(memory, next(_starts), size)


class BufferPool:
    """Blocks of memory by size. At most `limit` bytes wait to be used again; what comes back beyond is freed."""

    def __init__(self, limit: int):
        self.limit = limit
        self.waiting: defaultdict[int, list[Block]] = defaultdict(list)
        self.bytes_waiting = 0
        self.bytes_in_use = 0
        self.requests = 0
        self.reused = 0
        self._lent: dict[int, tuple[weakref.ref, Block]] = {}

    def empty(self, shape: tuple[int, ...], dtype: Any, axes: tuple[int, ...] | None = None) -> np.ndarray:
        """An array whose values are whatever was there; in memory its axes follow each other in the order `axes`."""
        dtype = np.dtype(dtype)
        strides = None
        if axes is None:
            size = math.prod(shape) * dtype.itemsize
        else:
            size, outwards = dtype.itemsize, [0] * len(shape)
            for axis in reversed(axes):
                outwards[axis] = size
                size *= shape[axis]
            strides = tuple(outwards)
        if size < SMALLEST:
            return np.ndarray(shape, dtype, strides=strides) if size else np.empty(shape, dtype)
        rounded = -(-size // PAGE) * PAGE
        self.requests += 1
        # pop() may lose a race against another thread, never share a block: no lock is held, because a collected
        # array may come back here in the middle of anything.
        try:
            block = self.waiting[rounded].pop()
            self.bytes_waiting -= rounded
            self.reused += 1
        except IndexError:
            try:
                block = _fresh(rounded)
            except MemoryError:  # what waits in other sizes may make room
                self.clear()
                block = _fresh(rounded)
        self.bytes_in_use += rounded
        # NumPy makes `owner` the base of its views and of theirs, because its own base, a mapping, is no array.
        owner = np.ndarray(shape, dtype, block.memory, block.start, strides)
        key = id(owner)
        self._lent[key] = weakref.ref(owner, lambda _: self._take_back(key)), block
        return owner

    def _take_back(self, key: int) -> None:
        _, block = self._lent.pop(key)
        self.bytes_in_use -= block.size
        if self.bytes_waiting + block.size <= self.limit:
            self.bytes_waiting += block.size
            self.waiting[block.size].append(block)

    def clear(self) -> None:
        """Free the blocks that wait."""
        self.waiting.clear()
        self.bytes_waiting = 0

    def statistics(self) -> Statistics:
        """What the pool has done so far, and what it holds."""
        return Statistics(self.requests, self.reused, self.bytes_waiting, self.bytes_in_use)


def _default_limit() -> int:
    """A quarter of the memory that the process may have, or $MINITORCH_CV_POOL_MB."""
    given = os.environ.get("MINITORCH_CV_POOL_MB", "")
    if given.isdigit():
        return int(given) * 2**20
    if given:
        raise ValueError(f"MINITORCH_CV_POOL_MB expects a whole number; it is {given!r}")
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        available = 8 * 2**30
    with contextlib.suppress(OSError, ValueError):  # a container's limit; "max" where it has none
        available = min(available, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return available // 4


pool = BufferPool(_default_limit())
empty = pool.empty


def _read_pointer(array: np.ndarray) -> int:
    """NumPy's public C structure of an array has the pointer to its numbers first, right behind Python's object."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"address_of: array expects an array; it is a {type(array).__name__}")
    return ctypes.c_ssize_t.from_address(id(array) + object.__basicsize__).value


def _ask_numpy(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _agree() -> bool:
    whole = np.arange(6.0).reshape(2, 3)
    return sys.implementation.name == "cpython" and all(
        _read_pointer(a) == _ask_numpy(a) for a in (whole, whole[1, 1:])
    )


address_of = _read_pointer if _agree() else _ask_numpy
"""Where an array's first number lies. Asking NumPy takes 1 us, ten times as long, and a launch asks five times."""


def channels_last(x: np.ndarray) -> np.ndarray:
    """An (N, C, H, W) array as (N, H, W, C), in one piece: a view where its channels lie last in memory already."""
    moved = x.transpose(0, 2, 3, 1)
    if moved.flags.c_contiguous:
        return moved
    copy = empty(moved.shape, x.dtype)
    np.copyto(copy, moved)
    return copy


def contiguous(x: np.ndarray) -> np.ndarray:
    """`x` in one piece, in the order of its axes."""
    if x.flags.c_contiguous:
        return x
    copy = empty(x.shape, x.dtype)
    np.copyto(copy, x)
    return copy


CHANNELS_LAST = (0, 2, 3, 1)
"""The order of the axes of (N, C, H, W) in memory: the channels of a pixel are neighbours."""


def empty_channels_last(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An (N, C, H, W) array to be filled, with its channels last in memory."""
    return empty(shape, dtype, CHANNELS_LAST)


def order_in_memory(x: np.ndarray) -> tuple[int, ...] | None:
    """The order of the axes of `x` in memory: theirs, or channels last; None where it is neither, or has gaps."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    return CHANNELS_LAST if x.ndim == 4 and x.transpose(CHANNELS_LAST).flags.c_contiguous else None


def layout(x: np.ndarray) -> tuple[int, ...]:
    """`order_in_memory` of an array that is known to have one."""
    axes = order_in_memory(x)
    if axes is None:
        raise ValueError(f"layout: x expects its axes in order or its channels last; its strides are {x.strides}")
    return axes


def in_order(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """`x` with its axes in that order in memory: itself, or a copy."""
    if x.transpose(axes).flags.c_contiguous:
        return x
    copy = empty(x.shape, x.dtype, axes)
    np.copyto(copy, x)
    return copy


class Scratch:
    """Memory of the kernels' own, kept from call to call under a name; its values are whatever was there."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __call__(self, name: str, size: int, dtype: Any) -> np.ndarray:
        held = self._local.__dict__
        found = held.get(name)
        needed = size * np.dtype(dtype).itemsize
        if found is None or found.nbytes < needed:
            block = _fresh(needed)
            found = held[name] = np.ndarray((needed,), np.uint8, block.memory, block.start)
        return found[:needed].view(dtype)


scratch = Scratch()
