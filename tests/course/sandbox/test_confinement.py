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
from minitorch_cv.course.sandbox import Limits, Sandbox, Unavailable

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
def inside(sandbox, tmp_path_factory):
    """Evaluates an expression inside."""
    script = tmp_path_factory.mktemp("script") / "evaluate.py"
    script.write_text(EVALUATE, encoding="utf-8")
    files = {"linear.py": b"x = 1\n", "more/data.txt": b"text"}
    with sandbox.start(script, files, packages=PACKAGES, limits=Limits(seconds=30)) as process:

        def evaluate(expression: str):
            process.write(" ".join(expression.split()).encode() + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                line += process.read(1)
            return json.loads(line)

        yield evaluate


def test_the_hand_in_is_there_to_be_read(inside):
    assert inside("sorted(os.listdir(sys.argv[1]))") == ["linear.py", "more"]
    assert inside("open(sys.argv[1] + '/more/data.txt').read()") == "text"
    assert inside("open(sys.argv[1] + '/linear.py', 'a')") in ("OSError", "PermissionError")
    assert inside("os.remove(sys.argv[1] + '/linear.py')") in ("OSError", "PermissionError")


def test_granted_packages_work_and_no_others_are_there(inside):
    assert inside("__import__('numpy').arange(3).sum().item()") == 3
    assert inside("[[1.0]] == (__import__('numpy').ones((1, 1)) @ __import__('numpy').ones((1, 1))).tolist()")
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
        processes = [int(number) for number in inside("[name for name in os.listdir('/proc') if name.isdecimal()]")]
        assert len(processes) == 2  # bubblewrap's first, and its own


def test_nothing_can_be_written_but_temporary_files(inside):
    everywhere = "[path for path, _, _ in os.walk('/') if os.access(path, os.W_OK) and not path.startswith('/proc')]"
    assert inside(everywhere) == ["/tmp"]
    assert inside("os.getcwd(), os.environ['TMPDIR'], os.listdir('.')") == ["/tmp", "/tmp", []]


def test_there_is_no_network(inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        assert inside(f"__import__('socket').create_connection(('127.0.0.1', {port}), 1)") == "OSError"
    assert inside("__import__('socket').socket(__import__('socket').AF_VSOCK)") == "OSError"
    assert inside("open('/proc/net/dev').read().count(':')") == 1  # lo


def test_it_has_no_rights(inside):
    status = dict(line.split(":", 1) for line in inside("open('/proc/self/status').read()").splitlines())
    assert status["CapEff"].split() == status["CapPrm"].split() == ["0" * 16]
    assert status["NoNewPrivs"].split() == ["1"] and status["Seccomp"].split() == ["2"]
    assert "0" not in status["Uid"].split() and status["Groups"].split() in ([], [str(65534)])
    assert inside("os.setuid(0)") in ("PermissionError", "OSError")
    assert inside("os.kill(1, 9)") in (None, "PermissionError") and inside("1") == 1
    assert inside("open('/proc/1/mem', 'r+b')") == "PermissionError"
    assert inside("os.environ.get('HOME')") == "/tmp" and not inside("[n for n in os.environ if 'WORK' in n]")


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
    assert len(inside("os.listdir('/proc/self/fd')")) == 5  # three, the answers, and the listing itself


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
