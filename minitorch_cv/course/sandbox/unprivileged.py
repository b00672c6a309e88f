"""User ids without rights, for processes that are started as root: root is bound by no limit on processes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_WORKERS = 64
# Of no account: above those that Debian allocates, below those of containers; where a container has fewer ids, the
# range that systemd leaves unused. https://systemd.io/UIDS-GIDS/
_WIDE, _NARROW = (65536, 524288), (60578, 61184)


def is_root() -> bool:
    """Whether this process has root's rights."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def free_user(worker: int) -> int:
    """The id of a user that has no process: limits on processes count by user, over the whole machine.

    Drawn at random, for other containers share the machine's ids; from a range that is the worker's own.
    """
    first, end = _WIDE if _is_mapped(_WIDE[1] - 1) else _NARROW
    width = (end - first) // _WORKERS
    return first + worker % _WORKERS * width + secrets.randbelow(width)


def tasks_of(user: int) -> int:
    """How many processes and threads a user has (Linux)."""
    count = 0
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if status(int(process.name))["Uid"].split()[0] == str(user):
                    count += len(os.listdir(process / "task"))
            except OSError:
                continue  # it has ended meanwhile
    return count


def status(process: int) -> dict[str, str]:
    """What the kernel says of a process (Linux). The owner of /proc/<pid> would not do: a process may hide behind root.

    Raises: OSError once the process is gone.
    """
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def is_reachable(path: Path) -> bool:
    """Whether a user without rights can reach and read a file: every folder above it lets others through."""
    if os.name != "posix":
        return True
    path = path.resolve()
    return bool(path.stat().st_mode & 0o004) and all(folder.stat().st_mode & 0o001 for folder in path.parents)


def _is_mapped(user: int) -> bool:
    """Whether this container has the user id at all."""
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(int(first) <= user < int(first) + int(count) for first, _, count in map(str.split, lines))
