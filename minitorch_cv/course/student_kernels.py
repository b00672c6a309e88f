"""A student's kernels as the judge sees them: launched in a process of their own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minitorch_cv._files import written_whole
from minitorch_cv.course.kernel_source import as_written
from minitorch_cv.course.runner.kernel_file import MOST_FINDINGS, MOST_TEXT, KernelFile
from minitorch_cv.course.runner.message import MessageError
from minitorch_cv.course.student import Conversation, Failed, Pipe
from minitorch_cv.kernels.cache import trusted_folder
from minitorch_cv.kernels.simulator.finding import KINDS
from minitorch_cv.kernels.simulator.harness import Launch
from minitorch_cv.kernels.simulator.watched import MemoryCounts

COMPILER_SECONDS = 60.0
"""One file takes about a second; several graders at a time on a slow machine take a multiple."""


class Found(NamedTuple):
    """A mistake that the simulator found. The other line is a race's second party."""

    kind: str
    line: int
    other_line: int | None
    what: str
    block: tuple[int, ...] | None
    thread: tuple[int, ...] | None


class Observed(NamedTuple):
    """A launch in one order of threads: the arguments after it, what was found, and its requests of memory."""

    arguments: tuple[Any, ...]
    findings: tuple[Found, ...]
    counts: MemoryCounts


class StudentKernels:
    """The kernels of a student's file. Each launch goes to the process and waits for the answer.

    Raises, at every launch: Failed, where it cannot be launched; MessageError, for an answer that is none; and whatever
    the pipe raises where the process has ended.
    """

    def __init__(self, pipe: Pipe):
        self._conversation = Conversation(pipe)

    def begin(self) -> None:
        """Waits until the process is ready to load a file: an ending before is no fault of the student's."""
        self._conversation.answer()

    def load(self, file: str, granted: Sequence[str] = ()) -> None:
        """Compiles the file. Nothing can be granted to it."""
        self._ask({"load": file}, seconds=COMPILER_SECONDS)

    def launch(self, launch: Launch, order: str) -> Observed:
        """Launches a kernel with copies of the arguments."""
        return _observed(self._ask({"launch": launch.kernel, **_how(launch, order)}), launch)

    def _ask(self, request: dict[str, Any], seconds: float | None = None) -> Any:
        """The answer; where it failed, in the words that the student wrote."""
        try:
            return self._conversation.ask(request, seconds)
        except Failed as failure:
            raise Failed(failure.kind, as_written(failure.text), failure.line) from None


class OwnKernels:
    """Kernels of ours, launched in this process."""

    def __init__(self, path: Path):
        self._file = KernelFile(path)

    def launch(self, launch: Launch, order: str) -> Observed:
        """Launches a kernel with copies of the arguments."""
        return _observed(self._file.launch(launch.kernel, **_how(launch, order)), launch)


def own_kernels(name: str, text: str) -> OwnKernels:
    """Kernels of ours, compiled; they are kept in the cache, and compiled once for all processes."""
    folder = trusted_folder("course")
    if folder is None:
        with tempfile.TemporaryDirectory() as private:
            path = Path(private) / name
            path.write_text(text, encoding="utf-8")
            return OwnKernels(path)
    stem, _, ending = name.partition(".")
    path = folder / f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.{ending}"
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return OwnKernels(path)


def _how(launch: Launch, order: str) -> dict[str, Any]:
    return {
        "grid": launch.grid,
        "block": launch.block,
        "arguments": launch.arguments,
        "shared_bytes": launch.shared_bytes,
        "order": order,
    }


def _observed(answer: Any, launch: Launch) -> Observed:
    """The answer, of which nothing is believed before it is looked at."""
    try:
        arguments, findings = tuple(answer["arguments"]), tuple(answer["findings"])
        if len(arguments) != len(launch.arguments) or len(findings) > MOST_FINDINGS:
            raise ValueError
        for given, came in zip(launch.arguments, arguments):
            if isinstance(given, np.ndarray) and (came.dtype, came.shape) != (given.dtype, given.shape):
                raise ValueError
        counts = MemoryCounts(**{name: int(count) for name, count in answer["counts"].items()})
        return Observed(arguments, tuple(map(_found, findings)), counts)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise MessageError("an answer came that is no answer") from None


def _found(given: Any) -> Found:
    kind, what = given["kind"], given["what"]
    if kind not in KINDS or not isinstance(what, str):
        raise ValueError
    other_line = given["other_line"]
    return Found(
        kind,
        int(given["line"]),
        None if other_line is None else int(other_line),
        as_written("".join(c if c.isprintable() else " " for c in what[:MOST_TEXT])),
        _place(given["block"]),
        _place(given["thread"]),
    )


def _place(given: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if given is None else tuple(int(number) for number in given[:3])
