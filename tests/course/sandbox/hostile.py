"""Hand-ins that mean harm, and how each must end: whatever they do, the judge goes on, and nothing of them is left."""

from __future__ import annotations

from typing import Any, NamedTuple


class Hostile(NamedTuple):
    """A hand-in's `answer(request)` as source, and what must come of it."""

    name: str
    body: str
    ends: set[str]
    """The reasons of which the process's ending, or the exception that the hand-in got, has one; or "answer"."""
    limits: dict[str, Any] = {}
    not_under: set[str] = set()
    """Where it is not held back, and so not tried: "limits", "ordinary" (limits without root), "none"."""

    @property
    def source(self) -> bytes:
        lines = "".join(f"    {line}\n" for line in self.body.strip("\n").splitlines())
        return f"import ctypes, mmap, os, signal, socket, sys, threading, time\ndef answer(request):\n{lines}".encode()


SOON = {"seconds": 1.5}
# Enough beside a fork bomb of the same user: without root and bubblewrap the processes of all hand-ins count together.
MANY = {"processes": 60}
HOSTILE = [
    Hostile("endless loop", "while True: pass", {"time"}, SOON),
    Hostile("sleeping", "time.sleep(1000)", {"time"}, SOON),
    Hostile("stopping itself", "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(1000)", {"time"}, SOON),
    Hostile(
        "deaf to signals",
        """
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True:
    try: time.sleep(1000)
    except BaseException: pass
""",
        {"time"},
        SOON,
    ),
    Hostile("burning processor time", "while True: pass", {"processor time"}, {"processor_seconds": 1}, {"none"}),
    Hostile(
        "burning on",
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        {"killed"},
        {"processor_seconds": 1},
        {"none"},
    ),
    Hostile("one fork", "os.fork()", {"processes"}, {}, {"none"}),
    Hostile("one thread", "threading.Thread(target=print).start()", {"processes"}, {}, {"none"}),
    Hostile(
        "fork bomb",
        """
while True:
    try: os.fork()
    except OSError: pass
""",
        {"time"},
        {**SOON, "processes": 12},
        {"none"},
    ),
    Hostile(
        "daemons",
        """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os.wait()
return b"done"
""",
        {"answer"},
        MANY,
    ),
    Hostile(
        "a daemon that keeps the pipes",
        """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os._exit(0)
""",
        {"exit"},
        {**SOON, **MANY},
    ),
    Hostile("64 GB", "return bytes(bytearray(2**36))[:1]", {"memory"}, {}, {"none"}),
    Hostile(
        "memory bit by bit",
        "kept = []\nwhile True: kept.append(bytearray(2**24))",
        {"memory"},
        {"memory": 2**29},
        {"none"},
    ),
    Hostile("mapped memory", "mmap.mmap(-1, 2**36); return b''", {"memory"}, {}, {"none"}),
    Hostile("os._exit(0)", "os._exit(0)", {"exit"}),
    Hostile("exit in the middle of an answer", "os.write(3, b'\\0\\0'); os._exit(0)", {"exit"}),
    Hostile("sys.exit", "sys.exit()", {"exit"}),
    Hostile("killing itself", "os.kill(os.getpid(), signal.SIGKILL)", {"killed"}),
    Hostile("aborting", "os.abort()", {"signal"}),
    Hostile("crashing", "ctypes.string_at(0)", {"signal"}),
    Hostile("1 GB printed", "for _ in range(1000): os.write(2, bytes(10**6))", {"output"}),
    Hostile("1 GB by print", "while True: print('x' * 10**6)", {"output"}),
    Hostile(
        "an answer without an end",
        "while True: os.write(3, b'x' * 10**6)",
        {"answer too large"},
        {"answer": 10**7},
    ),
    Hostile("a large answer", "return bytes(2 * 10**7)", {"answer too large"}, {"answer": 10**7}),
    Hostile("closing the pipes", "os.closerange(0, 64); time.sleep(1000)", {"channel closed", "time"}, SOON),
    Hostile("closing the answers", "os.close(3); time.sleep(1000)", {"channel closed", "time"}, SOON),
    Hostile(
        "filling the temporary folder",
        """
for number in range(1000):
    with open(str(number), "wb") as file:
        file.write(bytes(2**20))
""",
        {"temporary folder"},
        {"file_size": 2**23},
        {"limits", "none"},
    ),
    Hostile(
        "a large file",
        "open('large', 'wb').write(bytes(2**26))",
        {"file size", "temporary folder"},
        {"file_size": 2**23},
        {"none"},
    ),
    Hostile(
        "a deep folder without rights",
        """
for _ in range(1100):
    os.mkdir("d"); os.chdir("d")
open("f", "w").close(); os.chmod("f", 0); os.chmod(".", 0)
return b"done"
""",
        {"answer"},
    ),
    Hostile("many open files", "kept = []\nwhile True: kept.append(open(os.devnull))", {"open files"}, {}, {"none"}),
    Hostile("network", "socket.create_connection(('127.0.0.1', 9), 1)", {"network"}, {}, {"limits", "none"}),
    Hostile("a name of the network", "socket.getaddrinfo('example.org', 80)", {"network"}, {}, {"limits", "none"}),
    Hostile(
        "killing everybody",
        """
for process in (-1, 1, os.getppid()):
    try: os.kill(process, signal.SIGKILL)
    except OSError: pass
return b"done"
""",
        {"answer"},
        {},
        {"ordinary", "none"},
    ),
    Hostile(
        "writing where it is read",
        """
for path in (sys.argv[0], __file__, os.__file__, "/etc/passwd", "/new", sys.argv[1] + "/new"):
    try:
        open(path, "a").write("x")
        return path.encode()
    except OSError: pass
return b"done"
""",
        {"answer"},
        {},
        {"ordinary", "none"},
    ),
]
