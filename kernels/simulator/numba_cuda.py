"""Runs Numba CUDA kernels on a processor, with neither a GPU nor a driver, and finds their mistakes.

A kernel is run as the Python that it is, with a stand-in for the name `cuda`. The threads of a block are greenlets:
each runs until it comes to a barrier, a collective of its warp, or its end, as on the simulator of CUDA C++
(runtime.h), and what is found is the same (watch.h), but for copies in the background and vectors, which
Numba's kernels have not, and of undefined arithmetic the division by zero alone. Arrays are indexed by whole numbers
alone, one for each axis.
"""

from __future__ import annotations

import itertools
import operator
import random
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..signatures import MAX_THREADS
from .finding import Finding, Place
from .module import MAX_GRID, MAX_SHARED_BYTES, ORDERS

LANES = 32
STATIC_SHARED_BYTES = 48 << 10
"""What a kernel may declare; more it is given at its launch."""
KEPT = 8
"""Accesses of an element that are remembered; more of them race with the same lines, as a rule."""
DID = {"reads": "read", "writes": "wrote", "atomically changes": "changed atomically"}
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
    did: str  # read, wrote, changed atomically


class Fenced(NamedTuple):
    """What a fence covers: all that came in earlier epochs, and what each of the threads did up to a time."""

    epoch: int = 0
    times: dict[int, int] = {}

    def joined(self, others: Iterable[Fenced]) -> Fenced:
        epoch, times = self.epoch, dict(self.times)
        for other in others:
            epoch = max(epoch, other.epoch)
            for number, time in other.times.items():
                times[number] = max(time, times.get(number, 0))
        return Fenced(epoch, times)

    def covers(self, access: Access) -> bool:
        return access.epoch < self.epoch or access.time <= self.times.get(access.thread, 0)


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
    fenced: Fenced = field(default_factory=Fenced)

    @property
    def lane(self) -> int:
        return self.number % LANES


class Memory:
    """Who touched what, by address: of all arrays on the GPU together, or of a block's own."""

    def __init__(self, is_shared: bool = False):
        self.is_shared = is_shared
        self.written: set[int] = set()
        self.reads: dict[int, list[Access]] = {}
        self.writes: dict[int, list[Access]] = {}
        self.atomics: dict[int, list[Access]] = {}

    def forget(self) -> None:
        """Behind a barrier of the only block that sees it, everything before is in order."""
        self.reads.clear()
        self.writes.clear()
        self.atomics.clear()


