"""One pool of threads for all kernels: each does its own share of the tasks, and then what is left of the others'.

A kernel is launched with some number of tasks. Each thread, the calling one and the workers, owns an equal range of
them and draws its numbers from a counter in memory; when its own are done it draws from the next thread's. So the load
is even, and yet a thread meets the same part of an array in launch after launch, where its own cache still holds it.
Measured on the step of a small VAE: 3.7 ms, where one counter for all takes between 3.7 and 5.9, by how far apart the
two cores happen to be.

A worker that finds nothing to do watches for the next launch for a fraction of a millisecond (in a training step the
next one is that near: a launch then costs 1 us), and after that sleeps without using the processor. Everything between
two sleeps is machine code, written here in LLVM's language, that runs without Python's lock.

What a task computes does not depend on the thread that takes it, so results do not depend on who was faster. A launch
from a second thread, while the pool is taken, is done by that thread alone: nothing waits, nothing can deadlock.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import queue
import threading
from typing import Any

from llvmlite import ir

from .blas import hold_blas_to_one_thread, release_blas
from .compiler import INT64, load, native
from .machine import cores

LINE = 128
"""Bytes between two numbers that several threads change, so that they are never on one cache line."""

# The pool's memory, each number on a line of its own: LAUNCH counts the launches; FUNCTION and ARGUMENTS are what a
# task calls, TASKS how many there are; ACTIVE counts the threads that may hold one, SLEEPING those that must be woken,
# OWED those of them whose alarm did not ring yet, THREADS all; from LEFT on, for each thread, how many of its tasks
# nobody has taken.
LAUNCH, FUNCTION, ARGUMENTS, TASKS, ACTIVE, SLEEPING, OWED, THREADS, LEFT = range(0, 9 * LINE, LINE)

WATCHES = 1000
"""How often a worker looks for a launch before it sleeps: some 0.3 ms."""


class _Writer:
    """The few instructions of which the pool's machine code is made."""

    def __init__(self, module: ir.Module, name: str, result: ir.Type, parameters: int):
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(result, [INT64] * parameters), name)
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.pool = self.function.args[0]

    def number(self, value: int) -> ir.Constant:
        return ir.Constant(INT64, value)

    def place(self, offset: int) -> ir.Value:
        return self.build.inttoptr(self.build.add(self.pool, self.number(offset)), INT64.as_pointer())

    def get(self, offset: int) -> ir.Value:
        return self.build.load_atomic(self.place(offset), "seq_cst", 8)

    def put(self, offset: int, value: ir.Value) -> None:
        self.build.store_atomic(value, self.place(offset), "seq_cst", 8)

    def add(self, offset: int, value: int) -> ir.Value:
        """Add, and give the value before."""
        return self.build.atomic_rmw("add", self.place(offset), self.number(value), "seq_cst")

    def block(self, name: str) -> ir.Block:
        return self.function.append_basic_block(name)

    def breathe(self) -> None:
        """Wait for a moment; whoever else wants this core gets it, another library's threads for example."""
        processor = platform.machine().lower()
        if processor in ("x86_64", "amd64"):
            pause = self.module.declare_intrinsic("llvm.x86.sse2.pause", (), ir.FunctionType(ir.VoidType(), []))
            self.build.call(pause, [])
        elif processor in ("aarch64", "arm64"):
            hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            self.build.call(self.module.declare_intrinsic("llvm.aarch64.hint", (), hint), [ir.IntType(32)(1)])
        name = "SwitchToThread" if os.name == "nt" else "sched_yield"
        give_way = self.module.globals.get(name)
        if give_way is None:
            give_way = ir.Function(self.module, ir.FunctionType(ir.IntType(32), []), name)
        self.build.call(give_way, [])

    def left(self, thread: ir.Value) -> ir.Value:
        """Where it stands how many of a thread's tasks nobody has taken."""
        offset = self.build.add(self.build.mul(thread, self.number(LINE)), self.number(LEFT))
        return self.build.inttoptr(self.build.add(self.pool, offset), INT64.as_pointer())

    def first_task(self, thread: ir.Value) -> ir.Value:
        """Where a thread's range of tasks begins: thread TASKS / THREADS."""
        return self.build.sdiv(self.build.mul(thread, self.get(TASKS)), self.get(THREADS))

    def draw_tasks(self, worker: ir.Value, then: ir.Block) -> None:
        """Take tasks and call the launched function for each, until there are no more: first one's own."""
        build, start = self.build, self.build.block
        draw, work, exhausted = self.block("draw"), self.block("work"), self.block("exhausted")
        build.branch(draw)
        build.position_at_end(draw)
        owner, visited = build.phi(INT64), build.phi(INT64)
        left = build.atomic_rmw("add", self.left(owner), self.number(-1), "seq_cst")
        build.cbranch(build.icmp_signed(">", left, self.number(0)), work, exhausted)

        build.position_at_end(work)
        task = build.sub(self.first_task(build.add(owner, self.number(1))), left)
        kind = ir.FunctionType(ir.VoidType(), [INT64] * 3).as_pointer()
        build.call(build.inttoptr(self.get(FUNCTION), kind), [task, worker, self.get(ARGUMENTS)])
        build.branch(draw)

        build.position_at_end(exhausted)
        following = build.add(owner, self.number(1))
        is_last = build.icmp_signed("==", following, self.get(THREADS))
        following = build.select(is_last, self.number(0), following)
        seen = build.add(visited, self.number(1))
        build.cbranch(build.icmp_signed("<", seen, self.get(THREADS)), draw, then)

        for value, *cases in ((owner, worker, owner, following), (visited, self.number(0), visited, seen)):
            for case, block in zip(cases, (start, work, exhausted), strict=True):
                value.add_incoming(case, block)
        build.position_at_end(then)

    def finish(self) -> None:
        """Take tasks as thread 0, and wait for the workers that still hold one."""
        wait, idle, done = self.block("wait"), self.block("idle"), self.block("done")
        self.draw_tasks(self.number(0), wait)
        self.build.cbranch(self.build.icmp_signed("==", self.get(ACTIVE), self.number(0)), done, idle)
        self.build.position_at_end(idle)
        self.breathe()
        self.build.branch(wait)
        self.build.position_at_end(done)


