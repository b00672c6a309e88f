"""Dropout: what is drawn, from which generator, and when nothing is."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops


def test_kept_share_and_mean():
    y = ops.dropout(np.ones((400, 500), np.float32), 0.3, generator=mt.Generator(0))
    assert y.dtype == np.float32
    assert abs((y == 0).mean() - 0.3) < 4 * (0.3 * 0.7 / y.size) ** 0.5
    assert np.unique(y).tolist() == [0.0, pytest.approx(1 / 0.7, rel=1e-6)]


def test_the_generator_fixes_the_mask():
    x = np.ones((20, 30))
    first, again = (ops.dropout(x, generator=mt.Generator(5)) for _ in range(2))
    assert (first == again).all()
    generator = mt.Generator(5)
    assert (ops.dropout(x, generator=generator) != ops.dropout(x, generator=generator)).any()


def test_without_a_generator_the_default_one_is_used():
    x = np.ones(100)
    mt.manual_seed(3)
    first = ops.dropout(x)
    mt.manual_seed(3)
    assert (first == ops.dropout(x)).all()


def test_evaluation_draws_nothing_and_returns_x(rng):
    generator = mt.Generator(1)
    x = rng.standard_normal((2, 3))
    assert ops.dropout(x, 0.5, False, generator=generator) is x
    assert ops.dropout(x, 0.0, True, generator=generator) is x
    assert generator.state == mt.Generator(1).state


def test_dropping_everything_gives_zeros_and_no_gradient(rng):
    x = mt.Tensor(rng.standard_normal((2, 3)), requires_grad=True)
    y = ops.dropout(x, 1.0)
    (dx,) = mt.grad(y, [x], upstream=mt.Tensor(np.ones((2, 3))))
    assert not y.numpy().any()
    assert not dx.numpy().any()


def test_whole_channels_are_dropped():
    y = ops.dropout2d(np.ones((20, 30, 3, 4)), 0.4, generator=mt.Generator(2))
    channels = y.reshape(600, 12)
    assert (channels == channels[:, :1]).all()
    assert 0.3 < (channels[:, 0] == 0).mean() < 0.5


@pytest.mark.parametrize("function", [ops.dropout, ops.dropout2d])
def test_layout_changes_neither_the_mask_nor_is_changed(function):
    plain = np.ones((3, 5, 4, 2))
    channels_last = np.ones((3, 4, 2, 5)).transpose(0, 3, 1, 2)
    y = function(channels_last, generator=mt.Generator(4))
    assert (y == function(plain, generator=mt.Generator(4))).all()
    assert y.strides == channels_last.strides


def test_backward_uses_the_mask_of_forward():
    x = mt.Tensor(np.ones((10, 10)), requires_grad=True)
    y = ops.dropout(x, 0.5, generator=mt.Generator(6))
    (dx,) = mt.grad(y, [x], upstream=mt.Tensor(np.ones((10, 10))))
    assert (dx.numpy() == y.numpy()).all()
