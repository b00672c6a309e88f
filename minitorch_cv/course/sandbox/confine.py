"""The first program inside of the sandbox: takes on limits and an unprivileged user id, then becomes another program.

    python -I -S -B confine.py [user=65536] [no_new_privileges=1] [AS=2147483648 NPROC=1 ...] -- program argument ...

`user` is the id of a user and of a group. Other names are those of `resource.RLIMIT_*`; a system that lacks one goes
without. It knows nothing of the package, which is not there to be imported.
"""

import os
import sys


def main() -> None:
    """Take on what the arguments say, and become the program that they name."""
    end = sys.argv.index("--")
    settings = {name: int(value) for name, _, value in (argument.partition("=") for argument in sys.argv[1:end])}
    user = settings.pop("user", None)
    if settings.pop("no_new_privileges", 0):
        forbid_new_privileges()
    prefer_for_killing()
    for name, value in settings.items():
        limit(name, value)
    if user is not None:
        become(user)
    command = sys.argv[end + 1 :]
    os.execv(command[0], command)


def limit(name: str, value: int) -> None:
    """Set a limit, the hard one as well, so that it cannot be raised again; never above what is allowed already."""
    import resource  # Windows, which has none, must still be able to import this module

    kind = getattr(resource, f"RLIMIT_{name}", None)
    if kind is None:
        return
    highest = resource.getrlimit(kind)[1]
    if highest != resource.RLIM_INFINITY:
        value = min(value, highest)
    # A second of processor time between SIGXCPU, which says what it is, and SIGKILL.
    soft = max(value - 1, 1) if name == "CPU" else value
    try:
        resource.setrlimit(kind, (soft, value))
    except (ValueError, OSError):
        if sys.platform == "linux":
            raise  # macOS refuses some; there limits are what can be had


def become(user: int) -> None:
    """Drop root's rights for good: real, effective and saved ids, and every group."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    if 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()):
        raise SystemExit("confine: root's rights were not dropped")


def forbid_new_privileges() -> None:
    """From now on no program gets more rights than this one has: sudo and its like do not work (Linux)."""
    import ctypes

    PR_SET_NO_NEW_PRIVS = 38
    if ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise SystemExit("confine: programs such as sudo could not be ruled out")


def prefer_for_killing() -> None:
    """When the machine runs out of memory, Linux ends this process before the judge; where /proc is in sight."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


if __name__ == "__main__":
    main()
