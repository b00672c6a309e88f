"""The pool of threads: every task once, from several threads at a time, after a sleep, and in a forked child."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")

from minitorch_cv.kernels.cpu import threads
from minitorch_cv.kernels.cpu.conv2d_direct import add_up


def total(parts):
    """The sum over the first axis, by a kernel of 37 tasks."""
    result = np.zeros(parts.shape[1:], parts.dtype)
    add_up(37, parts, result, len(parts), result.size, 37)
    return result


@pytest.fixture
def three_threads():
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    yield
    threads.set_num_threads(before)


def test_every_task_is_done(three_threads, rng):
    parts = rng.standard_normal((3, 1000))
    for pause in (0.0, 0.0, 0.01, 0.0):
        time.sleep(pause)  # long enough for the workers to fall asleep
        assert np.allclose(total(parts), parts.sum(axis=0))


def test_launches_from_several_threads(three_threads, rng):
    parts = rng.standard_normal((3, 500))
    wrong = []

    def launch():
        for _ in range(300):
            if not np.allclose(total(parts), parts.sum(axis=0)):
                wrong.append(1)

    callers = [threading.Thread(target=launch) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that interrupts")
def test_interrupts_at_any_moment_leave_the_pool_whole():
    """In a process of its own: were a lock left taken, or an alarm half rung, it would hang or go on alone."""
    code = """
import signal, time
import numpy as np
from minitorch_cv.kernels.cpu import threads
from minitorch_cv.kernels.cpu.conv2d_direct import add_up
threads.set_num_threads(3)
parts, result = np.ones((3, 4000)), np.zeros(4000)
def launch():
    result[:] = 0
    add_up(37, parts, result, 3, result.size, 37)
launch()
interrupted, begun = 0, time.perf_counter()
while time.perf_counter() - begun < 2:
    try:
        signal.setitimer(signal.ITIMER_REAL, 20e-6 + 1e-6 * (interrupted % 300))
        for i in range(100):
            launch()
            if i % 10 == 0:
                time.sleep(0.0005)  # long enough for workers to lie down
    except KeyboardInterrupt:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
launch()
assert (result == 3).all(), "each task once"
assert not threads.pool()._taken.locked(), "the pool is free"
threads.set_num_threads(2)
print(interrupted)
"""
    prefix = "import signal\nsignal.signal(signal.SIGALRM, signal.default_int_handler)\n"
    done = subprocess.run([sys.executable, "-c", prefix + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_as_many_threads_as_wanted(three_threads):
    assert threads.get_num_threads() == 3
    with pytest.raises(ValueError, match="threads expects a number >= 1; it is 0"):
        threads.set_num_threads(0)


def _child(queue):
    queue.put(total(np.ones((3, 400))).tolist() == [3.0] * 400)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_pool_of_its_own(three_threads):
    total(np.ones((3, 400)))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60)
    child.join()
