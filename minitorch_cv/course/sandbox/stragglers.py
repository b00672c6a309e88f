"""Ending whatever a program has left behind, where no namespace does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .unprivileged import status

MARK = "MINITORCH_CV_SANDBOX"
"""A variable in the environment by which descendants are known, however often they fork; its value is unique."""


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and what still belongs to its group, or on Windows to its tree."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS refuses a group of nothing but zombies
        process.kill()


def kill_all_of(user: int) -> None:
    """End every process of a user (Linux, as root)."""
    _kill_until_none(lambda process: status(process)["Uid"].split()[0] == str(user))


def kill_all_marked(mark: str) -> None:
    """End every process with this mark in its environment (Linux). One that hides its environment escapes."""
    if sys.platform == "linux":
        marked = f"{MARK}={mark}".encode()
        _kill_until_none(lambda process: marked in Path(f"/proc/{process}/environ").read_bytes())


def _kill_until_none(is_meant: Callable[[int], bool], seconds: float = 5.0) -> None:
    """End processes until none is left: while one list is read, those that it lacks may fork again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = [process for process in _living() if _holds(is_meant, process)]
        if not found:
            return
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.002)


def _living() -> list[int]:
    processes = (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())
    return [process for process in processes if _holds(lambda number: status(number)["State"][0] not in "ZX", process)]


def _holds(predicate: Callable[[int], bool], process: int) -> bool:
    try:
        return predicate(process)
    except (OSError, KeyError):  # it has ended meanwhile, or is another user's
        return False
