"""What is started, and how it is ended: what the three strengths have in common."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .limits import Limits


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


def environment(temporary: str | Path) -> dict[str, str]:
    """All that a confined program finds in its environment."""
    return {
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
    command: list[str], limits: Limits, *, other_tasks: int, user: int | None, confine: str = str(CONFINE)
) -> list[str]:
    """The command that takes on limits, and a user id, and then becomes `command`.

    `other_tasks`: how many processes and threads of the same user count with the sandbox's own. `confine`: where
    confine.py lies for it.
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
    arguments = [f"{name}={value}" for name, value in settings.items()]
    return [str(PYTHON), "-I", "-S", "-B", confine, *arguments, "--", *command]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the hand-in's files, read-only."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)


def check_names(files: Mapping[str, bytes]) -> None:
    """Refuse names that lead out of the folder of files.

    Raises: ValueError.
    """
    for name in files:
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
            raise ValueError(f"sandbox: files expects names below its folder; one is {name!r}")
