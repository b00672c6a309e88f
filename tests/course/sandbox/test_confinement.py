"""What is in sight under bubblewrap, asked from inside by code that may do what it likes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minitorch_cv
from minitorch_cv.course.sandbox import Limits, Sandbox, Unavailable, unprivileged

SITE_PACKAGES = Path(np.__file__).parents[1]
PACKAGES = {name: SITE_PACKAGES / name for name in ("numpy", "numpy.libs") if (SITE_PACKAGES / name).is_dir()}
# A script that lets the judge evaluate what it likes, and answers in JSON.
EVALUATE = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    try:
        value = eval(line)
    except BaseException as error:
        value = type(error).__name__
    print(json.dumps(value, default=str), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def sandbox():
    try:
        return Sandbox.find(require_bubblewrap=True)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def process(sandbox, tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "evaluate.py"
    script.write_text(EVALUATE, encoding="utf-8")
    files = {"linear.py": b"x = 1\n", "more/data.txt": b"text"}
    with sandbox.start(script, files, packages=PACKAGES, limits=Limits(seconds=30)) as process:
        yield process


@pytest.fixture(scope="module")
def inside(process):
    """Evaluates an expression inside."""

    def evaluate(expression: str):
        process.write(" ".join(expression.split()).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            line += process.read(1)
        return json.loads(line)

    return evaluate


@pytest.fixture
def number(process, inside):
    """The number of the process seen from outside, once it runs the script."""
    assert inside("1") == 1
    number = process._process.pid
    for _ in range(2):
        number = int(Path(f"/proc/{number}/task/{number}/children").read_text(encoding="ascii"))
    return number


def test_the_hand_in_is_there_to_be_read(inside):
    assert inside("sorted(os.listdir(sys.argv[1]))") == ["linear.py", "more"]
    assert inside("open(sys.argv[1] + '/more/data.txt').read()") == "text"
    assert inside("open(sys.argv[1] + '/linear.py', 'a')") in ("OSError", "PermissionError")
    assert inside("os.remove(sys.argv[1] + '/linear.py')") in ("OSError", "PermissionError")


def test_granted_packages_work_and_no_others_are_there(inside):
    assert inside("__import__('numpy').arange(3).sum().item()") == 3
    assert inside("[[1.0]] == (__import__('numpy').ones((1, 1)) @ __import__('numpy').ones((1, 1))).tolist()")
    error = inside("__import__('numpy').ones(2**33)")
    assert error in ("MemoryError", "_ArrayMemoryError")
    for name in ("minitorch_cv", "pytest", "matplotlib", "pip"):
        assert inside(f"__import__({name!r})") == "ModuleNotFoundError"
    assert not any(
        inside(f"os.path.exists({folder!r})")
        for folder in sys.path
        if "site-packages" in folder and folder != str(SITE_PACKAGES.parent)
    )
    everything = "[path for path, _, _ in os.walk('/') if path.endswith('-packages') and os.listdir(path)]"
    assert inside(everything) == []


@pytest.mark.parametrize(
    "path",
    [
        minitorch_cv.__file__,
        __file__,
        "/home",
        "/work",
        "/sys",
        "/proc",
        "/etc/passwd",
        "/etc/shadow",
        "/usr/bin/env",
        "/bin/sh",
        "/dev/shm",
        "/dev/mem",
        "/var",
        "/run",
    ],
)
def test_the_system_is_not_in_sight(inside, path):
    assert not inside(f"os.path.exists({path!r})")


def test_other_hand_ins_are_not_in_sight(inside, sandbox, tmp_path):
    script = tmp_path / "wait.py"
    script.write_text("import sys; sys.stdin.read()", encoding="utf-8")
    with sandbox.start(script, {"a_secret_of_another.py": b"secret"}, packages={}, limits=Limits(), worker=1):
        found = inside("[file for _, _, files in os.walk('/') for file in files if file == 'a_secret_of_another.py']")
        assert found == []
    assert inside("os.getpid()") == 2
    assert [inside(f"os.kill({process}, 0)") for process in range(3, 20)] == ["ProcessLookupError"] * 17


def test_nothing_can_be_written_but_temporary_files(inside):
    everywhere = "[path for path, _, _ in os.walk('/') if os.access(path, os.W_OK)]"
    assert inside(everywhere) == ["/tmp"]
    assert inside("os.getcwd(), os.environ['TMPDIR'], os.listdir('.')") == ["/tmp", "/tmp", []]


def test_there_is_no_network(inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        assert inside(f"__import__('socket').create_connection(('127.0.0.1', {port}), 1)") == "OSError"
    assert inside("__import__('socket').socket(__import__('socket').AF_VSOCK)") == "OSError"


@pytest.mark.parametrize("kind", ["net", "pid", "mnt", "ipc", "uts"])
def test_its_namespaces_are_its_own(number, kind):
    assert os.readlink(f"/proc/{number}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def test_it_has_no_rights(inside, number):
    status = unprivileged.status(number)
    assert status["CapEff"] == status["CapPrm"] == status["CapAmb"] == "0" * 16
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert inside("os.setuid(0)") in ("PermissionError", "OSError")


def test_the_first_process_is_out_of_reach(inside):
    """It has the same rights as the student's where a user namespace is used, and no limits."""
    assert inside("os.kill(1, 9)") in (None, "PermissionError") and inside("1") == 1
    assert not inside("os.path.exists('/proc/1')")


def test_its_environment_is_empty(inside):
    assert inside("sorted(set(os.environ) - {'LD_LIBRARY_PATH'})") == [
        "HOME", "LANG", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PWD", "PYTHONHASHSEED",
        "PYTHONUTF8", "TMPDIR",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",  # a user namespace
        "clone(None, None, 0x10000000, None)",
        "mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "memfd_create(b'', 0)",
        "shmget(0, 2**20, 0o1600)",
        "ptrace(16, 1, 0, 0)",
        "syscall(435, None, 0)",  # clone3
        "syscall(425, 1, None)",  # io_uring_setup
    ],
)
def test_system_calls_are_refused(inside, call):
    assert inside(f"__import__('ctypes').CDLL(None).{call}") == -1


def test_nothing_of_the_judge_is_open(inside):
    assert [number for number in range(64) if inside(f"bool(os.fstat({number}))") is True] == [0, 1, 2, 3]


def test_the_limits_are_set(inside):
    limits = inside("{n: __import__('resource').getrlimit(getattr(__import__('resource'), 'RLIMIT_' + n)) for n in "
                    "('AS', 'CPU', 'NPROC', 'FSIZE', 'CORE', 'NOFILE')}")  # fmt: skip
    assert limits["AS"] == [2**31, 2**31] and limits["CPU"] == [60, 61] and limits["FSIZE"] == [2**24, 2**24]
    assert limits["CORE"] == [0, 0] and limits["NOFILE"] == [64, 64]
    assert limits["NPROC"][1] <= (1 if os.getuid() == 0 else 2)


def test_runs_are_alike(inside):
    code = "print(hash('text'))"
    outside = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "0"}, capture_output=True, check=True)
    assert inside("hash('text')") == int(outside.stdout)
