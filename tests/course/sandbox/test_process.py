"""A process seen from outside, without confinement: what holds on every system."""

import os
import signal
import sys
import tempfile
import threading
import time

import pytest

from minitorch_cv.course.sandbox import Ended, Limits, Sandbox

# Runs each line that it is asked, with `answers` to write to and requests left on stdin.
EXECUTE = """
import os, sys, time
answers = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)
while line := sys.stdin.buffer.readline():
    exec(line)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts the script under limits; at the end nothing may lie in the folder of temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    script = tmp_path / "execute.py"
    script.write_text(EXECUTE, encoding="utf-8")
    started = []

    def start(files=(), **limits):
        files = dict(files)
        started.append(Sandbox.unconfined().start(script, files, packages={}, limits=Limits(**limits)))
        return started[-1]

    yield start
    for one in started:
        one.close()
    assert list(temporary.iterdir()) == []


def ending_of(function, *arguments):
    with pytest.raises(Ended) as caught:
        function(*arguments)
    return caught.value.ending


def ending_after(process, request, count=1):
    """How a process ends by a request: an early end may be told by `write` already."""

    def ask():
        process.write(request)
        process.read(count)

    return ending_of(ask)


def test_what_is_written_is_answered(start):
    process = start()
    process.write(b"answers.write(b'one')\n")
    process.write(b"answers.write(b'two')\n")
    assert process.read(2) + process.read(3) + process.read(1) + process.read(0) == b"onetwo"


def test_a_folder_is_a_script(tmp_path):
    folder = tmp_path / "runner"
    folder.mkdir()
    (folder / "__main__.py").write_text("import helper", encoding="utf-8")
    (folder / "helper.py").write_text("print('helped', end='', flush=True)", encoding="utf-8")
    with Sandbox.unconfined().start(folder, {}, packages={}, limits=Limits()) as process:
        assert process.read(6, 30) == b"helped"


def test_large_requests_and_answers(start):
    process = start(seconds=60)
    process.write(b"data = sys.stdin.buffer.read(20_000_000); answers.write(data[::-1])\n")
    data = bytes(range(250)) * 80_000
    process.write(data)
    assert process.read(20_000_000) == data[::-1]


def test_the_files_are_there_and_the_working_folder_is_empty(start):
    process = start({"linear.py": b"x = 1", "more/data": b"\0"})
    process.write(b"answers.write(open(sys.argv[1] + '/linear.py', 'rb').read() + str(os.listdir('.')).encode())\n")
    assert process.read(7, 30) == b"x = 1[]"
    process.write(b"answers.write(open(sys.argv[1] + '/more/data', 'rb').read())\n")
    assert process.read(1) == b"\0"


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a\\b", "C:x", "a\0"])
def test_names_that_lead_elsewhere(start, name):
    with pytest.raises(ValueError, match="expects names below a folder"):
        start({name: b""})


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"memory": -1}, {"processes": float("nan")}])
def test_limits_that_cannot_be(start, limits):
    with pytest.raises(ValueError, match=f"limits: {next(iter(limits))} expects a positive number"):
        start(**limits)


def test_time_is_counted_from_the_request(start):
    process = start(seconds=1.5)
    time.sleep(2)
    process.write(b"answers.write(b'12'); time.sleep(60)\n")
    assert process.read(1) == b"1"
    began = time.monotonic()
    time.sleep(1)
    assert process.read(1) == b"2"
    ending = ending_of(process.read, 1)
    assert time.monotonic() - began < 10
    assert ending.reason == "time" and "1.5 s" in ending.student and "1.5 s" in ending.teacher


def test_time_of_ones_own(start):
    process = start(seconds=0.2)
    process.write(b"time.sleep(1); answers.write(b'late')\n")
    assert process.read(4, 30) == b"late"
    assert "0.05 s" in ending_of(process.read, 1, 0.05).teacher


def test_a_request_that_is_not_taken(start):
    process = start(seconds=1)
    process.write(b"time.sleep(60)\n")
    assert ending_of(process.write, bytes(10**7)).reason == "time"


def test_over_is_over(start):
    process = start()
    ending = ending_after(process, b"os._exit(3)\n")
    assert ending.reason == "exit" and "status 3" in ending.student
    assert ending_of(process.write, b"x") == ending_of(process.read, 0) == process.close() == process.close() == ending


def test_a_process_that_is_not_needed_any_more(start):
    process = start()
    process.write(b"answers.write(b'x'); time.sleep(60)\n")
    process.read(1)
    assert process.close().reason == "closed"


def test_an_exit_after_the_last_answer(start):
    process = start()
    process.write(b"answers.write(b'x'); os._exit(5)\n")
    assert process.read(1) == b"x"
    time.sleep(1)
    assert process.close().reason == "exit"


def test_what_is_printed(start):
    process = start(output=10**6)
    process.write(b"print('one', '\\u2207', chr(27) + '[2J', flush=True); os.write(2, b'\\xff'); answers.write(b'x')\n")
    process.read(1)
    process.close()
    assert process.printed == "one ∇ \ufffd[2J\n\ufffd"


def test_the_end_of_what_is_printed_is_kept(start):
    process = start(output=10**6)
    process.write(b"os.write(2, b'x' * 500_000 + b'end'); answers.write(b'x')\n")
    process.read(1)
    process.close()
    assert process.printed == "x" * (2**16 - 3) + "end"


def test_too_much_is_printed(start):
    process = start(output=10**5)
    ending = ending_after(process, b"os.write(2, bytes(2 * 10**5)); time.sleep(60)\n")
    assert ending.reason == "output" and "97.66 KiB" in ending.student and "97.66 KiB" in ending.teacher


def test_answers_are_counted_for_each_request(start):
    process = start(answer=1000)
    for _ in range(3):
        process.write(b"answers.write(b'x' * 800)\n")
        process.read(800)
    assert ending_after(process, b"answers.write(b'x' * 1001)\n", 1001).reason == "answer too large"


def test_an_announced_length_that_is_too_large(start):
    process = start(answer=1000)
    process.write(b"time.sleep(60)\n")
    began = time.monotonic()
    assert ending_of(process.read, 2**60).reason == "answer too large"
    assert time.monotonic() - began < 9


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_signals_are_named(start):
    process = start()
    ending = ending_after(process, b"os.kill(os.getpid(), 15)\n")
    assert ending.reason == "signal" and "SIGTERM" in ending.teacher
    assert signal.SIGTERM == 15


def test_memory_errors_that_nobody_caught(start):
    process = start()
    ending = ending_after(process, b"raise MemoryError('Unable to allocate 64. GiB')\n")
    assert ending.reason == "memory" and "64. GiB" in ending.teacher


def test_a_program_that_cannot_be_started(start, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError):
        start()


def test_threads_end_with_their_process(start):
    before = threading.active_count()
    for _ in range(3):
        process = start()
        process.write(b"answers.write(b'x')\n")
        process.read(1)
        process.close()
    assert threading.active_count() == before
