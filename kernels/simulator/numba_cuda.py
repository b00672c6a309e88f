"""Runs Numba CUDA kernels on a processor, with neither a GPU nor a driver, and finds their mistakes.

A kernel is run as the Python that it is, with a stand-in for the name `cuda`. The threads of a block are greenlets:
each runs until it comes to a barrier, a collective of its warp, or its end, as on the simulator of CUDA C++
(runtime.h), and what is found is the same (watch.h), but for copies in the background, vectors and undefined
arithmetic, which Numba's kernels have not. Arrays are indexed by whole numbers alone, one for each axis.
"""

from __future__ import annotations

import itertools
import random
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..signatures import MAX_THREADS
from .finding import Finding, Place
from .module import MAX_GRID, MAX_SHARED_BYTES, ORDERS

LANES = 32
ALL_LANES = 0xFFFFFFFF


class Stop(Exception):
    """A mistake after which a launch cannot go on."""


class Index(NamedTuple):
    """threadIdx, blockIdx, blockDim, gridDim."""

    x: int
    y: int
    z: int


class Site(NamedTuple):
    """A line of the kernel's source."""

    file: str
    line: int


class Access(NamedTuple):
    """Who touched an element, and when."""

    block: int
    epoch: int
    time: int
    thread: int
    site: Site
    writes: bool
    atomic: bool


@dataclass
class Thread:
    """One thread of the block that runs."""

    number: int
    index: Index
    greenlet: Any
    state: str = "ready"  # or "at barrier", "at collective"
    site: Site | None = None
    mask: int = 0
    collective: str = ""
    value: Any = None
    source: int = 0
    result: Any = None
    clock: dict[int, int] = field(default_factory=dict)  # what it knows of its warp's lanes
    fenced: bool = False

    @property
    def lane(self) -> int:
        return self.number % LANES


