"""A process that runs a student's code, seen from outside: requests go in, answers come back, limits end it.

Threads read and write, so that a deadline holds on every system, whatever the process does with its pipes.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO

from .endings import Ended, Ending, ending, ending_by_status, in_seconds
from .folders import remove
from .launch import Launch
from .limits import Limits

_CHUNK = 2**16
_KEPT = 2**16  # bytes of what was printed
_GRACE = 1.0  # seconds in which a process that has closed a pipe may end by itself


class Process:
    """A started script: `Sandbox.start` makes it, `close` ends it, as does leaving its `with`.

    It belongs to the thread that started it: under bubblewrap it dies with that thread.
    """

    def __init__(self, launch: Launch, limits: Limits):
        self._launch, self._limits = launch, limits
        self._ending: Ending | None = None
        self._since = time.monotonic()
        self._process = _started(launch)
        # What the threads change, under one lock.
        self._changed = threading.Condition()
        self._written = 0  # requests that the process has taken
        self._answers = bytearray()
        self._answered = 0  # bytes since the last request
        self._tail = bytearray()
        self._printed = 0  # bytes in all
        self._exceeded = ""  # the limit that was hit
        self._broken = False  # whether a pipe was closed at the other end
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._sent = 0
        self._threads = [
            threading.Thread(target=work, args=(pipe,), daemon=True)
            for work, pipe in (
                (self._write_requests, self._process.stdin),
                (self._read_answers, self._process.stdout),
                (self._read_printed, self._process.stderr),
            )
        ]
        for thread in self._threads:
            thread.start()

    def write(self, data: bytes, continues: bool = False) -> None:
        """Send a request; from now on the time for its answer counts, unless it `continues` the one before.

        Raises: Ended if the process is over, or does not take the request in time.
        """
        self._refuse_if_over()
        self._sent += 1
        if not continues:
            self._since = time.monotonic()
            with self._changed:
                self._answered = 0
        self._requests.put(data)
        self._wait(lambda: self._written == self._sent, self._limits.seconds)

    def read(self, count: int, seconds: float | None = None) -> bytes:
        """Exactly `count` bytes from the answers' channel.

        They must be there within `seconds` from now, or else within `limits.seconds` from the last request (before
        the first one: from the start). More than `limits.answer` is refused at once: a length that the student's code
        has announced needs no other check.

        Raises: Ended if the process is over, or a limit was hit, for which it was killed.
        """
        self._refuse_if_over()
        if count > self._limits.answer:
            raise Ended(self._end("answer too large"))
        left = seconds if seconds is not None else self._since + self._limits.seconds - time.monotonic()
        self._wait(lambda: len(self._answers) >= count, left, seconds)
        with self._changed:
            data = bytes(memoryview(self._answers)[:count])
            del self._answers[:count]
        return data

    @property
    def printed(self) -> str:
        """The end of what the student's code has printed, at most 64 KiB; without characters that steer a terminal."""
        with self._changed:
            text = self._tail.decode("utf-8", errors="replace")
        return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)

    def close(self) -> Ending:
        """End the process and all that it has started, remove its folder, and say how it ended."""
        return self._ending or self._end("closed")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_if_over(self) -> None:
        if self._ending is not None:
            raise Ended(self._ending)

    def _wait(self, is_done: Callable[[], bool], left: float, allowed: float | None = None) -> None:
        """Wait until something is done; end the process if it is not, `left` seconds from now or for another reason."""
        with self._changed:
            self._changed.wait_for(lambda: self._exceeded or self._broken or is_done(), max(left, 0.0))
            if is_done() and not self._exceeded:
                return
        raise Ended(self._end("time", in_seconds(self._limits.seconds if allowed is None else allowed)))

    def _end(self, reason: str, detail: str = "") -> Ending:
        """Kill everything, and say why it ended: what happened before the killing counts before `reason`."""
        broken, over = self._broken, self._is_over()
        self._launch.kill(self._process)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass  # the kernel does not let go of it: there is no more to be done
        self._requests.put(None)
        for thread in self._threads:
            thread.join(_GRACE)  # one that something escaped keeps waiting is left to itself
        if self._launch.folder is not None:
            remove(self._launch.folder)
        if self._exceeded:
            self._ending = ending(self._exceeded, self._limits)
        elif over:
            self._ending = ending_by_status(self._status(), self._limits, self.printed)
        elif broken and reason != "closed":
            self._ending = ending("channel closed", self._limits)
        else:
            self._ending = ending(reason, self._limits, detail)
        return self._ending

    def _is_over(self) -> bool:
        """Whether the process has ended by itself; one that has closed its pipes may be about to."""
        if not self._broken or self._exceeded:
            return self._process.poll() is not None
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _status(self) -> int:
        """The exit status, or the negative number of a signal."""
        status = self._process.returncode
        return 128 - status if self._launch.signals_from_128 and 128 < status <= 128 + 64 else status

    # The threads: each closes its own pipe.

    def _write_requests(self, pipe: IO[bytes]) -> None:
        with pipe:
            while (data := self._requests.get()) is not None:
                rest = memoryview(data)
                try:
                    while rest:
                        rest = rest[pipe.write(rest) :]
                except OSError:
                    return self._notify_broken()
                with self._changed:
                    self._written += 1
                    self._changed.notify_all()

    def _read_answers(self, pipe: IO[bytes]) -> None:
        with pipe:
            while chunk := _chunk(pipe):
                with self._changed:
                    self._answers += chunk
                    self._answered += len(chunk)
                    if self._answered > self._limits.answer:
                        self._exceeded = self._exceeded or "answer too large"
                    self._changed.notify_all()
                    if self._exceeded:
                        return
        self._notify_broken()

    def _read_printed(self, pipe: IO[bytes]) -> None:
        with pipe:
            while chunk := _chunk(pipe):
                with self._changed:
                    self._tail += chunk
                    del self._tail[:-_KEPT]
                    self._printed += len(chunk)
                    if self._printed > self._limits.output:
                        self._exceeded = self._exceeded or "output"
                        self._changed.notify_all()
                        return

    def _notify_broken(self) -> None:
        with self._changed:
            self._broken = True
            self._changed.notify_all()


def _started(launch: Launch) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            launch.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=dict(launch.environment),
            cwd=launch.working_folder,
            pass_fds=launch.descriptors,
            start_new_session=os.name == "posix",
        )
    except OSError:
        if launch.folder is not None:
            remove(launch.folder)
        raise
    finally:
        for descriptor in launch.descriptors:
            os.close(descriptor)


def _chunk(pipe: IO[bytes]) -> bytes:
    """What has come; nothing once the other end is closed."""
    try:
        return pipe.read(_CHUNK)
    except OSError:
        return b""
