"""Functions of ours that a student's code calls: they run in a process of their own, as they compute with whatever
numbers come, and may need any memory and any time.
"""

from __future__ import annotations

import atexit
import inspect
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minitorch_cv.course.sandbox.limits import MIB

MOST_SECONDS, MOST_MEMORY = 2.0, 2048 * MIB
"""Of a call; the memory is that of the process's addresses, where the system knows such a limit."""
MOST_NUMBERS = 4_096
"""Among the arguments of a call."""


class NotCalled(Exception):
    """Why a function gives no value, the same whatever function stands behind its name."""


@dataclass(frozen=True)
class LimitedFunction:
    """A function that a check of an exercise hands to the student's test.

    file: the exercise's; check: the name of its check; name: that of the right function; fault: what is planted in it,
    if anything; seed: that of its secret term. It is called here for the exercise's own code, `apart` for a student's.
    """

    file: str
    check: str
    name: str
    fault: str
    seed: int

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return _functions(self)[-1](*self._bound(arguments, named))

    def apart(self, arguments: tuple, named: dict[str, Any]) -> Any:
        """The value, computed in the process for it.

        Raises NotCalled.
        """
        arguments = self._bound(arguments, named)
        for value in arguments:
            if not isinstance(value, (np.ndarray, np.number, bool, int, float, complex)):
                raise NotCalled(f"{self.name} expects arrays of numbers; came a {type(value).__name__}")
            if np.asarray(value).dtype.kind not in "biufc":
                raise NotCalled(f"{self.name} expects arrays of numbers; came one of {np.asarray(value).dtype}")
        if (count := sum(np.size(value) for value in arguments)) > MOST_NUMBERS:
            raise NotCalled(
                f"{self.name} expects at most {MOST_NUMBERS:,} numbers in all; came {count:,}: smaller arrays will do"
            )
        return _process().call(self, arguments)

    def _bound(self, arguments: tuple, named: dict[str, Any]) -> tuple:
        """The arguments in order, by the signature of the right function: a wrong one says nothing of its own."""
        signature = inspect.signature(getattr(_exercise(self.file).reference, self.name))
        try:
            return signature.bind(*arguments, **named).args
        except TypeError:
            raise NotCalled(f"{self.name} is called as {self.name}{signature}") from None


class _Process:
    """Computes until it is ended; after a call that needs too much it is begun anew."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        # A new process runs the program of the old one again, which may be anybody's script: this one needs none of it.
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            self._process.start()
        finally:
            sys.modules["__main__"] = main
        other.close()
        self._pipe.recv()  # it is there: what it takes to start counts for no call

    def call(self, function: LimitedFunction, arguments: tuple) -> Any:
        told = ", ".join(f"{np.shape(value)} {np.asarray(value).dtype}" for value in arguments)
        try:
            self._pipe.send((function, arguments))
            is_there = self._pipe.poll(MOST_SECONDS)
            value, error = self._pipe.recv() if is_there else (None, "time")
        except (EOFError, OSError):
            is_there, value, error = False, None, "memory"
        if not is_there:
            self.end()
            _process.cache_clear()
        if error in ("time", "memory"):
            raise NotCalled(f"{function.name} needs more {error} than a test may use: {told}")
        if error:
            raise NotCalled(f"{function.name} cannot be called with {told}")
        return value

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


@lru_cache(maxsize=1)
def _process() -> _Process:
    process = _Process()
    atexit.register(process.end)
    return process


def _serve(pipe: Connection) -> None:
    """In the process: one call after the other, under limits."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    except (ImportError, ValueError):
        pass  # Windows knows none; there nobody grades
    pipe.send("ready")
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            with np.errstate(all="ignore"):
                # The right one first: what it cannot be called with no other is called with.
                values = [one(*arguments) for one in _functions(function)]
            answer = values[-1], ""
        except MemoryError:
            answer = None, "memory"
        except Exception:
            answer = None, "arguments"
        try:
            pipe.send(answer)
        except MemoryError:
            pipe.send((None, "memory"))


@lru_cache(maxsize=16)
def _exercise(file: str) -> Any:
    from minitorch_cv.course.exercise import Exercise

    return Exercise(Path(file))


@lru_cache(maxsize=1024)
def _functions(which: LimitedFunction) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The right function, and the one that is meant."""
    exercise = _exercise(which.file)
    (check,) = (check for check in exercise.checks if check.function == which.check)
    right = check.given(exercise.reference, which.name, "", which.seed)
    return right, check.given(exercise.reference, which.name, which.fault, which.seed)
