"""The system calls that are refused inside of bubblewrap: a filter in the kernel's own language (seccomp, BPF).

What the limits on memory do not count is refused, and what opens new parts of the kernel: namespaces and mounts (in a
namespace of its own a process is root and may mount a file system in memory), memory in files without names and
segments shared between processes, other processes' memory, keys, BPF, io_uring, and every socket that is not between
processes of one machine (a virtual machine reaches its host by AF_VSOCK even without a network).
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from typing import NamedTuple

# Numbers of x86_64 and aarch64, from asm/unistd_64.h and asm-generic/unistd.h.
_REFUSED = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
}


class _Machine(NamedTuple):
    audit: int
    """AUDIT_ARCH_*, by which the kernel says whose numbers a call bears."""
    column: int
    clone: int
    socket: int


_MACHINES = {"x86_64": _Machine(0xC000003E, 0, 56, 41), "aarch64": _Machine(0xC00000B7, 1, 220, 198)}
_CLONE3 = 435
_NAMESPACES = 0x7E020000 | 0x80  # CLONE_NEW*: cgroup, uts, ipc, user, pid, net, mount, time
_X32 = 0x40000000  # calls of x86_64 with 32-bit pointers bear this bit, and other numbers

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = (
    0,
    4,
    16,
)  # where they lie in struct seccomp_data; its lower half, little endian
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def known() -> bool:
    """Whether the numbers of this machine's calls are known."""
    return platform.machine() in _MACHINES


def refusing_filter() -> bytes:
    """The filter for this machine, as `bwrap --seccomp` reads it.

    Raises: LookupError on a machine whose calls are not known.
    """
    if not known():
        raise LookupError(f"system_calls: the numbers of {platform.machine()} are not known")
    machine = _MACHINES[platform.machine()]

    def refuse(error: int) -> bytes:
        return _instruction(_RETURN, _ERROR | error)

    program = [
        # A call by another architecture's numbers (int 0x80) would pass every comparison: it ends the process.
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, machine.audit, then=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, _X32, otherwise=1),
        refuse(errno.EPERM),
    ]
    for numbers in _REFUSED.values():
        program += [_instruction(_EQUAL, numbers[machine.column], otherwise=1), refuse(errno.EPERM)]
    # Its flags lie in memory, where a filter cannot look: the C library falls back to clone.
    program += [_instruction(_EQUAL, _CLONE3, otherwise=1), refuse(errno.ENOSYS)]
    program += [
        _instruction(_EQUAL, machine.clone, otherwise=4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, _NAMESPACES, otherwise=1),
        refuse(errno.EPERM),
        _instruction(_RETURN, _ALLOW),
        _instruction(_EQUAL, machine.socket, otherwise=3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_EQUAL, socket.AF_UNIX, then=1),
        refuse(errno.EAFNOSUPPORT),
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(program)


def _instruction(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; a comparison skips as many of the next ones as `then` or `otherwise` says."""
    return struct.pack("=HBBI", code, then, otherwise, value)
