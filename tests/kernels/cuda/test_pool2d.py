"""Pooling on the simulated GPU against the portable body in float64."""

import numpy as np
import pytest
from portable_comparison import bodies, calls, check

from minitorch_cv._device import to_device, to_numpy
from minitorch_cv.checks.case_checks import Call

BODIES = bodies("pool2d")


@pytest.mark.parametrize("call", calls("pool2d"), ids=lambda call: call.operation)
def test_cases(call):
    check(BODIES[call.operation], call)


WINDOWS = [((2, 3), (1, 2), (1, 0), (2, 1), False), (3, 2, 1, 1, True), ((1, 4), (3, 1), (0, 2), 1, True)]


@pytest.mark.parametrize("window", WINDOWS)
def test_odd_sizes(window):
    x = np.random.default_rng(0).standard_normal((2, 5, 7, 9))
    kernel, stride, padding, _, ceil_mode = window
    check(BODIES["max_pool2d"], Call("max_pool2d", (x, *window), {}))
    for counts_padding in (True, False):
        operands = x, kernel, stride, padding, ceil_mode, counts_padding
        check(BODIES["avg_pool2d"], Call("avg_pool2d", operands, {}))


@pytest.mark.parametrize("size", [1, (3, 4), (None, 2), (9, 13)])
def test_adaptive_windows_that_overlap(size):
    x = np.random.default_rng(1).standard_normal((2, 3, 7, 10))
    check(BODIES["adaptive_avg_pool2d"], Call("adaptive_avg_pool2d", (x, size), {}))


@pytest.mark.parametrize("special", [np.nan, -np.inf])
def test_winners_among_nan_infinities_and_equals(special):
    x = np.random.default_rng(2).integers(0, 2, (2, 3, 6, 7)).astype(np.float64)
    x[:, :, :3, :4] = special
    check(BODIES["max_pool2d"], Call("max_pool2d", (x, 3, 2, 1, 1, False, True), {}))


def test_gradients_of_overlapping_windows_have_the_same_bits_each_time():
    random = np.random.default_rng(3)
    x, dy = (to_device(random.standard_normal((2, 3, n, n)).astype(np.float32), "cuda-sim") for n in (9, 7))
    _, backward = BODIES["max_pool2d"](x, 3, 1)
    np.testing.assert_array_equal(to_numpy(backward(dy)), to_numpy(backward(dy)))
