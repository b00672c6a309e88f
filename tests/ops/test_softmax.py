"""Softmax where cases do not reach: huge logits, masked logits, layout in memory."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits(dtype):
    x = np.array([[1000.0, -1000.0, 999.0], [-1000.0, -1000.0, -1000.0]], dtype)
    y = ops.softmax(x)
    assert y.dtype == dtype
    assert np.allclose(y.sum(-1), 1.0)
    assert np.allclose(ops.log_softmax(x)[0], [-np.log1p(np.exp(-1)), -2000 - np.log1p(np.exp(-1)), -1.3132617])


def test_adding_a_constant_changes_nothing(rng):
    x = rng.standard_normal((3, 5))
    assert np.allclose(ops.softmax(x + 300.0), ops.softmax(x), rtol=1e-12)


def test_a_logit_of_minus_infinity_has_no_probability_and_no_gradient(rng):
    values = rng.standard_normal((2, 4))
    values[:, 1] = -np.inf
    x = mt.Tensor(values, requires_grad=True)
    y = ops.softmax(x)
    (dx,) = mt.grad(y, [x], upstream=mt.Tensor(rng.standard_normal((2, 4))))
    assert y.numpy()[:, 1].tolist() == dx.numpy()[:, 1].tolist() == [0.0, 0.0]
    assert np.isfinite(dx.numpy()).all()


def test_channels_last_stays_channels_last(rng):
    x = rng.standard_normal((2, 4, 3, 5)).transpose(0, 3, 1, 2)
    assert ops.softmax(x, 1).strides == x.strides
