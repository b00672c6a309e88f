"""The strongest sandbox: bubblewrap, with namespaces of its own for files, processes, network and the rest.

Inside there is the interpreter with its standard library, the granted packages, the script and the hand-in's files,
all read-only, and an empty folder in memory to write to; https://github.com/containers/bubblewrap.

There is no /proc: in a user namespace bubblewrap's first process has the student's rights and no limits, and would lie
open to be rewritten as /proc/1/mem. Nor do most containers let /proc be mounted in them.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from . import system_calls
from .launch import COMPILER, CONFINE, FLAGS, PYTHON, Launch, confined, environment
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
    script: Path, files: Mapping[str, bytes], packages: Mapping[str, Path], limits: Limits, worker: int, compiler: bool
) -> Launch:
    """The script inside of bubblewrap."""
    # As root bubblewrap reaches folders that others may not enter, and a user's id is taken on inside. For an ordinary
    # user it makes a user namespace, in which its own first process counts with the student's.
    user = free_user(worker) if is_root() else None
    others = 0 if user is not None else 1 if _counts_by_namespace() else tasks_of(os.getuid()) + 2
    inside = f"{RUNNER}/{script.name}"
    contents = {f"{FILES}/{name}": _in_memory(content) for name, content in files.items()}
    calls = _in_memory(system_calls.refusing_filter())
    arguments = [
        *_namespaces(user),
        # First of the files: what lies below /tmp outside as well comes to lie on it.
        *("--perms", "1777", "--size", str(limits.file_size), "--tmpfs", TEMPORARY),
        *_system(),
        *(_compiler() if compiler else ()),
        *_folders_above(inside, f"{PACKAGES}/any", f"{FILES}/any", *contents, *(f"{PACKAGES}/{p}" for p in packages)),
        *_read_only(CONFINE, CONFINE_INSIDE),
        *_read_only(script, inside),
        *(argument for name, path in packages.items() for argument in _read_only(path, f"{PACKAGES}/{name}")),
        *(argument for path, content in contents.items() for argument in _content(content, path)),
        *("--remount-ro", "/", "--chdir", TEMPORARY, "--seccomp", str(calls)),
    ]
    command = [str(PYTHON), *FLAGS, inside, FILES, PACKAGES]
    confining = confined(command, limits, other_tasks=others, user=user, confine=CONFINE_INSIDE)
    return Launch(
        [str(shutil.which("bwrap")), *arguments, "--", *confining],
        environment(TEMPORARY, compiler),
        _kill,
        signals_from_128=True,
        descriptors=(calls, *contents.values()),
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the first process inside: the kernel ends all others of its namespace before it is gone itself."""
    if process.poll() is not None:
        return
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        for first in children.read_text(encoding="ascii").split():
            os.kill(int(first), signal.SIGKILL)
        process.wait(1)
    except (OSError, subprocess.TimeoutExpired):
        pass
    # If it had not begun, or this kernel lists no children: what it has started dies with it, a moment later.
    process.kill()


def _namespaces(user: int | None) -> Iterator[str]:
    yield from ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
    yield from ("--die-with-parent", "--hostname", "sandbox", "--cap-drop", "ALL")
    if user is None:
        yield "--unshare-user"
    else:
        yield from ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")


@cache
def _system() -> tuple[str, ...]:
    """The interpreter, the standard library, shared libraries and harmless devices at their own places."""
    libraries = list(dict.fromkeys([*_library_folders(), *_own_folders()]))
    devices = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
    arguments = [*_folders_above(*libraries, PYTHON, *devices)]
    for path in (*libraries, PYTHON):
        arguments += _read_only(path, path)
    for folder in (Path("/lib"), Path("/lib64")):
        if folder.is_symlink():
            arguments += ["--symlink", os.readlink(folder), str(folder)]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"):
        arguments += ["--ro-bind-try", name, name]
    for folder in libraries:
        for pattern in ("site-packages", "dist-packages", "python*/site-packages", "python*/dist-packages"):
            for packages in sorted(folder.glob(pattern)):
                arguments += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    for device in devices:
        arguments += ["--dev-bind", device, device]
    return tuple(arguments)


def _compiler() -> Iterator[str]:
    """This machine's programs, a compiler among them, and headers. No program has rights that its user lacks."""
    for folder in COMPILER:
        if Path(folder).is_dir():
            yield from _folders_above(folder)
            yield from _read_only(Path(folder), folder)


def _library_folders() -> Iterator[Path]:
    """Where the system has its shared libraries: on Debian and Ubuntu little else lies there, elsewhere much."""
    architecture = sysconfig.get_config_var("MULTIARCH") or ""
    for folder in (Path("/usr/lib"), Path("/lib")):
        folder = folder / architecture if (folder / architecture).is_dir() else folder
        if folder.is_dir() and not folder.parent.is_symlink() and not folder.is_symlink():
            yield folder
    for folder in (Path("/usr/lib64"), Path("/lib64")):
        if folder.is_dir() and not folder.is_symlink():
            yield folder


def _own_folders() -> Iterator[Path]:
    """Where the interpreter has its standard library, and if it brings its own libraries, those."""
    if sys.base_prefix == "/usr":
        yield from (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    else:
        yield from (folder for name in ("lib", "lib64") if (folder := Path(sys.base_prefix, name)).is_dir())


def _folders_above(*paths: str | Path) -> Iterator[str]:
    """Every folder on the way to the paths, open to all: bubblewrap itself gives /root the rights it has outside."""
    for folder in sorted({folder for path in paths for folder in Path(path).parents} - {Path("/")}):
        yield from ("--perms", "0755", "--dir", str(folder))


def _read_only(outside: Path, inside: str | Path) -> tuple[str, ...]:
    return "--ro-bind", str(outside), str(inside)


def _content(descriptor: int, inside: str) -> tuple[str, ...]:
    return "--perms", "0444", "--ro-bind-data", str(descriptor), inside


def _in_memory(content: bytes) -> int:
    """An open file that lies on no disk, to be read from its beginning."""
    descriptor = os.memfd_create("sandbox")  # pyright: ignore[reportAttributeAccessIssue]
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _counts_by_namespace() -> bool:
    """Whether the limit on processes counts those of a user within its namespace only: Linux 5.14 and later."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return release is not None and (int(release[1]), int(release[2])) >= (5, 14)
