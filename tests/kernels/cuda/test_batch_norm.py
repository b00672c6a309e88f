"""Batch normalisation on the simulated GPU against the portable body in float64."""

import numpy as np
import pytest
from portable_comparison import bodies, calls, check

from minitorch_cv._device import to_device, to_numpy
from minitorch_cv.checks.case_checks import Call

BODIES = bodies("batch_norm")


@pytest.mark.parametrize("call", calls("batch_norm"), ids=lambda call: call.operation)
def test_cases(call):
    check(BODIES[call.operation], call)


@pytest.mark.parametrize("shape", [(2, 1, 3, 5), (3, 7, 5, 3), (2, 33, 7, 11), (70, 5), (3, 65, 9)])
@pytest.mark.parametrize("with_residual", [False, True])
def test_odd_sizes(shape, with_residual):
    random = np.random.default_rng(0)
    x, residual = random.standard_normal(shape) * 3 + 2, random.standard_normal(shape)
    weight, bias, mean = (random.standard_normal(shape[1]) for _ in range(3))
    var, residual = random.uniform(0.5, 2, shape[1]), residual if with_residual else None
    train = Call("batch_norm_relu_train", (x, residual, weight, bias, 1e-5), {})
    given = Call("batch_norm_relu_eval", (x, residual, mean, var, weight, bias, 1e-5), {})
    for call in (train, given):
        check(BODIES[call.operation], call)


def test_rows_in_several_parts():
    x = np.random.default_rng(1).standard_normal((5, 3, 41, 43))
    check(BODIES["batch_norm_train"], Call("batch_norm_train", (x, None, None, 1e-5), {}))


def test_the_variance_survives_a_large_mean():
    x = (np.random.default_rng(2).standard_normal((4, 3, 9, 9)) + 1e4).astype(np.float32)
    (_, mean, var), _ = BODIES["batch_norm_train"](to_device(x, "cuda-sim"))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(to_numpy(mean), wide.mean((0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(to_numpy(var), wide.var((0, 2, 3)), rtol=1e-5)


def test_a_nan_is_not_rectified_away():
    x = np.ones((1, 2, 1, 2), np.float32)
    x[0, 0, 0, 0] = np.nan
    zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    operands = [to_device(a, "cuda-sim") for a in (x, zeros, ones)]
    y, _ = BODIES["batch_norm_relu_eval"](operands[0], None, *operands[1:])
    assert np.isnan(to_numpy(y)).sum() == 1
