"""Activations where cases do not reach: huge arguments, kinks, the precision of erf, both dtypes."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import ops

ACTIVATIONS = {
    "relu": ops.relu,
    "relu6": ops.relu6,
    "leaky_relu": ops.leaky_relu,
    "elu": ops.elu,
    "sigmoid": ops.sigmoid,
    "log_sigmoid": ops.log_sigmoid,
    "tanh": ops.tanh,
    "softplus": ops.softplus,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "gelu with tanh": lambda x: ops.gelu(x, "tanh"),
    "erf": ops.erf,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_huge_arguments_give_finite_values_and_gradients(name, dtype):
    x = mt.Tensor(np.array([-1000, -90, -20, 0, 20, 90, 1000], dtype), requires_grad=True)
    y = ACTIVATIONS[name](x)
    (dx,) = mt.grad(y, [x], upstream=mt.Tensor(np.ones(7, dtype)))
    assert y.dtype == dx.dtype == dtype
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(dx.numpy()).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_is_not_hidden(name):
    assert math.isnan(ACTIVATIONS[name](np.array([math.nan]))[0])


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_no_gradient_at_a_kink(name):
    x = mt.Tensor([0.0, 6.0], requires_grad=True)
    (dx,) = mt.grad(ACTIVATIONS[name](x), [x], upstream=mt.Tensor([1.0, 1.0]))
    assert dx.tolist() == [0.0, 1.0 if name == "relu" else 0.0]


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_an_infinite_upstream_gradient_does_not_leak_through_a_closed_unit(name):
    x = mt.Tensor([-1.0, 1.0], requires_grad=True)
    (dx,) = mt.grad(ACTIVATIONS[name](x), [x], upstream=mt.Tensor([math.inf, 2.0]))
    assert dx.tolist() == [0.0, 2.0]


def test_erf_to_the_last_digits(rng):
    sizes = np.concatenate([10.0 ** rng.uniform(-300, 0, 500), np.linspace(0, 7, 5001)[1:]])
    x = np.concatenate([sizes, -sizes, [0.0]])
    expected = np.array([math.erf(v) for v in x])
    assert (abs(ops.erf(x) - expected) <= 1e-15 * abs(expected) + 1e-322).all()


def test_erf_of_infinity_and_of_a_number():
    assert ops.erf(np.array([-math.inf, math.inf])).tolist() == [-1.0, 1.0]
    assert ops.erf(np.array(0.5)).tolist() == pytest.approx(math.erf(0.5), rel=1e-15)


def test_sigmoid_keeps_its_digits_where_it_is_small():
    assert ops.sigmoid(np.array([-700.0]))[0] == pytest.approx(math.exp(-700), rel=1e-13)