class Watched:
    """An array that a kernel sees: whole indices only, each access checked for its bounds and its order.

    Whole numbers are handed out as Python's, since Numba widens them before it computes: two bytes add up to 400.
    """

    def __init__(self, launch: _Launch, name: str, data: np.ndarray, memory: Memory | None = None):
        self._launch, self._name, self._data, self._memory = launch, name, data, memory
        self._first, self._is_whole = data.ctypes.data, data.dtype.kind in "iu"
        self.shape, self.size, self.ndim, self.dtype = data.shape, data.size, data.ndim, data.dtype

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        place, _ = self._touched(index, "reads")
        return self._data.item(place) if self._is_whole else self._data[place]

    def __setitem__(self, index: Any, value: Any) -> None:
        place, _ = self._touched(index, "writes")
        self._store(place, value)

    def _store(self, place: tuple[int, ...], value: Any) -> None:
        if self._is_whole:
            bits = 8 * self.dtype.itemsize
            value = int(value) & ((1 << bits) - 1)  # the low bits, as a GPU stores them
            if self.dtype.kind == "i" and value >> (bits - 1):
                value -= 1 << bits
        self._data[place] = value

    def _touched(self, index: Any, verb: str, depth: int = 2) -> tuple[tuple[int, ...], int]:
        """Where an index lies: as whole numbers, and as an address."""
        site = _site(depth + 1)
        try:
            place = tuple(map(operator.index, index)) if isinstance(index, tuple) else (operator.index(index),)
        except TypeError:
            place = ()
        if len(place) != self.ndim:
            raise TypeError(f"{site.file}:{site.line}: {self._name} expects {self.ndim} whole indices; it is {index!r}")
        address = self._first
        for i, n, stride in zip(place, self.shape, self._data.strides):
            if not 0 <= i < n:
                what = f"{verb} {self._element(place)}; the shape is {self.shape}"
                self._launch.find("out-of-bounds", site, what)
                raise Stop
            address += i * stride
        if self._memory is not None:
            self._launch.order_access(self, place, address, verb, site)
        return place, address

    def _element(self, place: tuple[int, ...]) -> str:
        return f"{self._name}[{', '.join(map(str, place))}]"


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
        self.memory = Memory()  # of all arguments: two of them may be one array
        self.shared: dict[tuple, Watched] = {}
        self.dynamic: Memory | None = None
        self.dynamic_data = np.empty(0)
        self.suspects: list[tuple[Watched, tuple[int, ...], int, Access]] = []  # reads of what is yet unwritten
        self.fenced = Fenced()  # by all threads, before the last barrier
        self.released: dict[int, list[tuple[int, Fenced]]] = {}  # by a block, with an atomic on an address
        self.acquired: list[tuple[int, Fenced, int, set[int]]] = []  # in an epoch, by threads

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

    def is_ordered(self, before: Access) -> bool:
        """Whether everything says that `before` came first, and not chance."""
        thread = self.current
        if before.block == self.block_number:
            if before.thread == thread.number or before.epoch < self.epoch:
                return True
            same_warp = before.thread // LANES == thread.number // LANES
            if same_warp and thread.clock.get(before.thread % LANES, 0) >= before.time:
                return True
        return any(
            block == before.block and fenced.covers(before) and (epoch < self.epoch or thread.number in by)
            for block, fenced, epoch, by in self.acquired
        )

    def order_access(self, array: Watched, place: tuple[int, ...], address: int, verb: str, site: Site) -> None:
        """Tell a race with what was done before at the same address, and remember this access."""
        memory, thread = array._memory, self.current
        assert memory is not None
        now = Access(self.block_number, self.epoch, thread.clock[thread.lane], thread.number, site, DID[verb])
        if memory.is_shared and verb != "writes" and address not in memory.written:
            self.suspects.append((array, place, address, now))
        if verb == "reads":
            own, against = memory.reads, (memory.writes, memory.atomics)
        elif verb == "writes":
            own, against = memory.writes, (memory.reads, memory.writes, memory.atomics)
            self.tell_suspects(before_a_write_to=(memory, address))
            memory.written.add(address)
        else:
            own, against = memory.atomics, (memory.reads, memory.writes)
        for history in against:
            earlier = history.get(address)
            if earlier:
                unordered = [before for before in earlier if not self.is_ordered(before)]
                for before in unordered:
                    self.tell_race(array._element(place), verb, site, before)
                if verb == "writes":
                    history[address] = unordered  # what is ordered before this write is before all behind it
        known = own.get(address)
        if not known:
            own[address] = [now]
        elif known[-1].thread == now.thread and known[-1].block == now.block:
            known[-1] = now
        else:
            known.append(now)
            del known[:-KEPT]

    def tell_race(self, element: str, verb: str, site: Site, before: Access) -> None:
        at = f"{before.did} at line {before.site.line}"
        if before.block == self.block_number:
            other = f"thread {_place(self.place(before.thread))} {at}: no barrier lies between"
        else:
            other = f"another block {at}: nothing orders the two blocks"
        self.find("race", site, f"{verb} {element}, which {other}", other=before)

    def tell_suspects(self, before_a_write_to: tuple[Memory, int] | None = None) -> None:
        """What is unwritten at a barrier was read unwritten, and so was what a write behind the read comes to.

        What a thread writes that nothing puts behind the read is a race, and told so.
        """
        kept = []
        for suspect in self.suspects:
            array, place, address, access = suspect
            memory = array._memory
            assert memory is not None
            if before_a_write_to and not (before_a_write_to == (memory, address) and self.is_ordered(access)):
                kept.append(suspect)
            elif address not in memory.written:
                what = f"reads {array._element(place)}, which no thread of this block has written"
                self.find("uninitialised-read", access.site, what, self.threads[access.thread])
                memory.written.add(address)  # told once
        self.suspects = kept

    def pass_barrier(self) -> None:
        self.tell_suspects()
        self.fenced = self.fenced.joined(thread.fenced for thread in self.threads if thread.fenced.epoch == self.epoch)
        self.epoch += 1
        for array in self.shared.values():
            if array._memory is not None:
                array._memory.forget()

    def synchronised(self, address: int) -> None:
        """An atomic at an address: takes over what others released there, and releases after a fence."""
        thread = self.current
        for block, fenced in self.released.get(address, ()):
            self.acquired.append((block, fenced, self.epoch, {thread.number}))
        fenced = thread.fenced.joined([self.fenced])
        if fenced.epoch:
            self.released.setdefault(address, []).append((self.block_number, fenced))

    def fence(self) -> None:
        thread = self.current
        first = thread.number - thread.lane
        thread.fenced = Fenced(self.epoch, {first + lane: time for lane, time in thread.clock.items()})
        thread.clock[thread.lane] += 1  # what follows is not behind the fence


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
        place, address = array._touched(index, "atomically changes", depth=3)
        if array._memory is self._launch.memory:
            self._launch.synchronised(address)
        old = array._data.item(place) if array._is_whole else array._data[place]
        array._store(place, change(old))
        return old

    def add(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: old + value)

    def sub(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: old - value)

    def and_(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: old & value)

    def or_(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: old | value)

    def xor(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: old ^ value)

    def max(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: max(old, value))

    def min(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: min(old, value))

    def exch(self, array: Watched, index: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: value)

    def cas(self, array: Watched, index: Any, expected: Any, value: Any) -> Any:
        return self._change(array, index, lambda old: value if old == expected else old)


