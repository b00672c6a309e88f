"""What the student and the teacher read."""

import signal
import sys

import pytest

from minitorch_cv.course.sandbox import Limits, explain
from minitorch_cv.course.sandbox.endings import SENTENCES, ending, ending_by_status
from minitorch_cv.course.sandbox.limits import in_bytes

LIMITS = Limits(processor_seconds=20, memory=2**30, processes=3, file_size=2**20, output=5000, answer=2**21)


@pytest.mark.parametrize("reason", SENTENCES)
def test_every_reason_has_two_sentences(reason):
    found = ending(reason, LIMITS, " (seen)")
    assert found.reason == reason
    assert found.teacher.endswith(".") and "{" not in found.student + found.teacher
    assert reason == "closed" or found.student.endswith((".", "?"))


def test_limits_are_named_as_they_were_set():
    assert "1 GiB" in ending("memory", LIMITS).student and "20 s" in ending("processor time", LIMITS).teacher
    assert "4.883 KiB" in ending("output", LIMITS).student and "2 MiB" in ending("answer too large", LIMITS).teacher


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("MemoryError", "memory"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 64.0 GiB for an array", "memory"),
        ("numpy.exceptions.MemoryError", "memory"),
        ("OSError: [Errno 12] Cannot allocate memory", "memory"),
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", "processes"),
        ("RuntimeError: can't start new thread", "processes"),
        ("OSError: [Errno 27] File too large", "file size"),
        ("OSError: [Errno 28] No space left on device", "temporary folder"),
        ("OSError: [Errno 24] Too many open files: 'x'", "open files"),
        ("OSError: [Errno 97] Address family not supported by protocol", "network"),
        ("OSError: [Errno 101] Network is unreachable", "network"),
        ("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", "network"),
        ("socket.gaierror: [Errno -2] Name or service not known", "network"),
        ("ValueError: a MemoryError", None),
        ("OSError: [Errno 2] No such file", None),
        ("", None),
    ],
)
def test_exceptions_that_a_limit_explains(error, reason):
    found = explain(error, LIMITS)
    assert (found.reason if found else None) == reason
    assert found is None or error in found.teacher


@pytest.mark.parametrize(
    ("status", "printed", "reason", "said"),
    [
        (0, "", "exit", "status 0"),
        (1, "Traceback\nMemoryError", "memory", "MemoryError"),
        (0, "MemoryError", "exit", "status 0"),
        (0xC0000005, "", "exit", "0xC0000005"),
        (-11, "", "signal", "SIGSEGV"),
        (-63, "", "signal", "63"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_exit_statuses(status, printed, reason, said):
    found = ending_by_status(status, LIMITS, printed)
    assert found.reason == reason and said in found.teacher


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_signals_of_limits():
    assert ending_by_status(-signal.SIGXCPU, LIMITS, "").reason == "processor time"
    assert ending_by_status(-signal.SIGKILL, LIMITS, "").reason == "killed"


def test_sizes():
    assert [in_bytes(n) for n in (1, 1024, 1536 * 2**20, 2**41)] == ["1 bytes", "1 KiB", "1.5 GiB", "2048 GiB"]