def _launch_module(symbol: str) -> str:
    """launch(pool, function, arguments, tasks): let the workers begin that are awake, and finish with them; 0 then.

    Where some sleep it returns at once how many: they are to be woken, and `finish` to be called.
    What is LEFT is written last, and alone decides who has a task: a worker that comes late from the launch before
    finds none, or takes one of this launch, of which it then knows everything.
    """
    module = ir.Module()
    write = _Writer(module, symbol, INT64, 4)
    _, function, arguments, tasks = write.function.args
    build, entry, share, shared = write.build, write.build.block, write.block("share"), write.block("shared")
    write.put(FUNCTION, function)
    write.put(ARGUMENTS, arguments)
    write.put(TASKS, tasks)
    build.branch(share)
    build.position_at_end(share)
    thread = build.phi(INT64)
    following = build.add(thread, write.number(1))
    size = build.sub(write.first_task(following), write.first_task(thread))
    build.store_atomic(size, write.left(thread), "seq_cst", 8)
    thread.add_incoming(write.number(0), entry)
    thread.add_incoming(following, share)
    build.cbranch(build.icmp_signed("<", following, write.get(THREADS)), share, shared)

    build.position_at_end(shared)
    write.add(LAUNCH, 1)
    sleepers = build.atomic_rmw("xchg", write.place(SLEEPING), write.number(0), "seq_cst")
    owed = build.add(write.get(OWED), sleepers)
    write.put(OWED, owed)
    all_awake, some_sleep = write.block("all_awake"), write.block("some_sleep")
    build.cbranch(build.icmp_signed("==", owed, write.number(0)), all_awake, some_sleep)
    build.position_at_end(some_sleep)
    build.ret(owed)
    build.position_at_end(all_awake)
    write.finish()
    build.ret(write.number(0))
    return str(module)


def _finish_module(symbol: str) -> str:
    """finish(pool): take tasks until none is left, and wait for the workers that still hold one."""
    module = ir.Module()
    write = _Writer(module, symbol, ir.VoidType(), 1)
    write.finish()
    write.build.ret_void()
    return str(module)


def _work_module(symbol: str) -> str:
    """work(pool, worker, seen, watches): take part in each launch after number `seen`; return when none came for long.

    A worker counts itself ACTIVE before it draws a task, and the launching thread waits until nobody is. So nobody
    computes after a launch has ended.
    """
    module = ir.Module()
    write = _Writer(module, symbol, INT64, 4)
    _, worker, seen_before, watches = write.function.args
    build = write.build
    entry, watch, join, left = build.block, write.block("watch"), write.block("join"), write.block("left")
    again, lie_down, awake, sleep = (write.block(n) for n in ("again", "lie_down", "awake", "sleep"))
    build.branch(watch)
    build.position_at_end(watch)
    seen, watched = build.phi(INT64), build.phi(INT64)
    seen.add_incoming(seen_before, entry)
    watched.add_incoming(write.number(0), entry)
    launch = write.get(LAUNCH)
    build.cbranch(build.icmp_signed("!=", launch, seen), join, again)

    build.position_at_end(again)
    write.breathe()
    more = build.add(watched, write.number(1))
    seen.add_incoming(seen, again)
    watched.add_incoming(more, again)
    build.cbranch(build.icmp_signed("<", more, watches), watch, lie_down)

    build.position_at_end(join)
    write.add(ACTIVE, 1)
    write.draw_tasks(worker, left)
    write.add(ACTIVE, -1)
    seen.add_incoming(launch, left)
    watched.add_incoming(write.number(0), left)
    build.branch(watch)

    # Said that it sleeps, it looks once more: a launch just before would not have known of it.
    build.position_at_end(lie_down)
    write.add(SLEEPING, 1)
    build.cbranch(build.icmp_signed("!=", write.get(LAUNCH), seen), awake, sleep)
    build.position_at_end(awake)
    sleeping = write.get(SLEEPING)
    try_to_rise = write.block("try_to_rise")
    build.cbranch(build.icmp_signed("==", sleeping, write.number(0)), sleep, try_to_rise)
    build.position_at_end(try_to_rise)
    fewer = build.sub(sleeping, write.number(1))
    pair = build.cmpxchg(write.place(SLEEPING), sleeping, fewer, "seq_cst", "seq_cst")
    seen.add_incoming(seen, try_to_rise)
    watched.add_incoming(write.number(0), try_to_rise)
    build.cbranch(build.extract_value(pair, 1), watch, awake)
    build.position_at_end(sleep)
    build.ret(seen)
    return str(module)