class Watched:
    """An array that a kernel sees: whole indices only, each access checked for its bounds and its order."""

    def __init__(self, launch: _Launch, name: str, data: np.ndarray, is_shared: bool = False, is_private: bool = False):
        self._launch, self._name, self._data = launch, name, data
        self._is_shared, self._is_private = is_shared, is_private
        self._written: set[int] = set()
        self._accesses: dict[int, list[Access]] = {}
        self.shape, self.size, self.ndim, self.dtype = data.shape, data.size, data.ndim, data.dtype

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        return self._data[self._touched(index, writes=False)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._data[self._touched(index, writes=True)] = value

    def _touched(self, index: Any, writes: bool, atomic: bool = False, depth: int = 2) -> tuple[int, ...]:
        launch, site = self._launch, _site(depth + 1)
        place = tuple(index) if isinstance(index, tuple) else (index,)
        if len(place) != self.ndim or any(isinstance(i, slice) for i in place):
            raise TypeError(f"{site.file}:{site.line}: {self._name} expects {self.ndim} whole indices; it is {index!r}")
        verb = "atomically changes" if atomic else "writes" if writes else "reads"
        element = f"{self._name}[{', '.join(str(int(i)) for i in place)}]"
        if any(not 0 <= i < n for i, n in zip(place, self.shape)):
            launch.find("out-of-bounds", site, f"{verb} {element}; the shape is {self.shape}")
            raise Stop
        if not self._is_private:
            flat = int(np.ravel_multi_index(place, self.shape))
            launch.order_access(self, flat, element, Access(*launch.now(), site, writes, atomic))
        return tuple(int(i) for i in place)


class _Launch:
    """The state of a launch."""

    def __init__(self, kernel: str, grid: Sequence[int], block: Sequence[int]):
        self.kernel = kernel
        self.grid, self.block = Index(*(*grid, 1, 1)[:3]), Index(*(*block, 1, 1)[:3])
        self.thread_count = self.block.x * self.block.y * self.block.z
        self.findings: dict[tuple, Finding] = {}
        self.block_number, self.block_index, self.epoch = 0, Index(0, 0, 0), 0
        self.current: Thread = None  # type: ignore[assignment]
        self.threads: list[Thread] = []
        self.shared: dict[tuple, Watched] = {}
        self.suspects: list[tuple[Watched, int, str, Site, Thread]] = []  # reads of what nobody has written yet
        self.released: dict[tuple, list[tuple[int, int, int]]] = {}  # by a fence and an atomic on an element
        self.acquired: list[tuple[tuple[int, int, int], int, int]] = []

    def find(self, kind: str, site: Site, what: str, thread: Thread | None = None, other: Access | None = None) -> None:
        """Note a finding, once for its two places."""
        place = (thread or self.current).index
        other_line = other.site.line if other else None
        key = kind, site, other_line
        met = _place(self.place(other.thread)) if other else None
        block = _place(self.block_index)
        told = Finding(kind, self.kernel, block, _place(place), site.file, site.line, what, met, other_line)
        self.findings.setdefault(key, told)

    def place(self, number: int) -> Index:
        x, y, _ = self.block
        return Index(number % x, number // x % y, number // (x * y))

    def now(self) -> tuple[int, int, int, int]:
        thread = self.current
        return self.block_number, self.epoch, thread.clock[thread.lane], thread.number

    def is_ordered(self, before: Access) -> bool:
        """Whether everything says that `before` came first, and not chance."""
        thread = self.current
        if before.block == self.block_number:
            if before.thread == thread.number or before.epoch < self.epoch:
                return True
            same_warp = before.thread // LANES == thread.number // LANES
            if same_warp and thread.clock.get(before.thread % LANES, 0) >= before.time:
                return True
        for (block, epoch, number), at, by in self.acquired:
            if (at < self.epoch or by == thread.number) and block == before.block:
                if before.epoch < epoch or (before.epoch == epoch and before.thread == number):
                    return True
        return False

    def order_access(self, array: Watched, flat: int, element: str, now: Access) -> None:
        """Tell a race with what was done before to the same element, and remember this access."""
        if array._is_shared and not now.writes and flat not in array._written:
            self.suspects.append((array, flat, element, now.site, self.current))
        if now.writes:
            array._written.add(flat)
        kept = []
        for before in array._accesses.get(flat, ()):
            ordered = self.is_ordered(before)
            if (before.writes or now.writes) and not (before.atomic and now.atomic) and not ordered:
                verb = "atomically changes" if now.atomic else "writes" if now.writes else "reads"
                did = "changed atomically" if before.atomic else "wrote" if before.writes else "read"
                at = f"{did} at line {before.site.line}"
                if before.block == self.block_number:
                    other = f"thread {_place(self.place(before.thread))} {at}: no barrier lies between"
                else:
                    other = f"another block {at}: nothing orders the two blocks"
                what = f"{verb} {element}, which {other}"
                self.find("race", now.site, what, other=before)
            replaced = ordered and (now.writes or not before.writes) and (now.atomic or not before.atomic)
            if not replaced:
                kept.append(before)
        array._accesses[flat] = [*kept[-7:], now]
        if now.writes and not now.atomic and not array._is_shared:
            self.current.fenced = False

    def tell_suspects(self) -> None:
        """What is unwritten at a barrier was read unwritten; what was written meanwhile is a race, and told so."""
        for array, flat, element, site, thread in self.suspects:
            if flat not in array._written:
                self.find(
                    "uninitialised-read", site, f"reads {element}, which no thread of this block has written", thread
                )
        self.suspects.clear()

    def synchronised(self, array: Watched, flat: int) -> None:
        """An atomic on an element: takes over what others released there, and releases after a fence."""
        key = id(array), flat
        for released in self.released.get(key, ()):
            self.acquired.append((released, self.epoch, self.current.number))
        if self.current.fenced:
            self.released.setdefault(key, []).append((self.block_number, self.epoch, self.current.number))


def _place(index: Index) -> Place:
    return index.x, index.y, index.z


def _site(depth: int) -> Site:
    frame = sys._getframe(depth)
    return Site(frame.f_code.co_filename, frame.f_lineno)


class _Atomic:
    """cuda.atomic: a thread is never interrupted within one."""

    def __init__(self, launch: _Launch):
        self._launch = launch

    def _change(self, array: Watched, index: Any, change: Callable[[Any], Any]) -> Any:
        place = array._touched(index, writes=True, atomic=True, depth=3)
        self._launch.synchronised(array, int(np.ravel_multi_index(place, array.shape)))
        old = array._data[place]
        array._data[place] = change(old)
        return old

    def add(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: old + value)

    def max(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: max(old, value))

    def min(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: min(old, value))

    def exch(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: value)

    def cas(self, array: Watched, index: Any, expected: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: value if old == expected else old)


class _Arrays:
    """cuda.shared or cuda.local."""

    def __init__(self, launch: _Launch, is_shared: bool, dynamic_bytes: int = 0):
        self._launch, self._is_shared, self._dynamic_bytes = launch, is_shared, dynamic_bytes

    def array(self, shape: Any, dtype: Any) -> Watched:
        """An array of a thread; or of the block, one for each place of the source where it is asked for."""
        kind = np.dtype(getattr(dtype, "name", None) or dtype)
        if not self._is_shared:
            return Watched(self._launch, "a local array", _unwritten(shape, kind), is_private=True)
        frame = sys._getframe(1)
        key = frame.f_code, frame.f_lasti
        if key not in self._launch.shared:
            shape = self._dynamic_bytes // kind.itemsize if shape == 0 else shape
            name = "dynamic shared memory" if shape == 0 else "shared memory"
            self._launch.shared[key] = Watched(self._launch, name, _unwritten(shape, kind), is_shared=True)
        return self._launch.shared[key]


def _unwritten(shape: Any, dtype: np.dtype) -> np.ndarray:
    worst = np.nan if dtype.kind in "fc" else np.iinfo(dtype).max if dtype.kind in "iu" else True
    return np.full(shape, worst, dtype)


class Cuda:
    """Stands for the name `cuda` in a kernel."""

    warpsize = LANES

    def __init__(self, launch: _Launch, switch: Callable[[], None], dynamic_bytes: int):
        self._launch, self._switch = launch, switch
        self.blockDim, self.gridDim = launch.block, launch.grid
        self.shared, self.local = _Arrays(launch, True, dynamic_bytes), _Arrays(launch, False)
        self.atomic = _Atomic(launch)

    @property
    def threadIdx(self) -> Index:
        return self._launch.current.index

    @property
    def blockIdx(self) -> Index:
        return self._launch.block_index

    @property
    def laneid(self) -> int:
        return self._launch.current.lane

    def grid(self, axes: int) -> Any:
        places = [b * n + t for b, n, t in zip(self.blockIdx, self.blockDim, self.threadIdx)]
        return places[0] if axes == 1 else tuple(places[:axes])

    def gridsize(self, axes: int) -> Any:
        sizes = [b * n for b, n in zip(self.gridDim, self.blockDim)]
        return sizes[0] if axes == 1 else tuple(sizes[:axes])

    def threadfence(self) -> None:
        self._launch.current.fenced = True

    def threadfence_block(self) -> None: ...

    def syncthreads(self) -> None:
        thread = self._launch.current
        thread.state, thread.site = "at barrier", _site(2)
        self._switch()

    def syncwarp(self, mask: int = ALL_LANES) -> None:
        self._collective("syncwarp", mask)

    def shfl_sync(self, mask: int, value: Any, lane: int) -> Any:
        return self._collective("shuffle", mask, value, int(lane) % LANES)

    def shfl_up_sync(self, mask: int, value: Any, delta: int) -> Any:
        own = self._launch.current.lane
        return self._collective("shuffle", mask, value, own - delta if own >= delta else own)

    def shfl_down_sync(self, mask: int, value: Any, delta: int) -> Any:
        own = self._launch.current.lane
        return self._collective("shuffle", mask, value, own + delta if own + delta < LANES else own)

    def shfl_xor_sync(self, mask: int, value: Any, bits: int) -> Any:
        return self._collective("shuffle", mask, value, self._launch.current.lane ^ bits)

    def ballot_sync(self, mask: int, predicate: Any) -> Any:
        return self._collective("vote", mask, bool(predicate))

    def any_sync(self, mask: int, predicate: Any) -> bool:
        return self._collective("vote", mask, bool(predicate)) != 0

    def all_sync(self, mask: int, predicate: Any) -> bool:
        return self._collective("vote", mask, not predicate) == 0

    def _collective(self, kind: str, mask: int, value: Any = None, source: int = 0) -> Any:
        thread = self._launch.current
        thread.state, thread.site = "at collective", _site(3)
        thread.collective, thread.mask, thread.value, thread.source = kind, int(mask) & ALL_LANES, value, source
        if not thread.mask >> thread.lane & 1:
            self._launch.find("warp-collective", thread.site, "a lane is not in the mask that it passes")
            raise Stop
        self._switch()
        return thread.result


def simulate(
    kernel: Any,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    *arguments: Any,
    shared_bytes: int = 0,
    order: str = "forward",
    seed: int = 1,
) -> tuple[Finding, ...]:
    """Run a Numba CUDA kernel on NumPy arrays, which it changes as it would a GPU's; return what is found.

    kernel: a function under `@cuda.jit`, or a plain one that uses the name `cuda`; order: in which the threads of a
    block take turns, one of ORDERS; seed: of the random order. After a mistake with which a GPU could not go on, the
    launch has ended early.

    Raises ImportError without the package greenlet; ValueError for an order that does not exist.
    """
    try:
        from greenlet import getcurrent, greenlet
    except ImportError as error:
        raise ImportError("the simulator of Numba's kernels needs greenlet: pip install greenlet") from error
    if order not in ORDERS:
        raise ValueError(f"simulate: order expects one of {', '.join(ORDERS)}; it is {order!r}")
    function = getattr(kernel, "py_func", kernel)
    grid, block = ((n,) if isinstance(n, int) else tuple(n) for n in (grid, block))
    launch = _Launch(function.__name__, grid, block)
    refused = _refused(launch, shared_bytes)
    if refused:
        site = Site(function.__code__.co_filename, function.__code__.co_firstlineno)
        return (Finding("launch", launch.kernel, (0, 0, 0), (0, 0, 0), *site, refused),)
    scheduler = getcurrent()
    stand_in = Cuda(launch, lambda: scheduler.switch(), shared_bytes)
    body = _with_stand_in(function, stand_in, {})
    names = function.__code__.co_varnames
    given = [
        Watched(launch, name, value) if isinstance(value, np.ndarray) else value
        for name, value in zip(names, arguments)
    ]
    draw = random.Random(seed)
    blocks = [Index(x, y, z) for z, y, x in itertools.product(*map(range, reversed(launch.grid)))]
    try:
        for launch.block_index in reversed(blocks) if order == "reverse" else blocks:
            x, y, z = launch.block_index
            launch.block_number = 1 + x + launch.grid.x * (y + launch.grid.y * z)
            _run_block(launch, lambda: greenlet(lambda: body(*given)), order, draw)
    except Stop:
        pass
    return tuple(launch.findings.values())


def _refused(launch: _Launch, shared_bytes: int) -> str | None:
    if not 1 <= launch.thread_count <= MAX_THREADS or launch.block.z > 64:
        return f"block expects 1 to {MAX_THREADS} threads, 64 at most along z; it is {list(launch.block)}"
    if any(not 1 <= n <= limit for n, limit in zip(launch.grid, MAX_GRID)):
        return f"grid expects 1 to {MAX_GRID} blocks; it is {list(launch.grid)}"
    if not 0 <= shared_bytes <= MAX_SHARED_BYTES:
        return f"shared_bytes expects 0 to {MAX_SHARED_BYTES}; it is {shared_bytes}"
    return None


def _with_stand_in(function: Any, stand_in: Cuda, made: dict[Any, Any]) -> Any:
    """The function, and the device functions that it calls, with another meaning of `cuda`."""
    if function not in made:
        names = dict(function.__globals__)
        code = function.__code__
        made[function] = types.FunctionType(code, names, code.co_name, function.__defaults__, function.__closure__)
        for name in code.co_names:
            if name == "cuda":
                names[name] = stand_in
            elif hasattr(names.get(name), "py_func"):
                names[name] = _with_stand_in(names[name].py_func, stand_in, made)
    return made[function]


def _run_block(launch: _Launch, start: Callable[[], Any], order: str, draw: random.Random) -> None:
    launch.epoch, launch.acquired = 1, []
    launch.shared.clear()
    launch.threads = [Thread(n, launch.place(n), start(), clock={n % LANES: 1}) for n in range(launch.thread_count)]
    alive = list(launch.threads)
    while alive:
        turn = list(alive)
        if order == "reverse":
            turn.reverse()
        elif order == "random":
            draw.shuffle(turn)
        for thread in turn:
            if thread.state == "ready":
                launch.current = thread
                thread.greenlet.switch()
        alive = [thread for thread in alive if not thread.greenlet.dead]
        if alive and not _serve_collectives(launch, alive):
            _pass_barrier(launch, alive)
    launch.tell_suspects()


def _serve_collectives(launch: _Launch, alive: list[Thread]) -> bool:
    """Lets the lanes go on whose collective is complete; whether there were any."""
    served = False
    waiting = {thread.number: thread for thread in alive if thread.state == "at collective"}
    while waiting:
        thread = waiting[min(waiting)]
        first = thread.number - thread.lane
        wanted = [first + lane for lane in range(LANES) if thread.mask >> lane & 1]
        missing = [n for n in wanted if n >= launch.thread_count]
        if missing and thread.mask != ALL_LANES:
            launch.find("warp-collective", _site_of(thread), "a mask names a lane that does not exist", thread)
            raise Stop
        group = [waiting.get(n) for n in wanted if n < launch.thread_count]
        if any(other is None for other in group):
            for n in wanted:
                waiting.pop(n, None)
            continue
        lanes = [other for other in group if other is not None]
        for other in lanes:
            if (other.mask, other.collective, other.site) != (thread.mask, thread.collective, thread.site):
                what = "lanes of one mask are at different warp collectives"
                launch.find("warp-collective", _site_of(other), what, other)
                raise Stop
        _serve(launch, thread.collective, lanes)
        for other in lanes:
            other.state = "ready"
            del waiting[other.number]
        served = True
    return served


def _serve(launch: _Launch, collective: str, lanes: list[Thread]) -> None:
    by_lane = {thread.lane: thread for thread in lanes}
    if collective == "syncwarp":
        joined: dict[int, int] = {}
        for thread in lanes:
            for lane, time in thread.clock.items():
                joined[lane] = max(time, joined.get(lane, 0))
        for thread in lanes:
            thread.clock = {**joined, thread.lane: joined[thread.lane] + 1}
    elif collective == "vote":
        votes = np.uint32(sum(1 << lane for lane, thread in by_lane.items() if thread.value))
        for thread in lanes:
            thread.result = votes
    else:
        for thread in lanes:
            if thread.source not in by_lane:
                what = f"a shuffle reads from lane {thread.source}, which is not in the mask"
                launch.find("warp-collective", _site_of(thread), what, thread)
                raise Stop
            thread.result = by_lane[thread.source].value


def _pass_barrier(launch: _Launch, alive: list[Thread]) -> None:
    first = alive[0]
    for thread in alive:
        if thread.state == "at collective":
            what = "a warp collective waits for a lane that does not come"
            launch.find("warp-collective", _site_of(thread), what, thread)
            raise Stop
        if thread.site != first.site:
            what = "threads of a block are at different syncthreads()"
            launch.find("divergent-barrier", _site_of(thread), what, thread)
            raise Stop
    if len(alive) < launch.thread_count:
        what = "syncthreads() is not reached by every thread of the block"
        launch.find("divergent-barrier", _site_of(first), what, first)
        raise Stop
    launch.tell_suspects()
    launch.epoch += 1
    for thread in alive:
        thread.state = "ready"


def _site_of(thread: Thread) -> Site:
    return thread.site or Site("", 0)
