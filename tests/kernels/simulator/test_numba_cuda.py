"""The simulator of Numba CUDA: each mistake is told with its kind and line, and only mistakes."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install greenlet")

from minitorch_cv.kernels.simulator.module import ORDERS
from minitorch_cv.kernels.simulator.numba_cuda import simulate

sys.path.insert(0, str(Path(__file__).parent))
import numba_mistakes

SOURCE = Path(numba_mistakes.__file__)


def marked():
    found, kernel = {}, ""
    for number, line in enumerate(SOURCE.read_text(encoding="utf-8").splitlines(), 1):
        if named := re.match(r"def (\w+)", line):
            kernel = named[1]
        if said := re.search(r"# BUG: ([\w-]+)", line):
            found.setdefault(kernel, (said[1], set()))[1].add(number)
    return found


BUGS = marked()
RIGHT = [name for name in vars(numba_mistakes) if name.startswith("right_")]


def run(name, order):
    kernel = getattr(numba_mistakes, name)
    given = {
        "x": np.arange(64, dtype=np.float32),
        "y": np.zeros(64, np.float32),
        "parts": np.zeros(4, np.float32),
        "results": np.zeros(192, np.float32),
        "count": np.zeros(1, np.int32),
        "pixels": np.full(64, 200, np.uint8),
        "sums": np.zeros(2, np.int16),
    }
    given["same"] = given["x"]
    names = kernel.__code__.co_varnames[: kernel.__code__.co_argcount]
    grid = 3 if "block" in name else 1
    arguments = [given[n] for n in names]
    findings = simulate(kernel, grid, 64, *arguments, shared_bytes=256, order=order, seed=4)
    return findings, given["sums" if "sums" in names else "y"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", BUGS)
def test_a_mistake_is_told_with_its_kind_and_line(name, order):
    findings, _ = run(name, order)
    kind, lines = BUGS[name]
    assert {f.kind for f in findings} == {kind}, findings
    assert any({f.line, f.other_line} & lines for f in findings), findings
    assert all(Path(f.file) == SOURCE for f in findings)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_told_of_what_is_right(name, order):
    findings, y = run(name, order)
    assert findings == () and y.any()


def test_results():
    assert np.array_equal(run("right_in_warps", "random")[1], np.arange(64) ^ 2)
    assert run("right_last_block", "random")[1][0] == 0 + 1 + 2
    assert list(run("right_votes", "random")[1][[0, 32]]) == [2, 3]
    assert list(run("right_dynamic", "random")[1][:2]) == [63, 5]
    assert list(run("right_two_on_one_line", "random")[1]) == list(range(64))
    assert set(run("right_counts", "random")[1]) == {10 * 60 + 2}
    assert set(run("right_bits", "random")[1]) == {204}
    assert set(run("right_overflow", "random")[1][1:]) == {np.inf}


def test_atomics():
    x = np.zeros(64, np.int32)
    assert simulate(numba_mistakes.right_integer_atomics, 1, 64, x, x, order="random") == ()
    assert list(x[:3]) == [6 - 64, 63, 0]


def test_whole_numbers_are_widened_and_stored_by_their_low_bits():
    assert list(run("right_bytes", "random")[1]) == [64 * 200, 64 * 64 * 200 - 13 * 2**16]


def test_a_launch_outside_of_the_limits_is_a_finding():
    (finding,) = simulate(numba_mistakes.one_too_far, 1, 2048, np.zeros(1), np.zeros(1))
    assert finding.kind == "launch" and "1 to 1024 threads" in finding.what


def test_wrong_use():
    with pytest.raises(ValueError, match="order expects one of forward, reverse, random; it is 'sideways'"):
        simulate(numba_mistakes.one_too_far, 1, 1, np.zeros(1), np.zeros(1), order="sideways")
    with pytest.raises(TypeError, match="x expects 2 whole indices; it is "):
        simulate(numba_mistakes.one_too_far, 1, 1, np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(TypeError, match=r"numba_mistakes.py:\d+: x expects 1 whole indices; it is 0.5"):
        simulate(numba_mistakes.half_an_index, 1, 1, np.zeros(4), np.zeros(4))
    with pytest.raises(TypeError, match="one_too_far expects 2 arguments, x, y; there are 3"):
        simulate(numba_mistakes.one_too_far, 1, 1, np.zeros(4), np.zeros(4), 5)
    with pytest.raises(TypeError, match="x expects a NumPy array or a number; it is a list"):
        simulate(numba_mistakes.one_too_far, 1, 1, [1.0], np.zeros(4))
    with pytest.raises(AttributeError, match=r"does not know cuda.match_any_sync; it knows .*shared, shfl_down_sync"):
        simulate(numba_mistakes.unknown_word, 1, 1, np.zeros(4))


def test_without_greenlet_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(ImportError, match="needs greenlet: pip install greenlet"):
        simulate(numba_mistakes.one_too_far, 1, 1, np.zeros(4), np.zeros(4))


def test_a_kernel_inside_of_a_function_and_what_it_calls():
    from numba import cuda as ours

    @ours.jit(device=True)
    def doubled(value):
        return value * 2 + ours.threadIdx.x

    @ours.jit
    def kernel(x, y):
        y[ours.threadIdx.x] = doubled(x[ours.threadIdx.x])

    y = np.zeros(5)
    assert simulate(kernel, 1, 5, np.arange(5.0), y) == ()
    assert list(y) == [0, 3, 6, 9, 12]