@functools.cache
def _machine_code() -> tuple[Any, Any, Any]:
    """launch, finish and work, loaded once for all pools."""
    number = ctypes.c_int64
    return (
        native(load("threads.launch", _launch_module), number, number, number, ctypes.c_char_p, number),
        native(load("threads.finish", _finish_module), None, number),
        native(load("threads.work", _work_module), number, number, number, number, number),
    )


class Pool:
    """`threads - 1` workers and whoever launches."""

    def __init__(self, threads: int):
        self.threads = threads
        if threads > 1:
            hold_blas_to_one_thread()
        self._memory = ctypes.create_string_buffer(LEFT + (threads + 1) * LINE)
        self._address = -(-ctypes.addressof(self._memory) // LINE) * LINE
        ctypes.c_int64.from_address(self._address + THREADS).value = threads
        self._owed = ctypes.c_int64.from_address(self._address + OWED)
        self._taken = threading.Lock()
        self._alarm: queue.SimpleQueue[None] = queue.SimpleQueue()  # written in C: no interrupt leaves it half done
        self._running = True
        self._launch, self._finish, self._work = _machine_code()
        for worker in range(1, threads):
            threading.Thread(target=self._serve, args=(worker,), daemon=True, name=f"kernels-{worker}").start()

    def _serve(self, worker: int) -> None:
        seen = 0
        while self._running:
            seen = self._work(self._address, worker, seen, WATCHES)
            self._alarm.get()

    def run(self, function: int, arguments: bytes, tasks: int) -> None:
        """Call function(task, worker, arguments) for every task."""
        if tasks > 1 and self.threads > 1 and not self._taken.locked():
            with self._taken:  # an interrupt cannot come between its being taken and its being given back
                finished = False
                try:
                    owed = self._launch(self._address, function, arguments, tasks)
                    finished = not owed
                    if owed:
                        for _ in range(owed):
                            self._alarm.put(None)
                        self._owed.value = 0  # afterwards: an alarm too many costs a glance, one too few a worker
                finally:  # whatever interrupts it: workers may be writing into the caller's arrays
                    if not finished:
                        self._finish(self._address)
        else:
            single = _alone(function)
            for task in range(tasks):
                single(task, 0, arguments)

    def close(self) -> None:
        """Let the workers end."""
        self._running = False
        with self._taken:
            for _ in range(self.threads):
                self._alarm.put(None)


_as_function: dict[int, Any] = {}


def _alone(function: int) -> Any:
    found = _as_function.get(function)
    if found is None:
        found = _as_function[function] = native(function, None, ctypes.c_int64, ctypes.c_int64, ctypes.c_char_p)
    return found


_pool: Pool | None = None
_making = threading.Lock()


def pool() -> Pool:
    """The pool, made when first needed."""
    global _pool
    if _pool is None:
        with _making:
            if _pool is None:
                _pool = Pool(cores())
    return _pool


def run(function: int, arguments: bytes, tasks: int) -> None:
    """Call the machine code function(task, worker, arguments) for every task, in all threads."""
    pool().run(function, arguments, tasks)


def get_num_threads() -> int:
    """How many threads compute."""
    return _pool.threads if _pool is not None else cores()


def set_num_threads(threads: int) -> None:
    """Compute with so many threads from now on; not to be called while another thread computes.

    Raises TypeError for what is no whole number, ValueError unless at least one.
    """
    global _pool
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"set_num_threads: threads expects a whole number; it is {threads!r}")
    if threads < 1:
        raise ValueError(f"set_num_threads: threads expects a number >= 1; it is {threads}")
    before, _pool = _pool, Pool(threads)
    if before is not None:
        before.close()
    if threads == 1:
        release_blas()


def _after_fork() -> None:
    """A forked child has none of the workers."""
    global _pool, _making
    _pool, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
