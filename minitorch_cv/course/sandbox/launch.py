"""What is started, and how it is ended: what the three strengths have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .limits import Limits


class Unavailable(Exception):
    """There is no sandbox as it was asked for, and grading refuses; the message says why, and what mends it."""


class Launch(NamedTuple):
    """A program ready to be started."""

    command: list[str]
    environment: Mapping[str, str]
    kill: Callable[[subprocess.Popen[bytes]], None]
    """Ends the program and all that it has started."""
    folder: Path | None = None
    """A private folder on disk, removed at the end."""
    working_folder: Path | None = None
    signals_from_128: bool = False
    """Whether the program ends with 128 + n where signal n has ended the script."""
    descriptors: tuple[int, ...] = ()
    """Open files that the program inherits; closed here once it runs."""


CONFINE = Path(__file__).with_name("confine.py")

PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
"""The interpreter itself, outside of every virtual environment."""

# No site-packages and nothing from the folder of the script. Not -I: it would ignore PYTHONHASHSEED.
FLAGS = ["-s", "-S", "-B", *(["-P"] if sys.version_info >= (3, 11) else [])]


PROGRAMS = "/usr/bin"
COMPILER = (PROGRAMS, "/usr/lib/gcc", "/usr/libexec", "/usr/include")
"""Where a C++ compiler lies, with what it starts and reads, besides shared libraries."""


def environment(temporary: str | Path, compiler: bool = False) -> dict[str, str]:
    """All that a confined program finds in its environment."""
    # Where an interpreter lies outside of the system's folders it may find its own library by this.
    libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {
        **libraries,
        **({"PATH": PROGRAMS} if compiler else {}),
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        # The order of a set is the same in every run.
        "PYTHONHASHSEED": "0",
        # Threads count as processes, and each takes its share of memory.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def confined(
    command: list[str],
    limits: Limits,
    *,
    other_tasks: int,
    user: int | None,
    confine: str | Path = CONFINE,
    no_new_privileges: bool = False,
) -> list[str]:
    """The command that takes on limits, and a user id, and then becomes `command`.

    `other_tasks`: how many processes and threads of the same user count with the sandbox's own. `confine`: where
    confine.py lies for it. `no_new_privileges`: rule out sudo and its like (Linux; bubblewrap does by itself).
    """
    settings = {
        "AS": limits.memory,
        "CPU": int(-(-limits.processor_seconds // 1)) + 1,
        "NPROC": limits.processes + other_tasks,
        "FSIZE": limits.file_size,
        "NOFILE": 64,
        "CORE": 0,
        "MSGQUEUE": 0,
    }
    if user is not None:
        settings["user"] = user
    if no_new_privileges:
        settings["no_new_privileges"] = 1
    arguments = [f"{name}={value}" for name, value in settings.items()]
    return [str(PYTHON), "-I", "-S", "-B", str(confine), *arguments, "--", *command]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the hand-in's files, read-only."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)


def check_names(names: Iterable[str]) -> None:
    """Refuse names of files or packages that lead out of the folder that will hold them.

    Raises: ValueError.
    """
    for name in names:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
            raise ValueError(f"sandbox: expects names below a folder; one is {name!r}")
