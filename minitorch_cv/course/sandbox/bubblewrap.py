"""The strongest sandbox: bubblewrap, with namespaces of its own for files, processes, network and the rest.

Inside there is the interpreter with its standard library, the granted packages, the script and the hand-in's files,
all read-only, and an empty folder in memory to write to; https://github.com/containers/bubblewrap.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import system_calls
from .launch import CONFINE, FLAGS, PYTHON, Launch, confined, environment
from .limits import Limits
from .unprivileged import free_user, is_root, tasks_of

CONFINE_INSIDE, RUNNER, FILES, PACKAGES, TEMPORARY = "/confine.py", "/runner", "/hand-in", "/packages", "/tmp"


def missing() -> str:
    """Why bubblewrap cannot be used here, and what mends it; empty if it may be tried."""
    if sys.platform != "linux":
        return "bubblewrap exists for Linux only"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap)"
    if not system_calls.known():
        return f"the filter of system calls knows x86_64 and aarch64; this is {platform.machine()}"
    return ""


def launch(
    script: Path, files: Mapping[str, bytes], packages: Mapping[str, Path], limits: Limits, worker: int
) -> Launch:
    """The script inside of bubblewrap."""
    information, info_descriptor = os.pipe()
    os.set_blocking(information, False)
    contents = {name: _in_memory(content) for name, content in files.items()}
    calls = _in_memory(system_calls.refusing_filter())
    inside = f"{RUNNER}/{script.name}"
    command = [str(PYTHON), *FLAGS, inside, FILES, PACKAGES]
    # As root bubblewrap reaches folders that others may not enter, and the id of a user is taken on inside. For an
    # ordinary user it makes a user namespace, in which its own first process counts as the student's.
    user = free_user(worker) if is_root() else None
    others = 0 if user is not None else 1 if _counts_by_namespace() else tasks_of(os.getuid()) + 2
    confining = confined(command, limits, other_tasks=others, user=user, confine=CONFINE_INSIDE)
    arguments = [
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
        *([] if user is not None else ["--unshare-user"]),
        *("--die-with-parent", "--hostname", "sandbox", "--cap-drop", "ALL"),
        *(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if user is not None else []),
        # First of all: what else lies below /tmp outside comes to lie on it.
        *("--perms", "1777", "--size", str(limits.file_size), "--tmpfs", TEMPORARY),
        *_system(),
        *("--proc", "/proc"),
        *(argument for name in ("null", "zero", "random", "urandom") for argument in _device(f"/dev/{name}")),
        *_folders_above(inside, f"{PACKAGES}/any", f"{FILES}/any", *(f"{FILES}/{name}" for name in files)),
        *("--ro-bind", str(CONFINE), CONFINE_INSIDE, "--ro-bind", str(script), inside),
        *(part for name, path in packages.items() for part in ("--ro-bind", str(path), f"{PACKAGES}/{name}")),
        *(
            part
            for name, content in contents.items()
            for part in ("--perms", "0444", "--ro-bind-data", str(content), f"{FILES}/{name}")
        ),
        *("--remount-ro", "/", "--chdir", TEMPORARY),
        *("--seccomp", str(calls), "--info-fd", str(info_descriptor)),
    ]

    def kill(process: subprocess.Popen[bytes]) -> None:
        """End the first process of the namespace: the kernel ends all others with it, before it is gone itself."""
        if process.poll() is not None:
            os.close(information)
            return
        try:
            first = json.loads(os.read(information, 4096))["child-pid"]
            os.kill(first, signal.SIGKILL)
            process.wait(10)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            process.kill()
        finally:
            os.close(information)

    return Launch(
        [str(shutil.which("bwrap")), *arguments, "--", *confining],
        environment(TEMPORARY),
        kill,
        signals_from_128=True,
        descriptors=(info_descriptor, calls, *contents.values()),
    )


def _system() -> Iterator[str]:
    """Shared libraries and the standard library at their own places, every folder of installed packages left out."""
    candidates = [Path("/usr/lib"), Path("/usr/lib64"), Path(sys.base_prefix, "lib"), Path(sys.base_prefix, "lib64")]
    libraries = list(dict.fromkeys(folder for folder in candidates if folder.is_dir() and not folder.is_symlink()))
    yield from _folders_above(*libraries, PYTHON)
    for path in (*libraries, PYTHON):
        yield from ("--ro-bind", str(path), str(path))
    for folder in (Path("/lib"), Path("/lib64")):
        if folder.is_symlink():
            yield from ("--symlink", os.readlink(folder), str(folder))
        elif folder.is_dir():
            yield from ("--ro-bind", str(folder), str(folder))
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"):
        yield from ("--ro-bind-try", name, name)
    for folder in libraries:
        for packages in sorted([*folder.glob("python*/site-packages"), *folder.glob("python*/dist-packages")]):
            yield from ("--tmpfs", str(packages), "--remount-ro", str(packages))


def _folders_above(*paths: str | Path) -> Iterator[str]:
    """Every folder on the way to the paths, open to all: bubblewrap itself gives /root the rights it has outside."""
    for folder in sorted({folder for path in paths for folder in Path(path).parents} - {Path("/")}):
        yield from ("--perms", "0755", "--dir", str(folder))


def _device(path: str) -> tuple[str, str, str]:
    return "--dev-bind", path, path


def _in_memory(content: bytes) -> int:
    """An open file that lies on no disk, to be read from its beginning."""
    descriptor = os.memfd_create("sandbox")  # pyright: ignore[reportAttributeAccessIssue]
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _counts_by_namespace() -> bool:
    """Whether the limit on processes counts those of a user within its namespace only: Linux 5.14 and later."""
    major, minor = platform.release().split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (5, 14)