def _unsigned(bits: int) -> int:
    """Of a negative number the width would matter, which Python's have not."""
    if bits < 0:
        raise ValueError(f"the simulator counts the bits of numbers from 0 on; it is {bits}")
    return int(bits)


class _Arrays:
    """cuda.shared or cuda.local."""

    def __init__(self, launch: _Launch, is_shared: bool, dynamic_bytes: int = 0):
        self._launch, self._is_shared, self._dynamic_bytes = launch, is_shared, dynamic_bytes

    def array(self, shape: Any, dtype: Any) -> Watched:
        """An array of a thread; or of the block, one for each place of the source where it is asked for."""
        launch, kind = self._launch, np.dtype(getattr(dtype, "name", None) or dtype)
        if not self._is_shared:
            return Watched(launch, "a local array", _unwritten(shape, kind))
        frame = sys._getframe(1)
        key = frame.f_code, frame.f_lasti
        if key not in launch.shared:
            launch.shared[key] = self._dynamic(kind) if shape == 0 else self._static(shape, kind)
        return launch.shared[key]

    def _static(self, shape: Any, kind: np.dtype) -> Watched:
        launch, data = self._launch, _unwritten(shape, kind)
        declared = data.nbytes + sum(
            array._data.nbytes for array in launch.shared.values() if array._memory is not launch.dynamic
        )
        if declared > STATIC_SHARED_BYTES:
            what = f"shared arrays expect {STATIC_SHARED_BYTES} bytes at most, beside dynamic ones; they are {declared}"
            launch.find("launch", _site(3), what)
            raise Stop
        return Watched(launch, "shared memory", data, Memory(is_shared=True))

    def _dynamic(self, kind: np.dtype) -> Watched:
        """All dynamic arrays of a block begin at the same place, as on a GPU."""
        launch, count = self._launch, self._dynamic_bytes // kind.itemsize
        if launch.dynamic is None:
            launch.dynamic = Memory(is_shared=True)
            launch.dynamic_data = _unwritten(self._dynamic_bytes // 8 + 1, np.dtype(np.float64))
        data = launch.dynamic_data.view(kind)[:count]
        return Watched(launch, "dynamic shared memory", data, launch.dynamic)


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
        self._launch.fence()

    def threadfence_block(self) -> None: ...

    def syncthreads(self) -> None:
        self._barrier()

    def syncthreads_count(self, predicate: Any) -> int:
        return self._barrier(predicate)

    def syncthreads_and(self, predicate: Any) -> int:
        return int(self._barrier(predicate) == self._launch.thread_count)

    def syncthreads_or(self, predicate: Any) -> int:
        return int(self._barrier(predicate) > 0)

    def _barrier(self, predicate: Any = False) -> int:
        thread = self._launch.current
        thread.state, thread.site, thread.value = "at barrier", _site(3), bool(predicate)
        self._switch()
        return thread.result

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

    def popc(self, bits: int) -> int:
        return _unsigned(bits).bit_count()

    def ffs(self, bits: int) -> int:
        return (_unsigned(bits) & -_unsigned(bits)).bit_length()

    def __getattr__(self, name: str) -> Any:
        known = sorted(n for n in {*dir(type(self)), *vars(self)} if not n.startswith("_"))
        raise AttributeError(f"the simulator does not know cuda.{name}; it knows {', '.join(known)}")

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

    Raises ImportError without the package greenlet; ValueError for an order that does not exist; TypeError for
    arguments that are no arrays or numbers, and for an index that is no whole number.
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
    given = _given(launch, function, arguments)
    draw = random.Random(seed)
    blocks = [Index(x, y, z) for z, y, x in itertools.product(*map(range, reversed(launch.grid)))]
    try:
        for launch.block_index in reversed(blocks) if order == "reverse" else blocks:
            x, y, z = launch.block_index
            launch.block_number = 1 + x + launch.grid.x * (y + launch.grid.y * z)
            _run_block(launch, lambda: greenlet(lambda: _run_thread(launch, body, given)), order, draw)
    except Stop:
        pass
    return tuple(launch.findings.values())


def _given(launch: _Launch, function: Any, arguments: Sequence[Any]) -> list[Any]:
    """The arguments as the kernel sees them."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    if len(arguments) != len(names):
        expected = f"{len(names)} arguments, {', '.join(names)}"
        raise TypeError(f"simulate: {launch.kernel} expects {expected}; there are {len(arguments)}")
    given = []
    for name, value in zip(names, arguments):
        if not isinstance(value, np.ndarray | np.generic | int | float | complex):
            raise TypeError(f"simulate: {name} expects a NumPy array or a number; it is a {type(value).__name__}")
        given.append(Watched(launch, name, value, launch.memory) if isinstance(value, np.ndarray) else value)
    return given


def _run_thread(launch: _Launch, body: Any, given: Sequence[Any]) -> None:
    """Runs a thread to its end. Numbers overflow in silence, as on a GPU; a greenlet has no errstate but its own."""
    try:
        with np.errstate(all="ignore"):
            body(*given)
    except ZeroDivisionError as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        if trace:
            site = Site(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            launch.find("undefined-arithmetic", site, "divides by zero")
        raise Stop from None


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

    def meaning(value: Any) -> Any:
        if isinstance(value, types.ModuleType) and value.__name__ == "numba.cuda":
            return stand_in
        return _with_stand_in(value.py_func, stand_in, made) if hasattr(value, "py_func") else value

    if function not in made:
        code, names, enclosed = function.__code__, dict(function.__globals__), function.__closure__ or ()
        cells = tuple(types.CellType() for _ in enclosed)
        made[function] = types.FunctionType(code, names, code.co_name, function.__defaults__, cells)
        for name in code.co_names:
            if name in names:
                names[name] = meaning(names[name])
        for cell, original in zip(cells, enclosed):
            cell.cell_contents = meaning(original.cell_contents)
        if "cuda" in code.co_names:
            names["cuda"] = stand_in  # where Numba is missing too
    return made[function]


def _run_block(launch: _Launch, start: Callable[[], Any], order: str, draw: random.Random) -> None:
    launch.epoch, launch.fenced, launch.acquired = 1, Fenced(), []
    launch.shared.clear()
    launch.dynamic = None
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
        lanes = [other for other in group if other is not None and _are_together(thread, other)]
        if len(lanes) < len(group):  # the others may have a collective of their own to come before this one
            del waiting[thread.number]
            continue
        _serve(launch, thread.collective, lanes)
        for other in lanes:
            other.state = "ready"
            del waiting[other.number]
        served = True
    return served


def _are_together(one: Thread, other: Thread) -> bool:
    return (one.mask, one.collective, one.site) == (other.mask, other.collective, other.site)


def _serve(launch: _Launch, collective: str, lanes: list[Thread]) -> None:
    by_lane = {thread.lane: thread for thread in lanes}
    if collective == "syncwarp":
        joined: dict[int, int] = {}
        for thread in lanes:
            for lane, time in thread.clock.items():
                joined[lane] = max(time, joined.get(lane, 0))
        fenced = Fenced().joined(thread.fenced for thread in lanes)
        for thread in lanes:
            thread.clock = {**joined, thread.lane: joined[thread.lane] + 1}
            thread.fenced = fenced
        met = {thread.number for thread in lanes}
        for _, _, epoch, by in launch.acquired:
            if epoch == launch.epoch and by & met:
                by |= met
    elif collective == "vote":
        votes = sum(1 << lane for lane, thread in by_lane.items() if thread.value)
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
            for other in alive:
                same_warp = other.number // LANES == thread.number // LANES
                named = same_warp and thread.mask >> other.lane & 1
                if named and other.state == "at collective" and not _are_together(thread, other):
                    what = "lanes of one mask are at different warp collectives"
                    launch.find("warp-collective", _site_of(other), what, other)
                    raise Stop
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
    launch.pass_barrier()
    count = sum(thread.value for thread in alive)
    for thread in alive:
        thread.state, thread.result = "ready", count


def _site_of(thread: Thread) -> Site:
    return thread.site or Site("", 0)
